"""Write changes of ownerships: rows, history, events, and who may see, in one transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from services.allocation.ownership import events, rules
from services.allocation.ownership.rules import Principle, Wanted
from services.chassis.db import Work

CHANGED = """
    UPDATE ownerships AS o
    SET previous_owner = CASE WHEN o.owner <> line.owner AND o.state = 3 THEN o.owner ELSE o.previous_owner END,
        owner = line.owner, relation = CASE WHEN line.state = 4 OR line.state = 1 THEN 0 ELSE 1 END, mode = line.mode,
        state = line.state, state_time = $2, cultivation_end_date = line.cultivation, principle = line.principle,
        plan_id = line.plan, reason = line.reason, version = o.version + 1, update_time = $2
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::smallint[], $8::date[], $9::smallint[],
                $10::text[])
        AS line (plan, number, owner, mode, state, cultivation, principle, reason)
    WHERE o.branch_id = $1 AND o.number = line.number
    RETURNING o.number, o.owner, o.mode, o.state, o.relation, o.version, o.principle, o.cultivation_end_date"""
KEPT = """
    INSERT INTO ownership_changes (branch_id, number, version, act, change_time, actor, branch_before, branch_after,
        owner_before, owner_after, state_before, state_after, mode_before, mode_after, principle, recall_cause, plan_id,
        reason, inputs)
    SELECT $1, line.number, line.version, line.act, $2, $3, $1, $1, line.owner_before, line.owner_after,
        line.state_before, line.state_after, line.mode_before, line.mode_after, line.principle, line.cause, $4,
        line.reason, line.inputs::jsonb
    FROM unnest($5::text[], $6::bigint[], $7::smallint[], $8::text[], $9::text[], $10::smallint[], $11::smallint[],
                $12::smallint[], $13::smallint[], $14::smallint[], $15::smallint[], $16::text[], $17::text[])
        AS line (number, version, act, owner_before, owner_after, state_before, state_after, mode_before, mode_after,
                 principle, cause, reason, inputs)
    ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Change:
    """One customer's ownership as it was, and what becomes of it."""

    before: Any
    wanted: Wanted
    principle: int = Principle.BY_HAND
    reason: str = ""
    cultivation: date | None = None
    state: int = 0
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def after(self) -> int:
        """Return the state that it leads to; put back, it is what it was before."""
        return self.state or rules.state_after(self.wanted)

    @property
    def chosen(self) -> bool:
        """Say whether it chooses an owner, by whatever principle; putting back does not."""
        return self.wanted.act is not rules.Act.RESTORED

    @property
    def mode(self) -> int:
        """Return the mode that it leads to; only active customers have one."""
        if self.after != rules.State.ACTIVE:
            return 0
        return self.wanted.mode or int(self.before.mode)


async def write(
    work: Work, branch_id: int, changes: Sequence[Change], plan_id: UUID | None = None
) -> None:
    """
    Write *changes* of one branch, keep their history, tell of them, and have the customer service told who may see.

    The rows must be locked. At most 1,000 changes go into one event and one errand. *plan_id* is the plan that does
    it; the ownerships name it as long as its choice holds.
    """
    if not changes:
        return
    rows = {row.number: row for row in await _update(work, branch_id, changes, plan_id)}
    await _keep(work, branch_id, changes, rows, plan_id)
    for start in range(0, len(changes), events.CHUNK):
        piece = [
            (one, rows[one.before.number])
            for one in changes[start : start + events.CHUNK]
        ]
        for fact in events.changed(piece, work.caller.subject, work.now, plan_id):
            work.publish(fact, branch_id=branch_id)
        request = events.access([row for _, row in piece], branch_id)
        work.errand(
            "/guanhu.customer.v1.CustomerService/SetAccess",
            request,
            branch_id=branch_id,
        )


async def _update(
    work: Work, branch_id: int, changes: Sequence[Change], plan_id: UUID | None
) -> list[Any]:
    return await work.run(
        CHANGED,
        branch_id,
        work.now,
        [plan_id if one.chosen else None for one in changes],
        [one.before.number for one in changes],
        [one.wanted.owner for one in changes],
        [one.mode for one in changes],
        [one.after for one in changes],
        [one.cultivation for one in changes],
        [one.principle for one in changes],
        [one.reason for one in changes],
    )


async def _keep(
    work: Work,
    branch_id: int,
    changes: Sequence[Change],
    rows: Mapping[str, Any],
    plan_id: UUID | None,
) -> None:
    await work.run(
        KEPT,
        branch_id,
        work.now,
        work.caller.subject,
        plan_id,
        [one.before.number for one in changes],
        [rows[one.before.number].version for one in changes],
        [one.wanted.act for one in changes],
        [one.before.owner for one in changes],
        [one.wanted.owner for one in changes],
        [one.before.state for one in changes],
        [one.after for one in changes],
        [one.before.mode for one in changes],
        [one.mode for one in changes],
        [one.principle for one in changes],
        [one.wanted.cause for one in changes],
        [one.reason for one in changes],
        [json.dumps(one.inputs) for one in changes],
    )
