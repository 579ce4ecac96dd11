"""
Events out: numbered per branch, late in the transaction that caused them.

The counter row of a branch stays locked from here to commit, so numbers appear in the order of commits and a
reader that has seen n has seen everything before n. Branches do not wait for each other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

CHANNEL = "guanhu_events"
"""NOTIFY on it only wakes; polling is the truth."""

RESERVED = """
    INSERT INTO outbox_heads AS h (branch_id, last_sequence) VALUES ($1, $2)
    ON CONFLICT (branch_id) DO UPDATE SET last_sequence = h.last_sequence + excluded.last_sequence
    RETURNING last_sequence"""

WRITTEN = """
    INSERT INTO outbox (branch_id, sequence, create_time, trace_id, fact)
    SELECT $1, $2 + n, $3, trace, fact FROM unnest($4::text[], $5::bytea[]) WITH ORDINALITY AS u (trace, fact, n)
    ON CONFLICT DO NOTHING"""


async def write(
    raw: asyncpg.Connection,
    facts: Mapping[int, Sequence[tuple[Message, str]]],
    now: datetime,
) -> None:
    """Number and store *facts*, each with its trace, by branch, ascending, one range for each; wake whoever listens."""
    for branch_id in sorted(facts):
        packed, traces = [], []
        for fact, trace_id in facts[branch_id]:
            holder = Any()
            holder.Pack(fact)
            packed.append(holder.SerializeToString())
            traces.append(trace_id)
        before = await raw.fetchval(RESERVED, branch_id, len(packed)) - len(packed)
        await raw.execute(WRITTEN, branch_id, before, now, traces, packed)
    await raw.execute(f"NOTIFY {CHANNEL}")
