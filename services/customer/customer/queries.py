"""Reads of customers: one, many, a page. Every query names its branches; what a caller may see is decided here once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    Row,
    Select,
    any_,
    bindparam,
    column,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Text

from services.chassis.caller import Caller
from services.chassis.db import Work
from services.chassis.errors import Invalid, NotFound
from services.chassis.paging import Page, counted, paged
from services.chassis.vault import Vault
from services.customer.customer import rules
from services.customer.customer.tables import Customer, Reader

HIDDEN = {
    "mobile",
    "mobile_index",
    "mobile_suffix",
    "id_number",
    "id_number_index",
    "home_address",
    "personal_digest",
    "access_version",
    "move_version",
    "before_financial_assets",
}
"""Columns that no read of the contract's resource needs."""

HOLDINGS = table("holdings", column("branch_id"), column("number"), column("closed"))
HOLDINGS_COUNT = (
    select(func.count())
    .where(
        (HOLDINGS.c.branch_id == Customer.branch_id)
        & (HOLDINGS.c.number == Customer.number)
        & not_(HOLDINGS.c.closed)
    )
    .scalar_subquery()
    .label("holdings_count")
)
"""Counted where it is shown: kept in the row, it would have every import write each customer a second time."""

SHOWN = (
    *(one for one in Customer.__table__.columns if one.name not in HIDDEN),
    HOLDINGS_COUNT,
)

EVER = date(1, 1, 1)
"""Stands for "never" and "none" where rows are sorted, so that no sort key is null."""

ORDERS = {
    "number": Customer.number,
    "tier": Customer.tier,
    "financial_assets": Customer.financial_assets,
    "last_contact_time": func.coalesce(
        Customer.last_contact_time, func.to_timestamp(0)
    ),
    "next_contact_on": func.coalesce(Customer.next_contact_on, literal(EVER)),
    "groomed_date": func.coalesce(Customer.groomed_date, literal(EVER)),
    "update_time": Customer.update_time,
}
"""What a list of customers can be sorted by."""


def branches(caller: Caller) -> Any:
    """Return the predicate that names the caller's branches, so that the planner uses the keys they lead."""
    if caller.everywhere:
        return literal(True)  # noqa: FBT003 - a bank-wide query, by right of the caller
    if len(caller.branch_ids) == 1:
        return Customer.branch_id == caller.branch_ids[0]
    return Customer.branch_id == any_(literal(list(caller.branch_ids), ARRAY(Integer)))


def seen_by(staff: Any, now: Any) -> Any:
    """Return the predicate of customers that a member of staff owns, covers for, or was referred to."""
    reads = exists().where(
        (Reader.branch_id == Customer.branch_id)
        & (Reader.number == Customer.number)
        & (Reader.staff == staff)
        & (Reader.access_version == Customer.access_version)
        & (Reader.until_time.is_(None) | (Reader.until_time > now))
    )
    return or_(Customer.owner == staff, reads)


def visible(caller: Caller, now: Any) -> Any:
    """Return the predicate of customers the caller may see: the branches', or only those of its own."""
    if not caller.own_only:
        return branches(caller)
    return branches(caller) & seen_by(caller.key, now)


ONE = select(*SHOWN).where(
    (Customer.branch_id == bindparam("branch_id"))
    & (Customer.number == bindparam("number"))
)
"""One customer, for callers who see the whole branch."""

ONE_OWN = ONE.where(seen_by(bindparam("staff"), bindparam("now")))
"""One customer, for callers who see only what is theirs."""


async def customer(work: Work, number: str) -> Any:
    """Return one customer as the contract shows it; refuse NOT_FOUND when there is none in scope."""
    key = {
        "branch_id": await work.locate("customers", number, "客户"),
        "number": number,
    }
    if work.caller.own_only:
        rows = await work.fetch(ONE_OWN, **key, staff=work.caller.key, now=work.now)
    else:
        rows = await work.fetch(ONE, **key)
    if not rows:
        raise NotFound("customer", "客户")
    return rows[0]


async def customers(work: Work, numbers: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the customers of *numbers* that are in scope, by number."""
    wanted = Customer.number == any_(literal(list(numbers), ARRAY(Text)))
    rows = await work.execute(
        select(*SHOWN).where(wanted & visible(work.caller, work.now))
    )
    return {row.number: row for row in rows}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    owner: str = ""
    tier: int = 0
    customer_type: int = 0
    source: int = 0
    next_contact_from: date | None = None
    next_contact_to: date | None = None
    not_contacted_days: int = 0
    unassigned: bool = False
    do_not_disturb: bool | None = None
    groomed_before: date | None = None


def narrowed(statement: Select[Any], filters: Filters, now: Any) -> Select[Any]:
    """Return *statement* with every filter that is set."""
    for field, value in (
        (Customer.branch_id, filters.branch_id),
        (Customer.owner, filters.owner),
        (Customer.tier, filters.tier),
        (Customer.customer_type, filters.customer_type),
        (Customer.source, filters.source),
    ):
        if value:
            statement = statement.where(field == value)
    if filters.query:
        starts = func.starts_with
        statement = statement.where(
            or_(
                starts(Customer.display_name, filters.query),
                starts(Customer.number, filters.query),
            )
        )
    if filters.unassigned:
        statement = statement.where(Customer.owner == "")
    if filters.do_not_disturb is not None:
        statement = statement.where(Customer.do_not_disturb == filters.do_not_disturb)
    return _by_time(statement, filters, now)


def _by_time(statement: Select[Any], filters: Filters, now: Any) -> Select[Any]:
    if filters.next_contact_from:
        statement = statement.where(
            Customer.next_contact_on >= filters.next_contact_from
        )
    if filters.next_contact_to:
        statement = statement.where(Customer.next_contact_on <= filters.next_contact_to)
    if filters.not_contacted_days:
        since = now - timedelta(days=filters.not_contacted_days)
        last = Customer.last_contact_time
        statement = statement.where(last.is_(None) | (last < since))
    if filters.groomed_before:
        day = Customer.groomed_date
        statement = statement.where(day.is_(None) | (day < filters.groomed_before))
    return statement


async def page_of(
    work: Work, page: Page, statement: Select[Any]
) -> tuple[Sequence[Row[Any]], int]:
    """Return a page of *statement* with one row more, each with its sort key, and how many rows there are."""
    key: Any = ORDERS[page.order].label("sort_key")
    rows = await work.execute(
        paged(
            statement.add_columns(key),
            page,
            (ORDERS[page.order], Customer.branch_id, Customer.number),
        )
    )
    found = rows.all()
    total = (await work.execute(counted(statement))).scalar_one()
    return found, int(total)


def sort_key(row: Row[Any]) -> tuple[Any, ...]:
    """Return what a page token remembers of a row."""
    return row.sort_key, row.branch_id, row.number


def listed(caller: Caller, filters: Filters, now: Any) -> Select[Any]:
    """Return the statement of a list."""
    return narrowed(select(*SHOWN).where(visible(caller, now)), filters, now)


def looked_for(vault: Vault, query: str, kind: int) -> Any:
    """
    Return the predicate of what *query* looks for; refuse SEARCH_FORM_UNFIT for what cannot be one of the kind.

    A mobile is looked for by blind index under every key, its last four digits by the short index.
    """
    chosen = rules.SearchKind(kind) if kind else rules.kind_of(query.strip())
    if chosen is rules.SearchKind.NUMBER:
        return Customer.number == query.strip()
    if chosen is rules.SearchKind.MOBILE:
        mobile = rules.mobile_in(query)
        indexes = vault.indexes(mobile or query, "customers.mobile")
        return Customer.mobile_index.in_(indexes)
    if chosen is rules.SearchKind.LAST_FOUR:
        return Customer.mobile_suffix.in_(
            vault.suffixes(query.strip(), "customers.mobile")
        )
    if len(query.strip()) < 2:
        raise Invalid("SEARCH_FORM_UNFIT", kind=chosen.name)
    return Customer.display_name.startswith(query.strip(), autoescape=True)
