"""Change a draft by hand: hold a plan as its reader saw it, and give one customer to somebody else, or to nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.allocation.ownership.actions import give
from services.allocation.ownership.queries import Load as Owned
from services.allocation.ownership.queries import owner_of_branch
from services.allocation.plan import queries, rules
from services.allocation.plan.actions.draft import loads_in, loads_now, set_loads
from services.allocation.plan.rules import Load, PlanState
from services.allocation.plan.tables import AssignmentPlan, PlanItem
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Stale, Unready


@dataclass(frozen=True, slots=True)
class Read:
    """A plan as somebody read it at *version*."""

    plan_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person decides about one customer; no *owner* leaves them as they are, *mode* 0 is the plan's."""

    number: str
    owner: str
    mode: int
    reason: str


async def held(work: Work, read: Read, state: PlanState) -> AssignmentPlan:
    """
    Return a plan to change, locked, as its caller read it.

    Refuses NOT_FOUND, PLAN_NOT_DRAFT or PLAN_NOT_APPLIED when it is not in *state*, and CHANGED_MEANWHILE.
    """
    row = await queries.plan(work, read.plan_id, lock=True)
    if row.state != state:
        reason = "PLAN_NOT_DRAFT" if state is PlanState.DRAFT else "PLAN_NOT_APPLIED"
        raise Unready(reason, state=PlanState(row.state).name)
    if row.version != read.version:
        raise Stale("CHANGED_MEANWHILE")
    row.update_time = work.now
    return row


async def edit(
    uow: UnitOfWork, caller: Caller, *, read: Read, change: Edit
) -> PlanItem:
    """
    Change whom one customer of a draft is to be given to; the plan's loads, counts and etag change with it.

    A person may go beyond the plan's limit per owner, and choose owners whom the plan does not look at.
    Refuses NOT_FOUND, PLAN_NOT_DRAFT, CHANGED_MEANWHILE, OWNER_OF_OTHER_BRANCH, OWNER_POST_MISSING,
    MODE_NOT_FOR_OWNER and CAPACITY_EXCEEDED.
    """
    async with uow(caller) as work:
        row = await held(work, read, PlanState.DRAFT)
        item = await queries.item(work, row, change.number)
        loads = {one.owner: one for one in loads_in(row)}
        before = item.proposed_owner
        if before:
            loads[before] = rules.given(loads[before], -item.financial_assets, -1)
        mode, load = 0, None
        if change.owner:
            mode = change.mode or row.mode
            load = await _receiver(work, row, change.owner, mode, loads)
            loads[change.owner] = rules.given(load, item.financial_assets)
        _decide(item, load, change.reason, caller)
        item.mode = mode
        until = await give.cultivation_end(work, row.branch_id)
        item.cultivation_end_date = until if change.owner else None
        row.edited_count += not item.edited
        item.edited = True
        gained = bool(change.owner) - bool(before)
        row.assign_count, row.leave_count = (
            row.assign_count + gained,
            row.leave_count - gained,
        )
        set_loads(row, [loads[owner] for owner in sorted(loads)])
        work.note(
            f"plans/{row.plan_id}",
            branch_id=row.branch_id,
            customer=item.number,
            before=before,
            after=change.owner,
            reason=change.reason,
        )
        await work.session.flush()
        return item


async def _receiver(
    work: Work, row: AssignmentPlan, owner: str, mode: int, loads: Mapping[str, Load]
) -> Load:
    """Return the load of somebody who can be given one customer more by a plan, without that customer."""
    found = await owner_of_branch(work, owner, row.branch_id)
    give.check_posts(found.posts, owner, mode)
    load = loads.get(owner) or (await loads_now(work, row.branch_id, [owner]))[0]
    then = Owned(owner, load.capacity, load.count_after, load.assets_after)
    await give.guard_capacity(work, row.branch_id, [(then, 1)])
    return load


def _decide(item: PlanItem, load: Load | None, reason: str, caller: Caller) -> None:
    """Put into a customer's row what a person decided."""
    choice = rules.by_hand(
        item.number, item.rank, item.inputs, load=load, editor=caller.subject
    )
    item.proposed_owner, item.rule = choice.owner, choice.rule
    item.inputs, item.edit_reason = dict(choice.inputs), reason
