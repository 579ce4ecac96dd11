"""The demonstration's history lies in the store as if every month's end had been a snapshot, and nobody was told."""

from datetime import date, timedelta
from itertools import pairwise

import pytest_asyncio

from deploy.demo.bank import Bank
from deploy.demo.history import store_history
from services.customer.__main__ import SERVICE
from tests.snapshots import a_customer_line, a_position_line, import_day

ANCHOR = date(2026, 11, 24)
SOME = 40


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """The customer service on an empty store."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


async def test_the_history_is_stored_once_with_what_was_before_each(bank, served):
    """Every customer has a position per month-end, each with the one before; a second run adds nothing."""
    made = Bank(ANCHOR, customers=SOME)
    dsn = bank.settings("customer", served.database).own.bulk_dsn
    expected = {
        (person.number, day): (
            person.assets(day),
            person.assets(before) if before and before >= person.opened else None,
        )
        for before, day in pairwise([None, *made.month_ends])
        for person in made.people
        if person.opened <= day
    }

    fresh, again = await store_history(dsn, made), await store_history(dsn, made)

    rows = await served.sql(
        "SELECT number, snapshot_date, financial_assets, before_financial_assets FROM positions"
    )
    assert (fresh, again) == (len(expected), 0)
    assert {(row[0], row[1]): (row[2], row[3]) for row in rows} == expected
    assert await served.sql("SELECT 1 FROM outbox LIMIT 1") == []


async def test_the_first_snapshot_is_joined_to_the_history(bank, served):
    """The first day's position and the customer's comparison take up the last month-end before it."""
    made = Bank(ANCHOR, customers=SOME)
    person = next(one for one in made.people if one.opened < made.month_ends[0])
    first = ANCHOR - timedelta(days=10)
    figure = person.assets(first)
    await import_day(
        served,
        first,
        customers=[a_customer_line(person.number)],
        positions=[a_position_line(person.number, figure)],
    )
    await served.sql("UPDATE customers SET branch_id = $1", person.branch_id)
    await served.sql(
        "UPDATE positions SET branch_id = $1 WHERE branch_id = 101", person.branch_id
    )

    await store_history(bank.settings("customer", served.database).own.bulk_dsn, made)

    last = person.assets(made.month_ends[-1])
    asked = "SELECT before_financial_assets FROM positions WHERE number = $1 AND snapshot_date = $2"
    assert [row[0] for row in await served.sql(asked, person.number, first)] == [last]
    kept = await served.sql("SELECT previous_financial_assets FROM customers")
    assert [row[0] for row in kept] == [last]
