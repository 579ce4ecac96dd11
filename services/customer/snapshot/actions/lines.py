"""Lines of one kind on their way into the store: judged, counted, staged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.chassis.db import Work
from services.customer.snapshot.rules import Entity, Found, repeated, stands


class Batch(NamedTuple):
    """Lines of one entity; ``first_line`` is the number of the first within its entity."""

    entity: Entity
    first_line: int
    lines: Sequence[Any]


class LineFault(NamedTuple):
    """What is wrong with one line, by its number within the entity; ``detail`` goes into its sentence."""

    entity: Entity
    line_number: int
    key: str
    field: str
    reason: str
    warning: bool
    detail: str


@dataclass(slots=True)
class Outcome:
    """What became of a batch; every line received is stored, unchanged or faulty."""

    received: int = 0
    stored: int = 0
    unchanged: int = 0
    faulty: int = 0
    faults: list[LineFault] = field(default_factory=list)


def judged(
    batch: Batch, key: str, judge: Callable[[Any], list[Found]], outcome: Outcome
) -> list[tuple[int, Any]]:
    """Return the lines that stand with their numbers; enter the others, and every warning, in *outcome*."""
    outcome.received += len(batch.lines)
    again = repeated([getattr(line, key) for line in batch.lines])
    good = []
    for place, line in enumerate(batch.lines):
        found = judge(line)
        if place in again:
            found.append(Found(key, "LINE_DOUBLED"))
        number = batch.first_line + place
        if found:
            name = getattr(line, key)[:64]
            outcome.faults += [
                LineFault(batch.entity, number, name, *one) for one in found
            ]
        if stands(found):
            good.append((number, line))
        else:
            outcome.faulty += 1
    return good


def reject(
    outcome: Outcome, batch: Batch, line_number: int, key: str, found: Found
) -> None:
    """Enter a line that only the store could tell is faulty."""
    outcome.faulty += 1
    outcome.faults.append(LineFault(batch.entity, line_number, key, *found))


async def stage(
    work: Work, table: str, columns: str, rows: Sequence[Sequence[Any]]
) -> None:
    """
    Put *rows* into a temporary table of this transaction, ``name type`` pairs in *columns*.

    COPY cannot write tables with row-level security, and one set-based statement from here can.
    """
    await work.run(
        f"CREATE TEMP TABLE IF NOT EXISTS {table} ({columns}) ON COMMIT DROP"
    )
    await work.run(f"TRUNCATE {table}")
    names = [column.split()[0] for column in columns.split(", ")]
    await work.copy(table, names, rows)
