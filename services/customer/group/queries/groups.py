"""Reads of groups: one, and pages of those in sight, with their members counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, Text, any_, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as KEY

from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import Invalid, NotFound
from services.chassis.paging import Listing, Pager
from services.customer.customer.tables import Customer
from services.customer.group.queries.matching import counted, counts_of, matched
from services.customer.group.rules import RULE, Rule
from services.customer.group.tables import Group, Member

SORTED = 1000
"""Rule groups that are counted at most to sort a list by its members."""


def counting(*, disturbable: bool = True) -> Any:
    """Return the number of a list's members who are there, or of those who asked not to be disturbed."""
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


COLUMNS = (
    *Group.__table__.columns,
    counting().label("listed_count"),
    counting(disturbable=False).label("quiet_count"),
)


def listing(sizes: Mapping[UUID, int]) -> Listing:
    """Return how groups are listed; *sizes* are the members of those by rule, needed only to sort by them."""
    told = literal({str(key): size for key, size in sizes.items()}, JSONB)
    by_rule = cast(told[cast(Group.group_id, Text)].astext, Integer)
    return Listing(
        orders={
            "display_name": Group.display_name,
            "create_time": Group.create_time,
            "member_count": func.coalesce(by_rule, counting()),
        },
        default="create_time desc",
        unique=(Group.branch_id, Group.group_id),
    )


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    keeper: str = ""
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A group as it is shown: its row, and its members as they are at this moment."""

    row: Any
    member_count: int
    do_not_disturb_count: int


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over groups in the caller's sight: the branches', or only those it keeps."""
    own = Group.keeper == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    here = within(Group.branch_id, caller) & Group.delete_time.is_(None)
    return select(*columns).where(here & own)


def listed(caller: Caller, filters: Filters, *columns: Any) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *columns)
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


async def page(
    work: Work, pager: Pager, request: Any, filters: Filters
) -> tuple[list[Shown], str, int]:
    """
    Return the groups of the page that *request* asks for, the token of the next, and how many groups there are.

    Groups by rule are counted in one statement: those of the page, or all before a list is sorted by its members.
    Refuses ORDER_UNKNOWN, PAGE_TOKEN_INVALID and GROUP_ORDER_TOO_WIDE.
    """
    sizes: dict[UUID, tuple[int, int]] = {}
    if request.order_by.startswith("member_count"):
        sizes = await _sizes(work, filters)
    found = listing({key: members for key, (members, _) in sizes.items()})
    statement = listed(work.caller, filters, *COLUMNS)
    rows, token, total = await found.read(work, pager, request, statement)
    return await _with_counts(work, rows, sizes), token, total


async def _sizes(work: Work, filters: Filters) -> dict[UUID, tuple[int, int]]:
    """Return the counts of every group by rule that *filters* let through."""
    by_rule = listed(work.caller, filters, *Group.__table__.columns)
    by_rule = by_rule.where(Group.kind == RULE).limit(SORTED + 1)
    groups = (await work.execute(by_rule)).all()
    if len(groups) > SORTED:
        raise Invalid("GROUP_ORDER_TOO_WIDE", limit=SORTED)
    return await counts_of(work, groups)


async def _with_counts(
    work: Work, rows: Sequence[Any], known: Mapping[UUID, tuple[int, int]]
) -> list[Shown]:
    """Return *rows* with their members counted; what is not *known* of groups by rule is counted in one statement."""
    missing = [row for row in rows if row.kind == RULE and row.group_id not in known]
    counts = {**known, **await counts_of(work, missing)}
    return [
        Shown(row, *counts.get(row.group_id, (row.listed_count, row.quiet_count)))
        for row in rows
    ]


async def _one(work: Work, group_id: UUID, *columns: Any) -> Any:
    branch_id = await work.locate("groups", str(group_id), "群组")
    key = (Group.branch_id == branch_id) & (Group.group_id == group_id)
    await work.session.flush()
    found = await work.session.execute(seen(work.caller, *columns).where(key))
    row = found.one_or_none()
    if row is None:
        raise NotFound("group", "群组")
    return row


async def shown(work: Work, group_id: UUID) -> Shown:
    """Return one group as it is shown; refuse NOT_FOUND when it is not in sight."""
    row = await _one(work, group_id, *COLUMNS)
    return (await _with_counts(work, [row], {}))[0]


async def held(work: Work, group_id: UUID) -> Group:
    """Return the row to change of one group in the caller's sight; refuse NOT_FOUND otherwise."""
    row: Group = (await _one(work, group_id, Group))[0]
    return row


async def previewed(work: Work, rule: Rule, group_id: UUID | None) -> tuple[int, int]:
    """
    Return how many customers *rule* would find, and how many of them asked not to be disturbed.

    It is counted in the sight of the group whose rule it is to be, or of the caller in the own branch. Refuses
    NOT_FOUND when the group is not in sight.
    """
    caller = work.caller
    branch_id, owner = caller.branch_id, caller.key if caller.own_only else ""
    if group_id is not None:
        group = await held(work, group_id)
        branch_id, owner = group.branch_id, group.keeper if group.own_only else ""
    return await counted(work, matched(rule, work, branch_id=branch_id, owner=owner))


async def of_branch(
    work: Work, branch_id: int, groups: Sequence[UUID]
) -> Sequence[Any]:
    """Return those of *groups* that are there, and in this branch."""
    wanted = Group.group_id == any_(literal(list(groups), ARRAY(KEY)))
    here = (Group.branch_id == branch_id) & Group.delete_time.is_(None)
    statement = select(*Group.__table__.columns).where(here & wanted)
    return (await work.execute(statement)).all()
