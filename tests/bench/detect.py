"""
All daily detection over 1,000,000 customers and 2,000,000 holdings against one sequential scan of both tables.

Detection is what the product runs: moves of the day's snapshot (risen, fallen, large movements, card standards) and
dates (maturities, birthdays by both calendars, anniversaries, festivals),
branch by branch under the bulk role, events
written included. A scan reads every row of customers and holdings once,
without an index and without parallel workers,
as a superuser. Both on the same database, in turns; detection's traces are taken away between rounds.
"""

import time
from datetime import date, timedelta

import asyncpg
import uvloop

from services.chassis.caller import service_caller
from services.chassis.server import frame_of
from services.customer.__main__ import SERVICE
from services.customer.snapshot.actions.detection import detect_dates, detect_moves
from tests.bench.floors import ROUNDS, a_bank, interleaved, median, say

CUSTOMERS = 1_000_000
BRANCHES = 200
MOVEMENTS = 20_000
DAY = date(2026, 11, 20)

FILLED = (
    """
    INSERT INTO customers (branch_id, number, display_name, gender, birth_date, mobile, mobile_mask, mobile_index,
        mobile_suffix, id_number, id_number_mask, id_number_index, home_address, home_address_mask, personal_digest,
        tier, customer_type, card_category, source, risk_level, risk_expiry_date, open_date, owner, maintenance_mode,
        access_version, currency, financial_assets, aum, deposits, snapshot_date, before_financial_assets,
        previous_financial_assets, previous_aum, previous_deposits, occupation, household_finances, preferences,
        appointment_habit, preferred_channel, preferred_time, employer, family_notes, last_contact_channel,
        last_contact_result, last_contact_staff, move_version, do_not_disturb, create_time, update_time, version)
    SELECT 1 + n % {branches}, (10000000 + n)::text, '客户' || n, 1, DATE '1940-01-01' + n % 25000, sealed,
        '138****0000', sha256(n::text::bytea), substr(sha256(n::text::bytea), 1, 8), sealed, '110***',
        sha256(n::text::bytea), sealed, '滨江路******', sha256(n::text::bytea),
        CASE WHEN assets >= 50000000 THEN 3 WHEN assets >= 10000000 THEN 2 ELSE 1 END, 1 + n % 3, 1 + n % 3, 1, 1, NULL,
        DATE '2000-01-01' + n % 9000,
        's' || n % 2000, 1, 1, 'CNY', assets, assets, assets / 2,
        CASE WHEN n % 5 = 0 THEN DATE '2026-11-20' ELSE DATE '2026-11-19' END,
        assets - CASE WHEN n % 20 = 0 THEN 0 ELSE 1000 END,
        CASE WHEN n % 50 = 0 THEN assets / 2 ELSE assets - 1000 END, assets, assets / 2,
        '', '', '', 0, 0, 0, '', '', 0, 0, '', 0, false, now(), now(), 1
    FROM generate_series(0, {customers} - 1) AS n,
        LATERAL (SELECT (n::bigint * 7919 % 40000000) + 100000 AS assets, decode(repeat('a7', 60),
        'hex') AS sealed) AS x""",
    """
    INSERT INTO holdings (branch_id, holding_id, number, product_code, amount, currency, start_date,
    maturity_date, closed,
        announced_date, update_time)
    SELECT 1 + (n / 2) % {branches}, 'H' || n, (10000000 + n / 2)::text, 'WM01', 5000000, 'CNY', DATE '2026-01-01',
        DATE '2026-11-20' + n % 1000, false, NULL, now()
    FROM generate_series(0, 2 * {customers} - 1) AS n""",
    """
    INSERT INTO movements (branch_id, movement_id, number, day, amount, currency, channel, snapshot_date)
    SELECT 1 + n % {branches}, 'M' || n, (10000000 + n)::text, DATE '2026-11-20', 60000000 - n * 5000, 'CNY',
    'counter',
        DATE '2026-11-20'
    FROM generate_series(0, {movements} - 1) AS n""",
)
"""A bank at night: a fifth of the customers changed today, one in twenty of all beyond what is reported."""

TRACES = (
    "TRUNCATE outbox, outbox_heads, due_runs",
    "UPDATE holdings SET announced_date = NULL WHERE announced_date IS NOT NULL",
    "VACUUM (ANALYZE) holdings",
    "VACUUM (ANALYZE) customers",
    "CHECKPOINT",
)


async def fill(dsn: str) -> None:
    """Make the bank in place."""
    connection = await asyncpg.connect(dsn)
    for statement in FILLED:
        await connection.execute(
            statement.format(
                branches=BRANCHES, customers=CUSTOMERS, movements=MOVEMENTS
            )
        )
    await connection.close()


async def clear(dsn: str) -> None:
    """Take away what detection wrote."""
    connection = await asyncpg.connect(dsn)
    for statement in TRACES:
        await connection.execute(statement)
    await connection.close()


async def scan(dsn: str) -> float:
    """Read every row of both tables once and return how long it took."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "SET max_parallel_workers_per_gather = 0; SET enable_indexscan = off; "
        "SET enable_indexonlyscan = off; SET enable_bitmapscan = off"
    )
    began = time.perf_counter()
    await connection.fetchval("SELECT count(financial_assets) FROM customers")
    await connection.fetchval("SELECT count(maturity_date) FROM holdings")
    spent = time.perf_counter() - began
    await connection.close()
    return spent


async def detect(settings) -> tuple[float, int]:
    """Run the day's detection in every branch; return how long it took, and how many lines were told."""
    frame = frame_of(SERVICE, settings)
    caller = service_caller("customer")
    began, told = time.perf_counter(), 0
    for branch_id in range(1, BRANCHES + 1):
        async with frame.bulk(caller.in_branch(branch_id)) as work:
            told += await detect_moves(work, branch_id, DAY)
        async with frame.bulk(caller.in_branch(branch_id)) as work:
            told += await detect_dates(work, branch_id, DAY + timedelta(days=1))
    spent = time.perf_counter() - began
    for engine in frame.engines:
        await engine.dispose()
    return spent, told


def main() -> None:
    """Run the two in turns and print the figures."""
    with a_bank() as bank:
        database = uvloop.run(bank.database("customer"))
        dsn = bank.postgres.dsn(database)
        settings = bank.settings("customer", database)
        uvloop.run(fill(dsn))
        lines = []

        def detected() -> float:
            uvloop.run(clear(dsn))
            spent, told = uvloop.run(detect(settings))
            lines.append(told)
            return spent

        rounds = interleaved(
            ROUNDS, scan=lambda: uvloop.run(scan(dsn)), detect=detected
        )
    ratio = median(
        [
            one / other
            for one, other in zip(rounds["detect"], rounds["scan"], strict=True)
        ]
    )
    say(
        bench="detect",
        seconds=round(median(rounds["detect"]), 2),
        ratio_to_scan=round(ratio, 2),
        scan_seconds=round(median(rounds["scan"]), 3),
        lines=median(lines),
    )


if __name__ == "__main__":
    main()
