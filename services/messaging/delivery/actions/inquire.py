"""
Asking a centre about unknown messages: its receipts may have been dropped while no worker listened.

What the centre took is settled as sent, what it says for certain it never took is handed over again, and everything
else stays unknown and is asked about again, ever less often. Asking is never inside a transaction: a message is
claimed by moving the time of its next question, so that workers ask about different ones.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from services.messaging.batch.actions.letters import open_one
from services.messaging.delivery import queries, rules
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.actions.lane import Desk
from services.messaging.delivery.actions.link import Link
from services.messaging.delivery.actions.receipts import SAYING_NOTHING, accept
from services.messaging.delivery.actions.settle import send_again
from services.messaging.gateways import Finding, Question, Receipt

MOST = 20
"""Messages of one branch that are claimed at a time: what is not answered in this round waits for its next time."""

FIRST, LONGEST = timedelta(minutes=5), timedelta(hours=6)
"""The pause after the first question that was not answered, which doubles, and the longest."""

# since: the batch was planned then and due not before its schedule, however late a dead worker's record was found
CLAIMED = """
    UPDATE unknowns AS u
    SET ask_count = u.ask_count + 1,
        ask_time = $3::timestamptz + least($5::interval * (1 << least(u.ask_count, 16)), $6::interval)
    FROM (SELECT u.batch_id, u.ordinal, u.attempt, u.sent_time, r.chunk, r.message,
                 greatest(b.create_time, b.schedule_time) AS since
          FROM unknowns AS u
          JOIN batches AS b ON b.branch_id = u.branch_id AND b.batch_id = u.batch_id
          JOIN recipients AS r ON r.branch_id = u.branch_id AND r.batch_id = u.batch_id AND r.ordinal = u.ordinal
          WHERE u.branch_id = $1 AND u.end_time IS NULL AND u.fence_time <= $3
            AND (u.ask_time IS NULL OR u.ask_time <= $3)
            AND b.gateway = $2 AND b.unknown_policy = 1 AND b.state IN (4, 5)
          ORDER BY u.ask_time NULLS FIRST, u.fence_time LIMIT $4
          FOR UPDATE OF u SKIP LOCKED) AS due
    WHERE u.branch_id = $1 AND u.batch_id = due.batch_id AND u.ordinal = due.ordinal AND u.attempt = due.attempt
    RETURNING due.*"""
FOUND = """
    UPDATE unknowns SET found = true
    WHERE branch_id = $1 AND batch_id = $2 AND end_time IS NULL
      AND (ordinal, attempt) IN (SELECT * FROM unnest($3::integer[], $4::integer[]))"""


class Word(NamedTuple):
    """What the centre says about a message it took, as receipts are read."""

    gateway_message: str
    state: int
    code: str
    receipt_time: datetime


async def inquire(desk: Desk, link: Link) -> int:
    """Ask about unknown messages of a link's gateway whose receipts must have come; return how many."""
    now = desk.clock()
    async with desk.uow.read(desk.caller) as work:
        branches = await queries.branches(work, link.name, now)
    count = 0
    for branch_id in branches:
        async with desk.uow(desk.caller.in_branch(branch_id)) as work:
            rows = await work.run(
                CLAIMED, branch_id, link.name, now, MOST, FIRST, LONGEST
            )
        told = [
            (row, await link.gateway.query(_question(desk, link, row))) for row in rows
        ]
        chunks: dict[Key, list[tuple[Any, Finding]]] = defaultdict(list)
        for row, found in told:
            if found is not None:
                chunks[Key(branch_id, row.batch_id, row.chunk)].append((row, found))
        for key, answers in sorted(chunks.items()):
            await _settle(desk, key, answers)
        count += len(rows)
    return count


async def _settle(desk: Desk, key: Key, answers: Sequence[tuple[Any, Finding]]) -> None:
    """Enter what the centre said about messages of one chunk: those it took, and those it never had."""
    taken = [
        (_word(found), row) for row, found in answers if isinstance(found, Receipt)
    ]
    if taken:
        ordinals = [row.ordinal for _, row in taken]
        attempts = [row.attempt for _, row in taken]
        async with desk.uow(desk.caller.in_branch(key.branch_id)) as work:
            await work.run(FOUND, key.branch_id, key.batch_id, ordinals, attempts)
            await accept(work, key, taken)
    absent = [(row.ordinal, row.attempt) for row, found in answers if found == "absent"]
    if absent:
        await send_again(
            desk.uow,
            desk.caller,
            branch_id=key.branch_id,
            batch_id=key.batch_id,
            chunk=key.chunk,
            tries=absent,
        )


def _word(found: Receipt) -> Word:
    state = rules.RECEIPTS.get(found.state, SAYING_NOTHING)
    return Word(found.gateway_id or "", state, found.code, found.heard_at)


def _question(desk: Desk, link: Link, row: Any) -> Question:
    """Return the question about one message; its number is opened for nothing else."""
    batch_id: UUID = row.batch_id
    mobile, _ = open_one(desk.vault, batch_id, row.ordinal, row.message)
    return Question(
        dest=rules.COUNTRY + mobile,
        source=rules.source_of(link.terms.access, batch_id),
        client_ref=rules.reference_of(batch_id, row.ordinal),
        since=row.since,
        until=row.sent_time,
    )
