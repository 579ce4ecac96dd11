"""
Lines of positions, holdings and movements into the store.

Only what changed is written: ``snapshot_date`` of a customer is the day on which the figures last changed, and
``before_financial_assets`` what they were before, so that a day's moves are found by one scan.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any

from services.chassis.db import Work
from services.chassis.wiretypes import day_from, day_to
from services.customer.customer import events
from services.customer.customer.rules import period_start
from services.customer.snapshot.actions.customers import FACTS
from services.customer.snapshot.actions.lines import (
    Batch,
    Outcome,
    judged,
    reject,
    stage,
)
from services.customer.snapshot.rules import (
    Found,
    holding_faults,
    movement_faults,
    position_faults,
)

WHO = "JOIN directory d ON d.kind = 'customers' AND d.id = s.number"
"""Where a line's customer is: lines of figures carry no branch."""

UNKNOWN = """
    SELECT s.number FROM {table} s LEFT JOIN directory d ON d.kind = 'customers' AND d.id = s.number
    WHERE d.id IS NULL"""

POSITION_COLUMNS = (
    "number text, financial_assets bigint, aum bigint, deposits bigint, currency text"
)

TIER = """CASE WHEN {0} >= $3 THEN 5 WHEN {0} >= $4 THEN 4 WHEN {0} >= $5 THEN 3 WHEN {0} >= $6 THEN 2 ELSE 1 END"""
"""The tier of an amount, by the thresholds bound from the highest down."""

MOVED = f"""
    WITH old AS (
        SELECT c.branch_id, c.number, c.tier, c.customer_type, c.snapshot_date, c.financial_assets AS was,
            c.aum AS was_aum, c.deposits AS was_deposits, s.financial_assets, s.aum, s.deposits, s.currency
        FROM staged_positions s {WHO} JOIN customers c ON c.branch_id = d.branch_id AND c.number = s.number
        WHERE c.snapshot_date IS NULL
            OR (c.financial_assets, c.aum, c.deposits, c.currency)
                IS DISTINCT FROM (s.financial_assets, s.aum, s.deposits, s.currency)),
    changed AS (
        UPDATE customers AS c SET
            financial_assets = o.financial_assets, aum = o.aum, deposits = o.deposits, currency = o.currency,
            before_financial_assets = CASE WHEN o.snapshot_date IS NULL THEN NULL ELSE o.was END,
            previous_financial_assets = CASE WHEN o.snapshot_date IS NULL THEN NULL
                WHEN o.snapshot_date < $2 THEN o.was ELSE c.previous_financial_assets END,
            previous_aum = CASE WHEN o.snapshot_date IS NULL THEN NULL
                WHEN o.snapshot_date < $2 THEN o.was_aum ELSE c.previous_aum END,
            previous_deposits = CASE WHEN o.snapshot_date IS NULL THEN NULL
                WHEN o.snapshot_date < $2 THEN o.was_deposits ELSE c.previous_deposits END,
            tier = {TIER.format("o.financial_assets")},
            customer_type = CASE WHEN o.financial_assets >= $6 THEN 3
                WHEN o.financial_assets * 100 >= $6 * $7 THEN 2 ELSE 1 END,
            snapshot_date = $1, update_time = $8, version = c.version + 1
        FROM old o WHERE c.branch_id = o.branch_id AND c.number = o.number
        RETURNING {FACTS}, c.aum, c.deposits, c.before_financial_assets, o.tier AS previous_tier,
            o.customer_type AS previous_customer_type, o.was_aum, o.was_deposits, o.snapshot_date AS before_date),
    kept AS (
        INSERT INTO positions (branch_id, number, snapshot_date, financial_assets, aum, deposits, currency,
            before_financial_assets, before_aum, before_deposits)
        SELECT branch_id, number, $1, financial_assets, aum, deposits, currency, before_financial_assets,
            CASE WHEN before_date IS NOT NULL THEN was_aum END, CASE WHEN before_date IS NOT NULL THEN was_deposits END
        FROM changed
        ON CONFLICT (branch_id, number, snapshot_date) DO UPDATE SET financial_assets = excluded.financial_assets,
            aum = excluded.aum, deposits = excluded.deposits, currency = excluded.currency)
    SELECT * FROM changed"""


async def store_positions(
    work: Work,
    batch: Batch,
    *,
    day: date,
    thresholds: Mapping[str, int],
    potential_percent: int,
) -> Outcome:
    """Store positions that changed, with tier and type as they now are, and publish what changed."""
    outcome = Outcome()
    good = judged(batch, "number", position_faults, outcome)
    rows = [
        (
            line.number,
            line.financial_assets_minor,
            line.aum_minor,
            line.deposits_minor,
            line.currency or "CNY",
        )
        for _, line in good
    ]
    await stage(work, "staged_positions", POSITION_COLUMNS, rows)
    unknown = await _reject_unknown(work, "staged_positions", batch, good, outcome)
    levels = [thresholds[name] for name in ("private", "diamond", "platinum", "gold")]
    changed = await work.run(
        MOVED, day, period_start(day), *levels, potential_percent, work.now
    )
    outcome.stored = len(changed)
    outcome.unchanged = len(good) - len(unknown) - len(changed)
    by_branch: dict[int, list[Any]] = defaultdict(list)
    for row in changed:
        by_branch[row.branch_id].append(row)
    for branch_id, found in by_branch.items():
        what = {row.number: _changes(row) for row in found}
        work.publish(*events.customers_changed(found, what, day), branch_id=branch_id)
    return outcome


def _changes(row: Any) -> list[str]:
    """Return what a new position changed about a customer."""
    changes = ["FINANCIAL_ASSETS"]
    if row.tier != row.previous_tier:
        changes.append("TIER")
    if row.customer_type != row.previous_customer_type:
        changes.append("CUSTOMER_TYPE")
    return changes


async def _reject_unknown(
    work: Work, table: str, batch: Batch, good: list[tuple[int, Any]], outcome: Outcome
) -> set[str]:
    """Enter lines of customers that never came as faulty; return those customers' numbers."""
    unknown = {row.number for row in await work.run(UNKNOWN.format(table=table))}
    for number, line in good if unknown else ():
        if line.number in unknown:
            reject(
                outcome,
                batch,
                number,
                line.number,
                Found("number", "LINE_CUSTOMER_UNKNOWN"),
            )
    return unknown


HOLDING_COLUMNS = (
    "holding_id text, number text, product_code text, amount bigint, currency text, start_date date, "
    "maturity_date date, closed boolean"
)
HOLDING_FIELDS = (
    "number, product_code, amount, currency, start_date, maturity_date, closed"
)

NO_PRODUCT = """
    SELECT s.holding_id FROM staged_holdings s LEFT JOIN products p ON p.code = s.product_code
    WHERE p.code IS NULL"""

HELD = f"""
    INSERT INTO holdings AS h (branch_id, holding_id, {HOLDING_FIELDS}, update_time)
    SELECT d.branch_id, s.holding_id, {", ".join(f"s.{name}" for name in HOLDING_FIELDS.split(", "))}, $1
    FROM staged_holdings s {WHO} JOIN products p ON p.code = s.product_code
    ON CONFLICT (branch_id, holding_id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in HOLDING_FIELDS.split(", "))},
        update_time = excluded.update_time
    WHERE ({", ".join(f"h.{name}" for name in HOLDING_FIELDS.split(", "))})
        IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in HOLDING_FIELDS.split(", "))})
    RETURNING 1"""


async def store_holdings(work: Work, batch: Batch) -> Outcome:
    """Store holdings that are new or changed; one that is not in the snapshot stays as it was."""
    outcome = Outcome()
    good = judged(batch, "holding_id", holding_faults, outcome)
    rows = [
        (
            line.holding_id,
            line.number,
            line.product_code,
            line.amount_minor,
            line.currency or "CNY",
            day_from(line.start_day),
            day_from(line.maturity_day),
            line.closed,
        )
        for _, line in good
    ]
    await stage(work, "staged_holdings", HOLDING_COLUMNS, rows)
    unknown = await _reject_unknown(work, "staged_holdings", batch, good, outcome)
    homeless = {row.holding_id for row in await work.run(NO_PRODUCT)}
    rejected = {line.holding_id for _, line in good if line.number in unknown}
    for number, line in good if homeless else ():
        if line.holding_id in homeless - rejected:
            reject(
                outcome,
                batch,
                number,
                line.holding_id,
                Found("product_code", "LINE_PRODUCT_UNKNOWN"),
            )
    written = await work.run(HELD, work.now)
    outcome.stored = len(written)
    outcome.unchanged = len(good) - len(rejected | homeless) - len(written)
    return outcome


MOVEMENT_COLUMNS = "movement_id text, number text, day date, amount bigint, currency text, channel text"

SHOWN = f"""
    INSERT INTO movements (branch_id, movement_id, number, day, amount, currency, channel, snapshot_date)
    SELECT d.branch_id, s.movement_id, s.number, s.day, s.amount, s.currency, s.channel, $1
    FROM staged_movements s {WHO} ON CONFLICT DO NOTHING RETURNING 1"""


async def store_movements(work: Work, batch: Batch, *, day: date) -> Outcome:
    """Store movements that were not known."""
    outcome = Outcome()
    last = day_to(day)
    good = judged(
        batch, "movement_id", lambda line: movement_faults(line, last), outcome
    )
    rows = [
        (
            line.movement_id,
            line.number,
            day_from(line.day),
            line.amount_minor,
            line.currency or "CNY",
            line.channel,
        )
        for _, line in good
    ]
    await stage(work, "staged_movements", MOVEMENT_COLUMNS, rows)
    unknown = await _reject_unknown(work, "staged_movements", batch, good, outcome)
    written = await work.run(SHOWN, day)
    outcome.stored = len(written)
    outcome.unchanged = (
        len(good) - sum(line.number in unknown for _, line in good) - len(written)
    )
    return outcome
