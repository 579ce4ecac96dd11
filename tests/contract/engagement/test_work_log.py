"""The work log: one call writes log, plan, reminders and opportunity, and sends the sheet on its way."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.customer.v1 import customer_pb2
from guanhu.engagement.v1 import contact_plan_pb2, opportunity_pb2, reminder_pb2
from guanhu.engagement.v1 import engagement_events_pb2 as facts
from guanhu.engagement.v1 import work_log_pb2 as pb
from guanhu.engagement.v1.contact_plan_pb2_grpc import ContactPlanServiceStub
from guanhu.engagement.v1.opportunity_pb2_grpc import OpportunityServiceStub
from guanhu.engagement.v1.reminder_pb2_grpc import ReminderServiceStub
from guanhu.engagement.v1.work_log_pb2_grpc import WorkLogServiceStub

from services.chassis.wiretypes import time_to
from services.engagement.__main__ import SERVICE
from tests.builders import request_id
from tests.contract.engagement.test_opportunity import told
from tests.engagements import assign, move_money, register, today, wire_day
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """An engagement service with two portfolios."""
    running = await bank.serve(SERVICE)
    await register(running, "1", "2", "9")
    await assign(running, "1", "2")
    await assign(running, "9", owner="other_keeper")
    await running.sql("UPDATE reminders SET state = 3")
    yield running
    await running.stop()


def a_contact(served, number="1", ago=timedelta(minutes=5), result=1, **more):
    """Return a contact by telephone some time ago."""
    contact = customer_pb2.Contact(
        contact_time=time_to(served.frame.clock() - ago), channel=2, result=result
    )
    fields = {
        "event_type": reminder_pb2.CONTACT_EVENT_TYPE_BEHAVIOUR,
        "content": "客户希望了解稳健类产品",
    }
    return pb.RecordContactRequest(
        customer=f"customers/{number}",
        contact=contact,
        **{**fields, "request_id": request_id(), **more},
    )


async def record(served, request, who="keeper"):
    """Record a contact."""
    return await served.as_(who)(WorkLogServiceStub).RecordContact(request)


async def logs(served, who="keeper", **filters):
    """Return the entries that somebody sees."""
    stub = served.as_(who)(WorkLogServiceStub)
    return await stub.ListWorkLogs(pb.ListWorkLogsRequest(**filters))


async def test_one_call_writes_everything(served):
    """Log, item, reminder, opportunity and the note for the customer service are written together, once."""
    await move_money(served, "1")
    plan = await served.as_("keeper")(ContactPlanServiceStub).DraftPlan(
        contact_plan_pb2.DraftPlanRequest(request_id=request_id())
    )
    soon = wire_day(today(served) + timedelta(days=14))
    request = a_contact(
        served,
        new_opportunity=opportunity_pb2.Opportunity(
            opportunity_class=2, target_product="products/WM01", lead="有意购买"
        ),
        profile_sheet=customer_pb2.ProfileSheet(
            occupation="教师", next_contact_on=soon
        ),
        sheet_mask=FieldMask(paths=["occupation", "next_contact_on"]),
    )
    first = await record(served, request)
    again = await record(served, request)
    errands = await served.sql("SELECT method, request, branch_id FROM errands")
    note = customer_pb2.NoteContactsRequest.FromString(errands[0]["request"])
    portfolio = await served.sql(
        "SELECT next_contact_on, last_contact_time FROM portfolio WHERE number = '1'"
    )
    events = await told(served, facts.ContactRecorded)

    assert again == first
    entry = first.work_log
    assert (entry.staff, entry.kind, entry.late) == ("staff/keeper", 1, False)
    assert entry.contact_plan == plan.name
    assert first.item.state == contact_plan_pb2.CONTACT_PLAN_ITEM_STATE_DONE
    assert first.item.work_log == entry.name
    assert list(first.settled_reminders) == list(plan.items[0].reminders)
    assert entry.opportunity == first.opportunity.name
    assert [row["method"] for row in errands] == [
        "/guanhu.customer.v1.CustomerService/NoteContacts"
    ]
    assert note.branch_id == 101
    line = note.notes[0]
    assert (line.customer, line.contact.staff) == ("customers/1", "staff/keeper")
    assert line.profile_sheet.occupation == "教师"
    assert list(line.sheet_mask.paths) == ["occupation", "next_contact_on"]
    assert wire_day(portfolio[0]["next_contact_on"]) == soon
    assert time_to(portfolio[0]["last_contact_time"]) == request.contact.contact_time
    assert [one.lines[0].work_log for one in events] == [entry.name]


async def test_no_answer_leaves_the_reminder(served):
    """A try that nobody answered keeps the reminder planned, and the item says so."""
    await move_money(served, "1")
    await served.as_("keeper")(ContactPlanServiceStub).DraftPlan(
        contact_plan_pb2.DraftPlanRequest(request_id=request_id())
    )
    tried = await record(served, a_contact(served, result=2))
    reached = await record(served, a_contact(served, result=1))

    assert tried.item.state == contact_plan_pb2.CONTACT_PLAN_ITEM_STATE_NO_ANSWER
    assert list(tried.settled_reminders) == []
    assert reached.item.state == contact_plan_pb2.CONTACT_PLAN_ITEM_STATE_DONE
    assert len(reached.settled_reminders) == 1


async def test_a_contact_outside_any_plan_is_logged_too(served):
    """Without a plan the entry stands alone, settles the reminders it names, and late entries are marked."""
    await move_money(served, "1")
    stub = served.as_("keeper")(ReminderServiceStub)
    open_ones = await stub.ListReminders(
        reminder_pb2.ListRemindersRequest(state=reminder_pb2.REMINDER_STATE_OPEN)
    )
    name = open_ones.reminders[0].name
    found = await record(
        served, a_contact(served, ago=timedelta(days=2), reminders=[name])
    )
    twice = await refused(record(served, a_contact(served, reminders=[name])))

    assert (found.work_log.late, found.work_log.contact_plan) == (True, "")
    assert not found.HasField("item")
    assert list(found.settled_reminders) == [name]
    assert twice == ("FAILED_PRECONDITION", "REMINDER_SETTLED")


async def test_what_cannot_have_been_is_refused_whole(served):
    """Future, too old, foreign and unplanned contacts are refused by reason, and nothing of them is written."""
    opportunity = await served.as_("other_keeper")(
        OpportunityServiceStub
    ).CreateOpportunity(
        opportunity_pb2.CreateOpportunityRequest(
            opportunity=opportunity_pb2.Opportunity(
                customer="customers/9", opportunity_class=3, lead="转介"
            ),
            request_id=request_id(),
        )
    )
    mine = await served.as_("keeper")(OpportunityServiceStub).CreateOpportunity(
        opportunity_pb2.CreateOpportunityRequest(
            opportunity=opportunity_pb2.Opportunity(
                customer="customers/2", opportunity_class=3, lead="签约"
            ),
            request_id=request_id(),
        )
    )

    def moving(one):
        return pb.RecordContactRequest.Advance(
            opportunity=one.name, etag=one.etag, stage=2
        )

    yesterday = wire_day(today(served) - timedelta(days=1))
    cases = {
        "CONTACT_IN_FUTURE": a_contact(served, ago=timedelta(minutes=-10)),
        "CONTACT_TOO_OLD": a_contact(served, ago=timedelta(days=8)),
        "NOT_FOUND": a_contact(served, number="9"),
        "CUSTOMER_NOT_PLANNED": a_contact(
            served, contact_plan=f"contactPlans/{uuid4()}"
        ),
        "CUSTOMER_DIFFERS": a_contact(served, advance=moving(mine)),
        "MASK_UNKNOWN": a_contact(served, sheet_mask=FieldMask(paths=["mobile"])),
        "DAY_PAST": a_contact(
            served,
            profile_sheet=customer_pb2.ProfileSheet(next_contact_on=yesterday),
            sheet_mask=FieldMask(paths=["next_contact_on"]),
        ),
        "TARGET_PRODUCT_UNFIT": a_contact(
            served,
            new_opportunity=opportunity_pb2.Opportunity(
                opportunity_class=2, lead="缺产品"
            ),
        ),
        "FIELD_INVALID": a_contact(
            served,
            advance=moving(mine),
            new_opportunity=opportunity_pb2.Opportunity(opportunity_class=3, lead="x"),
        ),
    }
    got = {
        reason: (await refused(record(served, request)))[1]
        for reason, request in cases.items()
    }
    hidden = await refused(
        record(served, a_contact(served, advance=moving(opportunity)))
    )
    rows = await served.sql("SELECT 1 FROM work_logs")
    errands = await served.sql("SELECT 1 FROM errands")

    assert got == {reason: reason for reason in cases}
    assert hidden == ("NOT_FOUND", "NOT_FOUND")
    assert (len(rows), len(errands)) == (0, 0)


async def test_a_contact_moves_an_opportunity(served):
    """An advance in the same call moves the opportunity and is refused when it was read long ago."""
    mine = await served.as_("keeper")(OpportunityServiceStub).CreateOpportunity(
        opportunity_pb2.CreateOpportunityRequest(
            opportunity=opportunity_pb2.Opportunity(
                customer="customers/1", opportunity_class=3, lead="签约"
            ),
            request_id=request_id(),
        )
    )
    moving = pb.RecordContactRequest.Advance(
        opportunity=mine.name, etag=mine.etag, stage=3
    )
    found = await record(served, a_contact(served, advance=moving))
    stale = await refused(record(served, a_contact(served, advance=moving)))

    assert (found.opportunity.name, found.opportunity.stage) == (mine.name, 3)
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")


async def test_a_batch_is_logged_once_per_customer(served):
    """A repeated chunk of a batch, under whatever request id, writes no second entry; it shows in the history."""
    batch = f"batches/{uuid4()}"
    now = time_to(served.frame.clock())

    def recording(*numbers):
        return pb.RecordBatchContactsRequest(
            branch_id=101,
            batch=batch,
            staff="staff/teller",
            template_display_name="中秋问候",
            event_type=1,
            contacts=[
                pb.BatchContact(
                    customers=[f"customers/{number}" for number in numbers],
                    contact_time=now,
                )
            ],
            request_id=request_id(),
        )

    stub = served.as_("services/messaging")(WorkLogServiceStub)
    first = await stub.RecordBatchContacts(recording("1", "2"))
    again = await stub.RecordBatchContacts(recording("2", "9"))
    denied = await refused(
        served.as_("manager")(WorkLogServiceStub).RecordBatchContacts(recording("1"))
    )
    seen = await logs(served, customer="customers/1")
    everyone = await logs(served, "manager", kind=pb.WORK_LOG_KIND_BATCH)

    assert (first.recorded_count, first.repeated_count) == (2, 0)
    assert (again.recorded_count, again.repeated_count) == (1, 1)
    assert denied == ("PERMISSION_DENIED", "ROLE_MISSING")
    assert [(one.batch, one.staff, one.content) for one in seen.work_logs] == [
        (batch, "staff/teller", "中秋问候")
    ]
    assert everyone.total_size == 3


async def test_one_request_holds_a_thousand_customers_of_a_batch(served):
    """More are refused, however many moments they are told under, and nothing is written."""
    now = time_to(served.frame.clock())
    halves = [
        pb.BatchContact(
            customers=[f"customers/{number}" for number in numbers], contact_time=now
        )
        for numbers in (range(1, 502), range(502, 1002))
    ]
    request = pb.RecordBatchContactsRequest(
        branch_id=101,
        batch=f"batches/{uuid4()}",
        staff="staff/teller",
        template_display_name="中秋问候",
        event_type=1,
        contacts=halves,
        request_id=request_id(),
    )
    stub = served.as_("services/messaging")(WorkLogServiceStub)
    denied = await refused(stub.RecordBatchContacts(request))
    everyone = await logs(served, "manager", kind=pb.WORK_LOG_KIND_BATCH)

    assert denied == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert everyone.total_size == 0


async def test_the_log_only_grows(served):
    """The service's own role can neither change nor delete an entry."""
    await record(served, a_contact(served))
    rights = await served.sql(
        """
        SELECT has_table_privilege('guanhu_engagement', 'work_logs', right_name) AS held
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_name"""
    )

    assert [row["held"] for row in rights] == [True, True, False, False]


async def test_lists_show_own_customers_by_day_and_page(served):
    """Entries are listed newest first, by customer, staff and day, to the end; others' customers are not seen."""
    for days in (0, 1, 2, 3):
        await record(served, a_contact(served, ago=timedelta(days=days, minutes=1)))
    await record(served, a_contact(served, number="9"), "other_keeper")
    request = pb.ListWorkLogsRequest(page_size=3)
    first = await logs(served, page_size=3)
    request.page_token = first.next_page_token
    stub = served.as_("keeper")(WorkLogServiceStub)
    second = await stub.ListWorkLogs(request)
    day = wire_day(today(served) - timedelta(days=2))
    one_day = await logs(served, from_date=day, to_date=day)
    others = await logs(served, "manager", staff="staff/other_keeper")

    times = [one.contact_time.seconds for one in (*first.work_logs, *second.work_logs)]
    assert times == sorted(times, reverse=True)
    assert (len(times), first.total_size, second.next_page_token) == (4, 4, "")
    local = timedelta(hours=8)
    days = [(datetime.fromtimestamp(second, UTC) + local).date() for second in times]
    assert one_day.total_size == days.count(today(served) - timedelta(days=2)) > 0
    assert [one.customer for one in others.work_logs] == ["customers/9"]
