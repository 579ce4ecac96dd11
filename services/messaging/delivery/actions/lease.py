"""Leases of chunks: who hands over what, for as long as they show that they live."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.clock import local_time
from services.chassis.db import UnitOfWork, Work
from services.chassis.vault import Vault
from services.messaging.batch.actions.letters import Letters, open_chunk, open_each
from services.messaging.batch.rules import State
from services.messaging.delivery import queries
from services.messaging.delivery.actions.flight import Key, Seat
from services.messaging.delivery.rules import hour_fits

BEGUN = """
    UPDATE batches SET state = 4, update_time = $3, version = version + 1
    WHERE branch_id = $1 AND gateway = $2 AND state = 3 AND (schedule_time IS NULL OR schedule_time <= $3)"""
# The first is chosen once, apart: a subquery may be run again for every row, and would find another one each time.
CLAIMED = """
    WITH first AS MATERIALIZED (
        SELECT c.batch_id, c.chunk, b.purpose
        FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
        WHERE c.branch_id = $1 AND c.state = 0 AND b.state = 4 AND b.gateway = $2 AND (b.purpose = 1 OR $6)
        ORDER BY c.batch_id, c.chunk LIMIT 1
        FOR UPDATE OF c SKIP LOCKED FOR SHARE OF b)
    UPDATE chunks AS taken SET state = 1, worker = $3, boot = $4, lease_time = $5
    FROM first
    WHERE taken.branch_id = $1 AND taken.batch_id = first.batch_id AND taken.chunk = first.chunk
    RETURNING taken.batch_id, taken.chunk, taken.low, taken.high, taken.letters, first.purpose"""
BEATEN = """
    UPDATE chunks SET lease_time = $4
    WHERE branch_id = $1 AND worker = $2 AND state = 1 AND batch_id = ANY ($3::uuid[])
    RETURNING batch_id, chunk"""


NONE_READY = Letters()


@dataclass(frozen=True, slots=True)
class Claim:
    """One chunk in a worker's hands: what is still to be handed over, and who must not be written to after all."""

    key: Key
    gateway: str
    purpose: int
    low: int
    high: int
    ready: Letters = NONE_READY
    reasons: Mapping[str, int] = field(default_factory=dict)


async def branches(uow: UnitOfWork, caller: Caller, gateway: str) -> list[int]:
    """Return the branches that have something for *gateway*; what was scheduled and is due is being sent then."""
    async with uow.read(caller) as work:
        rows = await work.run(queries.MOVING, gateway, work.now)
    for branch_id in (row.branch_id for row in rows if row.due):
        async with uow(caller.in_branch(branch_id)) as work:
            await work.run(BEGUN, branch_id, gateway, work.now)
    return [row.branch_id for row in rows]


async def claim(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    branch_id: int,
    gateway: str,
    seat: Seat,
    boot: str,
    zone: str,
) -> Claim | None:
    """
    Take the next chunk of a branch with its messages, and look who must not be written to after all.

    At night by *zone* only one of service notices; None when there is none.
    """
    async with uow(caller.in_branch(branch_id)) as work:
        any_purpose = await day_time(work, branch_id, zone)
        rows = await work.run(
            CLAIMED, branch_id, gateway, seat.worker, boot, work.now, any_purpose
        )
        if not rows:
            return None
        [row] = rows
        key = Key(branch_id, row.batch_id, row.chunk)
        ready = await _opened(work, vault, key, row)
        claimed = Claim(key, gateway, row.purpose, row.low, row.high, ready)
        found = await queries.over_cap(work, branch_id, ready.numbers, row.purpose)
        found |= await _refusals(work, claimed)
    return replace(claimed, reasons=found)


async def day_time(work: Work, branch_id: int, zone: str) -> bool:
    """Say whether messages of any purpose may go out in a branch at this hour."""
    hours = await work.parameter("sms_hours", branch_id)
    return hour_fits(local_time(work.now, zone), (hours["from"], hours["to"]))


async def waiting(work: Work, key: Key, low: int, high: int) -> list[int]:
    """Return the ordinals of a chunk, *low* to *high*, that have no outcome and are not unknown."""
    place = key.branch_id, key.batch_id, key.chunk
    [row] = await work.run(queries.WAITING, *place, low, high)
    return list(row.ordinals)


async def _opened(work: Work, vault: Vault, key: Key, row: Any) -> Letters:
    """Return what is to be handed over of a claimed chunk; one that was done before is opened message by message."""
    ordinals = await waiting(work, key, row.low, row.high)
    if row.letters is not None:
        letters = open_chunk(vault, key.batch_id, key.chunk, row.letters)
        return letters.only(ordinals)
    rows = await work.run(queries.EACH, key.branch_id, key.batch_id, ordinals)
    return open_each(vault, key.batch_id, rows)


async def _refusals(work: Work, claimed: Claim) -> dict[str, int]:
    """Return who of a chunk refused, by an answer or otherwise, with the reason."""
    key, purpose = claimed.key, claimed.purpose
    batch = key.branch_id, key.batch_id
    ready = claimed.ready
    found = await queries.refused_by_answer(work, ready.numbers, ready.indexes, purpose)
    return found | await queries.late(work, batch, claimed.low, claimed.high, purpose)


async def refusals(uow: UnitOfWork, caller: Caller, claimed: Claim) -> dict[str, int]:
    """Return who of a chunk refused, also since it was loaded; some may have been written to before."""
    async with uow.read(caller.in_branch(claimed.key.branch_id)) as work:
        return await _refusals(work, claimed)


@dataclass(frozen=True, slots=True)
class News:
    """What changed about chunks in hand: batches that go on, and leases that hold."""

    sending: Collection[UUID]
    day_time: bool
    held: Collection[tuple[UUID, int]]


async def beat(
    uow: UnitOfWork,
    caller: Caller,
    *,
    branch_id: int,
    worker: str,
    zone: str,
    batches: Sequence[UUID],
) -> News:
    """Renew the leases of chunks of *batches* in one branch, and return what changed."""
    async with uow(caller.in_branch(branch_id)) as work:
        held = await work.run(BEATEN, branch_id, worker, batches, work.now)
        states = await work.run(queries.STATES, branch_id, batches)
        fits = await day_time(work, branch_id, zone)
    return News(
        frozenset(row.batch_id for row in states if row.state == State.SENDING),
        fits,
        frozenset((row.batch_id, row.chunk) for row in held),
    )
