"""
Receipts: stored before they are acknowledged, then sorted to the messages they belong to.

An unknown message whose receipt comes was accepted. One whose receipt has not come when it must have is not known to
the centre, and is handed over again: the fence. A gateway that hears no receipts has no fence, and one that can be
asked is asked instead (``inquire``), because its receipts may have been dropped while nobody listened. Source:
providers, who have no way to repeat a message safely, say to wait for its receipt before sending it again.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.vault import Vault
from services.messaging.batch.actions.plan import MOBILE
from services.messaging.batch.rules import RecipientState
from services.messaging.delivery import queries, rules
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.actions.settle import (
    Settlement,
    send_again,
    settle_within,
)
from services.messaging.delivery.rules import Answers, Slot
from services.messaging.gateways import Capabilities, Receipt

PAGE = 2000
LATELY = timedelta(minutes=10)
"""How long a receipt that belongs to nothing yet keeps an unknown message of its number from being sent again."""

STORED = """
    INSERT INTO receipts (branch_id, receipt_id, gateway, gateway_message, mobile_index, source, client_ref, state,
                          code, receipt_time)
    SELECT 0, line.receipt_id, $1, line.message, line.mobile_index, line.source, line.client_ref, line.state,
           line.code, line.receipt_time
    FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::text[], $6::bytea[], $7::smallint[], $8::text[],
                $9::timestamptz[])
        AS line (receipt_id, message, mobile_index, source, client_ref, state, code, receipt_time)
    ON CONFLICT DO NOTHING"""
SORTED = "UPDATE receipts SET end_time = $2 WHERE branch_id = 0 AND receipt_id = ANY ($1::uuid[])"
HELD = """
    SELECT 1 FROM chunks
    WHERE branch_id = $1 AND (batch_id, chunk) IN (SELECT * FROM unnest($2::uuid[], $3::integer[]))
    ORDER BY batch_id, chunk FOR UPDATE"""
DELIVERED = """
    INSERT INTO deliveries (branch_id, batch_id, ordinal, state, code, receipt_time)
    SELECT $1, line.batch_id, line.ordinal, line.state, line.code, line.receipt_time
    FROM unnest($2::uuid[], $3::integer[], $4::smallint[], $5::text[], $6::timestamptz[])
        AS line (batch_id, ordinal, state, code, receipt_time)
    ON CONFLICT (branch_id, batch_id, ordinal) DO NOTHING
    RETURNING batch_id, ordinal, state"""
COUNTED = """
    UPDATE chunks AS c SET delivered_count = delivered_count + line.delivered,
        undelivered_count = undelivered_count + line.undelivered
    FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[])
        AS line (batch_id, chunk, delivered, undelivered)
    WHERE c.branch_id = $1 AND c.batch_id = line.batch_id AND c.chunk = line.chunk"""

SAYING_NOTHING = RecipientState.SENT
"""The state of a receipt that ends the matter without saying what happened."""


async def store(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    gateway: str,
    receipts: Sequence[Receipt],
) -> None:
    """Store final receipts in one transaction; those told before are passed over."""
    final = [one for one in receipts if one.state != "enroute"]
    indexes = [vault.index(one.dest, MOBILE) for one in final]
    async with uow(caller.in_branch(HEAD_OFFICE)) as work:
        await work.run(
            STORED,
            gateway,
            [
                rules.receipt_key(
                    gateway, one.gateway_id or "", index.hex(), one.source, one.state
                )
                for one, index in zip(final, indexes, strict=True)
            ],
            [one.gateway_id or "" for one in final],
            indexes,
            [one.source for one in final],
            [one.client_ref or b"" for one in final],
            [rules.RECEIPTS.get(one.state, SAYING_NOTHING) for one in final],
            [one.code for one in final],
            [one.heard_at for one in final],
        )


class Sorted(NamedTuple):
    """How many receipts found their message, and the place to go on from; none when all were looked at."""

    done: int
    after: tuple[datetime, UUID] | None


async def sort(
    uow: UnitOfWork,
    caller: Caller,
    *,
    gateway: str,
    access: str,
    now: datetime,
    grace: timedelta,
    after: tuple[datetime, UUID] | None = None,
) -> Sorted:
    """
    Find out whose the next page of stored receipts of *gateway* are, those later than *after*.

    One that belongs to no accepted message may belong to an unknown one, once it is older than *grace*: by then the
    chunk of a message that was answered is settled.
    """
    start = after or (now - queries.KEPT, UUID(int=0))
    async with uow.read(caller) as work:
        waiting = await work.run(queries.UNSORTED, gateway, *start, PAGE)
        branches = await queries.branches(work, gateway, now) if waiting else []
    left = {row.receipt_id: row for row in waiting}
    for branch_id in branches:
        if not left:
            break
        async with uow(caller.in_branch(branch_id)) as work:
            found = await _accepted(work, branch_id, gateway, list(left.values()))
        old = [row for row in left.values() if row.receipt_time <= now - grace]
        rest = [row for row in old if row.receipt_id not in found]
        here = caller.in_branch(branch_id)
        found |= await _unknown(uow, here, branch_id, gateway, access, receipts=rest)
        left = {key: row for key, row in left.items() if key not in found}
    done = [row.receipt_id for row in waiting if row.receipt_id not in left]
    if done:
        async with uow(caller.in_branch(HEAD_OFFICE)) as work:
            await work.run(SORTED, done, work.now)
    last = waiting[-1] if len(waiting) == PAGE else None
    return Sorted(len(done), last and (last.receipt_time, last.receipt_id))


async def _accepted(
    work: Work, branch_id: int, gateway: str, receipts: Sequence[Any]
) -> set[UUID]:
    """Enter receipts of accepted messages of one branch, and return which these were."""
    messages = [row.gateway_message for row in receipts]
    rows = await work.run(queries.ACCEPTED, branch_id, messages, gateway)
    found = [(receipts[row.place - 1], row) for row in rows]
    await deliver(work, branch_id, found)
    return {receipt.receipt_id for receipt, _ in found}


async def deliver(work: Work, branch_id: int, found: Sequence[tuple[Any, Any]]) -> None:
    """Enter receipts of messages that have an outcome, the first of each, and count them with their chunks."""
    told = [pair for pair in found if pair[0].state != SAYING_NOTHING]
    if not told:
        return
    chunks = {(row.batch_id, row.ordinal): row.chunk for _, row in told}
    keys = sorted({(row.batch_id, row.chunk) for _, row in told})
    await work.run(HELD, branch_id, *_columns(keys, 2))
    rows = await work.run(
        DELIVERED,
        branch_id,
        [row.batch_id for _, row in told],
        [row.ordinal for _, row in told],
        [receipt.state for receipt, _ in told],
        [receipt.code for receipt, _ in told],
        [receipt.receipt_time for receipt, _ in told],
    )
    counts: dict[tuple[UUID, int], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        failed = row.state == RecipientState.FAILED
        counts[row.batch_id, chunks[row.batch_id, row.ordinal]][failed] += 1
    lines = [(*key, *pair) for key, pair in sorted(counts.items())]
    await work.run(COUNTED, branch_id, *_columns(lines, 4))


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """Return the columns of *rows*, as statements take them."""
    return [[row[place] for row in rows] for place in range(count)]


async def _unknown(
    uow: UnitOfWork,
    caller: Caller,
    branch_id: int,
    gateway: str,
    access: str,
    *,
    receipts: Sequence[Any],
) -> set[UUID]:
    """Settle unknown messages of one branch whose receipts came: they were accepted. Return which these were."""
    if not receipts:
        return set()
    indexes = [row.mobile_index for row in receipts]
    async with uow.read(caller) as work:
        rows = await work.run(queries.OPEN, branch_id, gateway, indexes)
    chunks: dict[tuple[UUID, int], list[tuple[Any, Any]]] = defaultdict(list)
    for row in rows:
        source = rules.source_of(access, row.batch_id)
        for receipt in receipts:
            if (
                receipt.mobile_index == row.mobile_index
                and receipt.source in ("", source)
                and rules.is_of(receipt.client_ref, row.batch_id, row.ordinal)
            ):
                chunks[row.batch_id, row.chunk].append((receipt, row))
    found: set[UUID] = set()
    for (batch_id, chunk), pairs in sorted(chunks.items()):
        async with uow(caller) as work:
            await accept(work, Key(branch_id, batch_id, chunk), pairs)
        found |= {receipt.receipt_id for receipt, _ in pairs}
    return found


async def accept(work: Work, key: Key, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Settle unknown messages of one chunk as accepted, by receipts or the centre's word, and enter what these say."""
    taken = Answers(
        [row.ordinal for _, row in pairs],
        [Slot.ACCEPTED] * len(pairs),
        [0] * len(pairs),
        [receipt.gateway_message for receipt, _ in pairs],
        [receipt.receipt_time.timestamp() for receipt, _ in pairs],
    )
    await settle_within(work, Settlement(key, taken))
    await deliver(work, key.branch_id, pairs)


async def fence(
    uow: UnitOfWork, caller: Caller, *, gateway: str, caps: Capabilities, now: datetime
) -> int:
    """
    Hand over again what is unknown and cannot have been accepted: its receipt must have come. Return how many.

    One whose number has a receipt that came lately and belongs to nothing yet waits: it may be this one's.
    Nothing for a driver with *caps* that hears no receipts, and for one whose centre is asked.
    """
    if not caps.receipts or caps.can_query:
        return 0
    async with uow.read(caller) as work:
        branches = await queries.branches(work, gateway, now)
    count = 0
    for branch_id in branches:
        async with uow.read(caller) as work:
            rows = await work.run(queries.FENCED, branch_id, gateway, now, now - LATELY)
        chunks: dict[tuple[UUID, int], list[tuple[int, int]]] = defaultdict(list)
        for row in rows:
            chunks[row.batch_id, row.chunk].append((row.ordinal, row.attempt))
        for (batch_id, chunk), tries in sorted(chunks.items()):
            count += await send_again(
                uow,
                caller,
                branch_id=branch_id,
                batch_id=batch_id,
                chunk=chunk,
                tries=tries,
            )
    return count
