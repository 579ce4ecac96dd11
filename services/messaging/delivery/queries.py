"""Reads for sending: where there is work, what a chunk holds, who refused, and whose a receipt is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.chassis.db import Work
from services.messaging.batch.queries import capped, refused
from services.messaging.batch.rules import Exclusion
from services.messaging.delivery.rules import Mark, late_reason
from services.messaging.template.rules import Purpose

KEPT = timedelta(days=3)
"""How long after a batch last moved its receipts are looked for (source: validity of messages is two days at most)."""

MOVING = "SELECT DISTINCT branch_id FROM batches WHERE state IN (3, 4) AND gateway = $1 ORDER BY 1"
RECENT = """
    SELECT DISTINCT branch_id FROM batches
    WHERE gateway = $1 AND (state IN (4, 5) OR update_time > $2) ORDER BY 1"""
BATCH = """
    SELECT branch_id, batch_id, purpose, state, gateway, unknown_policy, confirmer, template_display_name
    FROM batches WHERE branch_id = $1 AND batch_id = $2"""
LOADED = """
    SELECT r.ordinal, r.number, r.mobile_index, r.message, r.segments
    FROM recipients AS r
    LEFT JOIN outcomes AS o ON o.branch_id = r.branch_id AND o.batch_id = r.batch_id AND o.ordinal = r.ordinal
    LEFT JOIN unknowns AS u ON u.branch_id = r.branch_id AND u.batch_id = r.batch_id AND u.ordinal = r.ordinal
        AND u.end_time IS NULL
    WHERE r.branch_id = $1 AND r.batch_id = $2 AND r.chunk = $3 AND r.ordinal BETWEEN $4 AND $5
      AND o.ordinal IS NULL AND u.ordinal IS NULL
    ORDER BY r.ordinal"""
MARKED = """
    SELECT number, about, act, channel, purpose, place FROM refusals
    WHERE branch_id = $1 AND number = ANY ($2::text[])"""
NUMBERS = """
    SELECT ordinal, number FROM recipients
    WHERE branch_id = $1 AND batch_id = $2 AND ordinal = ANY ($3::integer[])"""
HELD = """
    SELECT c.branch_id, c.batch_id, c.chunk, c.low, c.high, c.boot, b.gateway
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.state = 1 AND c.worker = $1 ORDER BY 1, 2, 3"""
LOST = """
    SELECT c.branch_id, c.batch_id, c.chunk, c.low, c.high, c.boot, c.worker, b.gateway
    FROM chunks AS c JOIN batches AS b ON b.branch_id = c.branch_id AND b.batch_id = c.batch_id
    WHERE c.state = 1 AND c.lease_time < $1 ORDER BY 1, 2, 3"""
STATES = "SELECT batch_id, state FROM batches WHERE branch_id = $1 AND batch_id = ANY ($2::uuid[])"
UNSORTED = """
    SELECT * FROM receipts
    WHERE branch_id = 0 AND gateway = $1 AND end_time IS NULL AND receipt_time > $2
    ORDER BY receipt_time LIMIT $3"""
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
    SELECT u.batch_id, u.ordinal, r.chunk
    FROM unknowns AS u
    JOIN batches AS b ON b.branch_id = u.branch_id AND b.batch_id = u.batch_id
    JOIN recipients AS r ON r.branch_id = u.branch_id AND r.batch_id = u.batch_id AND r.ordinal = u.ordinal
    WHERE u.branch_id = $1 AND u.end_time IS NULL AND u.fence_time <= $3
      AND b.gateway = $2 AND b.unknown_policy = 1 AND b.state IN (4, 5)"""


@dataclass(frozen=True, slots=True)
class Ready:
    """One message of a chunk that is still to be handed over, sealed; ``reason`` says why it must not be after all."""

    ordinal: int
    number: str
    mobile_index: bytes
    message: bytes
    segments: int
    reason: int = 0


async def late(
    work: Work, branch_id: int, numbers: Sequence[str], purpose: int
) -> dict[str, int]:
    """Return who of *numbers* must not be written to after all, and why: refusals told since, and moves."""
    marks: dict[str, list[Mark]] = {}
    for row in await work.run(MARKED, branch_id, list(numbers)):
        found = {key: value for key, value in row.items() if key != "number"}
        marks.setdefault(row.number, []).append(Mark(**found))
    reasons = {number: late_reason(found, purpose) for number, found in marks.items()}
    return {number: reason for number, reason in reasons.items() if reason}


async def refused_by_answer(
    work: Work, waiting: Mapping[str, bytes], purpose: int
) -> dict[str, int]:
    """Return who of the customers *waiting*, with the indexes of their mobiles, refused *purpose* by an answer."""
    if purpose == Purpose.SERVICE:
        return {}
    found = await refused(work, list(waiting.values()), purpose)
    return {
        number: Exclusion.REFUSED_BEFORE
        for number, index in waiting.items()
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


async def batch(work: Work, branch_id: int, batch_id: UUID) -> Any:
    """Return what handing over and settling need to know of a batch."""
    return (await work.run(BATCH, branch_id, batch_id))[0]


async def branches(work: Work, gateway: str, since: datetime) -> list[int]:
    """Return the branches in which receipts of *gateway* may belong to something."""
    return [row.branch_id for row in await work.run(RECENT, gateway, since - KEPT)]
