"""Reminders: computed once per fact, shown to whoever looks after the customer, dismissed for a reason."""

from datetime import timedelta

import pytest_asyncio
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.engagement.v1 import reminder_pb2 as pb
from guanhu.engagement.v1.reminder_pb2_grpc import ReminderServiceStub

from services.engagement.__main__ import SERVICE
from tests.builders import request_id
from tests.engagements import (
    assign,
    mature,
    move_money,
    register,
    tell,
    today,
    wire_day,
)
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """An engagement service of its own for each test."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


async def listed(served, who="keeper", **filters):
    """Return the reminders that somebody sees."""
    stub = served.as_(who)(ReminderServiceStub)
    return await stub.ListReminders(pb.ListRemindersRequest(**filters))


async def test_a_fact_reminds_once_and_only_the_owner(served):
    """A large outflow told three times is one reminder, of category risk, seen by its owner and the branch manager."""
    await register(served, "1", "2")
    await assign(served, "1")
    for _ in range(3):
        await move_money(served, "1")
    await move_money(served, "2", movement="M2")
    found = await listed(served, kind=pb.REMINDER_KIND_LARGE_OUTFLOW)
    by_manager = await listed(served, "manager", kind=pb.REMINDER_KIND_LARGE_OUTFLOW)
    by_other = await listed(served, "other_keeper")
    by_far = await listed(served, "far_manager")

    assert [one.customer for one in found.reminders] == ["customers/1"]
    one = found.reminders[0]
    assert (one.category, one.event_type) == (
        pb.REMINDER_CATEGORY_RISK,
        pb.CONTACT_EVENT_TYPE_BEHAVIOUR,
    )
    assert (one.owner, one.state) == ("staff/keeper", pb.REMINDER_STATE_OPEN)
    assert (one.amount.units, one.amount.currency_code) == (300_000, "CNY")
    assert one.fact_date == wire_day(today(served) - timedelta(days=1))
    assert one.end_date == wire_day(today(served) + timedelta(days=5))
    assert by_manager.reminders == found.reminders
    assert (by_other.total_size, by_far.total_size) == (0, 0)


async def test_a_reminder_from_before_the_assignment_comes_with_the_customer(served):
    """What happened while nobody looked after a customer is shown to whoever does from now on."""
    await register(served, "1")
    await move_money(served, "1")
    before = await listed(served, "manager")
    await assign(served, "1")
    after = await listed(served)

    assert before.total_size == 0
    assert sorted(one.kind for one in after.reminders) == [
        pb.REMINDER_KIND_LARGE_OUTFLOW,
        pb.REMINDER_KIND_OWNERSHIP_CHANGED,
    ]


async def test_a_later_owner_takes_the_reminders_and_an_older_event_nothing(served):
    """Ownership follows allocation's count: what is not above it changes nothing."""
    await register(served, "1")
    await assign(served, "1", version=5)
    await assign(served, "1", owner="other_keeper", version=4)
    await move_money(served, "1")
    kept = await listed(served, kind=pb.REMINDER_KIND_LARGE_OUTFLOW)
    await assign(served, "1", owner="other_keeper", version=6)
    lost = await listed(served, kind=pb.REMINDER_KIND_LARGE_OUTFLOW)
    taken = await listed(served, "other_keeper", kind=pb.REMINDER_KIND_LARGE_OUTFLOW)

    assert (kept.total_size, lost.total_size, taken.total_size) == (1, 0, 1)


async def test_every_kind_of_fact_has_its_category(served):
    """Movements, maturities, standards and dates each become a reminder of the handbook's category."""
    await register(served, "1")
    await assign(served, "1")
    day = wire_day(today(served))
    for kind in (1, 2, 3, 4):
        await move_money(served, "1", kind=kind, movement=f"M{kind}", ago=0)
    await mature(served, "1")
    crossed = facts.CardStandardCrossed(snapshot_date=day)
    for kind in (1, 2, 3):
        crossed.lines.add(customer="customers/1", kind=kind, currency="CNY")
    await tell(served, crossed)
    coming = facts.DatesComing(detect_date=day)
    for kind in (1, 2, 3, 4):
        coming.lines.add(customer="customers/1", kind=kind, date=day)
    await tell(served, coming)
    found = (await listed(served, day=day, page_size=100)).reminders
    stub = served.as_("keeper")(ReminderServiceStub)
    counts = await stub.CountReminders(pb.CountRemindersRequest())

    expected = {
        pb.REMINDER_CATEGORY_RISK: {1, 2, 3},
        pb.REMINDER_CATEGORY_OPPORTUNITY: {10, 11, 12, 13, 14},
        pb.REMINDER_CATEGORY_INFO: {20, 21, 22, 23, 24},
    }
    got = {category: set() for category in expected}
    for one in found:
        got[one.category].add(one.kind)
    assert got == expected
    assert [(one.category, one.kind, one.count) for one in counts.kinds] == [
        (category, kind, 1) for category in expected for kind in sorted(got[category])
    ]
    assert counts.total_count == 13
    assert [(one.customer, one.count) for one in counts.customers] == [
        ("customers/1", 13)
    ]


async def test_a_reminder_of_something_coming_ends_with_its_day(served):
    """A maturity in five days is shown from today on and lapses with the day itself."""
    await register(served, "1")
    await assign(served, "1")
    await mature(served, "1", ahead=5)
    now = today(served)
    kind = pb.REMINDER_KIND_PRODUCT_MATURING
    sizes = [
        (
            await listed(served, kind=kind, day=wire_day(now + timedelta(days=ahead)))
        ).total_size
        for ahead in (-1, 0, 5, 6)
    ]
    one = (await listed(served, kind=kind)).reminders[0]

    assert sizes == [0, 1, 1, 0]
    assert (one.holding, one.product) == ("holdings/H1", "products/WM01")


async def test_lists_page_to_the_end_in_order_and_filter(served):
    """Pages of two hold every reminder once, the newest fact first; filters add up."""
    await register(served, *"12345")
    await assign(served, *"12345")
    for number in "12345":
        await move_money(served, number, movement=f"M{number}", ago=int(number))
    stub = served.as_("keeper")(ReminderServiceStub)
    request = pb.ListRemindersRequest(page_size=2, category=pb.REMINDER_CATEGORY_RISK)
    seen, sizes = [], []
    while True:
        page = await stub.ListReminders(request)
        seen += [one.customer for one in page.reminders]
        sizes.append(page.total_size)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    by_query = await listed(served, query="3", category=pb.REMINDER_CATEGORY_RISK)
    by_amount = await listed(served, order_by="amount", page_size=1)
    skipped = await listed(
        served, skip=4, page_size=2, category=pb.REMINDER_CATEGORY_RISK
    )

    assert seen == [f"customers/{number}" for number in "12345"]
    assert sizes == [5, 5, 5]
    assert [one.customer for one in by_query.reminders] == ["customers/3"]
    assert len(by_amount.reminders) == 1
    assert [one.customer for one in skipped.reminders] == ["customers/5"]


async def test_a_reminder_is_dismissed_once_for_a_reason(served):
    """Dismissing needs sight, the newest etag and an open reminder; the same request twice is done once."""
    await register(served, "1")
    await assign(served, "1")
    await move_money(served, "1")
    one = (await listed(served, kind=pb.REMINDER_KIND_LARGE_OUTFLOW)).reminders[0]
    stub = served.as_("keeper")(ReminderServiceStub)

    def asked(**more):
        fields = {"name": one.name, "etag": one.etag, "reason": "已当面沟通"}
        return pb.DismissReminderRequest(
            **{**fields, "request_id": request_id(), **more}
        )

    foreign = await refused(
        served.as_("other_keeper")(ReminderServiceStub).DismissReminder(asked())
    )
    stale = await refused(stub.DismissReminder(asked(etag="7")))
    bare = await refused(stub.DismissReminder(asked(etag="")))
    wanted = asked()
    done = await stub.DismissReminder(wanted)
    again = await stub.DismissReminder(wanted)
    settled = await refused(stub.DismissReminder(asked(etag=done.etag)))

    assert foreign == ("NOT_FOUND", "NOT_FOUND")
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert bare == ("INVALID_ARGUMENT", "ETAG_REQUIRED")
    assert (done.state, done.dismiss_reason) == (
        pb.REMINDER_STATE_DISMISSED,
        "已当面沟通",
    )
    assert again == done
    assert settled == ("FAILED_PRECONDITION", "REMINDER_SETTLED")
