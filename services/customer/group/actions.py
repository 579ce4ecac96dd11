"""Commands on groups: create, change, delete, put customers in and take them out, open a stream of members."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.calls import tell
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import (
    AlreadyExists,
    Exhausted,
    Invalid,
    Stale,
    Unready,
)
from services.customer.group import rules
from services.customer.group.queries import groups as queries
from services.customer.group.queries.members import counted
from services.customer.group.rules import RULE, STATIC, Rule
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


def _rule_of(kind: int, rule: Rule | None) -> dict[str, Any] | None:
    """
    Return a rule as a group of *kind* keeps it.

    Refuses GROUP_RULE_MISSING, GROUP_WITHOUT_RULE and GROUP_RULE_CONTRADICTS.
    """
    if kind != RULE:
        if rule is not None:
            raise Unready("GROUP_WITHOUT_RULE")
        return None
    if rule is None:
        raise Invalid("GROUP_RULE_MISSING")
    check_rule(rule)
    return rules.stored(rule)


def check_rule(rule: Rule) -> None:
    """Refuse GROUP_RULE_CONTRADICTS when *rule* can find nobody."""
    if wrong := rules.contradiction(rule):
        raise Invalid("GROUP_RULE_CONTRADICTS", first=wrong[0], second=wrong[1])


async def _check_name(
    work: Work, branch_id: int, keeper: str, display_name: str
) -> None:
    """Refuse GROUP_NAME_TAKEN when *keeper* has a group of this name."""
    same = (Group.branch_id == branch_id) & (Group.keeper == keeper)
    same &= (Group.display_name == display_name) & Group.delete_time.is_(None)
    if (await work.execute(select(Group.group_id).where(same))).first():
        raise AlreadyExists("GROUP_NAME_TAKEN")


async def create(
    uow: UnitOfWork,
    caller: Caller,
    *,
    display_name: str,
    description: str,
    kind: int,
    rule: Rule | None,
) -> queries.Shown:
    """
    Create a group in the caller's branch, kept by the caller: an empty list, or a rule in the caller's sight.

    Refuses GROUP_NAME_TAKEN, GROUP_RULE_MISSING, GROUP_WITHOUT_RULE and GROUP_RULE_CONTRADICTS.
    """
    async with uow(caller) as work:
        kept = _rule_of(kind, rule)
        await _check_name(work, caller.branch_id, caller.key, display_name)
        row = Group(
            branch_id=caller.branch_id,
            group_id=uuid7(),
            display_name=display_name,
            description=description,
            kind=kind or STATIC,
            keeper=caller.key,
            create_time=work.now,
            update_time=work.now,
            rule=kept,
            own_only=caller.own_only,
        )
        work.add(row)
        await work.register("groups", row.group_id, caller.branch_id)
        work.note(f"groups/{row.group_id}", branch_id=caller.branch_id)
        return await queries.shown(work, row.group_id)


async def update(
    uow: UnitOfWork,
    caller: Caller,
    *,
    group_id: UUID,
    version: int,
    fields: Mapping[str, Any],
) -> queries.Shown:
    """
    Write *fields* of a group, if *version* is still current; whose customers a rule is about stays as it was.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, GROUP_NAME_TAKEN, GROUP_RULE_MISSING, GROUP_WITHOUT_RULE and
    GROUP_RULE_CONTRADICTS.
    """
    async with uow(caller) as work:
        row = await queries.held(work, group_id)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        values = dict(fields)
        if "rule" in values:
            if row.kind != RULE:
                raise Unready("GROUP_WITHOUT_RULE")
            values["rule"] = _rule_of(row.kind, values["rule"])
        name = values.get("display_name", row.display_name)
        if name != row.display_name:
            await _check_name(work, row.branch_id, row.keeper, name)
        changed = [key for key, value in values.items() if getattr(row, key) != value]
        for key in changed:
            setattr(row, key, values[key])
        return await _touched(work, row, fields=sorted(changed))


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
) -> tuple[queries.Shown, int, list[str]]:
    """
    Put customers of the group's branch in; return the group, how many were added, and who is unknown.

    Refuses NOT_FOUND, GROUP_BY_RULE and GROUP_FULL.
    """
    async with uow(caller) as work:
        row = await _list_held(work, group_id)
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
) -> tuple[queries.Shown, int]:
    """Take customers out; return the group and how many were taken out. Refuses NOT_FOUND and GROUP_BY_RULE."""
    async with uow(caller) as work:
        row = await _list_held(work, group_id)
        gone = await work.run(REMOVED, row.branch_id, group_id, work.now, list(numbers))
        return await _touched(work, row, removed=len(gone)), len(gone)


async def _list_held(work: Work, group_id: UUID) -> Group:
    """Return the row of one list to change its members; refuse NOT_FOUND, and GROUP_BY_RULE for one without a list."""
    row = await queries.held(work, group_id)
    if row.kind == RULE:
        raise Unready("GROUP_BY_RULE")
    return row


async def _touched(work: Work, row: Group, **detail: object) -> queries.Shown:
    """Mark a group as changed, and return it as lists show it."""
    row.update_time = work.now
    work.note(f"groups/{row.group_id}", branch_id=row.branch_id, **detail)
    return await queries.shown(work, row.group_id)


async def opened(
    uow: UnitOfWork, caller: Caller, *, branch_id: int, groups: Sequence[UUID]
) -> Sequence[Any]:
    """
    Return the rows of *groups* whose members are to be streamed, and tell the audit trail how many those are now.

    Refuses GROUPS_OF_OTHER_BRANCH when one of *groups* is not there, or not in that branch.
    """
    async with uow.read(caller) as work:
        rows = await queries.of_branch(work, branch_id, groups)
        if len(rows) != len(groups):
            missing = len(groups) - len(rows)
            raise Invalid("GROUPS_OF_OTHER_BRANCH", count=missing, branch=branch_id)
        tell(member_count=await counted(work, rows))
    return rows
