"""Reads of groups and their members."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, or_, select

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.customer.customer.tables import Customer
from services.customer.group.tables import Group, Member

STATIC = 1
"""The kind of a group whose members are added by hand, by the contract's number."""


def counting(*, disturbable: bool = True) -> Any:
    """Return the number of a group's members who are there, or of those who asked not to be disturbed."""
    tied = (Customer.branch_id == Member.branch_id) & (Customer.number == Member.number)
    statement = (
        select(func.count())
        .select_from(Member)
        .join(Customer, tied)
        .where(
            (Member.branch_id == Group.branch_id)
            & (Member.group_id == Group.group_id)
            & Member.remove_time.is_(None)
        )
        .correlate(Group)
    )
    wanted = statement if disturbable else statement.where(Customer.do_not_disturb)
    return wanted.scalar_subquery()


SHOWN = (
    *Group.__table__.columns,
    counting().label("member_count"),
    counting(disturbable=False).label("do_not_disturb_count"),
)

LISTING = Listing(
    orders={
        "display_name": Group.display_name,
        "create_time": Group.create_time,
        "member_count": counting(),
    },
    default="create_time desc",
    unique=(Group.branch_id, Group.group_id),
)
MEMBERS = Listing(
    orders={"ordinal": Member.ordinal, "number": Member.number},
    default="ordinal",
    unique=(Member.branch_id, Member.number),
)

STREAMED = """
    SELECT DISTINCT ON (c.number) c.number, c.mobile, c.display_name, c.gender, c.do_not_disturb, c.owner,
           c.maintenance_mode, c.tier, c.risk_level, c.risk_expiry_date
    FROM group_members AS m
    JOIN customers AS c ON c.branch_id = m.branch_id AND c.number = m.number
    WHERE m.branch_id = $1 AND m.group_id = ANY ($2::uuid[]) AND m.remove_time IS NULL AND c.number > $3
    ORDER BY c.number LIMIT $4"""
MATURING = """
    SELECT DISTINCT ON (h.number) h.number, h.maturity_date, h.amount, h.currency, p.display_name
    FROM holdings AS h
    JOIN products AS p ON p.code = h.product_code
    WHERE h.branch_id = $1 AND h.number = ANY ($2::text[]) AND NOT h.closed AND h.maturity_date >= $3
    ORDER BY h.number, h.maturity_date, h.holding_id"""
OF_BRANCH = """
    SELECT group_id FROM customer_groups
    WHERE branch_id = $1 AND group_id = ANY ($2::uuid[]) AND delete_time IS NULL"""

PIECE = 500
"""Members of one message of a stream."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    keeper: str = ""
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some members of a stream, mobiles sealed, with what of their own matures next by customer number."""

    rows: Sequence[Any]
    maturities: Mapping[str, Any] = field(default_factory=dict)


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over groups in the caller's sight: the branches', or only those it keeps."""
    own = Group.keeper == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    here = within(Group.branch_id, caller) & Group.delete_time.is_(None)
    return select(*columns).where(here & own)


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *SHOWN)
    for column, value in (
        (Group.branch_id, filters.branch_id),
        (Group.keeper, filters.keeper),
        (Group.kind, filters.kind),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        statement = statement.where(
            Group.display_name.contains(filters.query, autoescape=True)
        )
    return statement


async def _one(work: Work, group_id: UUID, *columns: Any) -> Any:
    branch_id = await work.locate("groups", str(group_id), "群组")
    key = (Group.branch_id == branch_id) & (Group.group_id == group_id)
    await work.session.flush()
    found = await work.session.execute(seen(work.caller, *columns).where(key))
    row = found.one_or_none()
    if row is None:
        raise NotFound("group", "群组")
    return row


async def shown(work: Work, group_id: UUID) -> Any:
    """Return one group as lists show it; refuse NOT_FOUND when it is not in sight."""
    return await _one(work, group_id, *SHOWN)


async def held(work: Work, group_id: UUID) -> Group:
    """Return the row to change of one group in the caller's sight; refuse NOT_FOUND otherwise."""
    row: Group = (await _one(work, group_id, Group))[0]
    return row


def members(group: Any, query: str, do_not_disturb: bool | None) -> Select[Any]:
    """Return the statement of the members of *group*, which its reader was seen to see."""
    tied = (Customer.branch_id == Member.branch_id) & (Customer.number == Member.number)
    columns: Sequence[Any] = (
        Member.branch_id,
        Member.number,
        Member.ordinal,
        Member.add_time,
        Customer.display_name,
        Customer.mobile_mask,
        Customer.do_not_disturb,
    )
    statement: Select[Any] = (
        select(*columns)
        .join_from(Member, Customer, tied)
        .where(
            (Member.branch_id == group.branch_id)
            & (Member.group_id == group.group_id)
            & Member.remove_time.is_(None)
        )
    )
    if query:
        starts = (Customer.display_name, Customer.number)
        statement = statement.where(
            or_(*(column.startswith(query, autoescape=True) for column in starts))
        )
    if do_not_disturb is not None:
        statement = statement.where(Customer.do_not_disturb == do_not_disturb)
    return statement


async def streamed(
    uow: UnitOfWork,
    caller: Caller,
    branch_id: int,
    groups: Sequence[UUID],
    *,
    maturities: bool = False,
) -> AsyncIterator[Piece]:
    """Yield the members of several groups of one branch in pieces, each customer once; what matures where wanted."""
    after = ""
    while True:
        async with uow.read(caller) as work:
            rows = await work.run(STREAMED, branch_id, list(groups), after, PIECE)
            numbers = [row.number for row in rows] if maturities else []
            next_ones = (
                await work.run(MATURING, branch_id, numbers, work.today)
                if numbers
                else []
            )
        if not rows:
            return
        yield Piece(rows, {row.number: row for row in next_ones})
        after = rows[-1].number
