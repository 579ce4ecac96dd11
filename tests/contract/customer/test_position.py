"""Positions: history by day and by ten-day period, each against what was before."""

from datetime import date

import pytest_asyncio
from google.type.date_pb2 import Date
from guanhu.customer.v1 import position_pb2 as pb
from guanhu.customer.v1.position_pb2_grpc import PositionServiceStub

from services.customer.__main__ import SERVICE
from tests.refusals import refused
from tests.snapshots import a_customer_line, a_position_line, import_day

DAYS = {
    date(2026, 9, 5): 100,
    date(2026, 9, 12): 100,
    date(2026, 9, 18): 140,
    date(2026, 10, 2): 90,
    date(2026, 10, 25): 300,
}
"""What a customer had on the day of each snapshot, in yuan; the second changed nothing."""


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """One customer over five snapshots, and another who keeps the branch's newest day."""
    running = await bank.serve(SERVICE)
    customers = [
        a_customer_line("10001"),
        a_customer_line("10002", mobile="13800000002"),
    ]
    for day, units in DAYS.items():
        positions = [
            a_position_line("10001", units * 100),
            a_position_line("10002", units * 200),
        ]
        await import_day(running, day, customers=customers, positions=positions)
    await running.sql("UPDATE customers SET owner = 'keeper' WHERE number = '10001'")
    yield running
    await running.stop()


async def listed(served, grain, who="keeper", number="10001", **more):
    """Return a page of positions."""
    return await served.as_(who)(PositionServiceStub).ListPositions(
        pb.ListPositionsRequest(customer=f"customers/{number}", grain=grain, **more)
    )


def told(page):
    """Return day, figure and figure before of each row."""
    return [
        (
            date(
                row.snapshot_date.year, row.snapshot_date.month, row.snapshot_date.day
            ),
            row.financial_assets.units,
            row.previous_financial_assets.units
            if row.HasField("previous_financial_assets")
            else None,
        )
        for row in page.positions
    ]


async def test_days_are_those_on_which_a_figure_changed(served):
    """The newest first, each with what was before; a day without a change has no row."""
    page = await listed(served, pb.POSITION_GRAIN_DAY)

    assert told(page) == [
        (date(2026, 10, 25), 300, 90),
        (date(2026, 10, 2), 90, 140),
        (date(2026, 9, 18), 140, 100),
        (date(2026, 9, 5), 100, None),
    ]


async def test_periods_have_no_gap(served):
    """A period without a change shows what was; it is dated with its last day, the running one with the newest."""
    page = await listed(served, pb.POSITION_GRAIN_TEN_DAY)

    assert told(page) == [
        (date(2026, 10, 25), 300, 90),
        (date(2026, 10, 20), 90, 90),
        (date(2026, 10, 10), 90, 140),
        (date(2026, 9, 30), 140, 140),
        (date(2026, 9, 20), 140, 100),
        (date(2026, 9, 10), 100, None),
    ]
    assert page.positions[0].period == pb.TenDayPeriod(
        year=2026, month=10, ten_day=pb.TEN_DAY_LAST
    )


async def test_a_range_and_pages_narrow_the_history(served):
    """Both days belong to the range; pages go to the end."""
    some = await listed(
        served,
        pb.POSITION_GRAIN_DAY,
        from_date=Date(year=2026, month=9, day=18),
        to_date=Date(year=2026, month=10, day=2),
    )
    first = await listed(served, pb.POSITION_GRAIN_TEN_DAY, page_size=4)
    rest = await listed(
        served, pb.POSITION_GRAIN_TEN_DAY, page_size=4, page_token=first.next_page_token
    )

    assert [row[0] for row in told(some)] == [date(2026, 10, 2), date(2026, 9, 18)]
    assert len(first.positions) + len(rest.positions) == first.total_size == 6
    assert rest.next_page_token == ""


async def test_a_history_out_of_sight_is_not_found_and_a_range_turned_round_is_refused(
    served,
):
    """Nobody learns from the refusal whether the customer is there."""
    theirs = await refused(listed(served, pb.POSITION_GRAIN_DAY, number="10002"))
    nobody = await refused(listed(served, pb.POSITION_GRAIN_DAY, number="77777"))
    turned = await refused(
        listed(
            served,
            pb.POSITION_GRAIN_DAY,
            from_date=Date(year=2026, month=10, day=2),
            to_date=Date(year=2026, month=10, day=1),
        )
    )

    assert theirs == nobody == ("NOT_FOUND", "NOT_FOUND")
    assert turned == ("INVALID_ARGUMENT", "RANGE_REVERSED")
