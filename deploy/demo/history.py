"""
Position history of the demonstration bank before its first snapshot, straight into the store by the bulk role.

Month-ends of long ago must not be told to anybody as news, so they do not come as snapshots.
"""

from collections.abc import Iterator
from datetime import date

import asyncpg

from deploy.demo.bank import Bank
from deploy.demo.snapshots import position

STAGE = """
    CREATE TEMP TABLE staged_history (
        branch_id integer, number text, snapshot_date date, financial_assets bigint, aum bigint, deposits bigint)
    ON COMMIT DROP"""

STORED = """
    INSERT INTO positions (branch_id, number, snapshot_date, financial_assets, aum, deposits, currency,
        before_financial_assets, before_aum, before_deposits)
    SELECT branch_id, number, snapshot_date, financial_assets, aum, deposits, 'CNY',
        lag(financial_assets) OVER past, lag(aum) OVER past, lag(deposits) OVER past
    FROM staged_history WINDOW past AS (PARTITION BY branch_id, number ORDER BY snapshot_date)
    ON CONFLICT DO NOTHING"""

JOINED = """
    UPDATE positions AS p
    SET before_financial_assets = h.financial_assets, before_aum = h.aum, before_deposits = h.deposits
    FROM staged_history h
    WHERE h.branch_id = p.branch_id AND h.number = p.number AND h.snapshot_date = $1
        AND p.snapshot_date = $2 AND p.before_financial_assets IS NULL"""
"""The first snapshot knew of no figure before it; the history does."""

COMPARED = """
    UPDATE customers AS c SET previous_financial_assets = h.financial_assets,
        previous_aum = h.aum, previous_deposits = h.deposits
    FROM staged_history h
    WHERE h.branch_id = c.branch_id AND h.number = c.number AND h.snapshot_date = $1
        AND c.previous_financial_assets IS NULL"""
"""What the reports of a ten-day period compare with, for customers whose figures have not changed since."""

Record = tuple[int, str, date, int, int, int]


def records(bank: Bank) -> Iterator[Record]:
    """Yield the positions of every month-end, of customers that were there."""
    for day in bank.month_ends:
        for person in bank.people:
            if person.opened <= day:
                line = position(person, day)
                figures = (
                    line[name]
                    for name in (
                        "financial_assets_minor",
                        "aum_minor",
                        "deposits_minor",
                    )
                )
                yield (person.branch_id, person.number, day, *figures)  # type: ignore[misc]


async def store_history(dsn: str, bank: Bank) -> int:
    """Store the history through the bulk role's *dsn*; return how many positions are new, 0 the second time."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL app.branch_ids = '{-1}'")
            await connection.execute(STAGE)
            await connection.copy_records_to_table(
                "staged_history", records=records(bank)
            )
            done = await connection.execute(STORED)
            last, first = bank.month_ends[-1], bank.recent_days[0]
            await connection.execute(JOINED, last, first)
            await connection.execute(COMPARED, last)
    finally:
        await connection.close()
    return int(done.rsplit(" ", 1)[1])
