"""
Settle what is known of messages: outcomes, unknowns, counts, what is published, what engagement hears.

One transaction each. What was settled before is passed over, so that the same answers may be brought again.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.messaging.batch.actions.change import conclude_one
from services.messaging.batch.rules import RecipientState
from services.messaging.delivery import events, queries, rules
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.rules import Answer, DoubtCause

LOCKED = """
    SELECT b.*, c.unknown_count
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.branch_id = $1 AND c.batch_id = $2 AND c.chunk = $3 FOR UPDATE OF c"""
SETTLED = """
    INSERT INTO outcomes (branch_id, batch_id, ordinal, state, exclusion_reason, gateway_message, failure_code,
                          settle_time)
    SELECT $1, $2, line.ordinal, $3, $4, line.message, $5, line.moment
    FROM unnest($6::integer[], $7::text[], $8::timestamptz[]) AS line (ordinal, message, moment)
    ON CONFLICT (branch_id, batch_id, ordinal) DO NOTHING
    RETURNING ordinal"""
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
    UPDATE chunks AS c SET excluded_count = c.excluded_count + $4, sent_count = c.sent_count + $5,
        failed_count = c.failed_count + $6, unknown_count = c.unknown_count + $7,
        state = CASE WHEN own.gives_back THEN own.rest ELSE c.state END,
        worker = CASE WHEN own.gives_back THEN '' ELSE c.worker END,
        boot = CASE WHEN own.gives_back THEN '' ELSE c.boot END,
        lease_time = CASE WHEN own.gives_back THEN NULL ELSE c.lease_time END
    FROM (SELECT state = 1 AND worker = $8 AND worker <> '' AS gives_back,
                 CASE WHEN size > excluded_count + sent_count + failed_count + unknown_count
                                  + $4::integer + $5::integer + $6::integer + $7::integer
                      THEN 0 ELSE 2 END AS rest
          FROM chunks WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3) AS own
    WHERE c.branch_id = $1 AND c.batch_id = $2 AND c.chunk = $3"""
ENDED = """
    UPDATE unknowns SET end_time = $5
    WHERE branch_id = $1 AND batch_id = $2 AND end_time IS NULL
      AND (ordinal, attempt) IN (SELECT * FROM unnest($3::integer[], $4::integer[])) RETURNING ordinal"""
REOPENED = """
    UPDATE chunks SET unknown_count = unknown_count - $4, state = CASE WHEN state = 2 THEN 0 ELSE state END
    WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    What is known of messages of one chunk.

    ``worker`` is set where its lease of the chunk ends with this. ``excluded`` holds ordinals with reasons.
    ``certain_after`` is how long after now a receipt of an unknown message may still come, ``cause`` why it is unknown.
    ``numbers`` are the customers' by ordinal, where they are at hand.
    """

    key: Key
    answers: Sequence[Answer]
    worker: str = ""
    certain_after: timedelta = timedelta()
    cause: DoubtCause = DoubtCause.NO_ANSWER
    numbers: Mapping[int, str] = field(default_factory=dict)


Line = tuple[int, int, datetime]
"""Ordinal, the recipient's state, and when it came to that."""


async def settle(uow: UnitOfWork, caller: Caller, found: Settlement) -> None:
    """Write what *found* says in one transaction of its branch."""
    async with uow(caller.in_branch(found.key.branch_id)) as work:
        await settle_within(work, found)


async def settle_within(work: Work, found: Settlement) -> None:
    """Write what *found* says in the transaction of *work*."""
    key = found.key
    place = key.branch_id, key.batch_id
    [batch] = await work.run(LOCKED, *place, key.chunk)
    lines = await _outcomes(work, key, found.answers)
    answered = await _end_unknown(work, batch, key, lines)
    unknown = await _unknown(work, batch, found)
    count = Counter(state for _, state, _ in lines)
    await work.run(
        COUNTED,
        *place,
        key.chunk,
        count[RecipientState.EXCLUDED],
        count[RecipientState.SENT],
        count[RecipientState.FAILED],
        len(unknown) - answered,
        found.worker,
    )
    await _tell(work, batch, [*lines, *unknown], found.numbers)
    await conclude_one(work, *place)


async def _outcomes(work: Work, key: Key, answers: Sequence[Answer]) -> list[Line]:
    """Write the outcomes of settled slots, those alike together; return those that were not there before."""
    alike: dict[tuple[int, int, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.state in rules.OUTCOMES:
            alike[rules.outcome_of(answer)].append(answer)
    lines: list[Line] = []
    for (state, reason, code), found in alike.items():
        ordinals = [answer.ordinal for answer in found]
        moments = _moments(found, work.now)
        rows = await work.run(
            SETTLED,
            key.branch_id,
            key.batch_id,
            *(state, reason, code),
            ordinals,
            [answer.gateway_message for answer in found],
            moments,
        )
        fresh = {row["ordinal"] for row in rows}
        pairs = zip(ordinals, moments, strict=True)
        lines += [(one, state, moment) for one, moment in pairs if one in fresh]
    return lines


def _moments(answers: Sequence[Answer], now: datetime) -> list[datetime]:
    """Return when each was answered, *now* where that is not known; many were at the same moment."""
    moments = {answer.moment for answer in answers}
    known = {moment: datetime.fromtimestamp(moment, UTC) for moment in moments}
    known[0.0] = now
    return [known[answer.moment] for answer in answers]


async def _end_unknown(work: Work, batch: Any, key: Key, lines: Sequence[Line]) -> int:
    """End what was unknown and has an outcome now; return how many that were."""
    if not (lines and batch["unknown_count"]):
        return 0
    known = [ordinal for ordinal, _, _ in lines]
    place = key.branch_id, key.batch_id
    return len(await work.run(ANSWERED, *place, known, work.now))


async def _unknown(work: Work, batch: Any, found: Settlement) -> list[Line]:
    """Write which messages nobody knows about, and return those that were not known as such before."""
    unsure = [
        answer.ordinal
        for answer in found.answers
        if rules.stays_unknown(answer, batch["unknown_policy"])
    ]
    if not unsure:
        return []
    place = found.key.branch_id, found.key.batch_id
    fence = work.now + found.certain_after
    rows = await work.run(UNKNOWN, *place, unsure, work.now, fence, found.cause)
    return [(row["ordinal"], RecipientState.UNKNOWN, work.now) for row in rows]


async def _tell(
    work: Work, batch: Any, lines: Sequence[Line], numbers: Mapping[int, str]
) -> None:
    """Publish what was settled, and let engagement enter who was reached."""
    if not lines:
        return
    if not all(ordinal in numbers for ordinal, _, _ in lines):
        ordinals = [ordinal for ordinal, _, _ in lines]
        rows = await work.run(
            queries.NUMBERS, batch.branch_id, batch.batch_id, ordinals
        )
        numbers = {row["ordinal"]: row["number"] for row in rows}
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
    tries: Collection[tuple[int, int]],
) -> int:
    """
    Let unknown messages of one chunk wait to be handed over again: nobody can have them any more.

    *tries* are ordinals with the attempts of which that is known; another worker may have begun a later one.
    """
    async with uow(caller.in_branch(branch_id)) as work:
        await work.run(LOCKED, branch_id, batch_id, chunk)
        ordinals, attempts = [one for one, _ in tries], [one for _, one in tries]
        ended = await work.run(ENDED, branch_id, batch_id, ordinals, attempts, work.now)
        await work.run(REOPENED, branch_id, batch_id, chunk, len(ended))
    return len(ended)
