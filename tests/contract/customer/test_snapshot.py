"""A snapshot comes in: what is stored, what is told, what is refused, and what happens when it breaks off."""

from datetime import date

import pytest
import pytest_asyncio
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.customer.v1 import customer_pb2
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from services.chassis.caller import service_caller
from services.customer.__main__ import SERVICE
from services.customer.snapshot.actions.detection import detect_dates
from tests.refusals import refused
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_movement_line,
    a_position_line,
    a_product_line,
    chunks,
    header,
    import_day,
    stream,
)

DAY = date(2026, 11, 20)


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service of its own for each test: days follow one another."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


async def told(served, kind, branch=101):
    """Return the lines of every event of *kind* in a branch, in order."""
    stub = served.as_("services/allocation")(FeedServiceStub)
    events = (
        await stub.ListEvents(
            events_pb2.ListEventsRequest(branch_id=branch, page_size=1000)
        )
    ).events
    found = []
    for event in events:
        message = kind()
        if event.fact.Unpack(message):
            found += list(message.lines)
    return found


def counts(answer):
    """Return (received, stored, unchanged, faulty) by entity number."""
    return {
        one.entity: (
            one.received_count,
            one.stored_count,
            one.unchanged_count,
            one.faulty_count,
        )
        for one in answer.counts
    }


async def customer(served, number="10001", who="manager"):
    """Return one customer as a caller sees it."""
    return await served.as_(who)(CustomerServiceStub).GetCustomer(
        customer_pb2.GetCustomerRequest(name=f"customers/{number}")
    )


async def test_a_line_becomes_a_customer_with_figures_and_events(served):
    """One customer with position, holding and movement is stored, shown masked, and told of once."""
    answer = await import_day(
        served,
        products=[a_product_line()],
        customers=[a_customer_line()],
        positions=[a_position_line(assets=60_000_000)],
        holdings=[a_holding_line()],
        movements=[a_movement_line(amount=-30_000_000)],
    )
    found = await customer(served)
    registered = await told(served, facts.CustomersRegistered)
    moved = await told(served, facts.PositionsMoved)
    crossed = await told(served, facts.CardStandardCrossed)

    assert answer.state == pb.IMPORT_STATE_SUCCEEDED
    assert answer.progress_percent == 100
    assert counts(answer) == dict.fromkeys(range(1, 6), (1, 1, 0, 0))
    assert (found.mobile, found.id_number, found.home_address) == (
        "138****0001",
        "110***********002X",
        "北京市朝阳区******",
    )
    assert (found.tier, found.customer_type, found.holdings_count) == (3, 3, 1)
    assert (found.financial_assets.units, found.deposits.units) == (600_000, 300_000)
    assert [(line.customer, line.tier) for line in registered] == [
        ("customers/10001", 1)
    ]
    assert [(line.kind, line.amount_minor, line.movement_id) for line in moved] == [
        (2, 30_000_000, "M1")
    ]
    assert not crossed


async def test_personal_fields_lie_sealed_and_nowhere_else(served):
    """Mobile, document number and address are in no table, event or audit record as they are."""
    await import_day(served, customers=[a_customer_line()])
    rows = []
    tables = await served.sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    for table in tables:
        rows += [
            str(dict(row))
            for row in await served.sql(f"SELECT * FROM {table['tablename']}")
        ]
    everything = "\n".join(rows)

    assert "10001" in everything
    for secret in ("13800000001", "11010519491231002X", "建国路一号"):
        assert secret not in everything
        assert secret.encode().hex() not in everything


async def test_the_same_snapshot_again_changes_nothing(served):
    """A snapshot that succeeded is answered as it is; the next day with the same lines finds all unchanged."""
    lines = {"customers": [a_customer_line()], "positions": [a_position_line()]}
    first = await import_day(served, **lines)
    again = await import_day(served, **lines)
    events = await told(served, facts.CustomersChanged)
    next_day = await import_day(served, date(2026, 11, 21), **lines)

    assert again == first
    assert counts(next_day) == {2: (1, 0, 1, 0), 3: (1, 0, 1, 0)}
    assert len(await told(served, facts.CustomersChanged)) == len(events) == 1


async def test_faulty_lines_are_listed_and_the_others_stored(served):
    """Each faulty line is named with its field and reason in both languages; good lines are stored."""
    customers = [
        a_customer_line("10001"),
        a_customer_line("10002", branch_id=999),
        a_customer_line("1000 3"),
        a_customer_line("10004", display_name=""),
        a_customer_line("10005", mobile="12345"),
        a_customer_line("10001", display_name="李四"),
        a_customer_line("10006", id_number="110105194912310021"),
    ]
    positions = [
        a_position_line("10001", aum_minor=30_000_000),
        a_position_line("77777"),
        a_position_line("10005", -1),
    ]
    answer = await import_day(served, customers=customers, positions=positions)
    stub = served.as_("operator")(SnapshotServiceStub)
    request = pb.ListImportFaultsRequest(snapshot_import=answer.name)
    listed = (await stub.ListImportFaults(request)).import_faults

    assert counts(answer) == {2: (7, 3, 0, 4), 3: (3, 1, 0, 2)}
    assert [
        (one.entity, one.line_number, one.field, one.reason, one.warning)
        for one in listed
    ] == [
        (2, 2, "branch_id", "LINE_BRANCH_UNKNOWN", False),
        (2, 3, "number", "LINE_KEY_MALFORMED", False),
        (2, 4, "display_name", "LINE_FIELD_MISSING", False),
        (2, 5, "mobile", "LINE_MOBILE_MALFORMED", True),
        (2, 6, "number", "LINE_DOUBLED", False),
        (2, 7, "id_number", "LINE_ID_NUMBER_MALFORMED", True),
        (3, 1, "aum_minor", "LINE_ASSETS_CONTRADICT", True),
        (3, 2, "number", "LINE_CUSTOMER_UNKNOWN", False),
        (3, 3, "aum_minor", "LINE_AMOUNT_NEGATIVE", False),
        (3, 3, "deposits_minor", "LINE_AMOUNT_NEGATIVE", False),
        (3, 3, "financial_assets_minor", "LINE_AMOUNT_NEGATIVE", False),
    ]
    assert all(one.sentence and one.sentence_zh for one in listed)
    assert (await customer(served)).display_name == "王小明"


async def test_a_dry_run_reports_and_stores_nothing(served):
    """Validation finds the same faults, counts customers of the file as known, and leaves the store as it was."""
    parts = chunks(
        customers=[a_customer_line(), a_customer_line("10002", branch_id=999)],
        positions=[a_position_line(), a_position_line("88888")],
    )
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    answer = await stub.ValidateSnapshot(
        stream(header(), parts, pb.ValidateSnapshotRequest)
    )
    stored = await served.sql(
        "SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM imports)"
    )

    assert [
        (one.entity, one.received_count, one.stored_count, one.faulty_count)
        for one in answer.counts
    ] == [
        (2, 2, 1, 1),
        (3, 2, 1, 1),
    ]
    assert [one.reason for one in answer.import_faults] == [
        "LINE_BRANCH_UNKNOWN",
        "LINE_CUSTOMER_UNKNOWN",
    ]
    assert stored[0][0] == 0


async def test_a_broken_stream_is_resumed_and_not_repeated(served):
    """A stream that breaks off leaves what is stored; the same snapshot sent again goes on after the last chunk."""
    customers = [a_customer_line(f"2{number:04}") for number in range(50)]
    positions = [a_position_line(f"2{number:04}") for number in range(50)]
    parts = list(chunks(10, customers=customers, positions=positions))
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    broken = stream(
        header(),
        [
            *parts[:7],
            pb.SnapshotChunk(sequence=99, positions=pb.PositionLines(lines=positions)),
        ],
    )

    assert await refused(stub.ImportSnapshot(broken)) == (
        "INVALID_ARGUMENT",
        "SNAPSHOT_CHUNK_MISSING",
    )
    half = (await stub.ListImports(pb.ListImportsRequest())).imports[0]
    assert half.state == pb.IMPORT_STATE_RECEIVING
    assert half.last_chunk == 5
    whole = await stub.ImportSnapshot(stream(header(), parts))
    assert counts(whole) == {2: (50, 50, 0, 0), 3: (50, 50, 0, 0)}
    assert len(await told(served, facts.CustomersRegistered)) == 50


async def test_what_is_wrong_with_a_stream_has_a_reason(served):
    """A missing header, a second one, entities out of order, too few lines, a day to come: each is refused by name."""
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    one = next(iter(chunks(customers=[a_customer_line()])))
    position = pb.SnapshotChunk(
        sequence=1, positions=pb.PositionLines(lines=[a_position_line()])
    )
    late = pb.SnapshotChunk(
        sequence=2, customers=pb.CustomerLines(lines=[a_customer_line()])
    )
    second = pb.ImportSnapshotRequest(header=header())
    streams = {
        "SNAPSHOT_HEADER_MISSING": [pb.ImportSnapshotRequest(chunk=one)],
        "SNAPSHOT_HEADER_REPEATED": [second, second],
        "SNAPSHOT_ORDER_BROKEN": list(stream(header(), [position, late])),
        "SNAPSHOT_LINES_MISSING": list(
            stream(header(), [pb.SnapshotChunk(sequence=1)])
        ),
        "SNAPSHOT_IN_FUTURE": list(stream(header(date(2999, 1, 1)), [one])),
        "FIELD_INVALID": list(stream(header(source="NOT GOOD"), [one])),
    }
    for reason, messages in streams.items():
        assert (await refused(stub.ImportSnapshot(iter(messages))))[1] == reason


async def test_totals_that_differ_fail_the_import(served):
    """When fewer lines came than announced, the import fails with the reason, and may be sent again."""
    total = pb.EntityTotal(entity=pb.SNAPSHOT_ENTITY_CUSTOMER, line_count=2)
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    few = stream(header(totals=[total]), chunks(customers=[a_customer_line()]))

    assert (await refused(stub.ImportSnapshot(few)))[1] == "SNAPSHOT_TOTALS_DIFFER"
    failed = (await stub.ListImports(pb.ListImportsRequest())).imports[0]
    assert (failed.state, failed.failure_reason) == (
        pb.IMPORT_STATE_FAILED,
        "SNAPSHOT_TOTALS_DIFFER",
    )


async def test_an_older_day_and_other_content_are_refused(served):
    """After a day has succeeded, an earlier one is refused, and so is the same day with another digest."""
    await import_day(
        served, head=header(digest="a" * 64), customers=[a_customer_line()]
    )
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    older = stream(header(date(2026, 11, 19)), chunks(customers=[a_customer_line()]))
    other = stream(header(digest="b" * 64), chunks(customers=[a_customer_line()]))

    assert await refused(stub.ImportSnapshot(older)) == (
        "FAILED_PRECONDITION",
        "SNAPSHOT_OUTDATED",
    )
    assert await refused(stub.ImportSnapshot(other)) == (
        "FAILED_PRECONDITION",
        "SNAPSHOT_DIFFERS",
    )


async def test_only_the_feed_and_operators_may_bring_snapshots(served):
    """Staff of a branch cannot bring customers in, nor look at imports."""
    stub = served.as_("manager")(SnapshotServiceStub)
    parts = stream(header(), chunks(customers=[a_customer_line()]))

    assert await refused(stub.ImportSnapshot(parts)) == (
        "PERMISSION_DENIED",
        "ROLE_MISSING",
    )
    assert await refused(stub.ListImports(pb.ListImportsRequest())) == (
        "PERMISSION_DENIED",
        "ROLE_MISSING",
    )


async def test_a_customer_who_moves_takes_everything_along(served):
    """A line with another branch moves the customer with positions and holdings; both branches are told once."""
    lines = {
        "products": [a_product_line()],
        "positions": [a_position_line()],
        "holdings": [a_holding_line()],
    }
    await import_day(served, customers=[a_customer_line()], **lines)
    await import_day(
        served, date(2026, 11, 21), customers=[a_customer_line(branch_id=200)], **lines
    )
    left, came = (
        await told(served, facts.CustomerMoved),
        await told(served, facts.CustomerMoved, 200),
    )
    rows = await served.sql(
        "SELECT 'customers', branch_id FROM customers UNION ALL SELECT 'positions', branch_id FROM positions "
        "UNION ALL SELECT 'holdings', branch_id FROM holdings UNION ALL SELECT 'directory', branch_id FROM directory"
    )

    assert {tuple(row) for row in rows} == {
        (name, 200) for name in ("customers", "positions", "holdings", "directory")
    }
    assert (
        [line.move_version for line in left]
        == [line.move_version for line in came]
        == [1]
    )
    assert await refused(
        served.as_("manager")(CustomerServiceStub).GetCustomer(
            customer_pb2.GetCustomerRequest(name="customers/10001")
        )
    ) == ("NOT_FOUND", "NOT_FOUND")
    shown = await customer(served, who="far_manager")
    assert (shown.branch, shown.mobile) == ("branches/200", "138****0001")


async def test_a_rise_is_told_when_it_begins(served):
    """A rise beyond a fifth against the period before is told on the day it begins, and not again while it lasts."""

    async def on(day, assets):
        await import_day(
            served,
            day,
            customers=[a_customer_line()],
            positions=[a_position_line(assets=assets)],
        )

    await on(date(2026, 11, 8), 40_000_000)
    await on(date(2026, 11, 12), 41_000_000)
    await on(date(2026, 11, 13), 50_000_000)
    await on(date(2026, 11, 14), 52_000_000)
    await on(date(2026, 11, 15), 30_000_000)
    moved = await told(served, facts.PositionsMoved)

    assert [
        (line.kind, line.before_minor, line.after_minor, line.amount_minor)
        for line in moved
    ] == [
        (3, 40_000_000, 50_000_000, 10_000_000),
        (4, 40_000_000, 30_000_000, 10_000_000),
    ]
    shown = await customer(served)
    assert shown.previous_financial_assets.units == 300_000


async def test_maturities_and_dates_are_told_once(served):
    """A morning's detection tells maturities within five days and birthdays in three; the next morning none again."""
    await import_day(
        served,
        products=[a_product_line()],
        customers=[
            a_customer_line(
                "10001", birth_day=-((date(1970, 1, 1) - date(1960, 11, 26)).days)
            ),
            a_customer_line(
                "10002", birth_day=(date(1980, 11, 27) - date(1970, 1, 1)).days
            ),
            a_customer_line(
                "10003",
                birth_day=0,
                open_day=(date(2016, 11, 26) - date(1970, 1, 1)).days,
            ),
        ],
        holdings=[
            a_holding_line("H1", matures=date(2026, 11, 28)),
            a_holding_line("H2", matures=date(2026, 11, 29)),
            a_holding_line("H3", matures=date(2026, 11, 27), closed=True),
        ],
    )

    async def morning(day):
        async with served.frame.bulk(service_caller("customer").in_branch(101)) as work:
            await detect_dates(work, 101, day)
            await work.run(
                "INSERT INTO due_runs VALUES (101, 'dates', $1, $2) ON CONFLICT DO NOTHING",
                day,
                work.now,
            )

    await morning(date(2026, 11, 23))
    maturing = [line.holding for line in await told(served, facts.HoldingsMaturing)]
    coming = [
        (line.customer, line.kind) for line in await told(served, facts.DatesComing)
    ]
    await morning(date(2026, 11, 24))
    later = [line.holding for line in await told(served, facts.HoldingsMaturing)]
    days = [
        (line.customer, line.kind) for line in await told(served, facts.DatesComing)
    ]

    assert maturing == ["holdings/H1"]
    assert coming == [("customers/10001", 1), ("customers/10003", 3)]
    assert later == ["holdings/H1", "holdings/H2"]
    assert days[2:] == [("customers/10002", 1)]


@pytest.mark.parametrize("name", ["imports/00000000-0000-0000-0000-000000000000"])
async def test_an_import_that_is_not_there_is_not_found(served, name):
    """A well-formed name of no import is NOT_FOUND."""
    stub = served.as_("operator")(SnapshotServiceStub)

    assert await refused(stub.GetImport(pb.GetImportRequest(name=name))) == (
        "NOT_FOUND",
        "NOT_FOUND",
    )
