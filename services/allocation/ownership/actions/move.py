"""
Follow customers to another branch: ownership and history go along, whoever looked after or held them does not.

An owner works in one branch, so somebody who moved is taken back with the cause CUSTOMER_MOVED and waits in the queue
of the new branch, where its manager gives or holds them (source: handbook, undecided customers wait with the manager).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.allocation.ownership import events
from services.allocation.ownership.actions.learn import (
    LISTED,
    REGISTERED,
    Facts,
    columns_of,
    keep_registered,
)
from services.allocation.ownership.actions.write import Change
from services.allocation.ownership.queries import locked
from services.allocation.ownership.rules import Act, Cause, State, Wanted
from services.chassis.db import Work
from services.chassis.move import Movable, move, refuse_unseen

MOVABLES = (Movable("ownership_changes", "number"), Movable("ownerships", "number"))

HOMES = """
    SELECT id AS number, branch_id FROM directory WHERE kind = 'customers' AND id = ANY ($1::text[])
    ORDER BY id FOR UPDATE"""
"""The one row per customer of the whole bank: whoever holds it decides where the customer is."""

COUNTED = """
    SELECT number, move_version FROM ownerships WHERE branch_id = $1 AND number = ANY ($2::text[])
    ORDER BY number FOR UPDATE"""
"""Locked before anything is moved: whoever is giving a customer at this moment also writes the history."""

RELEASED = """
    UPDATE ownerships AS o
    SET previous_owner = CASE WHEN o.state = 3 THEN o.owner ELSE o.previous_owner END, owner = '', relation = 0,
        mode = 0, state_time = CASE WHEN o.state IN (2, 3) THEN $2 ELSE o.state_time END,
        state = CASE WHEN o.state IN (2, 3) THEN 4 ELSE o.state END, cultivation_end_date = NULL, principle = 0,
        plan_id = NULL, reason = '', version = o.version + 1, move_version = line.move_version, update_time = $2
    FROM unnest($3::text[], $4::bigint[]) AS line (number, move_version)
    WHERE o.branch_id = $1 AND o.number = line.number
    RETURNING o.number, o.owner, o.mode, o.state, o.relation, o.version, o.principle, o.cultivation_end_date"""
KEPT = """
    INSERT INTO ownership_changes (branch_id, number, version, act, change_time, actor, branch_before, branch_after,
        owner_before, owner_after, state_before, state_after, mode_before, mode_after, principle, recall_cause, plan_id,
        reason, inputs)
    SELECT $1, line.number, line.version, $2, $3, $4, line.home, $1, line.owner, '', line.before, line.after, line.mode,
        0, 0, line.cause, NULL, '', '{}'::jsonb
    FROM unnest($5::text[], $6::bigint[], $7::int[], $8::text[], $9::smallint[], $10::smallint[], $11::smallint[],
                $12::smallint[])
        AS line (number, version, home, owner, before, after, mode, cause)
    ON CONFLICT DO NOTHING"""

HAD = frozenset({State.PENDING, State.ACTIVE})
"""States in which somebody looks after or holds a customer."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A customer who moved, as the customer service tells them then; ``count`` rises with every move."""

    facts: Facts
    count: int


async def learn_moves(
    work: Work, source: int, target: int, moved: Sequence[Moved]
) -> None:
    """
    Bring customers who moved from *source* to *target*, from wherever they are here, and take them back.

    Moves not above the last known are dropped, so it does not matter in which branch one is told first, nor how
    often. Raises ElsewhereError where the transaction does not see a branch that is needed.
    """
    refuse_unseen(work, {source, target})
    told = {one.facts.number: one for one in moved}
    await work.run(LISTED, target, list(told))
    rows = await work.run(HOMES, list(told))
    homes = {row.number: int(row.branch_id) for row in rows}
    branches = sorted({target, *homes.values()})
    refuse_unseen(work, branches)
    known = {
        row.number: row.move_version
        for branch_id in branches
        for row in await work.run(COUNTED, branch_id, list(told))
    }
    news = {
        number: homes[number]
        for number, one in told.items()
        if one.count > known.get(number, 0)
    }
    await _bring(work, news, target)
    fresh = await _know(work, target, [told[number] for number in news])
    await keep_registered(work, target, fresh)
    stayed = [told[number] for number in news if number not in fresh]
    await _release(work, target, stayed, news)
    for branch_id in sorted({source, *branches}) if news else ():
        work.note(f"branches/{branch_id}", branch_id=branch_id, moved=len(news))


async def _bring(work: Work, news: Mapping[str, int], target: int) -> None:
    """Move the rows of each customer from where they are."""
    ways = defaultdict(list)
    for number, home in sorted(news.items()):
        ways[home].append(number)
    for home in sorted(set(ways) - {target}):
        keys = ways[home]
        await move(
            work, MOVABLES, kind="customers", keys=keys, source=home, target=target
        )


async def _know(work: Work, target: int, moved: Sequence[Moved]) -> list[str]:
    """Write the facts of those who moved; return who had not been met before."""
    columns = columns_of([one.facts for one in moved])
    rows = await work.run(REGISTERED, target, work.now, *columns)
    fresh = {row.number for row in rows if row.fresh}
    counts = {one.facts.number: one.count for one in moved if one.facts.number in fresh}
    await work.run(MET, target, list(counts), list(counts.values()))
    return sorted(fresh)


MET = """
    UPDATE ownerships AS o SET move_version = line.move_version
    FROM unnest($2::text[], $3::bigint[]) AS line (number, move_version)
    WHERE o.branch_id = $1 AND o.number = line.number"""


async def _release(
    work: Work, target: int, moved: Sequence[Moved], homes: Mapping[str, int]
) -> None:
    """Take those who moved back from whoever had them, keep it in their history, and tell of it."""
    numbers = sorted(one.facts.number for one in moved)
    counts = {one.facts.number: one.count for one in moved}
    before = await locked(work, target, numbers)
    rows = await work.run(
        RELEASED, target, work.now, numbers, [counts[number] for number in numbers]
    )
    after = {row.number: row for row in rows}
    pairs = [(_change(before[number]), after[number]) for number in numbers]
    await _keep(work, target, pairs, homes)
    told = [pair for pair in pairs if pair[0].before.state in HAD]
    if not told:
        return
    facts = events.changed(told, work.caller.subject, work.now, None)
    work.publish(*facts, branch_id=target)
    work.errand(
        "/guanhu.customer.v1.CustomerService/SetAccess",
        events.access([row for _, row in told], target),
        branch_id=target,
    )


def _change(before: Any) -> Change:
    """Return what a move makes of an ownership: nobody's, taken back when it was somebody's."""
    wanted = Wanted(Act.MOVED)
    if before.state in HAD:
        wanted = replace(wanted, cause=Cause.CUSTOMER_MOVED)
    return Change(before, wanted)


async def _keep(
    work: Work,
    target: int,
    pairs: Sequence[tuple[Change, Any]],
    homes: Mapping[str, int],
) -> None:
    before = [change.before for change, _ in pairs]
    await work.run(
        KEPT,
        target,
        int(Act.MOVED),
        work.now,
        work.caller.subject,
        [one.number for one in before],
        [row.version for _, row in pairs],
        [homes[one.number] for one in before],
        [one.owner for one in before],
        [one.state for one in before],
        [row.state for _, row in pairs],
        [one.mode for one in before],
        [change.wanted.cause for change, _ in pairs],
    )
