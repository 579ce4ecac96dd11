"""What a first import may tell, and what the sentences about its faulty lines name."""

from datetime import date

import pytest_asyncio
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from services.customer.__main__ import SERVICE
from tests.snapshots import (
    a_customer_line,
    a_movement_line,
    a_position_line,
    chunks,
    header,
    import_day,
    stream,
)

FIRST, SECOND = date(2026, 11, 20), date(2026, 11, 21)
LEVELS = (10_000_000, 50_000_000, 300_000_000, 600_000_000)
"""Cents from which a customer is gold, platinum, diamond, private, as the parameters are by default."""

MET, BELOW, VIP = 1, 2, 3
"""Kinds of crossings, by the contract's numbers."""


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service of its own for each test: days follow one another."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


async def told(served, kind, branch=101):
    """Return the lines of every event of *kind* in a branch, in order."""
    stub = served.as_("services/engagement")(FeedServiceStub)
    request = events_pb2.ListEventsRequest(branch_id=branch, page_size=1000)
    found = []
    for event in (await stub.ListEvents(request)).events:
        message = kind()
        if event.fact.Unpack(message):
            found += list(message.lines)
    return found


def tier(assets):
    """Return the tier of *assets*, in cents: 1 is basic, 5 private."""
    return 1 + sum(assets >= level for level in LEVELS)


def crossings(before, after, card):
    """Return the kinds of crossings from *before* to *after* of somebody whose best card is *card*, by plain rules."""
    was, is_now = tier(before), tier(after)
    found = set()
    if is_now > card >= was:
        found.add(MET)
    if is_now < card <= was:
        found.add(BELOW)
    if was == 1 < is_now:
        found.add(VIP)
    return found


async def test_the_first_figures_cross_nothing(served):
    """Customers of every tier and card come in for the first time: nobody is told to have crossed a standard."""
    sorts = [(assets, card) for assets in (0, *LEVELS) for card in (0, 1, 3, 5)]
    numbers = [str(20_000 + place) for place in range(len(sorts))]
    await import_day(
        served,
        FIRST,
        customers=[
            a_customer_line(number, card_category=card)
            for number, (_, card) in zip(numbers, sorts, strict=True)
        ],
        positions=[
            a_position_line(number, assets)
            for number, (assets, _) in zip(numbers, sorts, strict=True)
        ],
    )

    assert len(await told(served, facts.CustomersRegistered)) == len(sorts)
    assert not await told(served, facts.CardStandardCrossed)


async def test_the_second_figures_cross_what_they_cross(served):
    """From the second day on every crossing is told, once, as plain rules find it."""
    sorts = [
        (before, after, card)
        for before in (0, *LEVELS)
        for after in (0, *LEVELS)
        for card in (1, 3)
    ]
    who = {str(30_000 + place): sort for place, sort in enumerate(sorts)}
    customers = [
        a_customer_line(number, card_category=card)
        for number, (_, _, card) in who.items()
    ]
    for day, column in ((FIRST, 0), (SECOND, 1)):
        positions = [
            a_position_line(number, sort[column]) for number, sort in who.items()
        ]
        await import_day(served, day, customers=customers, positions=positions)
    lines = await told(served, facts.CardStandardCrossed)
    expected = {
        (f"customers/{number}", kind)
        for number, sort in who.items()
        for kind in crossings(*sort)
    }

    assert {(line.customer, line.kind) for line in lines} == expected
    assert len(lines) == len(expected)


async def test_first_figures_that_come_later_cross_nothing_either(served):
    """A customer known without figures, who gets the first a day later, has crossed nothing; the day after they may."""
    customers = [a_customer_line(card_category=1)]
    await import_day(served, FIRST, customers=customers)
    await import_day(
        served, SECOND, customers=customers, positions=[a_position_line(assets=0)]
    )
    silent = await told(served, facts.CardStandardCrossed)
    await import_day(
        served,
        date(2026, 11, 22),
        customers=customers,
        positions=[a_position_line(assets=LEVELS[0])],
    )

    assert not silent
    assert {line.kind for line in await told(served, facts.CardStandardCrossed)} == {
        MET,
        VIP,
    }


async def test_a_first_day_tells_no_rise_but_a_large_movement(served):
    """First figures are no rise; one large booking in the same snapshot is a fact by itself, and is told."""
    await import_day(
        served,
        FIRST,
        customers=[a_customer_line()],
        positions=[a_position_line(assets=900_000_000)],
        movements=[a_movement_line(amount=800_000_000, day=FIRST)],
    )
    moved = await told(served, facts.PositionsMoved)

    assert [(line.kind, line.movement_id) for line in moved] == [
        (facts.PositionsMoved.KIND_LARGE_INFLOW, "M1")
    ]


async def test_both_sentences_name_the_branch_or_limit_at_fault(served):
    """A line of an unknown branch, and one too long, say in both languages which branch and how long it may be."""
    lines = [
        a_customer_line("10001", branch_id=999),
        a_customer_line("10002", home_address="长" * 201),
        a_customer_line("10003", id_number="9" * 33),
    ]
    checking = served.as_("feeds/core-banking")(SnapshotServiceStub)
    dry = await checking.ValidateSnapshot(
        stream(header(), chunks(customers=lines), pb.ValidateSnapshotRequest)
    )
    answer = await import_day(served, FIRST, customers=lines)
    listed = await served.as_("operator")(SnapshotServiceStub).ListImportFaults(
        pb.ListImportFaultsRequest(snapshot_import=answer.name)
    )
    expected = [
        ("There is no branch 999.", "没有网点 999。"),
        (
            "The field home_address holds at most 200 characters.",
            "字段 home_address 最多 200 个字符。",
        ),
        (
            "The field id_number holds at most 32 characters.",
            "字段 id_number 最多 32 个字符。",
        ),
    ]

    for found in (dry.import_faults, listed.import_faults):
        assert [(one.sentence, one.sentence_zh) for one in found] == expected
