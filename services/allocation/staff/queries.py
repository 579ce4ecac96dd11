"""Reads of staff."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Select,
    any_,
    column,
    func,
    or_,
    select,
    table,
)

from services.allocation.staff.rules import OWNING
from services.allocation.staff.tables import Staff
from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing

OWNED = table(
    "ownerships",
    column("branch_id"),
    column("number"),
    column("owner"),
    column("state"),
)
OWNED_COUNT = (
    select(func.count())
    .where(
        (OWNED.c.branch_id == Staff.branch_id)
        & (OWNED.c.owner == Staff.staff_id)
        & (OWNED.c.state == 3)
    )
    .scalar_subquery()
    .label("owned_count")
)
"""How many customers somebody looks after, counted where it is shown."""

SHOWN = (*Staff.__table__.columns, OWNED_COUNT)

LISTING = Listing(
    orders={
        "staff": Staff.staff_id,
        "display_name": Staff.display_name,
        "capacity": Staff.capacity,
        "update_time": Staff.update_time,
    },
    default="staff",
    unique=(Staff.branch_id, Staff.staff_id),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    post: str = ""
    present: bool = False
    state: str = ""
    can_own: bool = False


def seen(caller: Caller) -> Select[Any]:
    """Return a select over the staff of the caller's branches."""
    return select(*SHOWN).where(within(Staff.branch_id, caller))


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller)
    if filters.query:
        columns = (Staff.display_name, Staff.staff_id, Staff.operator_no)
        starts = (one.startswith(filters.query, autoescape=True) for one in columns)
        statement = statement.where(or_(*starts))
    if filters.branch_id:
        statement = statement.where(Staff.branch_id == filters.branch_id)
    if filters.post:
        statement = statement.where(any_(Staff.posts) == filters.post)
    if filters.present:
        statement = statement.where(Staff.present)
    if filters.state:
        statement = statement.where(Staff.state == filters.state)
    if filters.can_own:
        statement = statement.where(
            or_(*(any_(Staff.posts) == post for post in sorted(OWNING)))
        )
    return statement


async def shown(work: Work, staff_id: str) -> Any:
    """Return one member of staff of the caller's branches; refuse NOT_FOUND otherwise."""
    statement = seen(work.caller).where(Staff.staff_id == staff_id)
    row = (await work.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("staff", "员工")
    return row
