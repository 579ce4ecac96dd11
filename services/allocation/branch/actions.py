"""Commands on the tree: found a branch, change one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from services.allocation.branch import rules
from services.allocation.branch.tables import Branch
from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import AlreadyExists, Invalid, NotFound, Stale


async def create(
    uow: UnitOfWork, caller: Caller, *, branch_id: int, fields: Mapping[str, Any]
) -> Branch:
    """Found a branch; refuses BRANCH_EXISTS, NOT_FOUND (of the parent) and TIME_ZONE_UNKNOWN."""
    async with uow(caller) as work:
        if await work.find(Branch, branch_id) is not None:
            raise AlreadyExists("BRANCH_EXISTS", branch=branch_id)
        await _check(work, branch_id, fields)
        row = Branch(
            branch_id=branch_id,
            state="OPEN",
            create_time=work.now,
            update_time=work.now,
            **fields,
        )
        work.add(row)
        work.note(f"branches/{branch_id}", branch_id=HEAD_OFFICE, after=dict(fields))
    return row


async def update(
    uow: UnitOfWork,
    caller: Caller,
    *,
    branch_id: int,
    version: int,
    fields: Mapping[str, Any],
) -> Branch:
    """Change a branch; refuses NOT_FOUND, CHANGED_MEANWHILE, BRANCH_BELOW_ITSELF and TIME_ZONE_UNKNOWN."""
    async with uow(caller) as work:
        row = await work.get(Branch, branch_id, title="branch", title_zh="网点")
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        await _check(work, branch_id, fields)
        before = {name: getattr(row, name) for name in fields}
        for name, value in fields.items():
            setattr(row, name, value)
        row.update_time = work.now
        work.note(
            f"branches/{branch_id}",
            branch_id=HEAD_OFFICE,
            before=before,
            after=dict(fields),
        )
        await work.session.flush()
    return row


async def _check(work: Work, branch_id: int, fields: Mapping[str, Any]) -> None:
    zone = fields.get("time_zone")
    if zone is not None and not rules.zone_holds(zone):
        raise Invalid("TIME_ZONE_UNKNOWN", time_zone=zone)
    parent = fields.get("parent_branch_id", 0)
    if not parent:
        return
    rows = await work.execute(select(Branch.branch_id, Branch.parent_branch_id))
    parents = {row.branch_id: row.parent_branch_id for row in rows}
    if parent not in parents:
        raise NotFound("branch", "网点")
    if rules.below_itself(branch_id, parent, parents):
        raise Invalid("BRANCH_BELOW_ITSELF")
