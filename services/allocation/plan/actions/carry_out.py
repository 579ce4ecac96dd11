"""Apply a plan and undo it: each one transaction, decided under lock, through the same code as giving by hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from typing import Any

from services.allocation.ownership.actions import give
from services.allocation.ownership.actions.write import Change, write
from services.allocation.ownership.queries import Load as Owned
from services.allocation.ownership.queries import locked, working
from services.allocation.ownership.rules import (
    Act,
    Cause,
    Principle,
    State,
    Wanted,
    post_fault,
    skip_of,
)
from services.allocation.plan import queries, rules
from services.allocation.plan.actions.draft import loads_in, loads_now, set_loads
from services.allocation.plan.actions.edit import Read, held
from services.allocation.plan.rules import Load, Outcome, PlanState, Rule, Seen
from services.allocation.plan.tables import AssignmentPlan
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Unready

APPLIED = """
    UPDATE plan_items
    SET outcome = ($4::smallint[])[rank],
        applied_version = CASE WHEN ($4::smallint[])[rank] = 1 THEN current_version + 1 ELSE 0 END,
        cultivation_end_date = CASE WHEN ($4::smallint[])[rank] = 1 THEN $3::date ELSE cultivation_end_date END
    WHERE branch_id = $1 AND plan_id = $2 AND proposed_owner <> ''"""
UNDONE = """
    UPDATE plan_items SET outcome = ($3::smallint[])[rank]
    WHERE branch_id = $1 AND plan_id = $2 AND outcome = 1"""
"""
Outcomes come as one array, each in the place of its rank.

A join with the lines would be planned by statistics that know nothing of a plan drafted a minute ago.
"""


async def apply(uow: UnitOfWork, caller: Caller, *, read: Read) -> AssignmentPlan:
    """
    Give the customers of a draft to the owners proposed, in one transaction.

    Skipped is who changed since the draft, and whoever was to be given to somebody who cannot have them any more.
    The loads are told anew, as they were just before and are now.
    Refuses NOT_FOUND, PLAN_NOT_DRAFT, CHANGED_MEANWHILE and CAPACITY_EXCEEDED.
    """
    async with uow(caller) as work:
        row = await held(work, read, PlanState.DRAFT)
        branch_id = row.branch_id
        items = await queries.to_give(work, row)
        owners = sorted({one.proposed_owner for one in items})
        posts = {
            one.staff_id: one.posts for one in await working(work, branch_id, owners)
        }
        found = await locked(work, branch_id, [one.number for one in items])
        until = await give.cultivation_end(work, branch_id)
        changes = [
            _given(row, one, found[one.number], until)
            for one in items
            if _may_give(one, found.get(one.number), posts, work.today)
        ]
        await _load(work, row, changes)
        await write(work, branch_id, changes, row.plan_id)
        done = {one.before.number for one in changes}
        outcomes = _by_rank(row, items, done, (Outcome.APPLIED, Outcome.SKIPPED))
        await work.run(APPLIED, branch_id, row.plan_id, until, outcomes)
        row.state, row.applier, row.apply_time = (
            PlanState.APPLIED,
            caller.key,
            work.now,
        )
        row.applied_count, row.skipped_count = len(changes), len(items) - len(changes)
        counts = {"given": row.applied_count, "skipped": row.skipped_count}
        work.note(f"plans/{row.plan_id}", branch_id=branch_id, **counts)
        await work.session.flush()
        return row


def _may_give(
    item: Any, now: Any, posts: Mapping[str, Sequence[str]], today: date
) -> bool:
    """Say whether a customer is as at the draft, and the owner proposed can still have them."""
    owner = item.proposed_owner
    then = Seen(item.current_version, item.current_owner, item.current_state)
    if now is None or Seen(now.version, now.owner, now.state) != then:
        return False
    wanted = Wanted(Act.ASSIGNED, owner, item.mode)
    if skip_of(now, item.current_owner, wanted, today):
        return False
    return owner in posts and not post_fault(posts[owner], item.mode)


def _given(row: AssignmentPlan, item: Any, before: Any, until: date) -> Change:
    """Return the change that gives a customer to the owner proposed."""
    hand = item.rule == Rule.BY_HAND
    proposer = item.inputs.get("editor", f"staff/{row.drafter}")
    facts = {key: value for key, value in item.inputs.items() if key != "editor"}
    return Change(
        before,
        Wanted(Act.ASSIGNED, item.proposed_owner, item.mode),
        principle=Principle.BY_HAND if hand else Principle.VALUE_FIRST,
        reason=item.edit_reason or row.display_name,
        cultivation=until,
        inputs={**facts, "proposer": proposer, "rule_version": row.rule_version},
    )


async def _load(work: Work, row: AssignmentPlan, changes: Sequence[Change]) -> None:
    """Put loads before and after applying into the plan; refuses CAPACITY_EXCEEDED."""
    owners = [one.owner for one in loads_in(row)]
    counts = Counter(one.wanted.owner for one in changes)
    assets: Counter[str] = Counter()
    for one in changes:
        assets[one.wanted.owner] += one.before.financial_assets
    before = await loads_now(work, row.branch_id, owners)
    await give.guard_capacity(
        work,
        row.branch_id,
        [(_owned(one), counts[one.owner]) for one in before if counts[one.owner]],
    )
    after = [rules.given(one, assets[one.owner], counts[one.owner]) for one in before]
    set_loads(row, after)


def _owned(load: Load) -> Owned:
    return Owned(load.owner, load.capacity, load.count_before, load.assets_before)


def _by_rank(
    row: AssignmentPlan,
    items: Sequence[Any],
    done: AbstractSet[str],
    outcomes: tuple[Outcome, Outcome],
) -> list[int]:
    """Return what became of each customer in the place of their rank: the first of *outcomes* where it was *done*."""
    found = [int(Outcome.NONE)] * row.item_count
    for one in items:
        found[one.rank - 1] = int(outcomes[one.number not in done])
    return found


async def undo(
    uow: UnitOfWork, caller: Caller, *, read: Read, reason: str
) -> AssignmentPlan:
    """
    Put the customers whom a plan gave away back as they were before it, in one transaction; who changed is kept.

    Refuses NOT_FOUND, PLAN_NOT_APPLIED, CHANGED_MEANWHILE and PLAN_UNDO_TOO_LATE.
    """
    async with uow(caller) as work:
        row = await held(work, read, PlanState.APPLIED)
        branch_id = row.branch_id
        days = await work.parameter("plan_undo_days", branch_id)
        if row.apply_time is None or work.now - row.apply_time > timedelta(days=days):
            raise Unready("PLAN_UNDO_TOO_LATE", days=days)
        items = await queries.with_outcome(work, row, Outcome.APPLIED)
        holders = await _holders(work, branch_id, items)
        found = await locked(work, branch_id, [one.number for one in items])
        changes = [
            _put_back(one, found[one.number], reason, holders)
            for one in items
            if _is_as_applied(one, found.get(one.number))
        ]
        await write(work, branch_id, changes, row.plan_id)
        back = {one.before.number for one in changes}
        outcomes = _by_rank(row, items, back, (Outcome.RESTORED, Outcome.KEPT))
        await work.run(UNDONE, branch_id, row.plan_id, outcomes)
        row.state, row.undoer, row.undo_time = PlanState.UNDONE, caller.key, work.now
        row.undo_reason = reason
        row.restored_count, row.kept_count = len(changes), len(items) - len(changes)
        counts = {"restored": row.restored_count, "kept": row.kept_count}
        work.note(f"plans/{row.plan_id}", branch_id=branch_id, reason=reason, **counts)
        await work.session.flush()
        return row


async def _holders(work: Work, branch_id: int, items: Sequence[Any]) -> set[str]:
    """Return who of those who held customers before the plan may still hold them."""
    owners = sorted({one.current_owner for one in items if one.current_owner})
    found = await working(work, branch_id, owners)
    return {one.staff_id for one in found if "BRANCH_MANAGER" in one.posts}


def _is_as_applied(item: Any, now: Any) -> bool:
    """Say whether a customer is as applying the plan left them."""
    then = Seen(item.applied_version, item.proposed_owner, State.ACTIVE)
    return now is not None and Seen(now.version, now.owner, now.state) == then


def _put_back(item: Any, before: Any, reason: str, holders: set[str]) -> Change:
    """
    Return the change that puts a customer back as before the plan.

    Who was held under somebody who is not the branch's manager any more waits to be assigned again.
    """
    owner, state = item.current_owner, State(item.current_state)
    if owner and owner not in holders:
        owner, state = "", State.RECALLED
    return Change(
        before,
        Wanted(Act.RESTORED, owner, cause=Cause.PLAN_UNDONE),
        principle=Principle.BY_HAND if owner else 0,
        reason=reason,
        state=state,
        inputs=give.inputs_of(before),
    )
