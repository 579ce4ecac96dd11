"""Reads of batches, their counts and their recipients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, func, literal, select

from services.chassis.caller import Caller
from services.chassis.clock import local_time
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.batch.rules import (
    ENDED,
    MONTH,
    STOPPED,
    WEEK,
    ChunkState,
    Counts,
    RecipientState,
    first_moment,
    hours_of,
)
from services.messaging.batch.tables import (
    Batch,
    Chunk,
    Delivery,
    Outcome,
    Recipient,
    Unknown,
)

LISTING = Listing(
    orders={"create_time": Batch.create_time},
    default="create_time desc",
    unique=(Batch.branch_id, Batch.batch_id),
)
RECIPIENTS = Listing(
    orders={"ordinal": Recipient.ordinal},
    default="ordinal",
    unique=(Recipient.branch_id, Recipient.ordinal),
)

COUNTED = """
    SELECT batch_id, sum(size)::integer AS size, sum(excluded_count)::integer AS excluded,
           sum(sent_count)::integer AS sent, sum(failed_count)::integer AS failed,
           sum(unknown_count)::integer AS unknown, sum(delivered_count)::integer AS delivered,
           sum(undelivered_count)::integer AS undelivered,
           coalesce(sum(size - excluded_count - sent_count - failed_count - unknown_count)
                    FILTER (WHERE state = 1), 0)::integer AS submitting
    FROM chunks WHERE branch_id = ANY ($1::integer[]) AND batch_id = ANY ($2::uuid[]) GROUP BY batch_id"""
LATE = """
    SELECT batch_id, exclusion_reason, count(*) AS count FROM outcomes
    WHERE branch_id = ANY ($1::integer[]) AND batch_id = ANY ($2::uuid[]) AND state = 1
    GROUP BY batch_id, exclusion_reason"""
SAMPLED = """
    SELECT ordinal, number, message, segments FROM recipients
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[])"""
HAD = """
    SELECT r.number, count(*) FILTER (WHERE o.settle_time >= $4) AS week, count(*) AS month
    FROM recipients AS r
    JOIN outcomes AS o ON o.branch_id = r.branch_id AND o.batch_id = r.batch_id AND o.ordinal = r.ordinal
    JOIN batches AS b ON b.branch_id = r.branch_id AND b.batch_id = r.batch_id
    WHERE r.branch_id = $1 AND r.number = ANY ($2::text[]) AND r.exclusion_reason = 0 AND b.purpose = 3
      AND o.state = 4 AND o.settle_time >= $3
    GROUP BY r.number"""

REFUSED = """
    SELECT mobile_index FROM opt_outs WHERE mobile_index = ANY ($1::bytea[]) AND purpose = $2 AND refused"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    sender: str = ""
    state: int = 0


@dataclass(frozen=True, slots=True)
class RecipientFilters:
    """What a list of recipients is narrowed to; unset fields narrow nothing."""

    query: str = ""
    state: int = 0
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One message of a batch, sealed."""

    ordinal: int
    number: str
    message: bytes
    segments: int


@dataclass(frozen=True, slots=True)
class Window:
    """When messages of a batch go out: the first at ``moment``, and between two hours of the branch's day."""

    moment: datetime
    hours: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """A batch as it stands: its row, what its chunks come to, who was left out late, samples, and when it goes out."""

    row: Any
    counts: Counts
    late: Mapping[int, int]
    samples: Sequence[Sample] = ()
    ordinary: Sequence[Sample] = ()
    window: Window | None = None


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over batches in the caller's sight: the branches', or only those it planned."""
    own = Batch.sender == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    return select(*columns).where(within(Batch.branch_id, caller) & own)


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *Batch.__table__.columns)
    for column, value in (
        (Batch.branch_id, filters.branch_id),
        (Batch.sender, filters.sender),
        (Batch.state, filters.state),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        found = Batch.template_display_name.contains(filters.query, autoescape=True)
        statement = statement.where(found)
    return statement


async def held(work: Work, batch_id: UUID, *, lock: bool = False) -> Batch:
    """Return one batch in the caller's sight, locked where it is to change; refuse NOT_FOUND otherwise."""
    branch_id = await work.locate("batches", str(batch_id), "短信批次")
    key = (Batch.branch_id == branch_id) & (Batch.batch_id == batch_id)
    statement = seen(work.caller, Batch).where(key)
    await work.session.flush()
    found = await work.session.execute(
        statement.with_for_update() if lock else statement
    )
    row: Batch | None = found.scalar_one_or_none()
    if row is None:
        raise NotFound("batch", "短信批次")
    return row


async def counts(work: Work, rows: Iterable[Any]) -> list[Shown]:
    """Return batches with what became of their messages so far."""
    found = list(rows)
    keys = sorted({row.branch_id for row in found}), [row.batch_id for row in found]
    sums = {row.batch_id: row for row in await work.run(COUNTED, *keys)}
    late: dict[UUID, dict[int, int]] = {}
    for row in await work.run(LATE, *keys):
        late.setdefault(row.batch_id, {})[row.exclusion_reason] = row.count
    return [
        Shown(row, _counts(sums.get(row.batch_id)), late.get(row.batch_id, {}))
        for row in found
    ]


def _counts(row: Any) -> Counts:
    if row is None:
        return Counts()
    return Counts(**{key: row[key] for key in row.keys() if key != "batch_id"})  # noqa: SIM118 - a record, not a dict


async def shown(work: Work, row: Any, *, samples: bool = False) -> Shown:
    """Return one batch with its counts, and with its samples where they are wanted."""
    [found] = await counts(work, [row])
    if not samples:
        return found
    wanted = [*row.samples, *row.ordinary_samples]
    rows = await work.run(SAMPLED, row.branch_id, row.batch_id, wanted)
    texts = {one.ordinal: Sample(**dict(one)) for one in rows}
    return replace(
        found,
        samples=[texts[ordinal] for ordinal in row.samples],
        ordinary=[texts[ordinal] for ordinal in row.ordinary_samples],
    )


async def with_window(work: Work, found: Shown, zone: str) -> Shown:
    """Return a batch with when its messages go out, by *zone* of its branch; as it is where none can go out."""
    row = found.row
    if row.state in ENDED:
        return found
    stored = await work.parameter("sms_hours", row.branch_id)
    hours = hours_of(row.purpose, stored)
    if hours[0] >= hours[1]:
        return found
    moment = max(row.schedule_time or work.now, work.now)
    local = first_moment(local_time(moment, zone), hours)
    return replace(found, window=Window(local, hours))


def stands(stopped: Any) -> Any:
    """Return the expression of where a recipient stands; *stopped* says that its batch was cancelled or rejected."""
    rest = case(
        (stopped, RecipientState.CANCELLED.value),
        else_=RecipientState.WAITING.value,
    )
    return case(
        (Recipient.exclusion_reason > 0, RecipientState.EXCLUDED.value),
        (Delivery.state.is_not(None), Delivery.state),
        (Outcome.state.is_not(None), Outcome.state),
        (Unknown.attempt.is_not(None), RecipientState.UNKNOWN.value),
        (Chunk.state == ChunkState.LEASED, RecipientState.SUBMITTING.value),
        else_=rest,
    )


def why_left_out() -> Any:
    """Return the expression of why a recipient was left out, at planning or at the last moment; 0 for who was not."""
    return Recipient.exclusion_reason + func.coalesce(Outcome.exclusion_reason, 0)


def tied(table: Any, place: str = "ordinal") -> Any:
    """Return how a row of *table* belongs to a recipient."""
    return and_(
        table.branch_id == Recipient.branch_id,
        table.batch_id == Recipient.batch_id,
        getattr(table, place) == getattr(Recipient, place),
    )


def recipients(batch: Any, filters: RecipientFilters) -> Select[Any]:
    """Return the statement of the recipients of *batch*, which its reader was seen to see."""
    state = stands(literal(batch.state in STOPPED))
    statement = (
        select(
            Recipient.branch_id,
            Recipient.batch_id,
            Recipient.ordinal,
            Recipient.number,
            Recipient.display_name,
            Recipient.mobile_mask,
            Recipient.segments,
            state.label("state"),
            why_left_out().label("reason"),
            Outcome.gateway_message,
            Outcome.failure_code,
            Outcome.settle_time,
            Delivery.code,
            Delivery.receipt_time,
        )
        .outerjoin_from(Recipient, Outcome, tied(Outcome))
        .outerjoin(Delivery, tied(Delivery))
        .outerjoin(Unknown, tied(Unknown) & Unknown.end_time.is_(None))
        .outerjoin(Chunk, tied(Chunk, "chunk"))
        .where(
            (Recipient.branch_id == batch.branch_id)
            & (Recipient.batch_id == batch.batch_id)
        )
    )
    if filters.query:
        starts = Recipient.number.startswith(filters.query, autoescape=True)
        statement = statement.where(starts)
    if filters.state:
        statement = statement.where(state == filters.state)
    return (
        statement.where(why_left_out() == filters.reason)
        if filters.reason
        else statement
    )


async def capped(
    work: Work, branch_id: int, numbers: Sequence[str], *, moment: datetime
) -> frozenset[str]:
    """Return which customers of one branch had as many marketing messages before *moment* as the caps allow."""
    caps = await work.parameter("marketing_cap", branch_id)
    since = moment - MONTH, moment - WEEK
    rows = await work.run(HAD, branch_id, list(numbers), *since)
    return frozenset(
        row.number
        for row in rows
        if (caps["week"] and row.week >= caps["week"])
        or (caps["month"] and row.month >= caps["month"])
    )


async def refused(work: Work, indexes: Sequence[bytes], purpose: int) -> set[bytes]:
    """Return which of these numbers, by their indexes, get no messages of *purpose*: their holders answered so."""
    rows = await work.run(REFUSED, list(indexes), purpose)
    return {row.mobile_index for row in rows}
