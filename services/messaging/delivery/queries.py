"""Reads for sending: where there is work, what a chunk holds, who refused, and whose a receipt is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select, tuple_, union_all
from sqlalchemy.orm import aliased

from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Pager, counted, paged, split
from services.messaging.batch.queries import (
    capped,
    refused,
    stands,
    tied,
    why_left_out,
)
from services.messaging.batch.queries import held as batch_held
from services.messaging.batch.rules import STOPPED, Exclusion, RecipientState
from services.messaging.batch.tables import (
    Batch,
    Chunk,
    Delivery,
    Outcome,
    Recipient,
    Unknown,
)
from services.messaging.delivery.rules import Mark, late_reason
from services.messaging.gateway.tables import Gateway
from services.messaging.template.rules import Purpose

STOPPED_BATCH = Batch.state.in_([state.value for state in STOPPED])
Excluded = aliased(Recipient)
LateOutcome = aliased(Outcome)
LateDelivery = aliased(Delivery)
Doubt = aliased(Unknown)

SHOWN = (
    Recipient.branch_id,
    Recipient.batch_id,
    Recipient.ordinal,
    Recipient.number,
    Recipient.display_name,
    Recipient.mobile_mask,
    Recipient.segments,
    why_left_out().label("reason"),
    Batch.template_display_name,
    Batch.purpose,
    Batch.sender,
    Batch.gateway,
    Batch.unknown_policy,
    Batch.create_time,
    STOPPED_BATCH.label("stopped"),
    Gateway.protocol,
    Outcome.gateway_message,
    Outcome.failure_code,
    Outcome.settle_time,
    Delivery.code,
    Delivery.receipt_time,
    Unknown.sent_time,
    Unknown.fence_time,
    Unknown.cause,
    Gateway.hears_receipts,
    Gateway.can_query,
)
"""What is shown of a message besides its state and how often it was handed over."""

KEPT = timedelta(days=3)
"""How long after a batch last moved its receipts are looked for (source: validity of messages is two days at most)."""

MOVING = """
    SELECT branch_id, bool_or(state = 3 AND (schedule_time IS NULL OR schedule_time <= $2)) AS due
    FROM batches WHERE state IN (3, 4) AND gateway = $1 GROUP BY branch_id ORDER BY branch_id"""
RECENT = """
    SELECT DISTINCT branch_id FROM batches
    WHERE gateway = $1 AND (state IN (4, 5) OR update_time > $2) ORDER BY 1"""
# What has an outcome is looked up once for the chunk, not for each message: the planner may believe the table empty.
WAITING = """
    SELECT coalesce(array_agg(r.ordinal), '{}') AS ordinals
    FROM (SELECT ordinal FROM recipients
          WHERE branch_id = $1 AND batch_id = $2 AND chunk = $3 AND ordinal BETWEEN $4 AND $5
            AND ordinal NOT IN (SELECT o.ordinal FROM outcomes AS o WHERE o.branch_id = $1 AND o.batch_id = $2
                                AND o.ordinal BETWEEN $4 AND $5)
            AND ordinal NOT IN (SELECT u.ordinal FROM unknowns AS u WHERE u.branch_id = $1 AND u.batch_id = $2
                                AND u.end_time IS NULL AND u.ordinal BETWEEN $4 AND $5)
          ORDER BY ordinal) AS r"""
EACH = """
    SELECT ordinal, number, mobile_index, segments, message FROM recipients
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[]) ORDER BY ordinal"""
# The customers are gathered first, so that refusals are looked up by their key, and not joined.
MARKED = """
    SELECT number, about, act, channel, purpose, place FROM refusals
    WHERE branch_id = $1 AND number = ANY (ARRAY(
        SELECT r.number FROM recipients AS r
        WHERE r.branch_id = $1 AND r.batch_id = $2 AND r.ordinal BETWEEN $3 AND $4))"""
NUMBERS = """
    SELECT ordinal, number FROM recipients
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[])"""
HELD = """
    SELECT c.branch_id, c.batch_id, c.chunk, c.low, c.high, c.boot, b.gateway
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.state = 1 AND c.worker = $1 ORDER BY 1, 2, 3"""
OTHERS = """
    SELECT c.branch_id, c.batch_id, c.chunk, c.low, c.high, c.boot, c.worker, c.lease_time, b.gateway
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.state = 1 AND c.worker <> $1 ORDER BY 1, 2, 3"""
LIVING = """
    SELECT objid::integer AS lock FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = $1::integer::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
STATES = "SELECT batch_id, state FROM batches WHERE branch_id = $1 AND batch_id = ANY ($2::uuid[])"
UNSORTED = """
    SELECT * FROM receipts
    WHERE branch_id = 0 AND gateway = $1 AND end_time IS NULL AND (receipt_time, receipt_id) > ($2, $3::uuid)
    ORDER BY receipt_time, receipt_id LIMIT $4"""
ACCEPTED = """
    SELECT line.place, o.batch_id, o.ordinal, r.chunk
    FROM unnest($2::text[]) WITH ORDINALITY AS line (message, place)
    JOIN outcomes AS o ON o.branch_id = $1 AND o.gateway_message = line.message AND o.gateway_message <> ''
    JOIN batches AS b ON b.branch_id = o.branch_id AND b.batch_id = o.batch_id AND b.gateway = $3
    JOIN recipients AS r ON r.branch_id = o.branch_id AND r.batch_id = o.batch_id AND r.ordinal = o.ordinal"""
OPEN = """
    SELECT u.batch_id, u.ordinal, r.chunk, r.mobile_index
    FROM unknowns AS u
    JOIN batches AS b ON b.branch_id = u.branch_id AND b.batch_id = u.batch_id AND b.gateway = $2
    JOIN recipients AS r ON r.branch_id = u.branch_id AND r.batch_id = u.batch_id AND r.ordinal = u.ordinal
    WHERE u.branch_id = $1 AND u.end_time IS NULL AND r.mobile_index = ANY ($3::bytea[])"""
FENCED = """
    SELECT u.batch_id, u.ordinal, u.attempt, r.chunk
    FROM unknowns AS u
    JOIN batches AS b ON b.branch_id = u.branch_id AND b.batch_id = u.batch_id
    JOIN recipients AS r ON r.branch_id = u.branch_id AND r.batch_id = u.batch_id AND r.ordinal = u.ordinal
    WHERE u.branch_id = $1 AND u.end_time IS NULL AND u.fence_time <= $3
      AND b.gateway = $2 AND b.unknown_policy = 1 AND b.state IN (4, 5)
      AND NOT EXISTS (SELECT 1 FROM receipts AS t
                      WHERE t.branch_id = 0 AND t.gateway = $2 AND t.end_time IS NULL AND t.receipt_time > $4
                        AND t.mobile_index = r.mobile_index)"""


async def late(
    work: Work, batch: tuple[int, UUID], low: int, high: int, purpose: int
) -> dict[str, int]:
    """
    Return who must not be written to after all, and why: refusals told since, and moves.

    Of *batch*, branch and identifier, the places from *low* to *high* are looked at; *purpose* is what it is for.
    """
    marks: dict[str, list[Mark]] = {}
    for row in await work.run(MARKED, *batch, low, high):
        found = {key: value for key, value in row.items() if key != "number"}
        marks.setdefault(row.number, []).append(Mark(**found))
    reasons = {number: late_reason(found, purpose) for number, found in marks.items()}
    return {number: reason for number, reason in reasons.items() if reason}


async def refused_by_answer(
    work: Work, numbers: Sequence[str], indexes: Sequence[bytes], purpose: int
) -> dict[str, int]:
    """Return who of the customers *numbers*, with the *indexes* of their mobiles, refused *purpose* by an answer."""
    if purpose == Purpose.SERVICE:
        return {}
    found = await refused(work, indexes, purpose)
    return {
        number: Exclusion.REFUSED_BEFORE
        for number, index in zip(numbers, indexes, strict=True)
        if index in found
    }


async def over_cap(
    work: Work, branch_id: int, numbers: Sequence[str], purpose: int
) -> dict[str, int]:
    """Return who of *numbers* had enough messages of *purpose* since the batch was planned."""
    if purpose != Purpose.MARKETING:
        return {}
    found = await capped(work, branch_id, numbers, moment=work.now)
    return dict.fromkeys(found, Exclusion.CAP_REACHED)


async def branches(work: Work, gateway: str, since: datetime) -> list[int]:
    """Return the branches in which receipts of *gateway* may belong to something."""
    return [row.branch_id for row in await work.run(RECENT, gateway, since - KEPT)]


KEY = Recipient.branch_id, Recipient.batch_id, Recipient.ordinal
"""The order of messages, one place each: by branch, and within it by batch, whose identifiers grow with time."""

ORDER = "create_time"


@dataclass(frozen=True, slots=True)
class MessageFilters:
    """What a list of messages is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    batch_id: UUID | None = None
    number: str = ""
    sender: str = ""
    state: int = 0
    reason: int = 0
    start: datetime | None = None
    end: datetime | None = None


def _keys(table: Any, *conditions: Any) -> Select[Any]:
    return select(table.branch_id, table.batch_id, table.ordinal).where(*conditions)


SCARCE: Mapping[int, Sequence[tuple[Any, Any]]] = {
    RecipientState.EXCLUDED: (
        (Excluded, Excluded.exclusion_reason > 0),
        (LateOutcome, LateOutcome.state == RecipientState.EXCLUDED),
    ),
    RecipientState.FAILED: (
        (LateOutcome, LateOutcome.state == RecipientState.FAILED),
        (LateDelivery, LateDelivery.state == RecipientState.FAILED),
    ),
    RecipientState.UNKNOWN: ((Doubt, Doubt.end_time.is_(None)),),
}
"""Where messages in states that few are in are found, each by an index of its own; the others are met by reading on."""


def messages(caller: Caller, filters: MessageFilters) -> Select[Any]:
    """Return the statement of messages in the caller's sight: of the branches', or only of batches it planned."""
    state = stands(STOPPED_BATCH)
    statement: Select[Any] = (
        select(*SHOWN, state.label("state"), _attempts().label("attempts"))
        .join_from(
            Recipient, Batch, (Batch.branch_id == KEY[0]) & (Batch.batch_id == KEY[1])
        )
        .outerjoin(Outcome, tied(Outcome))
        .outerjoin(Delivery, tied(Delivery))
        .outerjoin(Unknown, tied(Unknown) & Unknown.end_time.is_(None))
        .outerjoin(Chunk, tied(Chunk, "chunk"))
        .outerjoin(Gateway, Gateway.gateway == Batch.gateway)
        .where(within(Recipient.branch_id, caller), within(Batch.branch_id, caller))
    )
    if caller.own_only:
        statement = statement.where(Batch.sender == caller.key)
    if filters.state:
        statement = statement.where(state == filters.state)
        scarce = [
            _keys(
                table,
                within(table.branch_id, caller),
                condition,
                *_same(table, filters),
            )
            for table, condition in SCARCE.get(filters.state, ())
        ]
        if scarce:
            statement = statement.where(tuple_(*KEY).in_(union_all(*scarce)))
    return statement.where(*_narrowed(filters))


def _same(table: Any, filters: MessageFilters) -> list[Any]:
    """Return what narrows the rows of *table* as it narrows recipients."""
    pairs = (table.branch_id, filters.branch_id), (table.batch_id, filters.batch_id)
    return [column == value for column, value in pairs if value]


def _narrowed(filters: MessageFilters) -> list[Any]:
    found = _same(Recipient, filters)
    pairs = (Recipient.number, filters.number), (Batch.sender, filters.sender)
    found += [column == value for column, value in pairs if value]
    if filters.branch_id:
        found.append(Batch.branch_id == filters.branch_id)
    if filters.query:
        found.append(Recipient.number.startswith(filters.query, autoescape=True))
    if filters.reason:
        found.append(why_left_out() == filters.reason)
    if filters.start:
        found.append(Batch.create_time >= filters.start)
    if filters.end:
        found.append(Batch.create_time < filters.end)
    return found


def _attempts() -> Any:
    """
    Return the expression of how often a message was handed over, as far as is on record.

    Each attempt without an answer is one, and an outcome is one more, unless it came of a receipt before the fence, or
    of asking the centre after it: then it is the outcome of the attempt that had no answer.
    """
    tries = select(func.count()).where(tied(Doubt))
    known = (Doubt.end_time < Doubt.fence_time) | Doubt.found
    decided = tries.where(known).scalar_subquery()
    settled = Outcome.state.in_(
        [RecipientState.SENT.value, RecipientState.FAILED.value]
    )
    fresh = case((settled & (decided == 0), 1), else_=0)
    return tries.scalar_subquery() + fresh


async def branch_of(work: Work, filters: MessageFilters) -> int:
    """Return the branch of the filters' one batch; refuse NOT_FOUND when it is not in the caller's sight."""
    assert filters.batch_id is not None
    return int((await batch_held(work, filters.batch_id)).branch_id)


async def message(work: Work, batch_id: UUID, ordinal: int) -> Any:
    """Return one message in the caller's sight, with its sealed text; refuse NOT_FOUND when there is none."""
    branch_id = await work.locate("batches", str(batch_id), "短信")
    filters = MessageFilters(branch_id=branch_id, batch_id=batch_id)
    statement = messages(work.caller, filters).where(Recipient.ordinal == ordinal)
    row = (await work.execute(statement.add_columns(Recipient.message))).first()
    if row is None:
        raise NotFound("message", "短信")
    return row


async def page_of_messages(
    work: Work, pager: Pager, request: Any, filters: MessageFilters
) -> tuple[Sequence[Any], str, int]:
    """Return a page of messages, the token of the next, and how many there are in all."""
    statement = messages(work.caller, filters)
    page = pager.page(request, work.caller, (ORDER,), f"{ORDER} desc")
    found = (await work.execute(paged(statement, page, KEY))).all()
    total = (await work.execute(counted(statement))).scalar_one()
    rows, token = split(pager, page, found, _place)
    return rows, token, int(total)


def _place(row: Any) -> tuple[Any, ...]:
    return row.branch_id, row.batch_id, row.ordinal


async def after(
    work: Work, filters: MessageFilters, ordinal: int, count: int
) -> Sequence[Any]:
    """Return up to *count* messages of the filters' one batch behind the place *ordinal*, ascending."""
    statement = messages(work.caller, filters).where(Recipient.ordinal > ordinal)
    ordered = statement.order_by(*KEY).limit(count)
    return (await work.execute(ordered)).all()
