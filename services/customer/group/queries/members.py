"""Reads of members: pages of one group, and streams of several, each customer once."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, and_, any_, func, literal, or_, select, union
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as KEY

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.paging import Listing
from services.customer.customer.tables import Customer
from services.customer.group.queries.matching import matched_by
from services.customer.group.rules import RULE
from services.customer.group.tables import Member

STREAMED = """
    SELECT c.number, c.mobile, c.display_name, c.gender, c.do_not_disturb, c.owner,
           c.maintenance_mode, c.tier, c.risk_level, c.risk_expiry_date
    FROM customers AS c
    WHERE c.branch_id = $1 AND c.number = ANY ($2::text[])
    ORDER BY c.number"""
MATURING = """
    SELECT DISTINCT ON (h.number) h.number, h.maturity_date, h.amount, h.currency, p.display_name
    FROM holdings AS h
    JOIN products AS p ON p.code = h.product_code
    WHERE h.branch_id = $1 AND h.number = ANY ($2::text[]) AND NOT h.closed AND h.maturity_date >= $3
    ORDER BY h.number, h.maturity_date, h.holding_id"""

PIECE = 500
"""Members of one message of a stream."""

PERSON = (
    Customer.branch_id,
    Customer.number,
    Customer.display_name,
    Customer.mobile_mask,
    Customer.do_not_disturb,
)


def _by_hand(group: Any) -> Select[Any]:
    """Return the members of a list, placed by the time of joining."""
    tied = (Customer.branch_id == Member.branch_id) & (Customer.number == Member.number)
    columns: Sequence[Any] = (*PERSON, Member.ordinal, Member.add_time)
    return (
        select(*columns)
        .join_from(Member, Customer, tied)
        .where(
            (Member.branch_id == group.branch_id)
            & (Member.group_id == group.group_id)
            & Member.remove_time.is_(None)
        )
    )


def _by_rule(group: Any, work: Work) -> Select[Any]:
    """Return whom a rule finds, placed by number."""
    place = func.row_number().over(order_by=Customer.number).label("ordinal")
    none = literal(None, Member.add_time.type).label("add_time")
    return select(*PERSON, place, none).where(matched_by(group, work))


def members(
    group: Any, work: Work, *, query: str, do_not_disturb: bool | None
) -> tuple[Listing, Select[Any]]:
    """
    Return how the members of *group* are listed, and the statement; its reader was seen to see the group.

    The places are those within the whole group, whatever the list is narrowed to.
    """
    found = _by_rule(group, work) if group.kind == RULE else _by_hand(group)
    whole = found.subquery("members")
    at = whole.c
    listing = Listing(
        orders={"ordinal": at.ordinal, "number": at.number},
        default="ordinal",
        unique=(at.branch_id, at.number),
    )
    statement = select(whole)
    if query:
        starts = (at.display_name, at.number)
        statement = statement.where(
            or_(*(column.startswith(query, autoescape=True) for column in starts))
        )
    if do_not_disturb is not None:
        statement = statement.where(at.do_not_disturb == do_not_disturb)
    return listing, statement


def numbers(
    groups: Sequence[Any], work: Work, *, after: str = "", limit: int | None = None
) -> Select[Any]:
    """
    Return the statement of who is in any of *groups* of one branch, each number once, ascending, beyond *after*.

    Each part is cut to *limit* before the parts are united, so that a page reads a page's worth of each.
    """
    lists = [group for group in groups if group.kind != RULE]
    parts = [
        select(Customer.number).where(matched_by(group, work))
        for group in groups
        if group.kind == RULE
    ]
    if lists:
        keys = literal([group.group_id for group in lists], ARRAY(KEY))
        tied = and_(
            Customer.branch_id == Member.branch_id, Customer.number == Member.number
        )
        parts.append(
            select(Customer.number)
            .distinct()
            .join_from(Member, Customer, tied)
            .where(
                (Member.branch_id == lists[0].branch_id)
                & (Member.group_id == any_(keys))
                & Member.remove_time.is_(None)
            )
        )
    cut = [
        part.where(Customer.number > after).order_by(Customer.number).limit(limit)
        for part in parts
    ]
    found = union(*(select(part.subquery()) for part in cut)).subquery("found")
    return select(found.c.number).order_by(found.c.number).limit(limit)


async def counted(work: Work, groups: Sequence[Any]) -> int:
    """Return how many customers are in any of *groups* of one branch."""
    everyone = numbers(groups, work).order_by(None).subquery()
    statement = select(func.count()).select_from(everyone)
    return int((await work.execute(statement)).scalar_one())


@dataclass(frozen=True, slots=True)
class Piece:
    """Some members of a stream, mobiles sealed, with what of their own matures next by customer number."""

    rows: Sequence[Any]
    maturities: Mapping[str, Any] = field(default_factory=dict)


async def streamed(
    uow: UnitOfWork,
    caller: Caller,
    groups: Sequence[Any],
    *,
    maturities: bool = False,
) -> AsyncIterator[Piece]:
    """Yield the members of *groups* of one branch in pieces, each customer once, by number; what matures if wanted."""
    branch_id, after = groups[0].branch_id, ""
    while True:
        async with uow.read(caller) as work:
            statement = numbers(groups, work, after=after, limit=PIECE)
            found = list((await work.execute(statement)).scalars())
            rows = await work.run(STREAMED, branch_id, found)
            wanted = found if maturities else []
            coming = (
                await work.run(MATURING, branch_id, wanted, work.today)
                if wanted
                else []
            )
        if not found:
            return
        yield Piece(rows, {row.number: row for row in coming})
        after = found[-1]
