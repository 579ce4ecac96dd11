"""Snapshots between the contract's stream and values."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from guanhu.customer.v1 import snapshot_pb2 as pb

from services.chassis.errors import Invalid, sayings
from services.chassis.names import key_of
from services.chassis.wiretypes import date_from, date_to, time_to
from services.customer.snapshot.actions.lines import Outcome
from services.customer.snapshot.actions.take import Chunk, Header
from services.customer.snapshot.rules import Entity, State

LINES = {
    "products": Entity.PRODUCT,
    "customers": Entity.CUSTOMER,
    "positions": Entity.POSITION,
    "holdings": Entity.HOLDING,
    "movements": Entity.MOVEMENT,
}
SHOWN_FAULTS = 100


async def header_from(parts: AsyncIterator[Any], check: Any) -> Header:
    """Return the header, which must come first and keep the contract's rules; refuse SNAPSHOT_HEADER_MISSING."""
    async for part in parts:
        if part.WhichOneof("part") != "header":
            break
        check(part)
        day = date_from(part.header.snapshot_date, "header.snapshot_date")
        if day is None:
            raise Invalid(
                "FIELD_INVALID",
                fields={"header.snapshot_date": "no such day"},
                count=1,
                named="snapshot_date",
            )
        totals = {total.entity: total.line_count for total in part.header.totals}
        return Header(
            source=part.header.source, day=day, totals=totals, digest=part.header.digest
        )
    raise Invalid("SNAPSHOT_HEADER_MISSING")


async def chunks_from(parts: AsyncIterator[Any]) -> AsyncIterator[Chunk]:
    """Yield the chunks after the header; refuse a second header. Lines are judged one by one, not by the contract."""
    async for part in parts:
        if part.WhichOneof("part") != "chunk":
            raise Invalid("SNAPSHOT_HEADER_REPEATED")
        kind = part.chunk.WhichOneof("lines")
        lines = getattr(part.chunk, kind).lines if kind else ()
        yield Chunk(
            part.chunk.sequence,
            int(LINES[kind]) if kind else 0,
            part.chunk.first_line,
            lines,
        )


def import_to(row: Any) -> pb.Import:
    """Return one import as the contract shows it."""
    counts = {int(entity): count for entity, count in row.counts.items()}
    totals = {int(entity): total for entity, total in row.totals.items()}
    return pb.Import(
        name=f"imports/{row.import_id}",
        source=row.source,
        snapshot_date=date_to(row.snapshot_date),
        state=row.state,
        counts=[
            _count_to(entity, counts.get(entity, {}), totals)
            for entity in sorted({*counts, *totals})
        ],
        progress_percent=_progress(row.state, counts, totals),
        last_chunk=row.last_chunk,
        failure_reason=row.failure_reason,
        sender=row.sender,
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
        end_time=time_to(row.end_time),
    )


def _count_to(
    entity: Any, count: dict[str, int], totals: dict[int, int]
) -> pb.EntityCount:
    return pb.EntityCount(
        entity=entity,
        expected_count=totals.get(entity, 0),
        **{f"{name}_count": value for name, value in count.items()},
    )


def _progress(
    state: int, counts: dict[int, dict[str, int]], totals: dict[int, int]
) -> int:
    """Return the share that is done; working out the meaning counts as the last twentieth."""
    if state == State.SUCCEEDED:
        return 100
    if state == State.APPLYING:
        return 95
    expected = sum(totals.values())
    received = sum(count["received"] for count in counts.values())
    return min(94, received * 95 // expected) if expected else 0


def checked_to(found: dict[Entity, Outcome]) -> pb.ValidateSnapshotResponse:
    """Return what a dry run found."""
    faults = [fault for entity in sorted(found) for fault in found[entity].faults]
    return pb.ValidateSnapshotResponse(
        counts=[
            pb.EntityCount(
                entity=int(entity),  # type: ignore[arg-type]
                received_count=outcome.received,
                stored_count=outcome.stored,
                faulty_count=outcome.faulty,
            )
            for entity, outcome in sorted(found.items())
        ],
        import_faults=[fault_to(fault) for fault in faults[:SHOWN_FAULTS]],
        fault_count=sum(not fault.warning for fault in faults),
        warning_count=sum(fault.warning for fault in faults),
    )


def fault_to(fault: Any) -> pb.ImportFault:
    """Return one fault with both its sentences; of values only a branch or a limit is named."""
    saying = sayings()[fault.reason]
    facts = {"field": fault.field, "branch": fault.detail, "limit": fault.detail}
    return pb.ImportFault(
        line_number=fault.line_number,
        entity=int(fault.entity),  # type: ignore[arg-type]
        key=fault.key,
        field=fault.field,
        reason=fault.reason,
        sentence=saying.en.format_map(facts),
        sentence_zh=saying.zh.format_map(facts),
        warning=fault.warning,
    )


def import_id_from(name: str) -> UUID:
    """Return the id in an import's name; the contract has checked its form."""
    return UUID(key_of("imports", name))
