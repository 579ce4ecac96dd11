"""
The audit trail: one record per mutating or revealing call, chained per branch by hash, written with the change.

The service's role may append and nothing else. A chain cannot show that its end was cut off, so the heads are
also exported to a file outside the database; ``guanhu audit verify`` recomputes every hash against them.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
from guanhu.audit.v1 import audit_pb2, audit_pb2_grpc

from services.chassis.caller import HEAD_OFFICE
from services.chassis.calls import Note
from services.chassis.wiretypes import time_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from services.chassis.caller import Caller
    from services.chassis.calls import Context
    from services.chassis.db import UnitOfWork
    from services.chassis.paging import Pager

GENESIS = b"\0" * 32
"""The hash before the first record."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NAMED = 100
"""How many resources a record names before it only counts."""

LOCKED = """
    INSERT INTO audit_heads AS h (branch_id, sequence, hash) VALUES ($1, 0, $2)
    ON CONFLICT (branch_id) DO UPDATE SET sequence = h.sequence RETURNING sequence, hash"""
APPENDED = """
    INSERT INTO audit_records
        (branch_id, sequence, create_time, actor, agent, method, decision, resources, detail, trace_id, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""
MOVED = "UPDATE audit_heads SET sequence = $2, hash = $3 WHERE branch_id = $1"

FIELDS = (
    "branch_id",
    "sequence",
    "create_time",
    "actor",
    "agent",
    "method",
    "decision",
    "resources",
    "detail",
    "trace_id",
)
"""The fields that a hash covers, in order."""


def link(before: bytes, record: Mapping[str, object]) -> bytes:
    """
    Return the hash of *record* after *before*: SHA-256 over the hash before and the fields as a JSON list.

    ``create_time`` counts as microseconds since 1970, so that any client can recompute it.
    """
    values = [record[name] for name in FIELDS]
    values[2] = (record["create_time"] - EPOCH) // timedelta(microseconds=1)  # type: ignore[operator]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def _named(resources: list[str]) -> str:
    unique = list(dict.fromkeys(resources))
    rest = len(unique) - NAMED
    return " ".join(unique[:NAMED]) + (f" +{rest}" if rest > 0 else "")


async def write(
    raw: asyncpg.Connection,
    caller: Caller,
    *,
    method: str,
    decision: str,
    trace_id: str,
    notes: Mapping[int, Note],
    now: datetime,
) -> None:
    """
    Append the record of what *caller* did to the chain of every branch of *notes*; to its own when there is none.

    *method* is the RPC that did it, or the fact that called for it.
    """
    home = caller.branch_id if caller.sees(caller.branch_id) else HEAD_OFFICE
    for branch_id in sorted(notes) or [home]:
        note = notes.get(branch_id, Note())
        head: Any = await raw.fetchrow(LOCKED, branch_id, GENESIS)
        record = {
            "branch_id": branch_id,
            "sequence": head["sequence"] + 1,
            "create_time": now,
            "actor": caller.subject,
            "agent": caller.agent,
            "method": method,
            "decision": decision,
            "resources": _named(note.resources),
            "detail": json.dumps(
                note.detail, ensure_ascii=False, sort_keys=True, default=str
            ),
            "trace_id": trace_id,
        }
        hash_now = link(head["hash"], record)
        await raw.execute(APPENDED, *record.values(), hash_now)
        await raw.execute(MOVED, branch_id, record["sequence"], hash_now)


NEWEST = """
    SELECT * FROM audit_records
    WHERE ($1 = 0 OR branch_id = $1) AND ($2 = '' OR position($2 in resources) > 0) AND ($3 = '' OR actor = $3)
        AND ($4::timestamptz IS NULL OR (create_time, branch_id, sequence) < ($4, $5, $6))
    ORDER BY create_time DESC, branch_id DESC, sequence DESC LIMIT $7"""
CHAIN = "SELECT * FROM audit_records WHERE branch_id = $1 AND sequence > $2 ORDER BY sequence LIMIT 500"
HEADS = "SELECT branch_id, sequence, hash FROM audit_heads WHERE sequence > 0 ORDER BY branch_id"


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Shows the trail of one service."""

    def __init__(self, uow: UnitOfWork, pager: Pager) -> None:
        """Read through *uow*."""
        self._uow = uow
        self._pager = pager

    async def ListRecords(
        self, request: audit_pb2.ListRecordsRequest, context: Context
    ) -> audit_pb2.ListRecordsResponse:
        """Return records, newest first."""
        size = min(request.page_size or 50, 1000)
        start = self._pager.start(request, context.caller) or (None, 0, 0)
        async with self._uow.read(context.caller) as work:
            filters = (request.branch_id, request.resource, request.actor)
            rows = await work.run(NEWEST, *filters, *start, size + 1)
        answer = audit_pb2.ListRecordsResponse(
            records=[message_of(row) for row in rows[:size]]
        )
        if len(rows) > size:
            last = rows[size - 1]
            key = (last["create_time"], last["branch_id"], last["sequence"])
            answer.next_page_token = self._pager.seal(request, context.caller, key)
        return answer

    async def ListHeads(
        self, request: audit_pb2.ListHeadsRequest, context: Context
    ) -> audit_pb2.ListHeadsResponse:
        """Return the newest link of every chain in scope."""
        async with self._uow.read(context.caller) as work:
            rows = await work.run(HEADS)
        heads = [
            {
                "branch_id": row["branch_id"],
                "sequence": row["sequence"],
                "hash": row["hash"].hex(),
            }
            for row in rows
        ]
        return audit_pb2.ListHeadsResponse(
            heads=[audit_pb2.ChainHead(**head) for head in heads]
        )

    async def ExportChain(
        self, request: audit_pb2.ExportChainRequest, context: Context
    ) -> AsyncIterator[audit_pb2.ExportChainResponse]:
        """Yield one chain page by page, from its first record or from where a stream before broke."""
        after = request.after_sequence
        while True:
            async with self._uow.read(context.caller) as work:
                rows = await work.run(CHAIN, request.branch_id, after)
            if not rows:
                return
            after = rows[-1]["sequence"]
            yield audit_pb2.ExportChainResponse(
                records=[message_of(row) for row in rows]
            )


def message_of(row: Any) -> audit_pb2.Record:
    """Return one row of the trail as the contract's record."""
    return audit_pb2.Record(
        branch_id=row["branch_id"],
        sequence=row["sequence"],
        create_time=time_to(row["create_time"]),
        actor=row["actor"],
        agent=row["agent"],
        method=row["method"],
        decision=row["decision"],
        resources=row["resources"],
        detail_json=row["detail"],
        trace_id=row["trace_id"],
        hash=row["hash"].hex(),
    )
