"""
Settle what is known of messages: outcomes, unknowns, counts, what is published, what engagement hears.

One transaction each. What was settled before is passed over, so that the same answers may be brought again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.messaging.batch.actions.change import conclude_one
from services.messaging.batch.rules import RecipientState
from services.messaging.delivery import events, queries, rules
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.rules import Answer, DoubtCause, Slot

LOCKED = """
    SELECT state, worker FROM chunks WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3 FOR UPDATE"""
SETTLED = """
    INSERT INTO outcomes (branch_id, batch_id, ordinal, state, exclusion_reason, gateway_message, failure_code,
                          settle_time)
    SELECT $1, $2, line.ordinal, line.state, line.reason, line.message, line.code, line.moment
    FROM unnest($3::integer[], $4::smallint[], $5::smallint[], $6::text[], $7::text[], $8::timestamptz[])
        AS line (ordinal, state, reason, message, code, moment)
    ON CONFLICT (branch_id, batch_id, ordinal) DO NOTHING
    RETURNING ordinal, state, settle_time"""
ANSWERED = """
    UPDATE unknowns SET end_time = $4
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[]) AND end_time IS NULL RETURNING ordinal"""
UNKNOWN = """
    INSERT INTO unknowns (branch_id, batch_id, ordinal, attempt, sent_time, fence_time, cause)
    SELECT $1, $2, line.ordinal,
           1 + (SELECT count(*) FROM unknowns AS u
                WHERE u.branch_id = $1 AND u.batch_id = $2 AND u.ordinal = line.ordinal),
           $4, $5, $6
    FROM unnest($3::integer[]) AS line (ordinal)
    WHERE NOT EXISTS (SELECT FROM unknowns AS u WHERE u.branch_id = $1 AND u.batch_id = $2
                      AND u.ordinal = line.ordinal AND u.end_time IS NULL)
      AND NOT EXISTS (SELECT FROM outcomes AS o WHERE o.branch_id = $1 AND o.batch_id = $2
                      AND o.ordinal = line.ordinal)
    ON CONFLICT DO NOTHING RETURNING ordinal"""
COUNTED = """
    UPDATE chunks SET excluded_count = excluded_count + $4, sent_count = sent_count + $5,
        failed_count = failed_count + $6, unknown_count = unknown_count + $7
    WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3"""
GIVEN_BACK = """
    UPDATE chunks SET worker = '', boot = '', lease_time = NULL,
        state = CASE WHEN size > excluded_count + sent_count + failed_count + unknown_count THEN 0 ELSE 2 END
    WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3 AND state = 1 AND worker = $4"""
ENDED = """
    UPDATE unknowns SET end_time = $4
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[]) AND end_time IS NULL RETURNING ordinal"""
REOPENED = """
    UPDATE chunks SET unknown_count = unknown_count - $4, state = CASE WHEN state = 2 THEN 0 ELSE state END
    WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    What is known of messages of one chunk.

    ``worker`` is set where its lease of the chunk ends with this. ``excluded`` holds ordinals with reasons.
    ``certain_after`` is how long after now a receipt of an unknown message may still come, ``cause`` why it is unknown.
    """

    key: Key
    answers: Sequence[Answer]
    worker: str = ""
    certain_after: timedelta = timedelta()
    cause: DoubtCause = DoubtCause.NO_ANSWER


async def settle(uow: UnitOfWork, caller: Caller, found: Settlement) -> None:
    """Write what *found* says in one transaction of its branch."""
    async with uow(caller.in_branch(found.key.branch_id)) as work:
        await settle_within(work, found)


async def settle_within(work: Work, found: Settlement) -> None:
    """Write what *found* says in the transaction of *work*."""
    key = found.key
    place = key.branch_id, key.batch_id
    await work.run(LOCKED, *place, key.chunk)
    batch = await queries.batch(work, *place)
    lines = await _outcomes(work, key, found.answers)
    known = [line.ordinal for line in lines]
    answered = await work.run(ANSWERED, *place, known, work.now)
    unsure = [
        answer.ordinal
        for answer in found.answers
        if rules.stays_unknown(answer, batch.unknown_policy)
    ]
    fence = work.now + found.certain_after
    unknown = await work.run(UNKNOWN, *place, unsure, work.now, fence, found.cause)
    count = dict.fromkeys(RecipientState, 0)
    for line in lines:
        count[line.state] += 1
    await work.run(
        COUNTED,
        *place,
        key.chunk,
        count[RecipientState.EXCLUDED],
        count[RecipientState.SENT],
        count[RecipientState.FAILED],
        len(unknown) - len(answered),
    )
    if found.worker:
        await work.run(GIVEN_BACK, *place, key.chunk, found.worker)
    unsettled = [
        (row.ordinal, RecipientState.UNKNOWN.value, work.now) for row in unknown
    ]
    settled = [(line.ordinal, line.state, line.settle_time) for line in lines]
    await _tell(work, batch, [*settled, *unsettled])
    await conclude_one(work, *place)


async def _outcomes(work: Work, key: Key, answers: Sequence[Answer]) -> list[Any]:
    """Write the outcomes of settled slots, and return those that were not there before."""
    found = [answer for answer in answers if answer.state in rules.OUTCOMES]
    excluded = [answer.state is Slot.EXCLUDED for answer in found]
    return await work.run(
        SETTLED,
        key.branch_id,
        key.batch_id,
        [answer.ordinal for answer in found],
        [rules.OUTCOMES[answer.state] for answer in found],
        [
            answer.code if left_out else 0
            for answer, left_out in zip(found, excluded, strict=True)
        ],
        [answer.gateway_message for answer in found],
        [str(answer.code) if answer.state is Slot.FAILED else "" for answer in found],
        [_moment(answer, work.now) for answer in found],
    )


def _moment(answer: Answer, now: datetime) -> datetime:
    return datetime.fromtimestamp(answer.moment, UTC) if answer.moment else now


async def _tell(
    work: Work, batch: Any, lines: Sequence[tuple[int, int, datetime]]
) -> None:
    """Publish what was settled, and let engagement enter who was reached."""
    if not lines:
        return
    ordinals = [ordinal for ordinal, _, _ in lines]
    rows = await work.run(queries.NUMBERS, batch.branch_id, batch.batch_id, ordinals)
    numbers = {row.ordinal: row.number for row in rows}
    told = [(numbers[ordinal], state, moment) for ordinal, state, moment in lines]
    fact = events.message_settled(batch, told)
    work.publish(fact, branch_id=batch.branch_id)
    reached = [line for line in told if line[1] == RecipientState.SENT]
    if reached:
        work.errand(
            "/guanhu.engagement.v1.WorkLogService/RecordBatchContacts",
            events.batch_contacts(batch, reached),
            branch_id=batch.branch_id,
        )


async def send_again(
    uow: UnitOfWork,
    caller: Caller,
    *,
    branch_id: int,
    batch_id: UUID,
    chunk: int,
    ordinals: Collection[int],
) -> int:
    """Let unknown messages of one chunk wait to be handed over again: nobody can have them any more."""
    async with uow(caller.in_branch(branch_id)) as work:
        await work.run(LOCKED, branch_id, batch_id, chunk)
        ended = await work.run(ENDED, branch_id, batch_id, list(ordinals), work.now)
        await work.run(REOPENED, branch_id, batch_id, chunk, len(ended))
    return len(ended)
