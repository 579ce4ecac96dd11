"""Commands of staff on messages of customers: give one to somebody, close one."""

from dataclasses import dataclass
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Invalid, Stale, Unready
from services.messaging.inbound import queries
from services.messaging.inbound.rules import State
from services.messaging.inbound.tables import Inbound


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as somebody saw it."""

    inbound_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Colleague:
    """A member of staff with the branch they work in."""

    key: str
    branch_id: int
    active: bool


async def assign(
    uow: UnitOfWork, caller: Caller, *, seen: Seen, to: Colleague
) -> Inbound:
    """Give an open message to *to*; refuses NOT_FOUND, CHANGED_MEANWHILE, INBOUND_STATE_UNFIT and ASSIGNEE_UNFIT."""
    async with uow(caller) as work:
        row = await _open(work, seen)
        if not to.active or to.branch_id != row.branch_id:
            raise Invalid("ASSIGNEE_UNFIT")
        before, row.assignee = row.assignee, to.key
        await _changed(work, row, assignee=to.key, before=before)
    return row


async def close(uow: UnitOfWork, caller: Caller, *, seen: Seen, remark: str) -> Inbound:
    """Close an open message with a *remark*; refuses NOT_FOUND, CHANGED_MEANWHILE and INBOUND_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await _open(work, seen)
        row.state, row.closer = State.CLOSED, caller.key
        row.close_remark, row.close_time = remark, work.now
        await _changed(work, row, state=State.CLOSED.name)
    return row


async def _open(work: Work, seen: Seen) -> Inbound:
    row = await queries.held(work, seen.inbound_id, lock=True)
    if row.version != seen.version:
        raise Stale("CHANGED_MEANWHILE")
    if row.state != State.OPEN:
        raise Unready("INBOUND_STATE_UNFIT")
    return row


async def _changed(work: Work, row: Inbound, **detail: object) -> None:
    row.update_time = work.now
    await work.session.flush()
    work.note(f"inbounds/{row.inbound_id}", branch_id=row.branch_id, **detail)
