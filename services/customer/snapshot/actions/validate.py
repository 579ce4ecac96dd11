"""A dry run: every line judged as an import would, and nothing stored."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.wiretypes import day_to
from services.customer.snapshot import rules
from services.customer.snapshot.actions.lines import Batch, Outcome, judged, reject
from services.customer.snapshot.actions.take import Chunk, Header
from services.customer.snapshot.rules import Entity, Found

KNOWN = {
    "number": "SELECT id AS key FROM directory WHERE kind = 'customers' AND id = ANY ($1)",
    "product_code": "SELECT code AS key FROM products WHERE code = ANY ($1)",
}
REASONS = {"number": "LINE_CUSTOMER_UNKNOWN", "product_code": "LINE_PRODUCT_UNKNOWN"}
REFERS = {
    Entity.POSITION: ("number",),
    Entity.HOLDING: ("number", "product_code"),
    Entity.MOVEMENT: ("number",),
}
KEYS = {
    Entity.PRODUCT: "code",
    Entity.CUSTOMER: "number",
    Entity.POSITION: "number",
    Entity.HOLDING: "holding_id",
    Entity.MOVEMENT: "movement_id",
}


async def validate(
    uow: UnitOfWork,
    caller: Caller,
    *,
    branches: frozenset[int],
    header: Header,
    chunks: AsyncIterator[Chunk],
) -> dict[Entity, Outcome]:
    """Return what would become of the lines, by entity; customers and products of the file count as known."""
    found: dict[Entity, Outcome] = {}
    named: dict[str, set[str]] = {"number": set(), "product_code": set()}
    judge = judges(branches, day_to(header.day))
    async for chunk in chunks:
        entity = Entity(chunk.entity)
        outcome = found.setdefault(entity, Outcome())
        batch = Batch(entity, chunk.first_line or outcome.received + 1, chunk.lines)
        good = judged(batch, KEYS[entity], judge[entity], outcome)
        if entity is Entity.CUSTOMER:
            named["number"].update(line.number for _, line in good)
        if entity is Entity.PRODUCT:
            named["product_code"].update(line.code for _, line in good)
        async with uow.read(caller) as work:
            outcome.stored += await _standing(
                work, batch, good, named=named, outcome=outcome
            )
    return found


def judges(
    branches: frozenset[int], day: int
) -> dict[Entity, Callable[[Any], list[Found]]]:
    """Return how lines of each entity are judged."""
    return {
        Entity.PRODUCT: rules.product_faults,
        Entity.CUSTOMER: lambda line: rules.customer_faults(line, branches),
        Entity.POSITION: rules.position_faults,
        Entity.HOLDING: rules.holding_faults,
        Entity.MOVEMENT: lambda line: rules.movement_faults(line, day),
    }


async def _standing(
    work: Work,
    batch: Batch,
    good: list[tuple[int, Any]],
    *,
    named: dict[str, set[str]],
    outcome: Outcome,
) -> int:
    """Return how many lines refer to what is known; enter the others as faulty."""
    standing = {number for number, _ in good}
    for field in REFERS.get(batch.entity, ()):
        asked = {getattr(line, field) for _, line in good} - named[field]
        missing = asked - await _known(work, field, asked)
        for number, line in good:
            if number in standing and getattr(line, field) in missing:
                standing.discard(number)
                reject(
                    outcome,
                    batch,
                    number,
                    getattr(line, KEYS[batch.entity]),
                    Found(field, REASONS[field]),
                )
    return len(standing)


async def _known(work: Work, field: str, keys: Iterable[str]) -> set[str]:
    return {row.key for row in await work.run(KNOWN[field], list(keys))}
