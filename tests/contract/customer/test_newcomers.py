"""Who comes in after the morning's detection is told of what it would have told, at once and not again."""

from datetime import date, timedelta

import pytest_asyncio
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from services.chassis.caller import service_caller
from services.chassis.clock import day_of
from services.customer.__main__ import SERVICE
from services.customer.snapshot.actions.detection import detect_dates
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_product_line,
    import_day,
)

BIRTHDAY, ANNIVERSARY = 1, 3
ONE = timedelta(days=1)


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service with somebody who was told of this morning."""
    running = await bank.serve(SERVICE)
    today = day_of(running.frame.clock())
    await import_day(running, customers=[a_person("1", today, 1)], day=today - ONE)
    await running.sql(
        "UPDATE customers SET create_time = create_time - interval '1 day'"
    )
    await morning(running, today)
    yield running
    await running.stop()


def a_person(number, today, days, **more):
    """Return a line about somebody born forty years before the day in *days* days."""
    born = (today + timedelta(days=days)).replace(year=today.year - 40)
    return a_customer_line(number, birth_day=(born - date(1970, 1, 1)).days, **more)


async def morning(served, day):
    """Run the detection of a morning, and enter it as due work does."""
    async with served.frame.bulk(service_caller("customer").in_branch(101)) as work:
        await detect_dates(work, 101, day)
        await work.run(
            "INSERT INTO due_runs VALUES (101, 'dates', $1, $2)", day, work.now
        )


async def told(served, kind):
    """Return the lines of every event of *kind*, in order."""
    stub = served.as_("services/engagement")(FeedServiceStub)
    request = events_pb2.ListEventsRequest(branch_id=101, page_size=1000)
    found = []
    for event in (await stub.ListEvents(request)).events:
        message = kind()
        if event.fact.Unpack(message):
            found += list(message.lines)
    return found


async def test_a_newcomer_s_dates_and_maturities_are_told_at_once(served):
    """Days that were told of this morning, and holdings that mature soon, do not wait for another year."""
    today = day_of(served.frame.clock())
    before = len(await told(served, facts.DatesComing))
    opened = today.replace(year=today.year - 4)
    await import_day(
        served,
        day=today,
        products=[a_product_line()],
        customers=[
            a_person("1", today, 1),
            a_person("2", today, 2, open_day=(opened - date(1970, 1, 1)).days),
            a_person("3", today, 20),
        ],
        holdings=[
            a_holding_line("H1", number="2", matures=today + timedelta(days=3)),
            a_holding_line("H2", number="1", matures=today + timedelta(days=4)),
            a_holding_line("H3", number="2", matures=today + timedelta(days=40)),
        ],
    )
    dates = [
        (line.customer, line.kind) for line in await told(served, facts.DatesComing)
    ][before:]
    maturing = {line.holding for line in await told(served, facts.HoldingsMaturing)}

    assert dates == [("customers/2", ANNIVERSARY), ("customers/2", BIRTHDAY)]
    assert maturing == {"holdings/H1", "holdings/H2"}


async def test_the_next_morning_tells_none_of_it_again(served):
    """What was told to make up for a morning is not told by the next one, which tells its own."""
    today = day_of(served.frame.clock())
    await import_day(
        served,
        day=today,
        products=[a_product_line()],
        customers=[a_person("2", today, 2), a_person("4", today, 4)],
        holdings=[a_holding_line("H1", number="2", matures=today + timedelta(days=3))],
    )
    dates = len(await told(served, facts.DatesComing))
    maturing = len(await told(served, facts.HoldingsMaturing))
    await morning(served, today + ONE)

    assert maturing == 1
    assert len(await told(served, facts.HoldingsMaturing)) == 1
    assert [
        (line.customer, line.kind) for line in await told(served, facts.DatesComing)
    ][dates:] == [("customers/4", BIRTHDAY)]


async def test_before_the_first_morning_nothing_is_made_up_for(bank):
    """A bank's first day is told by its first morning, all of it, and not twice."""
    running = await bank.serve(SERVICE)
    today = day_of(running.frame.clock())
    await import_day(running, customers=[a_person("1", today, 1)], day=today)

    assert await told(running, facts.DatesComing) == []
    await running.stop()
