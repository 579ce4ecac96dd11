"""Commands on planned batches: confirm, approve, reject, pause, resume, cancel; and their end."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Denied, Invalid, Stale, Unready
from services.messaging.batch import events, queries, rules
from services.messaging.batch.queries import Shown
from services.messaging.batch.rules import ChunkState, State, UnknownPolicy
from services.messaging.batch.tables import Batch
from services.messaging.gateway.queries import deaf
from services.messaging.template.queries import held as template_held

LOCKED = (
    "SELECT state, told FROM batches WHERE branch_id = $1 AND batch_id = $2 FOR UPDATE"
)
UNDER_WAY = """
    SELECT 1 FROM chunks WHERE branch_id = $1 AND batch_id = $2 AND state BETWEEN $3 AND 1 LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch as somebody saw it; ``digest`` None where it does not matter."""

    batch_id: UUID
    version: int
    digest: str | None = None


async def confirm(uow: UnitOfWork, caller: Caller, *, seen: Seen) -> Shown:
    """
    Confirm a planned batch: it goes out at its time, or waits for a second person.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, BATCH_STATE_UNFIT, DIGEST_DIFFERS, TEMPLATE_CHANGED, BATCH_PLAN_OUTDATED,
    BATCH_NOBODY_LEFT.
    """
    async with uow(caller) as work:
        row = await _seen(work, seen, State.PLANNED)
        await _check_template(work, row)
        hours = await work.parameter("confirm_hours", row.branch_id)
        if rules.outdated(row.create_time, work.now, hours):
            raise Unready("BATCH_PLAN_OUTDATED", hours=hours)
        messages = row.total_count - row.excluded_count
        if not messages:
            raise Unready("BATCH_NOBODY_LEFT")
        size = await work.parameter("approval_size", row.branch_id)
        row.confirmer = caller.key
        if rules.needs_second_person(row.purpose, messages, size):
            return await _moved(work, row, State.AWAITING_APPROVAL)
        return await _moved(work, row, rules.due_state(row.schedule_time, work.now))


async def approve(uow: UnitOfWork, caller: Caller, *, seen: Seen) -> Shown:
    """
    Approve what somebody else planned and confirmed.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, BATCH_STATE_UNFIT, DIGEST_DIFFERS, APPROVER_IS_SENDER and TEMPLATE_CHANGED.
    """
    async with uow(caller) as work:
        row = await _seen(work, seen, State.AWAITING_APPROVAL)
        _second_person(row, caller)
        await _check_template(work, row)
        row.approver = caller.key
        return await _moved(work, row, rules.due_state(row.schedule_time, work.now))


async def reject(uow: UnitOfWork, caller: Caller, *, seen: Seen, remark: str) -> Shown:
    """Turn down what another planned; refuses NOT_FOUND, CHANGED_MEANWHILE, BATCH_STATE_UNFIT, APPROVER_IS_SENDER."""
    async with uow(caller) as work:
        row = await _seen(work, seen, State.AWAITING_APPROVAL)
        _second_person(row, caller)
        row.approver, row.review_remark = caller.key, remark
        return await _moved(work, row, State.REJECTED)


async def _check_template(work: Work, row: Batch) -> None:
    """Refuse a batch whose template was edited since: what was approved is no longer what it would say."""
    template = await template_held(work, row.template_id)
    if template.revision != row.template_revision:
        raise Unready("TEMPLATE_CHANGED")


def _second_person(row: Batch, caller: Caller) -> None:
    if caller.key in (row.sender, row.confirmer):
        raise Denied("APPROVER_IS_SENDER")


async def pause(uow: UnitOfWork, caller: Caller, *, batch_id: UUID) -> Shown:
    """Hold a batch back; refuses NOT_FOUND and BATCH_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await _held(work, batch_id, State.SCHEDULED, State.SENDING)
        return await _moved(work, row, State.PAUSED)


async def resume(uow: UnitOfWork, caller: Caller, *, batch_id: UUID) -> Shown:
    """Let a batch go on where it stopped; refuses NOT_FOUND and BATCH_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await _held(work, batch_id, State.PAUSED)
        return await _moved(work, row, rules.due_state(row.schedule_time, work.now))


async def cancel(uow: UnitOfWork, caller: Caller, *, batch_id: UUID) -> Shown:
    """End a batch that is not finished; what was not handed over never is. Refuses NOT_FOUND and BATCH_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await _held(work, batch_id, *(set(State) - rules.ENDED))
        row.finish_time = work.now
        return await _moved(work, row, State.CANCELLED)


async def _held(work: Work, batch_id: UUID, *states: State) -> Batch:
    row = await queries.held(work, batch_id, lock=True)
    if row.state not in states:
        raise Unready("BATCH_STATE_UNFIT", state=State(row.state).name)
    return row


async def _seen(work: Work, seen: Seen, state: State) -> Batch:
    """Return a batch as it was seen, in *state*; refuse it otherwise."""
    row = await queries.held(work, seen.batch_id, lock=True)
    if row.version != seen.version:
        raise Stale("CHANGED_MEANWHILE")
    if row.state != state:
        raise Unready("BATCH_STATE_UNFIT", state=State(row.state).name)
    if seen.digest not in (None, row.digest):
        raise Invalid("DIGEST_DIFFERS")
    return row


async def _moved(work: Work, row: Batch, state: State) -> Shown:
    """Put a batch into *state*, tell its end where that is one, and return it as it stands."""
    row.state, row.update_time = state, work.now
    await work.session.flush()
    work.note(f"batches/{row.batch_id}", branch_id=row.branch_id, state=state.name)
    await conclude(work, row)
    return await queries.shown(work, row)


async def conclude(work: Work, row: Batch) -> None:
    """
    Finish a batch that has nothing left to hand over, and publish the end of one that ended, once.

    The row is locked by whoever calls: what others hand over meanwhile shows in the counts, or comes after.
    """
    if row.told or row.state in (
        State.PLANNED,
        State.AWAITING_APPROVAL,
        State.SCHEDULED,
    ):
        return
    counts = (await queries.shown(work, row)).counts
    if counts.submitting:
        return
    if row.state in (State.SENDING, State.PAUSED):
        waits = counts.unknown and row.unknown_policy != UnknownPolicy.AT_MOST_ONCE
        if counts.open or (waits and not await deaf(work, row.gateway)):
            return
        row.state, row.finish_time = State.FINISHED, work.now
    row.update_time, row.told = work.now, True
    await work.session.flush()
    work.publish(events.batch_finished(row, counts), branch_id=row.branch_id)


async def conclude_one(work: Work, branch_id: int, batch_id: UUID) -> None:
    """
    Finish a batch of which something was settled in this transaction, if it was the last.

    The lock comes first and the look after it: of two that settle the last chunks one sees that the other did.
    """
    place = branch_id, batch_id
    [batch] = await work.run(LOCKED, *place)
    stopped = batch["state"] in (State.CANCELLED, State.REJECTED)
    least = ChunkState.LEASED if stopped else ChunkState.WAITING
    if batch["told"] or await work.run(UNDER_WAY, *place, least):
        return
    key = (Batch.branch_id == branch_id) & (Batch.batch_id == batch_id)
    found = await work.session.execute(select(Batch).where(key).with_for_update())
    await conclude(work, found.scalar_one())
