"""
An import from its header to its end: chunk by chunk, resumable, each piece one transaction.

A stream that comes again for the same snapshot takes over: the one before notices at its next piece that it is no
longer the taker, and can write nothing more.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Invalid, Refusal, Stale, Unready
from services.chassis.vault import Vault
from services.customer.snapshot import queries
from services.customer.snapshot.actions import customers, figures, products
from services.customer.snapshot.actions.detection import (
    detect_moves,
    detect_newcomers,
)
from services.customer.snapshot.actions.lines import Batch, Outcome
from services.customer.snapshot.rules import Entity, State
from services.customer.snapshot.tables import Fault, Import

PIECE = 20_000
"""Lines that are stored in one transaction; chunks of one entity are gathered up to it."""

QUIET = timedelta(seconds=60)
"""An import that has not moved for so long is taken to be abandoned."""

LINES_MOST = 10_000
JUDGED_FROM = 1000
"""A share of faulty lines says nothing before so many have come."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot is: whose, of which day, how many lines by entity, and its digest where there is one."""

    source: str
    day: date
    totals: Mapping[int, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of one entity, as the stream brings them."""

    sequence: int
    entity: int
    first_line: int
    lines: Any


@dataclass(slots=True)
class Taking:
    """One stream that brings a snapshot."""

    bulk: UnitOfWork
    caller: Caller
    vault: Vault
    branches: frozenset[int]
    header: Header
    import_id: UUID
    taker: UUID
    last_chunk: int
    since: datetime
    counts: dict[int, dict[str, int]]
    chunk: int = 0
    entity: int = 0
    first_line: int = 0
    gathered: list[Any] = field(default_factory=list)


def fresh_counts() -> dict[str, int]:
    """Return the counters of an entity before its first line."""
    return {"received": 0, "stored": 0, "unchanged": 0, "faulty": 0}


async def begin(
    bulk: UnitOfWork,
    caller: Caller,
    *,
    vault: Vault,
    branches: frozenset[int],
    header: Header,
) -> Taking | Import:
    """
    Open or resume the import of a snapshot; return the import itself when it has succeeded before.

    Refuses SNAPSHOT_IN_FUTURE, SNAPSHOT_OUTDATED, SNAPSHOT_DIFFERS and SNAPSHOT_IN_PROGRESS.
    """
    async with bulk(caller) as work:
        if header.day > work.today:
            raise Invalid("SNAPSHOT_IN_FUTURE")
        newest = await queries.newest(work, header.source, State.SUCCEEDED)
        if newest is not None and newest > header.day:
            raise Unready("SNAPSHOT_OUTDATED", newest=newest)
        found = await queries.same(work, header.source, header.day)
        digests = {header.digest, found.digest if found else ""} - {""}
        if len(digests) > 1:
            raise Unready("SNAPSHOT_DIFFERS", date=header.day, source=header.source)
        if found is not None and found.state == State.SUCCEEDED:
            return found
        await _refuse_another(work, header)
        found = found or _fresh(work, caller, header)
        found.state, found.taker, found.failure_reason = State.RECEIVING, uuid7(), ""
        found.end_time, found.update_time, found.sender = None, work.now, caller.subject
        await work.session.flush()
    counts = {int(entity): dict(count) for entity, count in found.counts.items()}
    return Taking(
        bulk,
        caller,
        vault,
        branches,
        header,
        found.import_id,
        found.taker,
        found.last_chunk,
        found.create_time,
        counts,
    )


async def _refuse_another(work: Work, header: Header) -> None:
    """Refuse while another day of the same source is coming in: days are taken one after another."""
    where = (Import.branch_id == HEAD_OFFICE) & (Import.source == header.source)
    where &= (Import.snapshot_date != header.day) & (
        Import.update_time > work.now - QUIET
    )
    where &= Import.state.in_((State.RECEIVING, State.APPLYING))
    running = (
        await work.execute(select(Import.import_id).where(where).limit(1))
    ).scalar_one_or_none()
    if running is not None:
        raise Unready(
            "SNAPSHOT_IN_PROGRESS", source=header.source, running=f"imports/{running}"
        )


def _fresh(work: Work, caller: Caller, header: Header) -> Import:
    row = Import(
        branch_id=HEAD_OFFICE,
        import_id=uuid7(),
        source=header.source,
        snapshot_date=header.day,
        digest=header.digest,
        totals={str(entity): count for entity, count in header.totals.items()},
        counts={},
        last_chunk=0,
        sender=caller.subject,
        create_time=work.now,
    )
    work.add(row)
    return row


async def take(taking: Taking, chunks: AsyncIterator[Chunk]) -> Import:
    """Store every chunk that is not stored yet, then work out what the snapshot means, and return the import."""
    try:
        async for chunk in chunks:
            check(taking, chunk)
            await gather(taking, chunk)
        await flush(taking)
        check_totals(taking)
        await _set_state(taking, State.APPLYING)
        await apply(taking)
    except Refusal as refusal:
        if refusal.reason in FATAL:
            await _set_state(taking, State.FAILED, refusal.reason)
        raise
    return await _set_state(taking, State.SUCCEEDED)


FATAL = frozenset({"SNAPSHOT_TOTALS_DIFFER", "SNAPSHOT_TOO_FAULTY"})
"""Reasons after which the import is given up; after others the stream may be sent again as it is."""


def check(taking: Taking, chunk: Chunk) -> None:
    """Refuse a chunk that does not follow: a gap, an entity out of order, no lines."""
    expected = taking.chunk + 1
    if chunk.sequence != expected and not (
        taking.chunk == 0 and chunk.sequence <= taking.last_chunk + 1
    ):
        raise Invalid(
            "SNAPSHOT_CHUNK_MISSING", expected=expected, received=chunk.sequence
        )
    if not 1 <= len(chunk.lines) <= LINES_MOST:
        raise Invalid(
            "SNAPSHOT_LINES_MISSING", sequence=chunk.sequence, limit=LINES_MOST
        )
    if chunk.entity < taking.entity:
        here, after = Entity(chunk.entity).name, Entity(taking.entity).name
        raise Invalid("SNAPSHOT_ORDER_BROKEN", entity=here, after=after)


async def gather(taking: Taking, chunk: Chunk) -> None:
    """Keep a chunk's lines until there is a piece's worth of its entity; pass over what is stored already."""
    taking.chunk = chunk.sequence
    if chunk.sequence <= taking.last_chunk:
        taking.entity = chunk.entity
        return
    if chunk.entity != taking.entity or len(taking.gathered) + len(chunk.lines) > PIECE:
        taking.chunk -= 1
        await flush(taking)
        taking.chunk = chunk.sequence
    if not taking.gathered:
        known = taking.counts.get(chunk.entity, fresh_counts())["received"]
        taking.entity, taking.first_line = chunk.entity, chunk.first_line or known + 1
    taking.gathered.extend(chunk.lines)


async def flush(taking: Taking) -> None:
    """Store the piece that was gathered, its counts and its faults, in one transaction with the position reached."""
    if not taking.gathered:
        return
    batch = Batch(Entity(taking.entity), taking.first_line, taking.gathered)
    async with taking.bulk(taking.caller) as work:
        row = await _held(work, taking)
        outcome = await store(work, taking, batch)
        counts = taking.counts.setdefault(taking.entity, fresh_counts())
        for name in counts:
            counts[name] += getattr(outcome, name)
        await _keep_faults(work, taking.import_id, outcome)
        row.counts = {
            str(entity): dict(count) for entity, count in taking.counts.items()
        }
        row.last_chunk, row.update_time = taking.chunk, work.now
        percent = await work.parameter("snapshot_fault_percent")
    taking.last_chunk, taking.gathered = taking.chunk, []
    received = sum(count["received"] for count in taking.counts.values())
    faulty = sum(count["faulty"] for count in taking.counts.values())
    if received >= JUDGED_FROM and faulty * 100 > received * percent:
        raise Invalid("SNAPSHOT_TOO_FAULTY", percent=percent)


async def _held(work: Work, taking: Taking) -> Import:
    """Return the import's row, locked; refuse SNAPSHOT_IN_PROGRESS when another stream has taken over."""
    row = await queries.same(work, taking.header.source, taking.header.day)
    if row is None or row.taker != taking.taker:
        raise Stale(
            "SNAPSHOT_IN_PROGRESS",
            source=taking.header.source,
            running=f"imports/{taking.import_id}",
        )
    return row


async def store(work: Work, taking: Taking, batch: Batch) -> Outcome:
    """Store a piece by its entity."""
    day = taking.header.day
    if batch.entity is Entity.PRODUCT:
        return await products.store_products(work, batch)
    if batch.entity is Entity.CUSTOMER:
        return await customers.store_customers(
            work, taking.vault, batch, branches=taking.branches, day=day
        )
    if batch.entity is Entity.POSITION:
        thresholds = await work.parameter("tier_thresholds")
        percent = await work.parameter("potential_percent")
        return await figures.store_positions(
            work, batch, day=day, thresholds=thresholds, potential_percent=percent
        )
    if batch.entity is Entity.HOLDING:
        return await figures.store_holdings(work, batch)
    return await figures.store_movements(work, batch, day=day)


async def _keep_faults(work: Work, import_id: UUID, outcome: Outcome) -> None:
    if outcome.faults:
        rows = [
            {
                "branch_id": HEAD_OFFICE,
                "import_id": import_id,
                **fault._asdict(),
                "entity": int(fault.entity),
            }
            for fault in outcome.faults
        ]
        await work.execute(insert(Fault).on_conflict_do_nothing(), rows)


def check_totals(taking: Taking) -> None:
    """Refuse when other numbers of lines came than the header announced."""
    for entity, expected in taking.header.totals.items():
        received = taking.counts.get(entity, fresh_counts())["received"]
        if received != expected:
            raise Invalid(
                "SNAPSHOT_TOTALS_DIFFER",
                expected=expected,
                received=received,
                entity=Entity(entity).name,
            )


TOUCHED = """
    SELECT DISTINCT branch_id FROM customers WHERE snapshot_date = $1 OR create_time >= $2
    UNION SELECT DISTINCT branch_id FROM movements WHERE snapshot_date = $1 ORDER BY 1"""


async def apply(taking: Taking) -> None:
    """Work out, branch by branch, what the day's figures mean, and what is due for whoever is new."""
    day = taking.header.day
    async with taking.bulk.read(taking.caller) as work:
        touched = [row.branch_id for row in await work.run(TOUCHED, day, taking.since)]
    for branch_id in touched:
        async with taking.bulk(taking.caller.in_branch(branch_id)) as work:
            await detect_moves(work, branch_id, day)
            await detect_newcomers(work, branch_id, taking.since)


async def _set_state(taking: Taking, state: State, reason: str = "") -> Import:
    async with taking.bulk(taking.caller) as work:
        row = await _held(work, taking)
        row.state, row.failure_reason, row.update_time = state, reason, work.now
        row.end_time = work.now if state in (State.SUCCEEDED, State.FAILED) else None
        await work.session.flush()
    return row
