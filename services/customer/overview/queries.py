"""Reads that put a customer's page together, and the figures of many customers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, null, select

from services.chassis.caller import Caller
from services.chassis.db import Work
from services.customer.consent.rules import Entry, refusals_in_force
from services.customer.consent.tables import Consent
from services.customer.customer.queries import visible
from services.customer.customer.rules import CustomerType, period_start
from services.customer.customer.tables import Customer
from services.customer.holding.queries import MATURES, WEALTH, of_customer
from services.customer.holding.tables import Holding
from services.customer.overview.rules import year_before
from services.customer.position.queries import FIGURES, newest_periods

HOLDINGS_MOST = 100
PERIODS_MOST = 36
"""Points of the trend: a year of ten-day periods."""

HOME = "CNY"
"""The currency of sums over customers; figures in another are counted and not summed, for want of a rate."""

SHARES = """
    SELECT p.family, count(*) AS holdings_count, coalesce(sum(h.amount) FILTER (WHERE h.currency = $3), 0) AS amount
    FROM holdings h JOIN products p ON p.code = h.product_code
    WHERE h.branch_id = $1 AND h.number = $2 AND NOT h.closed GROUP BY p.family ORDER BY p.family"""
"""Open holdings by family; amounts in the currency of the customer's own figures."""

MATURING = "NOT h.closed AND h.maturity_date BETWEEN $4 AND $5"
BOUGHT = f"p.family = {WEALTH} AND h.start_date > $6 AND h.start_date <= $4"
KIND = """CASE WHEN p.ebanking THEN 'e-banking' WHEN p.product_type BETWEEN 1 AND 7 THEN '#' || p.product_type
    ELSE p.code END"""
"""Electronic banking is one kind, and so is each named type of wealth product; any other product is its own."""

MEASURES = f"""
    SELECT count(*) FILTER (WHERE {MATURING}) AS maturing_count,
        coalesce(sum(h.amount) FILTER (WHERE {MATURING} AND h.currency = $3), 0) AS maturing_amount,
        min(h.maturity_date) FILTER (WHERE {MATURING}) AS next_maturity_date,
        count(DISTINCT {KIND}) FILTER (WHERE NOT h.closed) AS product_kinds,
        count(DISTINCT p.code) FILTER (WHERE NOT h.closed AND p.core) AS core_held,
        (SELECT count(*) FROM products WHERE core) AS core_configured,
        count(*) FILTER (WHERE {BOUGHT}) AS wealth_purchases,
        coalesce(sum(h.amount) FILTER (WHERE {BOUGHT} AND h.currency = $3), 0) AS wealth_purchase_amount
    FROM holdings h JOIN products p ON p.code = h.product_code WHERE h.branch_id = $1 AND h.number = $2"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that one customer's page is made of."""

    customer: Any
    today: date
    refusals: Sequence[Entry]
    holdings: Sequence[Row[Any]]
    shares: Sequence[Any]
    measures: Any
    periods: Sequence[Any]
    thresholds: dict[str, int]


async def gathered(work: Work, customer: Any) -> Gathered:
    """Return what the page of *customer*, whom its reader was seen to see, is made of."""
    key = (customer.branch_id, customer.number, customer.currency)
    window = await work.parameter("maturity_window", customer.branch_id)
    until = work.today + timedelta(days=window["ahead"])
    days = (work.today, until, year_before(work.today))
    open_ones = of_customer(customer).where(~Holding.closed)
    first = open_ones.order_by(MATURES, Holding.holding_id).limit(HOLDINGS_MOST)
    return Gathered(
        customer=customer,
        today=work.today,
        refusals=await refusals(work, customer),
        holdings=(await work.execute(first)).all(),
        shares=await work.run(SHARES, *key),
        measures=(await work.run(MEASURES, *key, *days))[0],
        periods=await newest_periods(work, customer, PERIODS_MOST),
        thresholds=await work.parameter("tier_thresholds", customer.branch_id),
    )


async def refusals(work: Work, customer: Any) -> list[Entry]:
    """Return what *customer* refused, as far as it is in force."""
    ledger = select(Consent.act, Consent.channel, Consent.purpose).where(
        (Consent.branch_id == customer.branch_id) & (Consent.number == customer.number)
    )
    rows = await work.execute(ledger.order_by(Consent.consent_id))
    return refusals_in_force([Entry(row.act, row.channel, row.purpose) for row in rows])


GROUPS: dict[int, Any] = {
    1: Customer.tier,
    2: Customer.customer_type,
    3: Customer.owner,
}
"""What customers can be grouped by, by the contract's number."""


def previous(name: str, today: date) -> ColumnElement[int]:
    """Return a figure at the end of the ten-day period before, as customer.rules.previous_figure tells it."""
    changed = Customer.snapshot_date
    return case(
        (changed.is_(None), null()),
        (changed < period_start(today), getattr(Customer, name)),
        else_=getattr(Customer, f"previous_{name}"),
    )


async def aggregated(
    work: Work, caller: Caller, *, by: int, branch_id: int, owner: str
) -> Sequence[Row[Any]]:
    """Return counts and sums of the customers in scope, one row per group, ascending."""
    home = Customer.currency == HOME
    sums = {
        name: figure
        for one in FIGURES
        for name, figure in (
            (one, getattr(Customer, one)),
            (f"previous_{one}", previous(one, work.today)),
        )
    }
    statement = select(
        GROUPS[by].label("grouped"),
        func.count().label("customer_count"),
        func.count()
        .filter(Customer.customer_type == CustomerType.VIP)
        .label("vip_count"),
        *(
            func.coalesce(func.sum(figure).filter(home), 0).label(name)
            for name, figure in sums.items()
        ),
    ).where(visible(caller, work.now))
    if branch_id:
        statement = statement.where(Customer.branch_id == branch_id)
    if owner:
        statement = statement.where(Customer.owner == owner)
    rows = await work.execute(statement.group_by(GROUPS[by]).order_by(GROUPS[by]))
    return rows.all()
