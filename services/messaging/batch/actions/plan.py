"""Plan a batch: what is checked before people are asked for, and what is written once they are known."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.chassis.caller import Caller
from services.chassis.clock import local_time
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Exhausted, Invalid, Unready
from services.chassis.vault import Vault, mask_value
from services.messaging.batch import queries, rules
from services.messaging.batch.actions.letters import Letters, seal_chunk, seal_one
from services.messaging.batch.rules import Line, Measure, Person, State, UnknownPolicy
from services.messaging.batch.tables import Batch
from services.messaging.gateway.queries import sending
from services.messaging.template.queries import frame as frame_of
from services.messaging.template.queries import held as template_held
from services.messaging.template.rules import Compiled, Purpose
from services.messaging.template.rules import State as TemplateState

MOBILE = "recipients.mobile"
MASK_MOBILE = 1
PIECE = 20_000
"""Lines that are staged at a time."""

CHUNKS = 50
"""Chunks that are written at a time, each with its messages."""

COLUMNS = (
    "ordinal integer, number text, display_name text, mobile_mask text, mobile_index bytea, message bytea, "
    "exclusion_reason smallint, segments integer, chunk integer"
)
NAMES = tuple(column.split()[0] for column in COLUMNS.split(", "))
INDEX = NAMES.index("mobile_index")
STAGED = f"CREATE TEMP TABLE staged_recipients ({COLUMNS}) ON COMMIT DROP"
WRITTEN = f"""
    INSERT INTO recipients (branch_id, batch_id, {", ".join(NAMES)})
    SELECT $1, $2, {", ".join(NAMES)} FROM staged_recipients ON CONFLICT DO NOTHING"""
CHUNKED = """
    INSERT INTO chunks (branch_id, batch_id, chunk, low, high, size, state, worker, boot, excluded_count, sent_count,
                        failed_count, unknown_count, delivered_count, undelivered_count, letters)
    SELECT $1, $2, line.chunk, line.low, line.high, line.size, 0, '', '', 0, 0, 0, 0, 0, 0, line.letters
    FROM unnest($3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::bytea[])
         AS line (chunk, low, high, size, letters)
    ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch as its sender asks for it; ``schedule_time`` None means at once, no ``gateway`` the first that runs."""

    template_id: UUID
    groups: Sequence[UUID]
    schedule_time: datetime | None
    gateway: str
    unknown_policy: int


@dataclass(frozen=True, slots=True)
class Ready:
    """What a batch needs to know before its people are asked for."""

    template_id: UUID
    template_version: int
    template_revision: int
    display_name: str
    purpose: int
    text: Compiled
    gateway: str
    limit: int
    segment_limit: int
    segment_price: int
    moment: datetime
    hours: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Crowd:
    """Everybody the groups hold, with the names that texts may mention."""

    people: Sequence[Person]
    branch_name: str
    owners: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch worked out and sealed, ready to be written."""

    batch_id: UUID
    lines: Sequence[Line]
    rows: Sequence[tuple[Any, ...]]
    pieces: Sequence[tuple[Any, ...]]
    digest: str


async def prepare(uow: UnitOfWork, caller: Caller, *, asked: Asked) -> Ready:
    """
    Check everything that does not depend on people; changes nothing.

    Refuses NOT_FOUND, TEMPLATE_NOT_APPROVED, GATEWAY_MISSING and SCHEDULE_UNFIT.
    """
    branch_id = caller.branch_id
    async with uow.read(caller) as work:
        template = await template_held(work, asked.template_id)
        if template.state != TemplateState.APPROVED:
            raise Unready("TEMPLATE_NOT_APPROVED")
        gateway = await sending(work, asked.gateway)
        if not gateway:
            raise Unready("GATEWAY_MISSING")
        days = await work.parameter("schedule_days", branch_id)
        if rules.schedule_unfit(asked.schedule_time, work.now, days):
            raise Invalid("SCHEDULE_UNFIT", days=days)
        return Ready(
            template_id=template.template_id,
            template_version=template.version,
            template_revision=template.revision,
            display_name=template.display_name,
            purpose=template.purpose,
            text=(await frame_of(work, branch_id)).around(template),
            gateway=gateway,
            limit=await work.parameter("batch_limit", branch_id),
            segment_limit=await work.parameter("segment_limit", branch_id),
            segment_price=await work.parameter("segment_price", branch_id),
            moment=asked.schedule_time or work.now,
            hours=rules.hours_of(
                template.purpose, await work.parameter("sms_hours", branch_id)
            ),
        )


def goes_out(ready: Ready, zone: str) -> datetime:
    """Return when the first message can go out, by the hours of a day in *zone*; at once where no hour is allowed."""
    local = local_time(ready.moment, zone)
    begin, end = ready.hours
    return rules.first_moment(local, ready.hours) if begin < end else local


def check_size(people: int, limit: int) -> None:
    """Refuse BATCH_EMPTY and BATCH_TOO_LARGE."""
    if not people:
        raise Unready("BATCH_EMPTY")
    if people > limit:
        raise Exhausted("BATCH_TOO_LARGE", limit=limit)


async def draft(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    batch_id: UUID,
    asked: Asked,
    ready: Ready,
    crowd: Crowd,
) -> Draft:
    """Work out who gets which text, off the loop: rendering and sealing a large batch takes seconds."""
    measure = Measure(
        text=ready.text,
        branch_name=crowd.branch_name,
        segment_limit=ready.segment_limit,
        sender=caller.key if caller.own_only else "",
        refused=await _refused(uow, caller, vault, ready=ready, crowd=crowd),
        capped=await _capped(uow, caller, ready, crowd),
        owners=crowd.owners,
    )
    head = (
        ready.template_id,
        ready.template_version,
        ready.text.text,
        ready.gateway,
        asked.schedule_time and asked.schedule_time.isoformat(),
        policy_of(asked),
    )
    return await asyncio.to_thread(
        _work_out, batch_id, crowd.people, measure, vault, head
    )


def _work_out(
    batch_id: UUID,
    people: Sequence[Person],
    measure: Measure,
    vault: Vault,
    head: tuple[object, ...],
) -> Draft:
    lines = rules.lines_of(people, measure)
    rows = [_row(line, batch_id, vault) for line in lines]
    told = (
        (line.ordinal, line.person.number, line.reason, row[INDEX] and row[INDEX].hex())
        + ((line.text,) if line.text else ())
        for line, row in zip(lines, rows, strict=True)
    )
    digest = rules.digest_of(head, told)
    return Draft(batch_id, lines, rows, _pieces(lines, rows, batch_id, vault), digest)


async def _capped(
    uow: UnitOfWork, caller: Caller, ready: Ready, crowd: Crowd
) -> frozenset[str]:
    """Return who of *crowd* had enough messages of this purpose already."""
    if ready.purpose != Purpose.MARKETING:
        return frozenset()
    numbers = [person.number for person in crowd.people]
    async with uow.read(caller) as work:
        return await queries.capped(
            work, caller.branch_id, numbers, moment=ready.moment
        )


async def _refused(
    uow: UnitOfWork, caller: Caller, vault: Vault, *, ready: Ready, crowd: Crowd
) -> frozenset[str]:
    """Return the mobiles of *crowd* whose holders refused messages of this purpose by an answer."""
    if ready.purpose == Purpose.SERVICE:
        return frozenset()

    def indexed() -> dict[bytes, str]:
        mobiles = {rules.mobile_of(person.mobile) for person in crowd.people} - {""}
        return {key: one for one in mobiles for key in vault.indexes(one, MOBILE)}

    mobiles = await asyncio.to_thread(indexed)
    async with uow.read(caller) as work:
        found = await queries.refused(work, list(mobiles), ready.purpose)
    return frozenset(mobiles[key] for key in found)


def policy_of(asked: Asked) -> int:
    """Return what happens to messages of unknown fate; waiting for the receipt where nothing was said."""
    return asked.unknown_policy or UnknownPolicy.FENCE


def _row(line: Line, batch_id: UUID, vault: Vault) -> tuple[Any, ...]:
    """Return one line as it is stored: mobile and text sealed together, bound to batch and place."""
    sealed = index = None
    if line.mobile:
        index = vault.index(line.mobile, MOBILE)
    if not line.reason:
        sealed = seal_one(vault, batch_id, line.ordinal, line.mobile, line.text)
    return (
        line.ordinal,
        line.person.number,
        line.person.display_name,
        mask_value(line.mobile or line.person.mobile, MASK_MOBILE)
        if line.person.mobile
        else "",
        index,
        sealed,
        line.reason,
        line.segments,
        line.chunk,
    )


def _pieces(
    lines: Sequence[Line], rows: Sequence[tuple[Any, ...]], batch_id: UUID, vault: Vault
) -> list[tuple[Any, ...]]:
    """Return the chunks that *lines* were put into, as they are stored; *rows* hold the indexes of the mobiles."""
    by_chunk: dict[int, list[tuple[Any, ...]]] = {}
    for line, row in zip(lines, rows, strict=True):
        if line.chunk:
            by_chunk.setdefault(line.chunk, []).append(
                (
                    line.ordinal,
                    line.person.number,
                    row[INDEX],
                    line.segments,
                    line.mobile,
                    line.text,
                )
            )
    pieces = []
    for chunk, found in by_chunk.items():
        letters = Letters(*zip(*found, strict=True))
        sealed = seal_chunk(vault, batch_id, chunk, letters)
        low, high = letters.ordinals[0], letters.ordinals[-1]
        pieces.append((chunk, low, high, len(found), sealed))
    return pieces


async def write(
    bulk: UnitOfWork, caller: Caller, *, asked: Asked, ready: Ready, draft: Draft
) -> queries.Shown:
    """Write a batch with everybody in it, in one transaction of the bulk role: only that may stage what it copies."""
    branch_id = caller.branch_id
    async with bulk(caller) as work:
        row = _batch(caller, asked, ready, draft, now=work.now)
        work.add(row)
        await work.register("batches", draft.batch_id, branch_id)
        await _write_lines(work, branch_id, draft)
        detail = {"people": row.total_count, "excluded": row.excluded_count}
        work.note(f"batches/{row.batch_id}", branch_id=branch_id, **detail)
        return await queries.shown(work, row, samples=True)


def _batch(
    caller: Caller, asked: Asked, ready: Ready, draft: Draft, *, now: datetime
) -> Batch:
    """Return the row of a batch that *caller* planned *now*."""
    lines = draft.lines
    segments = sum(line.segments for line in lines)
    return Batch(
        branch_id=caller.branch_id,
        batch_id=draft.batch_id,
        sender=caller.key,
        confirmer="",
        approver="",
        review_remark="",
        template_id=ready.template_id,
        template_display_name=ready.display_name,
        purpose=ready.purpose,
        groups=list(asked.groups),
        gateway=ready.gateway,
        state=State.PLANNED,
        schedule_time=asked.schedule_time,
        unknown_policy=policy_of(asked),
        digest=draft.digest,
        total_count=len(lines),
        excluded_count=sum(line.reason > 0 for line in lines),
        exclusions=rules.exclusions_of(lines),
        segment_count=segments,
        samples=rules.samples_of(lines),
        told=False,
        create_time=now,
        update_time=now,
        template_revision=ready.template_revision,
        cost=segments * ready.segment_price,
        segment_counts=rules.segment_counts_of(lines),
        ordinary_samples=rules.ordinary_of(lines),
    )


async def _write_lines(work: Work, branch_id: int, draft: Draft) -> None:
    await work.run(STAGED)
    for start in range(0, len(draft.rows), PIECE):
        piece = draft.rows[start : start + PIECE]
        await work.copy("staged_recipients", NAMES, piece)
    await work.run(WRITTEN, branch_id, draft.batch_id)
    for start in range(0, len(draft.pieces), CHUNKS):
        columns = zip(*draft.pieces[start : start + CHUNKS], strict=True)
        await work.run(CHUNKED, branch_id, draft.batch_id, *columns)
