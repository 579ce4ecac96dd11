"""
Reads of positions: by day as they are stored, by ten-day period as they are reckoned.

A position is stored for every day on which a figure changed, and holds until the next one. A period without a
change therefore shows the figures of the period before it. A period is dated with its last day, the running one with
the newest day on which a snapshot changed anything in the branch.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Date, Select, Subquery, Text, column, select, text

from services.chassis.db import Work
from services.chassis.paging import Listing
from services.customer.position.tables import Position

BY_TEN_DAYS = 2
"""The grain of ten-day periods, by the contract's number."""

FIGURES = ("financial_assets", "aum", "deposits")

ORDINAL = """(CAST(date_part('year', {0}) * 36 + (date_part('month', {0}) - 1) * 3 AS integer)
    + least((CAST(date_part('day', {0}) AS integer) - 1) / 10, 2))"""
"""The number of the ten-day period of a day, as rules.TenDays counts them."""

FIRST = "make_date(o / 36, o % 36 / 3 + 1, 1)"
"""The first day of the month in which the period of number ``o`` lies."""

SHOWN = ", ".join(f"s.{name}" for name in FIGURES)
WAS = ", ".join(f"lag({name}) OVER w AS was_{name}" for name in FIGURES)
PREVIOUS = ", ".join(
    f"CASE WHEN o = s.ordinal THEN s.was_{name} ELSE s.{name} END AS previous_{name}"
    for name in FIGURES
)

PERIODS = f"""
    WITH changes AS (
        SELECT DISTINCT ON (d.ordinal) d.*
        FROM (SELECT p.*, {ORDINAL.format("p.snapshot_date")} AS ordinal FROM positions p
            WHERE p.branch_id = :branch_id AND p.number = :number) d
        ORDER BY d.ordinal, d.snapshot_date DESC),
    spans AS (
        SELECT c.*, lead(ordinal) OVER w AS next_ordinal, {WAS}
        FROM changes c WINDOW w AS (ORDER BY ordinal)),
    newest AS (SELECT max(snapshot_date) AS day FROM customers WHERE branch_id = :branch_id)
    SELECT s.number, s.currency, {SHOWN},
        {PREVIOUS},
        least(n.day, CASE o % 3 WHEN 0 THEN {FIRST} + 9 WHEN 1 THEN {FIRST} + 19
            ELSE CAST({FIRST} + interval '1 month' AS date) - 1 END) AS snapshot_date
    FROM spans s CROSS JOIN newest n
    CROSS JOIN LATERAL generate_series(s.ordinal, coalesce(s.next_ordinal - 1, {ORDINAL.format("n.day")})) AS o"""


def by_day(customer: Any) -> Subquery:
    """Return the positions of *customer*, whom its reader was seen to see, one per day on which a figure changed."""
    before = (
        getattr(Position, f"before_{name}").label(f"previous_{name}")
        for name in FIGURES
    )
    figures = (getattr(Position, name) for name in FIGURES)
    mine = (Position.branch_id == customer.branch_id) & (
        Position.number == customer.number
    )
    return (
        select(
            Position.number,
            Position.snapshot_date,
            Position.currency,
            *figures,
            *before,
        )
        .where(mine)
        .subquery("positions_by_day")
    )


def by_ten_days(customer: Any) -> Subquery:
    """Return the positions of *customer*, whom its reader was seen to see, one per ten-day period without a gap."""
    names = (*FIGURES, *(f"previous_{name}" for name in FIGURES))
    return (
        text(PERIODS)
        .bindparams(branch_id=customer.branch_id, number=customer.number)
        .columns(
            column("number", Text),
            column("currency", Text),
            *(column(name, BigInteger) for name in names),
            column("snapshot_date", Date),
        )
        .subquery("positions_by_ten_days")
    )


def listed(
    customer: Any, grain: int, first: date | None, last: date | None
) -> tuple[Listing, Select[Any]]:
    """Return how positions of *customer* are listed, and the statement of those from *first* to *last*."""
    rows = by_ten_days(customer) if grain == BY_TEN_DAYS else by_day(customer)
    day = rows.c.snapshot_date
    statement = select(rows)
    if first:
        statement = statement.where(day >= first)
    if last:
        statement = statement.where(day <= last)
    order = Listing({"snapshot_date": day}, "snapshot_date desc", (rows.c.number,))
    return order, statement


async def newest_periods(work: Work, customer: Any, most: int) -> Sequence[Any]:
    """Return the newest ten-day periods of *customer*, at most so many, oldest first."""
    rows = by_ten_days(customer)
    newest = select(rows).order_by(rows.c.snapshot_date.desc()).limit(most)
    return list(reversed((await work.execute(newest)).all()))
