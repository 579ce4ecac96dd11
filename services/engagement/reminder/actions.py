"""Commands on reminders: remind of facts, settle, dismiss."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Stale, Unready
from services.chassis.move import Movable
from services.engagement.reminder import queries
from services.engagement.reminder.rules import SORTS, UNSETTLED, Fact, State, end_of

REMINDED = """
    INSERT INTO reminders (branch_id, reminder_id, number, category, kind, event_type, fact_key, fact_date, show_date,
                           end_date, amount, currency, holding, product, state, dismiss_reason, create_time,
                           update_time, version)
    SELECT $1, line.*, 1, '', $2, $2, 1
    FROM unnest($3::uuid[], $4::text[], $5::smallint[], $6::smallint[], $7::smallint[], $8::text[], $9::date[],
                $10::date[], $11::date[], $12::bigint[], $13::text[], $14::text[], $15::text[]) AS line
    ON CONFLICT (branch_id, number, kind, fact_key) DO NOTHING
    RETURNING reminder_id"""
MARKED = """
    UPDATE reminders SET state = $3, update_time = $4, version = version + 1
    WHERE branch_id = $1 AND reminder_id = ANY ($2::uuid[]) AND state = ANY ($5::smallint[])
    RETURNING reminder_id, number"""
TIDINGS_DROPPED = """
    UPDATE reminders AS r SET state = 4, dismiss_reason = $3, update_time = $4, version = r.version + 1
    FROM portfolio AS p
    WHERE r.branch_id = $1 AND r.number = ANY ($2::text[]) AND r.kind = 20 AND r.state IN (1, 2)
        AND p.branch_id = $1 AND p.number = r.number AND (p.owner = '' OR r.fact_key <> p.ownership_version::text)"""

MOVABLES = (Movable("reminders", "number"),)
"""Reminders are about the customer, whoever looks after them: all go along."""


async def remind(work: Work, branch_id: int, facts: Sequence[Fact]) -> int:
    """Write one reminder per fact of one branch that is not known yet; return how many were new."""
    days_shown = await work.parameter("reminder_days_shown", branch_id)
    lines = [
        (
            uuid7(),
            fact.number,
            SORTS[fact.kind].category,
            fact.kind,
            SORTS[fact.kind].event_type,
            fact.key,
            fact.day,
            fact.seen,
            end_of(fact, days_shown),
            fact.amount,
            fact.currency,
            fact.holding,
            fact.product,
        )
        for fact in facts
    ]
    columns = [list(column) for column in zip(*lines, strict=True)]
    return len(await work.run(REMINDED, branch_id, work.now, *columns)) if lines else 0


async def mark(
    work: Work,
    branch_id: int,
    reminders: Sequence[UUID],
    *,
    state: State,
    only: Sequence[State] = tuple(UNSETTLED),
) -> list[Any]:
    """Bring *reminders* of one branch that are in one of the states *only* to *state*; return those it changed."""
    if not reminders:
        return []
    return await work.run(
        MARKED, branch_id, list(reminders), state, work.now, [int(one) for one in only]
    )


async def drop_tidings(
    work: Work, branch_id: int, numbers: Sequence[str], reason: str
) -> None:
    """Dismiss what told somebody that customers are theirs, where they are not any more."""
    await work.run(TIDINGS_DROPPED, branch_id, list(numbers), reason, work.now)


async def dismiss(
    uow: UnitOfWork,
    caller: Caller,
    *,
    reminder_id: UUID,
    version: int,
    reason: str,
) -> Any:
    """
    Dismiss one reminder without a contact.

    Refuses NOT_FOUND, CHANGED_MEANWHILE and REMINDER_SETTLED.
    """
    async with uow(caller) as work:
        row = await queries.reminder(work, reminder_id)
        if row.state not in UNSETTLED:
            raise Unready("REMINDER_SETTLED")
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        row.state, row.dismiss_reason = State.DISMISSED, reason
        row.update_time = work.now
        await work.session.flush()
        work.note(f"reminders/{reminder_id}", branch_id=row.branch_id, reason=reason)
        return await queries.shown(work, row.branch_id, reminder_id)
