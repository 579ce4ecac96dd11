"""Draft a plan: who may be given customers, who waits, and what value first makes of them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.allocation.ownership.actions import give
from services.allocation.ownership.queries import (
    loads as loads_of,
)
from services.allocation.ownership.queries import (
    owners_of_branch,
    working,
)
from services.allocation.ownership.rules import Principle, post_fault
from services.allocation.plan import queries, rules
from services.allocation.plan.rules import Candidate, Choice, Load, Parameters
from services.allocation.plan.tables import AssignmentPlan
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Exhausted, NotFound, Unready

WRITTEN = """
    INSERT INTO plan_items (branch_id, plan_id, number, rank, current_owner, current_state, current_version,
        proposed_owner, mode, cultivation_end_date, rule, inputs, tier, customer_type, source, financial_assets,
        currency, edited, edit_reason, outcome, applied_version)
    SELECT $1, $2, line.number, line.rank, line.holder, line.state, line.version, line.proposed,
        CASE WHEN line.proposed = '' THEN 0 ELSE $3::smallint END,
        CASE WHEN line.proposed = '' THEN NULL ELSE $4::date END,
        line.rule, line.inputs::jsonb, line.tier, line.kind, line.source, line.assets, line.currency, false, '', 0, 0
    FROM unnest($5::text[], $6::integer[], $7::text[], $8::smallint[], $9::bigint[], $10::text[], $11::text[],
                $12::text[], $13::smallint[], $14::smallint[], $15::smallint[], $16::bigint[], $17::text[])
        AS line (number, rank, holder, state, version, proposed, rule, inputs, tier, kind, source, assets, currency)
    ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Worked:
    """A plan worked out: what is decided about each customer, the owners' loads, and the digest of what went in."""

    choices: Sequence[Choice]
    loads: Sequence[Load]
    digest: str


async def draft(
    uow: UnitOfWork, caller: Caller, *, parameters: Parameters, display_name: str
) -> AssignmentPlan:
    """
    Draft a plan for one branch by value first; nobody's owner changes.

    Refuses NOT_FOUND (of the branch, of an owner asked for), OWNER_OF_OTHER_BRANCH, OWNER_POST_MISSING,
    MODE_NOT_FOR_OWNER, PLAN_WITHOUT_OWNERS, PLAN_EMPTY and PLAN_TOO_LARGE.
    """
    branch_id = parameters.branch_id
    if not caller.sees(branch_id):
        raise NotFound("branch", "网点")
    async with uow(caller) as work:
        owners = await _owners(work, parameters)
        rows = await _customers(work, parameters)
        loads = await loads_now(work, branch_id, owners)
        forbid = await give.capacity_forbids(work, branch_id)
        worked = await asyncio.to_thread(_work_out, rows, loads, parameters, forbid)
        row = _plan(work, parameters, display_name, worked)
        work.add(row)
        await work.register("plans", row.plan_id, branch_id)
        until = await give.cultivation_end(work, branch_id)
        await _write(work, row, rows, worked, until)
        counts = {"customers": row.item_count, "given": row.assign_count}
        work.note(f"plans/{row.plan_id}", branch_id=branch_id, **counts)
        return row


async def _owners(work: Work, parameters: Parameters) -> list[str]:
    """Return who can be given customers: those asked for, each refused who cannot, else everybody who can."""
    branch_id, mode = parameters.branch_id, parameters.mode
    if parameters.owners:
        found = await owners_of_branch(work, sorted(parameters.owners), branch_id)
        for one in found:
            give.check_posts(one.posts, one.staff_id, mode)
    else:
        everybody = await working(work, branch_id)
        found = [one for one in everybody if not post_fault(one.posts, mode)]
    if not found:
        raise Unready("PLAN_WITHOUT_OWNERS", branch=branch_id)
    return [one.staff_id for one in found]


async def _customers(work: Work, parameters: Parameters) -> list[Any]:
    """Return who waits and fits; refuses PLAN_EMPTY and PLAN_TOO_LARGE."""
    count = await queries.count_fitting(work, parameters)
    limit = await work.parameter("plan_size_limit", parameters.branch_id)
    if not count:
        raise Unready("PLAN_EMPTY")
    if count > limit:
        raise Exhausted("PLAN_TOO_LARGE", count=count, limit=limit)
    return await queries.fitting(work, parameters)


async def loads_now(work: Work, branch_id: int, owners: Sequence[str]) -> list[Load]:
    """Return the loads of *owners* as they are now, with nobody given yet."""
    return [
        rules.fresh_load(one.owner, one.capacity, one.count, one.assets)
        for one in await loads_of(work, branch_id, owners)
    ]


def _work_out(
    rows: Sequence[Any],
    loads: Sequence[Load],
    parameters: Parameters,
    forbid: bool,
) -> Worked:
    """Work the plan out; for a large branch that takes so long that it is done off the loop."""
    candidates = [
        Candidate(row.number, row.tier, row.financial_assets, row.owner, row.state)
        for row in rows
    ]
    choices, after = rules.draft(
        candidates, loads, limit=parameters.limit_per_owner, forbid=forbid
    )
    digest = rules.digest_of(candidates, loads, parameters, forbid=forbid)
    return Worked(choices, after, digest)


def _plan(
    work: Work, parameters: Parameters, display_name: str, worked: Worked
) -> AssignmentPlan:
    assigned = sum(one.owner != "" for one in worked.choices)
    row = AssignmentPlan(
        branch_id=parameters.branch_id,
        plan_id=uuid7(),
        display_name=display_name or f"价值优先 {work.today}",
        principle=Principle.VALUE_FIRST,
        limit_per_owner=parameters.limit_per_owner,
        tiers=list(parameters.tiers),
        owners=list(parameters.owners),
        mode=parameters.mode,
        include_pending=parameters.include_pending,
        state=rules.PlanState.DRAFT,
        item_count=len(worked.choices),
        assign_count=assigned,
        leave_count=len(worked.choices) - assigned,
        edited_count=0,
        applied_count=0,
        skipped_count=0,
        restored_count=0,
        kept_count=0,
        rule_version=rules.RULE_VERSION,
        input_digest=worked.digest,
        drafter=work.caller.key,
        applier="",
        undoer="",
        undo_reason="",
        create_time=work.now,
        update_time=work.now,
    )
    set_loads(row, worked.loads)
    return row


def set_loads(row: AssignmentPlan, loads: Sequence[Load]) -> None:
    """Put the owners' loads, and how even they are, into a plan."""
    row.loads = [asdict(one) for one in loads]
    row.fairness_before = asdict(rules.fairness_before(loads))
    row.fairness_after = asdict(rules.fairness_after(loads))


def loads_in(row: AssignmentPlan) -> list[Load]:
    """Return the owners' loads of a plan."""
    return [Load(**one) for one in row.loads]


async def _write(
    work: Work, row: AssignmentPlan, rows: Sequence[Any], worked: Worked, until: date
) -> None:
    """Write the customers of a plan, all at once."""
    columns = await asyncio.to_thread(
        _columns, {one.number: one for one in rows}, worked.choices
    )
    key: tuple[int, UUID] = (row.branch_id, row.plan_id)
    await work.run(WRITTEN, *key, row.mode, until, *columns)


def _columns(
    found: Mapping[str, Any], choices: Sequence[Choice]
) -> tuple[Sequence[Any], ...]:
    """Return the customers of a plan column by column."""
    rows = [found[one.number] for one in choices]
    return (
        [one.number for one in choices],
        [one.rank for one in choices],
        [one.owner for one in rows],
        [one.state for one in rows],
        [one.version for one in rows],
        [one.owner for one in choices],
        [one.rule for one in choices],
        [json.dumps(one.inputs) for one in choices],
        [one.tier for one in rows],
        [one.customer_type for one in rows],
        [one.source for one in rows],
        [one.financial_assets for one in rows],
        [one.currency for one in rows],
    )
