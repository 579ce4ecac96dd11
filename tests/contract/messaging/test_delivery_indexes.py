"""Lists of messages read by indexes that begin with the branch, however many messages there are."""

from uuid import UUID

import pytest_asyncio
from guanhu.messaging.v1 import delivery_pb2
from guanhu.messaging.v1.delivery_pb2_grpc import DeliveryServiceStub
from guanhu.policy.v1 import policy_pb2
from sqlalchemy.dialects.postgresql import asyncpg as driver

from services.chassis.caller import Caller
from services.chassis.paging import Page, paged
from services.messaging.delivery.queries import KEY, MARKED, MessageFilters
from services.messaging.delivery.queries import messages as asked
from tests import messages
from tests.messages import a_group, approved, plan

BATCHES, PEOPLE = 40, 1000
TABLES = ("batches", "recipients", "outcomes", "unknowns", "deliveries", "chunks")
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'batches' ORDER BY ordinal_position"
PLACES = f"generate_series(101, 104) AS branch, generate_series(1, {BATCHES}) AS place"
KNOWN = "md5('101/7')::uuid"
NAME = "md5(branch || '/' || place)::uuid"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(bank):
    """Forty batches of a thousand messages in each of four branches, each settled, two of each failed."""
    running = await messages.start(bank, ["01"])
    template = await approved(running)
    batch = await plan(running, template, await a_group(running, "01"))
    sql = running.messaging.sql
    names = ", ".join(row["column_name"] for row in await sql(COLUMNS))
    made = names.replace("batch_id", NAME).replace("branch_id", "branch")
    await sql(
        f"INSERT INTO batches ({names}) SELECT {made} FROM batches, {PLACES}"
        " WHERE batch_id = $1",
        UUID(batch.name.partition("/")[2]),
    )
    await sql(
        "INSERT INTO recipients (branch_id, batch_id, ordinal, number, display_name, mobile_mask, exclusion_reason,"
        f" segments, chunk) SELECT branch, {NAME}, ordinal, lpad(ordinal::text, 6, '0'), '甲', '', 0, 1, 1"
        f" FROM {PLACES}, generate_series(1, {PEOPLE}) AS ordinal"
    )
    await sql(
        "INSERT INTO outcomes (branch_id, batch_id, ordinal, state, exclusion_reason, gateway_message, failure_code,"
        " settle_time) SELECT branch_id, batch_id, ordinal, CASE WHEN ordinal % 500 = 0 THEN 6 ELSE 4 END, 0, '', '',"
        " now() FROM recipients WHERE mobile_mask = ''"
    )
    await sql(
        "INSERT INTO unknowns (branch_id, batch_id, ordinal, attempt, sent_time, fence_time, end_time)"
        " SELECT branch_id, batch_id, ordinal, 1, now(), now(), CASE WHEN ordinal > 1 THEN now() END"
        " FROM recipients WHERE mobile_mask = '' AND ordinal % 5 = 1"
    )
    await sql(
        f"INSERT INTO directory (kind, id, branch_id) VALUES ('batches', {KNOWN}::text, 101)"
    )
    for table in TABLES:
        await sql(f"VACUUM ANALYZE {table}")
    yield running
    await messages.stop(running)


async def plan_of(town, after=None, **filters):
    """Return how PostgreSQL goes about a page of a list for the head of the branch."""
    caller = Caller(
        "staff/manager",
        frozenset({policy_pb2.ROLE_BRANCH_MANAGER}),
        policy_pb2.SCOPE_BRANCH,
        branch_id=101,
        branch_ids=(101,),
    )
    page = Page(50, 0, "create_time", descending=True, after=after, bound=b"")
    statement = paged(asked(caller, MessageFilters(**filters)), page, KEY)
    compiled = statement.compile(
        dialect=driver.dialect(), compile_kwargs={"literal_binds": True}
    )
    rows = await town.messaging.sql(f"EXPLAIN {compiled}")
    return "\n".join(row[0] for row in rows)


async def test_every_list_reads_by_an_index(town):
    """All, later pages, one customer, a number's beginning, the unknown and the failed: no table is read through."""
    middle = (101, UUID("80000000-0000-4000-8000-000000000000"), 500)
    plans = {
        "recipients_pkey": await plan_of(town),
        "(branch_id, batch_id, ordinal) <": (await plan_of(town, middle)).replace(
            "recipients.", ""
        ),
        "recipients_number": await plan_of(town, number="000777"),
        "number ~>=~ '00077'": await plan_of(town, query="00077"),
        "unknowns_open": await plan_of(town, state=7),
        "outcomes_failed": await plan_of(town, state=6),
    }

    for wanted, text in plans.items():
        assert wanted in text, text
        assert "Seq Scan on recipients" not in text, text
        assert "Seq Scan on outcomes" not in text, text


async def test_one_customer_of_many_messages_is_found(town):
    """All forty messages of one customer are counted and listed, and none of another."""
    stub = town.messaging.as_("manager")(DeliveryServiceStub)
    page = await stub.ListMessages(
        delivery_pb2.ListMessagesRequest(customer="customers/000777")
    )

    assert page.total_size == len(page.messages) == BATCHES
    assert {one.customer for one in page.messages} == {"customers/000777"}


async def test_a_large_export_comes_in_pieces(town):
    """A thousand messages come as two pieces of five hundred, by their places, none twice."""
    stub = town.messaging.as_("manager")(DeliveryServiceStub)
    [row] = await town.messaging.sql(f"SELECT {KNOWN} AS batch_id")
    request = delivery_pb2.ExportMessagesRequest(batch=f"batches/{row['batch_id']}")
    pieces = [piece async for piece in stub.ExportMessages(request)]
    places = [
        int(one.name.rpartition(".")[2]) for piece in pieces for one in piece.messages
    ]

    assert [len(piece.messages) for piece in pieces] == [500, 500]
    assert places == list(range(1, PEOPLE + 1))


async def test_refusals_are_looked_up_by_the_customers_of_a_chunk(town):
    """However many there are in the branch, neither they nor the recipients are read through."""
    statement = MARKED
    values = (("$4", "1000"), ("$3", "1"), ("$2", KNOWN), ("$1", "101"))
    for name, value in values:
        statement = statement.replace(name, value)
    await town.messaging.sql(
        "INSERT INTO refusals (branch_id, number, about, channel, purpose, act, place, update_time)"
        " SELECT 101, lpad(n::text, 6, '0'), 1, 0, 0, 1, '', now() FROM generate_series(1, 50000) AS n"
    )
    await town.messaging.sql("VACUUM ANALYZE refusals")
    rows = await town.messaging.sql(f"EXPLAIN {statement}")
    plan = "\n".join(row[0] for row in rows)

    assert "refusals_pkey" in plan, plan
    assert "recipients_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan
