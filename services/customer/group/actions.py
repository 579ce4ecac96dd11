"""Commands on groups: create, delete, put customers in and take them out."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import AlreadyExists, Exhausted, Invalid, Stale
from services.customer.group import queries
from services.customer.group.tables import Group

KNOWN = """
    SELECT number FROM customers
    WHERE branch_id = $1 AND number = ANY ($2::text[]) AND ($3 = '' OR owner = $3)"""
ADDED = """
    INSERT INTO group_members AS m (branch_id, group_id, number, add_time, ordinal)
    SELECT $1, $2, line.number, $3,
           line.place + (SELECT coalesce(max(ordinal), 0) FROM group_members WHERE branch_id = $1 AND group_id = $2)
    FROM unnest($4::text[]) WITH ORDINALITY AS line (number, place)
    ON CONFLICT (branch_id, group_id, number) DO UPDATE
    SET remove_time = NULL, add_time = excluded.add_time, ordinal = excluded.ordinal
    WHERE m.remove_time IS NOT NULL
    RETURNING number"""
REMOVED = """
    UPDATE group_members SET remove_time = $3
    WHERE branch_id = $1 AND group_id = $2 AND number = ANY ($4::text[]) AND remove_time IS NULL RETURNING number"""


async def create(
    uow: UnitOfWork, caller: Caller, *, display_name: str, description: str
) -> Any:
    """Create an empty group in the caller's branch, kept by the caller; refuses GROUP_NAME_TAKEN."""
    async with uow(caller) as work:
        same = (Group.branch_id == caller.branch_id) & (Group.keeper == caller.key)
        same &= (Group.display_name == display_name) & Group.delete_time.is_(None)
        if (await work.execute(select(Group.group_id).where(same))).first():
            raise AlreadyExists("GROUP_NAME_TAKEN")
        row = Group(
            branch_id=caller.branch_id,
            group_id=uuid7(),
            display_name=display_name,
            description=description,
            kind=queries.STATIC,
            keeper=caller.key,
            create_time=work.now,
            update_time=work.now,
        )
        work.add(row)
        await work.register("groups", row.group_id, caller.branch_id)
        work.note(f"groups/{row.group_id}", branch_id=caller.branch_id)
        return await queries.shown(work, row.group_id)


async def delete(
    uow: UnitOfWork, caller: Caller, *, group_id: UUID, version: int
) -> None:
    """Delete a group with its list of members; customers stay. Refuses NOT_FOUND and CHANGED_MEANWHILE."""
    async with uow(caller) as work:
        row = await queries.held(work, group_id)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        row.delete_time = row.update_time = work.now
        work.note(f"groups/{group_id}", branch_id=row.branch_id, deleted=True)


async def add_members(
    uow: UnitOfWork, caller: Caller, *, group_id: UUID, numbers: Sequence[str]
) -> tuple[Any, int, list[str]]:
    """
    Put customers of the group's branch in; return the group, how many were added, and who is unknown.

    Refuses NOT_FOUND and GROUP_FULL.
    """
    async with uow(caller) as work:
        row = await queries.held(work, group_id)
        own = caller.key if caller.own_only else ""
        known = await work.run(KNOWN, row.branch_id, list(numbers), own)
        found = {line.number for line in known}
        wanted = [number for number in numbers if number in found]
        added = await work.run(ADDED, row.branch_id, group_id, work.now, wanted)
        shown = await _touched(work, row, added=len(added))
        limit = await work.parameter("group_limit", row.branch_id)
        if shown.member_count > limit:
            raise Exhausted("GROUP_FULL", limit=limit)
    return shown, len(added), [number for number in numbers if number not in found]


async def remove_members(
    uow: UnitOfWork, caller: Caller, *, group_id: UUID, numbers: Sequence[str]
) -> tuple[Any, int]:
    """Take customers out; return the group and how many were taken out. Refuses NOT_FOUND."""
    async with uow(caller) as work:
        row = await queries.held(work, group_id)
        gone = await work.run(REMOVED, row.branch_id, group_id, work.now, list(numbers))
        return await _touched(work, row, removed=len(gone)), len(gone)


async def _touched(work: Work, row: Group, **detail: int) -> Any:
    """Mark a group as changed, and return it as lists show it."""
    row.update_time = work.now
    work.note(f"groups/{row.group_id}", branch_id=row.branch_id, **detail)
    return await queries.shown(work, row.group_id)


async def check_branch(
    uow: UnitOfWork, caller: Caller, *, branch_id: int, groups: Sequence[UUID]
) -> None:
    """Refuse GROUPS_OF_OTHER_BRANCH when one of *groups* is not there, or not in that branch."""
    async with uow.read(caller) as work:
        rows = await work.run(queries.OF_BRANCH, branch_id, list(groups))
    if len(rows) != len(groups):
        missing = len(groups) - len(rows)
        raise Invalid("GROUPS_OF_OTHER_BRANCH", count=missing, branch=branch_id)
