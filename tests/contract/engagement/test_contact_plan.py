"""Contact plans: drafted from what calls for contact, at least twenty, submitted, reviewed, carried out, closed."""

from datetime import timedelta

import pytest_asyncio
from guanhu.engagement.v1 import contact_plan_pb2 as pb
from guanhu.engagement.v1 import engagement_events_pb2 as facts
from guanhu.engagement.v1 import reminder_pb2
from guanhu.engagement.v1.contact_plan_pb2_grpc import ContactPlanServiceStub
from guanhu.engagement.v1.reminder_pb2_grpc import ReminderServiceStub

from services.chassis.caller import service_caller
from services.engagement.__main__ import SERVICE
from services.engagement.contact_plan.actions import close_plans, draft_plans
from tests.builders import request_id
from tests.contract.engagement.test_opportunity import told
from tests.engagements import (
    assign,
    mature,
    move_money,
    register,
    today,
    wire_day,
)
from tests.refusals import refused

NUMBERS = [f"{number:03}" for number in range(1, 31)]


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """An engagement service with one portfolio of thirty and one of three."""
    running = await bank.serve(SERVICE)
    await register(running, *NUMBERS, "901", "902", "903")
    await assign(running, *NUMBERS)
    await assign(running, "901", "902", "903", owner="other_keeper")
    await settle_news(running)
    yield running
    await running.stop()


async def settle_news(served):
    """Settle the reminders of the assignment itself, so that tests see only their own."""
    await served.sql("UPDATE reminders SET state = 3")


def stub(served, who="keeper"):
    """Return the stub of somebody."""
    return served.as_(who)(ContactPlanServiceStub)


async def draft(served, who="keeper", **more):
    """Draft somebody's plan."""
    return await stub(served, who).DraftPlan(
        pb.DraftPlanRequest(request_id=request_id(), **more)
    )


def seen(plan, **more):
    """Return the fields that every change of a plan needs."""
    return {
        "name": plan.name,
        "etag": plan.etag,
        "request_id": request_id(),
        **more,
    }


async def submit(served, plan, who="keeper"):
    """Submit a plan."""
    return await stub(served, who).SubmitPlan(pb.SubmitPlanRequest(**seen(plan)))


async def approve(served, plan, who="manager"):
    """Approve a plan."""
    return await stub(served, who).ApprovePlan(pb.ApprovePlanRequest(**seen(plan)))


async def test_a_draft_holds_what_calls_first_and_twenty_in_all(served):
    """Risk comes before opportunity before the long silent, who fill it up to twenty; each item says why."""
    await mature(served, "010")
    await move_money(served, "020")
    plan = await draft(served)
    reminders = await served.as_("keeper")(ReminderServiceStub).ListReminders(
        reminder_pb2.ListRemindersRequest(state=reminder_pb2.REMINDER_STATE_PLANNED)
    )

    assert (plan.owner, plan.plan_date) == ("staff/keeper", wire_day(today(served)))
    assert (plan.state, plan.item_count, plan.minimum_count) == (1, 20, 20)
    rest = [number for number in NUMBERS if number not in ("010", "020")][:18]
    assert [item.customer for item in plan.items] == [
        f"customers/{number}" for number in ("020", "010", *rest)
    ]
    first, second, third = plan.items[:3]
    assert list(first.causes) == [pb.PLAN_CAUSE_REMINDER]
    assert list(first.reminder_kinds) == [reminder_pb2.REMINDER_KIND_LARGE_OUTFLOW]
    assert list(second.event_types) == [reminder_pb2.CONTACT_EVENT_TYPE_BEHAVIOUR]
    assert list(third.causes) == [pb.PLAN_CAUSE_LONG_SILENCE]
    assert sorted(one.name for one in reminders.reminders) == sorted(
        [*first.reminders, *second.reminders]
    )


async def test_drafting_again_adds_what_has_come_since(served):
    """A second draft is the same plan with the new reminder's customer at its end, each customer once."""
    first = await draft(served)
    await move_money(served, "029")
    second = await draft(served)
    third = await draft(served)

    assert second.name == first.name
    assert [item.customer for item in second.items] == [
        *(item.customer for item in first.items),
        "customers/029",
    ]
    assert third.item_count == 21


async def test_a_small_portfolio_is_planned_whole(served):
    """Who looks after three customers plans three, and may submit them."""
    plan = await draft(served, "other_keeper")
    submitted = await submit(served, plan, "other_keeper")

    assert (plan.item_count, plan.minimum_count) == (3, 3)
    assert submitted.state == pb.CONTACT_PLAN_STATE_SUBMITTED


async def test_owners_change_their_drafts(served):
    """Items are taken out and put in by the owner alone; what is out calls again, and too few cannot be submitted."""
    await move_money(served, "005")
    plan = await draft(served)
    smaller = await stub(served).RemoveItem(
        pb.RemoveItemRequest(**seen(plan, customer="customers/005"))
    )
    reopened = await served.as_("keeper")(ReminderServiceStub).ListReminders(
        reminder_pb2.ListRemindersRequest(state=reminder_pb2.REMINDER_STATE_OPEN)
    )
    few = await refused(submit(served, smaller))
    absent = await refused(
        stub(served).RemoveItem(
            pb.RemoveItemRequest(**seen(smaller, customer="customers/005"))
        )
    )

    def adding(number, plan=smaller):
        return pb.AddItemRequest(
            **seen(
                plan,
                customer=f"customers/{number}",
                event_type=reminder_pb2.CONTACT_EVENT_TYPE_MARKET,
                execution_note="电话告知市场变化",
            )
        )

    twice = await refused(stub(served).AddItem(adding("001")))
    foreign = await refused(stub(served).AddItem(adding("901")))
    others = await refused(stub(served, "manager").AddItem(adding("030")))
    added = await stub(served).AddItem(adding("030"))
    back = await stub(served).AddItem(adding("005", added))

    assert smaller.item_count == 19
    assert [one.customer for one in reopened.reminders] == ["customers/005"]
    assert few == ("FAILED_PRECONDITION", "CONTACT_PLAN_TOO_SMALL")
    assert absent == ("FAILED_PRECONDITION", "CUSTOMER_NOT_PLANNED")
    assert twice == ("FAILED_PRECONDITION", "CUSTOMER_PLANNED")
    assert foreign == ("NOT_FOUND", "NOT_FOUND")
    assert others == ("PERMISSION_DENIED", "CONTACT_PLAN_OF_OTHER")
    last = added.items[-1]
    assert (last.customer, list(last.causes)) == (
        "customers/030",
        [pb.PLAN_CAUSE_BY_HAND],
    )
    assert (last.execution_note, list(last.event_types)) == ("电话告知市场变化", [5])
    assert back.item_count == 21


async def test_somebody_else_reviews(served):
    """A manager returns and approves plans, never the own one; the owner sees the remark and submits again."""
    plan = await draft(served)
    early = await refused(approve(served, plan))
    submitted = await submit(served, plan)
    again = await refused(submit(served, submitted))
    returned = await stub(served, "manager").ReturnPlan(
        pb.ReturnPlanRequest(**seen(submitted, remark="请补充到期客户"))
    )
    resubmitted = await submit(served, returned)
    stale = await refused(approve(served, submitted))
    far = await refused(approve(served, resubmitted, "far_manager"))
    role = await refused(approve(served, resubmitted, "keeper"))
    approved = await approve(served, resubmitted)
    frozen = await refused(
        stub(served).RemoveItem(
            pb.RemoveItemRequest(**seen(approved, customer="customers/001"))
        )
    )
    redraft = await refused(draft(served))
    events = await told(served, facts.PlanApproved)

    assert early == ("FAILED_PRECONDITION", "CONTACT_PLAN_STATE_UNFIT")
    assert again == ("FAILED_PRECONDITION", "CONTACT_PLAN_STATE_UNFIT")
    assert (returned.state, returned.review_remark) == (3, "请补充到期客户")
    assert returned.reviewer == "staff/manager"
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert far == ("NOT_FOUND", "NOT_FOUND")
    assert role == ("PERMISSION_DENIED", "ROLE_MISSING")
    assert approved.state == pb.CONTACT_PLAN_STATE_APPROVED
    assert frozen == redraft == ("FAILED_PRECONDITION", "CONTACT_PLAN_STATE_UNFIT")
    assert [(one.contact_plan, one.item_count) for one in events] == [(plan.name, 20)]


async def test_nobody_reviews_a_plan_of_their_own(served):
    """A branch manager who looks after customers has the plan reviewed by another one."""
    await register(served, "801")
    await assign(served, "801", owner="manager")
    plan = await submit(served, await draft(served, "manager"), "manager")
    own = await refused(approve(served, plan))
    upper = await approve(served, plan, "upper_manager")

    assert own == ("PERMISSION_DENIED", "REVIEWER_IS_OWNER")
    assert upper.state == pb.CONTACT_PLAN_STATE_APPROVED


async def test_a_plan_is_for_one_of_the_next_days(served):
    """Yesterday and the week after next are refused, and so is whoever looks after nobody."""
    days = [wire_day(today(served) + timedelta(days=ahead)) for ahead in (-1, 8, 7)]
    past = await refused(draft(served, plan_date=days[0]))
    far = await refused(draft(served, plan_date=days[1]))
    fine = await draft(served, plan_date=days[2])
    nobody = await refused(draft(served, "far_manager"))

    assert past == far == ("INVALID_ARGUMENT", "PLAN_DATE_UNFIT")
    assert fine.plan_date == days[2]
    assert nobody == ("FAILED_PRECONDITION", "NOBODY_TO_PLAN")


async def test_the_morning_drafts_for_every_owner_and_the_night_closes(served):
    """One run drafts every owner's plan once; the next night closes it, and who was missed is carried over."""
    await move_money(served, "007")
    caller = service_caller("engagement").in_branch(101)
    now = today(served)
    for _ in range(2):
        async with served.frame.uow(caller) as work:
            await draft_plans(work, 101, now)
    plans = await stub(served, "manager").ListContactPlans(
        pb.ListContactPlansRequest(plan_date=wire_day(now), order_by="owner")
    )
    tomorrow = now + timedelta(days=1)
    async with served.frame.uow(caller) as work:
        await close_plans(work, 101, tomorrow)
        await draft_plans(work, 101, tomorrow)
    closed = await stub(served).GetContactPlan(
        pb.GetContactPlanRequest(name=plans.contact_plans[0].name)
    )
    following = (
        await stub(served).ListContactPlans(
            pb.ListContactPlansRequest(plan_date=wire_day(tomorrow))
        )
    ).contact_plans[0]
    items = (
        await stub(served).GetContactPlan(pb.GetContactPlanRequest(name=following.name))
    ).items

    assert [(one.owner, one.item_count) for one in plans.contact_plans] == [
        ("staff/keeper", 20),
        ("staff/other_keeper", 3),
    ]
    assert closed.state == pb.CONTACT_PLAN_STATE_CLOSED
    assert {item.state for item in closed.items} == {pb.CONTACT_PLAN_ITEM_STATE_MISSED}
    assert items[0].customer == "customers/007"
    assert list(items[0].causes) == [
        pb.PLAN_CAUSE_REMINDER,
        pb.PLAN_CAUSE_CARRIED_OVER,
    ]
    carried = {
        item.customer for item in items if pb.PLAN_CAUSE_CARRIED_OVER in item.causes
    }
    assert carried == {item.customer for item in closed.items}


async def test_lists_show_plans_in_sight_without_items(served):
    """An owner lists own plans, a manager the branch's; pages and filters hold."""
    await draft(served)
    await draft(served, "other_keeper")
    own = await stub(served).ListContactPlans(pb.ListContactPlansRequest())
    first = await stub(served, "manager").ListContactPlans(
        pb.ListContactPlansRequest(page_size=1, order_by="owner desc")
    )
    second = await stub(served, "manager").ListContactPlans(
        pb.ListContactPlansRequest(
            page_size=1, order_by="owner desc", page_token=first.next_page_token
        )
    )
    none = await stub(served, "manager").ListContactPlans(
        pb.ListContactPlansRequest(state=pb.CONTACT_PLAN_STATE_SUBMITTED)
    )

    assert [plan.owner for plan in own.contact_plans] == ["staff/keeper"]
    assert not own.contact_plans[0].items
    owners = [page.contact_plans[0].owner for page in (first, second)]
    assert owners == ["staff/other_keeper", "staff/keeper"]
    assert (first.total_size, second.next_page_token, none.total_size) == (2, "", 0)
