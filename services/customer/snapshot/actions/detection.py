"""
Detection: what a day's figures and the calendar say about customers, found set-based, next to the data.

The first figures of a customer are compared with nothing, so they tell neither a crossing nor a rise or fall; a
single large movement is told whenever it comes, for it needs no figure before it.

Each run covers one branch and one day and is entered in ``due_runs`` in its own transaction, so a day is told once,
whoever asks and however often. A day's moves come from the snapshot of that day; dates from the calendar.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from services.chassis.db import Work
from services.customer.snapshot import events, rules

MOVES = "moves"
DATES = "dates"

ONCE = """
    INSERT INTO due_runs (branch_id, task, run_date, done_time) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1"""

BEYOND = (
    "({0} IS NOT NULL AND abs({1} - {0}) >= $3 AND abs({1} - {0}) * 100 >= {0} * $4)"
)
"""Whether an amount has moved beyond what is reported, against the period before."""

CHANGED = f"""
    SELECT number, tier, currency, financial_assets AS after, previous_financial_assets AS before,
        abs(financial_assets - previous_financial_assets) AS amount, '' AS movement_id, $2::date AS day,
        CASE WHEN financial_assets > previous_financial_assets THEN 'ASSETS_ROSE' ELSE 'ASSETS_FELL' END AS kind
    FROM customers
    WHERE branch_id = $1 AND snapshot_date = $2
        AND {BEYOND.format("previous_financial_assets", "financial_assets")}
        AND NOT ({BEYOND.format("previous_financial_assets", "before_financial_assets")}
            AND (before_financial_assets > previous_financial_assets) = (financial_assets > previous_financial_assets))
    ORDER BY number"""

LARGE = """
    SELECT m.number, c.tier, m.currency, c.financial_assets AS after, 0 AS before, abs(m.amount) AS amount,
        m.movement_id, m.day, CASE WHEN m.amount > 0 THEN 'LARGE_INFLOW' ELSE 'LARGE_OUTFLOW' END AS kind
    FROM movements m JOIN customers c ON c.branch_id = m.branch_id AND c.number = m.number
    WHERE m.branch_id = $1 AND m.snapshot_date = $2 AND abs(m.amount) >= ($3::bigint[])[c.tier]
    ORDER BY m.number, m.movement_id"""

TIER_BEFORE = """CASE WHEN before_financial_assets >= $3 THEN 5 WHEN before_financial_assets >= $4 THEN 4
    WHEN before_financial_assets >= $5 THEN 3 WHEN before_financial_assets >= $6 THEN 2 ELSE 1 END"""

CROSSED = f"""
    WITH moved AS MATERIALIZED (
        SELECT number, tier, {TIER_BEFORE} AS previous_tier, greatest(card_category, 1) AS card, card_category,
            financial_assets, currency
        FROM customers
        WHERE branch_id = $1 AND snapshot_date = $2 AND before_financial_assets IS NOT NULL
            AND tier <> {TIER_BEFORE})
    SELECT m.*, k.kind FROM moved m CROSS JOIN LATERAL (VALUES
        ('STANDARD_MET_WITHOUT_CARD', tier > card AND previous_tier <= card),
        ('CARD_BELOW_STANDARD', card > tier AND card <= previous_tier),
        ('BECAME_VIP', tier > 1 AND previous_tier = 1)) AS k (kind, crossed)
    WHERE k.crossed ORDER BY m.number, k.kind"""
"""Whoever had no figures before crosses nothing: where they stood until now is not known."""


async def detect_moves(work: Work, branch_id: int, day: date) -> int:
    """Publish what the snapshot of *day* showed in one branch; return how many lines, 0 when told before."""
    if not await work.run(ONCE, branch_id, MOVES, day, work.now):
        return 0
    change = await work.parameter("asset_change", branch_id)
    large: Mapping[str, int] = await work.parameter("large_movement", branch_id)
    tiers = ("basic", "gold", "platinum", "diamond", "private")
    moved = await work.run(CHANGED, branch_id, day, change["least"], change["percent"])
    moved += await work.run(LARGE, branch_id, day, [large[tier] for tier in tiers])
    thresholds = await work.parameter("tier_thresholds", branch_id)
    levels = [thresholds[name] for name in reversed(tiers[1:])]
    crossed = await work.run(CROSSED, branch_id, day, *levels)
    work.publish(*events.positions_moved(moved, day), branch_id=branch_id)
    work.publish(*events.standards_crossed(crossed, day), branch_id=branch_id)
    return len(moved) + len(crossed)


MATURING = """
    WITH due AS (
        UPDATE holdings SET announced_date = maturity_date
        WHERE branch_id = $1 AND maturity_date BETWEEN $2 AND $3 AND NOT closed
            AND announced_date IS DISTINCT FROM maturity_date
        RETURNING branch_id, number, holding_id, product_code, maturity_date, amount, currency)
    SELECT d.*, c.tier FROM due d JOIN customers c ON c.branch_id = d.branch_id AND c.number = d.number
    ORDER BY d.number, d.holding_id"""

BORN = "SELECT number, tier FROM customers WHERE branch_id = $1 AND birth_date = ANY ($2) ORDER BY number"
OPENED = "SELECT number, tier, open_date FROM customers WHERE branch_id = $1 AND open_date = ANY ($2) ORDER BY number"
VALUED = "SELECT number, tier FROM customers WHERE branch_id = $1 AND tier > 1 ORDER BY number"
LAST_RUN = "SELECT max(run_date) AS day FROM due_runs WHERE branch_id = $1 AND task = $2 AND run_date < $3"


async def detect_dates(work: Work, branch_id: int, day: date) -> int:
    """
    Publish what the calendar brings for one branch as of *day*: maturities, birthdays, anniversaries, festivals.

    Days that were missed are made up for. The caller has entered the run: due work does.
    """
    ahead = await work.parameter("maturity_days_ahead", branch_id)
    maturing = await work.run(MATURING, branch_id, day, day + timedelta(days=ahead))
    work.publish(*events.holdings_maturing(maturing, day), branch_id=branch_id)
    last = (await work.run(LAST_RUN, branch_id, DATES, day))[0].day
    coming: list[tuple[Any, str, date, str, int]] = []
    for target in rules.days_to_tell(
        day, last, await work.parameter("birthday_days_ahead", branch_id)
    ):
        coming += await _on(work, branch_id, target)
    work.publish(*events.dates_coming(coming, day), branch_id=branch_id)
    return len(maturing) + len(coming)


LAST_DATES = """
    SELECT run_date AS day, done_time FROM due_runs WHERE branch_id = $1 AND task = $2 ORDER BY run_date DESC LIMIT 1"""
FRESH = """
    SELECT number, tier, birth_date, open_date FROM customers WHERE branch_id = $1 AND create_time >= $2
    ORDER BY number"""


async def detect_newcomers(work: Work, branch_id: int, since: datetime) -> int:
    """
    Publish what earlier runs would have told, had they known customers and holdings that came in from *since* on.

    Maturities are told of every holding, dates of fresh customers alone; return how many lines. Before the first run
    of all there is nothing to make up for.
    """
    last = await work.run(LAST_DATES, branch_id, DATES)
    if not last:
        return 0
    ahead = await work.parameter("maturity_days_ahead", branch_id)
    until = work.today + timedelta(days=ahead)
    maturing = await work.run(MATURING, branch_id, work.today, until)
    work.publish(*events.holdings_maturing(maturing, work.today), branch_id=branch_id)
    fresh = await work.run(FRESH, branch_id, max(since, last[0].done_time))
    ahead = await work.parameter("birthday_days_ahead", branch_id)
    told = (last[0].day + timedelta(days=ahead) - work.today).days
    targets = [work.today + timedelta(days=number) for number in range(told + 1)]
    coming = [
        (row, one.kind, target, one.festival, one.years)
        for target in targets
        for row, one in rules.occasions(fresh, target)
    ]
    work.publish(*events.dates_coming(coming, work.today), branch_id=branch_id)
    return len(maturing) + len(coming)


async def _on(
    work: Work, branch_id: int, target: date
) -> list[tuple[Any, str, date, str, int]]:
    """Return what *target* is for customers of one branch."""
    found = [
        (row, "BIRTHDAY", target, "", 0)
        for row in await work.run(BORN, branch_id, rules.same_days(target))
    ]
    lunar = await work.run(BORN, branch_id, rules.same_lunar_days(target))
    found += [(row, "BIRTHDAY_LUNAR", target, "", 0) for row in lunar]
    opened = await work.run(OPENED, branch_id, rules.same_days(target))
    found += [
        (row, "ANNIVERSARY", target, "", target.year - row.open_date.year)
        for row in opened
    ]
    for festival in rules.festivals_on(target):
        found += [
            (row, "FESTIVAL", target, festival, 0)
            for row in await work.run(VALUED, branch_id)
        ]
    return found
