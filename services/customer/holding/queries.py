"""Reads of holdings: those of one customer, and those that mature around today."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, func, literal, not_, or_, select

from services.chassis.db import Work, within
from services.chassis.errors import Invalid
from services.chassis.paging import Listing
from services.customer.customer.queries import EVER, visible
from services.customer.customer.tables import Customer
from services.customer.holding import rules
from services.customer.holding.tables import Holding
from services.customer.product.tables import Product

WEALTH = 1
"""The family whose maturities are listed, by the contract's number."""

OPEN, CLOSED = 1, 2
"""States of a holding, by the contract's numbers."""

FAR = date(9999, 1, 1)
"""Stands for "does not mature" where rows are sorted: what matures first comes first."""

STARTED = func.coalesce(Holding.start_date, literal(EVER))
MATURES = func.coalesce(Holding.maturity_date, literal(FAR))
UNIQUE = (Holding.branch_id, Holding.holding_id)

HELD = Listing(
    orders={
        "start_date": STARTED,
        "maturity_date": MATURES,
        "amount": Holding.amount,
    },
    default="start_date desc",
    unique=UNIQUE,
)
MATURING = Listing(
    orders={"maturity_date": MATURES, "amount": Holding.amount},
    default="maturity_date",
    unique=UNIQUE,
)

SHOWN = (
    *Holding.__table__.columns,
    Customer.display_name.label("customer_display_name"),
    Customer.customer_type,
    Customer.tier,
    Customer.owner,
    Product.display_name.label("product_display_name"),
    Product.family,
    Product.product_type,
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    owner: str = ""
    product: str = ""
    product_type: int = 0
    tier: int = 0
    family: int = 0
    state: int = 0


def shown() -> Select[Any]:
    """Return a select over holdings with their customer and product; whoever uses it names the branches."""
    tied = (Customer.branch_id == Holding.branch_id) & (
        Customer.number == Holding.number
    )
    return (
        select(*SHOWN)
        .join_from(Holding, Customer, tied)
        .join(Product, Product.code == Holding.product_code)
    )


def of_customer(customer: Any) -> Select[Any]:
    """Return the statement of the holdings of *customer*, whom its reader was seen to see."""
    return shown().where(
        (Holding.branch_id == customer.branch_id) & (Holding.number == customer.number)
    )


def held(customer: Any, filters: Filters) -> Select[Any]:
    """Return the statement of a list of one customer's holdings."""
    statement = _narrowed(of_customer(customer), filters)
    if filters.query:
        statement = statement.where(
            or_(
                Product.display_name.contains(filters.query, autoescape=True),
                Product.code.startswith(filters.query, autoescape=True),
            )
        )
    return statement


def maturing(work: Work, days: rules.Range, filters: Filters) -> Select[Any]:
    """
    Return the statement of wealth holdings in scope that matured or will mature on *days*.

    Before today it shows them whether they were paid out or not; from today on only open ones, because what is
    closed early does not mature any more.
    """
    statement = shown().where(
        visible(work.caller, work.now)
        & within(Holding.branch_id, work.caller)
        & Holding.maturity_date.between(days.first, days.last)
        & (Product.family == WEALTH)
    )
    if days.first >= work.today:
        statement = statement.where(not_(Holding.closed))
    else:
        past = Holding.maturity_date < work.today
        statement = statement.where(past | not_(Holding.closed))
    if filters.query:
        starts = (Customer.display_name, Customer.number)
        statement = statement.where(
            or_(
                *(
                    column.startswith(filters.query, autoescape=True)
                    for column in starts
                ),
                Product.display_name.contains(filters.query, autoescape=True),
            )
        )
    return _narrowed(statement, filters)


def _narrowed(statement: Select[Any], filters: Filters) -> Select[Any]:
    for column, value in (
        (Holding.branch_id, filters.branch_id),
        (Holding.product_code, filters.product),
        (Customer.owner, filters.owner),
        (Customer.tier, filters.tier),
        (Product.family, filters.family),
        (Product.product_type, filters.product_type),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.state:
        statement = statement.where(Holding.closed == (filters.state == CLOSED))
    return statement


async def maturity_days(
    work: Work, first: date | None, last: date | None, branch_id: int
) -> rules.Range:
    """Return the days of maturity to list; refuse MATURITY_WINDOW_EXCEEDED and RANGE_REVERSED."""
    window = await work.parameter("maturity_window", branch_id)
    days = rules.maturity_range(first, last, today=work.today, window=window)
    if days.fault:
        raise Invalid(days.fault, **window)
    return days
