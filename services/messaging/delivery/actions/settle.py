"""
Settle what is known of messages: outcomes, unknowns, counts, what is published, what engagement hears.

One transaction each. What was settled before is passed over, so that the same answers may be brought again.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Any, NamedTuple
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.names import name_of
from services.messaging.batch.actions.change import conclude_one
from services.messaging.batch.rules import RecipientState
from services.messaging.delivery import events, queries, rules
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.rules import Answers, DoubtCause

LOCKED = """
    SELECT b.*, c.unknown_count,
           c.excluded_count + c.sent_count + c.failed_count + c.delivered_count + c.undelivered_count AS settled_count
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.branch_id = $1 AND c.batch_id = $2 AND c.chunk = $3 FOR UPDATE OF c"""
SETTLED = """
    INSERT INTO outcomes (branch_id, batch_id, ordinal, state, exclusion_reason, gateway_message, failure_code,
                          settle_time)
    SELECT $1, $2, line.ordinal, $3, $4, line.message, $5, to_timestamp(line.moment)
    FROM unnest($6::integer[], $7::text[], $8::float8[]) AS line (ordinal, message, moment)
    ON CONFLICT (branch_id, batch_id, ordinal) DO NOTHING"""
SETTLED_ANEW = f"{SETTLED} RETURNING ordinal"
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
        lease_time = CASE WHEN own.gives_back THEN NULL ELSE c.lease_time END,
        letters = CASE WHEN own.gives_back AND own.rest = 2 THEN NULL ELSE c.letters END
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
    known: Answers
    worker: str = ""
    certain_after: timedelta = timedelta()
    cause: DoubtCause = DoubtCause.NO_ANSWER
    numbers: Mapping[int, str] = field(default_factory=dict)


class Line(NamedTuple):
    """Messages that came to one state, with the moments in seconds since 1970."""

    state: RecipientState
    ordinals: Sequence[int]
    moments: Sequence[float]

    def some(self, chosen: Sequence[bool]) -> "Line":
        """Return those at *chosen* places."""
        return Line(
            self.state,
            list(compress(self.ordinals, chosen)),
            list(compress(self.moments, chosen)),
        )


async def settle(uow: UnitOfWork, caller: Caller, found: Settlement) -> None:
    """Write what *found* says in one transaction of its branch."""
    async with uow(caller.in_branch(found.key.branch_id)) as work:
        await settle_within(work, found)


async def settle_within(work: Work, found: Settlement) -> None:
    """Write what *found* says in the transaction of *work*."""
    key = found.key
    place = key.branch_id, key.batch_id
    [batch] = await work.run(LOCKED, *place, key.chunk)
    ordinals = found.known.ordinals
    anew = batch.settled_count > 0 or len(set(ordinals)) < len(ordinals)
    lines = await _outcomes(work, key, found.known, anew=anew)
    answered = await _end_unknown(work, batch, key, lines)
    unknown = await _unknown(work, batch, found)
    count = Counter[int]()
    for line in lines:
        count[line.state] += len(line.ordinals)
    await work.run(
        COUNTED,
        *place,
        key.chunk,
        count[RecipientState.EXCLUDED],
        count[RecipientState.SENT],
        count[RecipientState.FAILED],
        sum(len(line.ordinals) for line in unknown) - answered,
        found.worker,
    )
    await _tell(work, batch, [*lines, *unknown], found.numbers)
    await conclude_one(work, *place)


async def _outcomes(work: Work, key: Key, known: Answers, *, anew: bool) -> list[Line]:
    """
    Write the outcomes of settled slots, those alike together; return those that were not there before.

    *anew* says that some may be: the chunk has outcomes, or a message is told twice. Otherwise, with the chunk locked,
    none can be, and nobody has to say which were new.
    """
    lines = []
    for (state, reason, code), part in rules.outcomes(known):
        now = work.now.timestamp()
        moments = [moment or now for moment in part.moments]
        rows = await work.run(
            SETTLED_ANEW if anew else SETTLED,
            key.branch_id,
            key.batch_id,
            *(state, reason, code),
            part.ordinals,
            part.messages,
            moments,
        )
        line = Line(RecipientState(state), part.ordinals, moments)
        if anew:
            chosen = _first_of({row["ordinal"] for row in rows}, part.ordinals)
            line = line.some(chosen)
        if line.ordinals:
            lines.append(line)
    return lines


def _first_of(fresh: set[int], ordinals: Sequence[int]) -> list[bool]:
    """Say of each of *ordinals* whether it is *fresh* and comes for the first time: some are told twice."""
    seen: set[int] = set()
    chosen = []
    for ordinal in ordinals:
        chosen.append(ordinal in fresh and ordinal not in seen)
        seen.add(ordinal)
    return chosen


async def _end_unknown(work: Work, batch: Any, key: Key, lines: Sequence[Line]) -> int:
    """End what was unknown and has an outcome now; return how many that were."""
    if not (lines and batch["unknown_count"]):
        return 0
    known = [ordinal for line in lines for ordinal in line.ordinals]
    place = key.branch_id, key.batch_id
    return len(await work.run(ANSWERED, *place, known, work.now))


async def _unknown(work: Work, batch: Any, found: Settlement) -> list[Line]:
    """Write which messages nobody knows about, and return those that were not known as such before."""
    unsure = found.known.ambiguous
    if not (unsure and rules.stays_unknown(batch["unknown_policy"])):
        return []
    place = found.key.branch_id, found.key.batch_id
    fence = work.now + found.certain_after
    rows = await work.run(UNKNOWN, *place, unsure, work.now, fence, found.cause)
    ordinals = [row["ordinal"] for row in rows]
    moments = [work.now.timestamp()] * len(rows)
    return [Line(RecipientState.UNKNOWN, ordinals, moments)] if rows else []


async def _tell(
    work: Work, batch: Any, lines: Sequence[Line], numbers: Mapping[int, str]
) -> None:
    """Publish what was settled, and let engagement enter who was reached."""
    ordinals = [ordinal for line in lines for ordinal in line.ordinals]
    if not ordinals:
        return
    if not numbers.keys() >= set(ordinals):
        rows = await work.run(
            queries.NUMBERS, batch.branch_id, batch.batch_id, ordinals
        )
        numbers = {row["ordinal"]: row["number"] for row in rows}
    told = [one for line in lines for one in _by_moment(line, numbers)]
    for some in events.portions(told):
        fact = events.message_settled(batch, some)
        work.publish(fact, branch_id=batch.branch_id)
        reached = [one for one in some if one.state == RecipientState.SENT]
        if reached:
            work.errand(
                "/guanhu.engagement.v1.WorkLogService/RecordBatchContacts",
                events.batch_contacts(batch, reached),
                branch_id=batch.branch_id,
            )


def _by_moment(line: Line, numbers: Mapping[int, str]) -> Iterator[events.Settled]:
    """Yield whose messages came to a state at the same moment: answers are read many at a time."""
    alike: dict[float, list[str]] = {}
    for ordinal, moment in zip(line.ordinals, line.moments, strict=True):
        if (found := alike.get(moment)) is None:
            found = alike[moment] = []
        found.append(name_of("customers", numbers[ordinal]))
    for moment, customers in alike.items():
        yield events.Settled(line.state, datetime.fromtimestamp(moment, UTC), customers)


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
