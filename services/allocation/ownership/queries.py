"""Reads of ownerships: one, pages, the queue of those without an owner, histories, loads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    Text,
    any_,
    cast,
    literal,
    select,
)

from services.allocation.ownership.rules import State
from services.allocation.ownership.tables import Ownership, OwnershipChange
from services.allocation.staff.tables import Staff
from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import Invalid, NotFound
from services.chassis.paging import Listing

SHOWN = tuple(
    column
    for column in Ownership.__table__.columns
    if column.name != "last_contact_time"
)

VALUE = cast(Ownership.tier, BigInteger) * 10**15 + Ownership.financial_assets
"""Tier first, then assets: one number by which customers are ordered by value."""

UNIQUE = (Ownership.branch_id, Ownership.number)

LISTING = Listing(
    orders={
        "number": Ownership.number,
        "tier": VALUE,
        "financial_assets": Ownership.financial_assets,
        "state_time": Ownership.state_time,
        "update_time": Ownership.update_time,
    },
    default="financial_assets desc",
    unique=UNIQUE,
)
QUEUE = Listing(
    orders={
        "tier": VALUE,
        "financial_assets": Ownership.financial_assets,
        "state_time": Ownership.state_time,
    },
    default="tier desc",
    unique=UNIQUE,
)
HISTORY = Listing(
    orders={"version": OwnershipChange.version},
    default="version desc",
    unique=(OwnershipChange.branch_id, OwnershipChange.number),
)

WORKING = select(Staff.branch_id, Staff.staff_id, Staff.posts, Staff.capacity)
"""What giving customers to somebody needs to know of them."""

LOADS = """
    SELECT s.staff_id AS owner, s.capacity, count(o.number) AS customers,
           coalesce(sum(o.financial_assets), 0)::bigint AS assets
    FROM staff AS s
    LEFT JOIN ownerships AS o ON o.branch_id = s.branch_id AND o.owner = s.staff_id AND o.state = 3
    WHERE s.branch_id = $1 AND s.staff_id = ANY ($2::text[])
    GROUP BY s.staff_id, s.capacity"""
BRANCHES_OF = """
    SELECT DISTINCT branch_id FROM ownerships WHERE branch_id = ANY ($1::int[]) AND number = ANY ($2::text[])"""
ALL_BRANCHES_OF = "SELECT DISTINCT branch_id FROM directory WHERE kind = 'customers' AND id = ANY ($1::text[])"
FIRST_MANAGER = """
    SELECT staff_id FROM staff WHERE branch_id = $1 AND state = 'ACTIVE' AND 'BRANCH_MANAGER' = ANY (posts)
    ORDER BY staff_id LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing. ``states`` empty means every state."""

    query: str = ""
    branch_id: int = 0
    owner: str = ""
    states: tuple[int, ...] = ()
    mode: int = 0
    tier: int = 0
    customer_type: int = 0
    source: int = 0
    waiting_days: int = 0
    cultivating: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """How much one owner looks after; assets in minor units."""

    owner: str
    capacity: int
    count: int
    assets: int


def seen(caller: Caller) -> Select[Any]:
    """Return a select over ownerships in the caller's sight: the branches', or only its own."""
    own = Ownership.owner == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    return select(*SHOWN).where(within(Ownership.branch_id, caller) & own)


def listed(work: Work, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(work.caller)
    for column, value in (
        (Ownership.branch_id, filters.branch_id),
        (Ownership.owner, filters.owner),
        (Ownership.mode, filters.mode),
        (Ownership.tier, filters.tier),
        (Ownership.customer_type, filters.customer_type),
        (Ownership.source, filters.source),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.states:
        statement = statement.where(Ownership.state.in_(filters.states))
    if filters.query:
        statement = statement.where(
            Ownership.number.startswith(filters.query, autoescape=True)
        )
    if filters.waiting_days:
        since = work.now - timedelta(days=filters.waiting_days)
        statement = statement.where(Ownership.state_time <= since)
    if filters.cultivating:
        statement = statement.where(Ownership.cultivation_end_date >= work.today)
    return statement


async def ownership(work: Work, number: str) -> Any:
    """Return one ownership in the caller's sight; refuse NOT_FOUND otherwise."""
    branch_id = await work.locate("customers", number, "客户")
    key = (Ownership.branch_id == branch_id) & (Ownership.number == number)
    row = (await work.execute(seen(work.caller).where(key))).one_or_none()
    if row is None:
        raise NotFound("ownership", "管户关系")
    return row


def history(row: Any) -> Select[Any]:
    """Return the statement of what happened to the ownership *row*, which its reader was seen to see."""
    return select(*OwnershipChange.__table__.columns).where(
        (OwnershipChange.branch_id == row.branch_id)
        & (OwnershipChange.number == row.number)
    )


async def last_change(work: Work, row: Any) -> Any:
    """Return the change that led to *row* as it is."""
    newest = history(row).order_by(OwnershipChange.version.desc()).limit(1)
    return (await work.execute(newest)).one()


async def branch_of(work: Work, numbers: Sequence[str]) -> int | None:
    """
    Return the one branch that customers in the caller's scope belong to; None when none of them is there.

    Refuses BATCH_OF_SEVERAL_BRANCHES.
    """
    caller = work.caller
    if caller.everywhere:
        rows = await work.run(ALL_BRANCHES_OF, list(numbers))
    else:
        rows = await work.run(BRANCHES_OF, list(caller.branch_ids), list(numbers))
    if len(rows) > 1:
        raise Invalid("BATCH_OF_SEVERAL_BRANCHES")
    return int(rows[0].branch_id) if rows else None


async def locked(work: Work, branch_id: int, numbers: Sequence[str]) -> dict[str, Any]:
    """Return the ownerships of *numbers* in one branch by number, locked in ascending order until the end."""
    wanted = Ownership.number == any_(literal(sorted(numbers), ARRAY(Text)))
    statement = (
        select(*SHOWN)
        .where((Ownership.branch_id == branch_id) & wanted)
        .order_by(Ownership.number)
        .with_for_update()
    )
    return {row.number: row for row in await work.execute(statement)}


async def owners_of_branch(
    work: Work, owners: Sequence[str], branch_id: int | None
) -> list[Any]:
    """
    Return working members of staff in the order given, locked so that nobody gives them customers at the same time.

    Refuses NOT_FOUND outside the caller's scope, and OWNER_OF_OTHER_BRANCH; without *branch_id*, the first's counts.
    """
    asked = Staff.staff_id == any_(literal(sorted(owners), ARRAY(Text)))
    where = asked & (Staff.state == "ACTIVE") & within(Staff.branch_id, work.caller)
    found = {row.staff_id: row for row in await work.execute(WORKING.where(where))}
    for owner in owners:
        if owner not in found:
            raise NotFound("staff", "员工")
        branch_id = branch_id or found[owner].branch_id
        if found[owner].branch_id != branch_id:
            raise Invalid("OWNER_OF_OTHER_BRANCH", owner=owner, branch=branch_id)
    rows = {}
    if branch_id is not None:
        rows = {row.staff_id: row for row in await working(work, branch_id, owners)}
    if len(rows) < len(set(owners)):
        raise NotFound("staff", "员工")
    return [rows[owner] for owner in owners]


async def owner_of_branch(work: Work, staff_id: str, branch_id: int | None) -> Any:
    """Return one working member of staff, locked; refuses as for several."""
    return (await owners_of_branch(work, [staff_id], branch_id))[0]


async def working(
    work: Work, branch_id: int, owners: Sequence[str] | None = None
) -> list[Any]:
    """
    Return who works in one branch, or who of *owners* does, ascending.

    Those named are locked, so that nobody gives them customers at the same time; who does not work there is missing.
    """
    where = (Staff.branch_id == branch_id) & (Staff.state == "ACTIVE")
    statement = WORKING.order_by(Staff.staff_id)
    if owners is not None:
        where &= Staff.staff_id == any_(literal(sorted(owners), ARRAY(Text)))
        statement = statement.with_for_update()
    return list(await work.execute(statement.where(where)))


async def loads(work: Work, branch_id: int, owners: Sequence[str]) -> list[Load]:
    """Return how much each of *owners* looks after in one branch, in the order given."""
    rows = await work.run(LOADS, branch_id, list(owners))
    found = {
        row.owner: Load(row.owner, row.capacity, row.customers, row.assets)
        for row in rows
    }
    return [found.get(owner, Load(owner, 0, 0, 0)) for owner in owners]


async def first_manager(work: Work, branch_id: int) -> str:
    """Return the first manager of one branch; refuse BRANCH_WITHOUT_MANAGER when it has none."""
    rows = await work.run(FIRST_MANAGER, branch_id)
    if not rows:
        raise Invalid("BRANCH_WITHOUT_MANAGER", branch=branch_id)
    return str(rows[0].staff_id)


def waiting(state: int) -> tuple[int, ...]:
    """Return the states of a queue: the one asked for, else those that nobody has taken up."""
    return (state,) if state else (State.UNASSIGNED, State.RECALLED)
