"""
Events across services: one side hands them out by branch in pages, the other keeps a position per branch.

A page is handled and the position moved in one transaction, so a crash repeats work and never doubles an effect.
Several followers share the branches: whoever holds a branch's position row handles it. An event that fails five
times is parked with its cause, its branch goes on, and it can be sent through again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from math import inf
from typing import Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from guanhu.events.v1 import events_pb2, events_pb2_grpc

from services.chassis import metrics, wiretypes
from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.calls import Context
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import sqlstate_of
from services.chassis.move import ElsewhereError
from services.chassis.traces import CONSUMER, within

log = structlog.get_logger()

PAGE = 100
PAGE_MOST = 1000
PAGE_BYTES = 512 * 1024
TRIES = 5
"""How often an event is tried before it is parked."""

Handler = Callable[[Work, Any, events_pb2.Event], Awaitable[None]]
"""Does what one fact calls for, in the transaction that also moves the position."""

Reactions = Mapping[type[Message], Handler]

HEADS = "SELECT branch_id, last_sequence FROM outbox_heads ORDER BY branch_id"
EVENTS = """
    SELECT branch_id, sequence, create_time, trace_id, fact FROM outbox
    WHERE branch_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"""
POSITIONS = "SELECT branch_id, sequence FROM feed_positions WHERE source = $1"
ENTERED = """
    INSERT INTO feed_positions (branch_id, source, sequence, tries) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING"""
HELD = "SELECT sequence, tries FROM feed_positions WHERE branch_id = $1 AND source = $2 FOR UPDATE SKIP LOCKED"
MOVED = "UPDATE feed_positions SET sequence = $3, tries = 0 WHERE branch_id = $1 AND source = $2"
STUMBLED = """
    UPDATE feed_positions SET tries = tries + 1
    WHERE branch_id = $1 AND source = $2 AND sequence = $3 RETURNING tries"""
PARKED = """
    INSERT INTO parked_events (branch_id, source, sequence, event, cause, tries, park_time, redrive)
    VALUES ($1, $2, $3, $4, $5, $6, $7, false) ON CONFLICT DO NOTHING"""
LISTED = "SELECT * FROM parked_events WHERE done_time IS NULL ORDER BY branch_id, park_time LIMIT $1"
MARKED = """
    UPDATE parked_events SET redrive = true
    WHERE source = $1 AND ($2 = 0 OR branch_id = $2) AND done_time IS NULL RETURNING branch_id"""
WAITING = """
    SELECT branch_id, sequence, event FROM parked_events
    WHERE source = $1 AND redrive AND done_time IS NULL ORDER BY 1, 2"""
REDONE = """
    UPDATE parked_events SET done_time = $4
    WHERE branch_id = $1 AND source = $2 AND sequence = $3 AND done_time IS NULL RETURNING 1"""
FAILED = """
    UPDATE parked_events SET redrive = false, cause = $4, tries = tries + 1
    WHERE branch_id = $1 AND source = $2 AND sequence = $3"""


def cause_of(error: BaseException) -> str:
    """Return the kind of *error*, never its text: texts may hold personal values."""
    return f"{type(error).__name__} {sqlstate_of(error)}".strip()


class FeedServicer(events_pb2_grpc.FeedServiceServicer):
    """Hands out this service's events, and shows what it could not handle of others'."""

    def __init__(self, uow: UnitOfWork, woken: asyncio.Event | None = None) -> None:
        """Read through *uow*; *woken* is set when the store notifies."""
        self._uow = uow
        self._woken = woken or asyncio.Event()

    async def ListHeads(
        self, request: events_pb2.ListHeadsRequest, context: Context
    ) -> events_pb2.ListHeadsResponse:
        """Return every branch's newest sequence."""
        async with self._uow.read(context.caller) as work:
            rows = await work.run(HEADS)
        return events_pb2.ListHeadsResponse(
            heads=[events_pb2.Head(**dict(row)) for row in rows]
        )

    async def ListEvents(
        self, request: events_pb2.ListEventsRequest, context: Context
    ) -> events_pb2.ListEventsResponse:
        """Return a page of one branch's events."""
        size = min(request.page_size or PAGE, PAGE_MOST)
        async with self._uow.read(context.caller.in_branch(request.branch_id)) as work:
            rows = await work.run(
                EVENTS, request.branch_id, request.after_sequence, size
            )
        answer, room = events_pb2.ListEventsResponse(), PAGE_BYTES
        for row in rows:
            room -= len(row["fact"])
            if room < 0 and answer.events:
                break
            answer.events.append(event_of(row))
        return answer

    async def FollowHeads(
        self, request: events_pb2.FollowHeadsRequest, context: Context
    ) -> AsyncIterator[events_pb2.FollowHeadsResponse]:
        """Yield heads that moved, when they move, for at most five minutes."""
        known: dict[int, int] = {}
        ends = asyncio.get_running_loop().time() + 300
        while asyncio.get_running_loop().time() < ends:
            answer = await self.ListHeads(events_pb2.ListHeadsRequest(), context)
            moved = [
                head
                for head in answer.heads
                if known.get(head.branch_id) != head.last_sequence
            ]
            if moved:
                known.update((head.branch_id, head.last_sequence) for head in moved)
                yield events_pb2.FollowHeadsResponse(heads=moved)
            self._woken.clear()
            try:
                async with asyncio.timeout(1):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def ListParked(
        self, request: events_pb2.ListParkedRequest, context: Context
    ) -> events_pb2.ListParkedResponse:
        """Return events that wait for somebody to look at them."""
        async with self._uow.read(context.caller) as work:
            rows = await work.run(LISTED, min(request.page_size or 50, 500))
        answer = events_pb2.ListParkedResponse()
        for row in rows:
            parked = answer.parked_events.add(
                source=row["source"], cause=row["cause"], tries=row["tries"]
            )
            parked.event.ParseFromString(row["event"])
            parked.park_time.CopyFrom(wiretypes.time_to(row["park_time"]))
        return answer

    async def RedriveEvents(
        self, request: events_pb2.RedriveEventsRequest, context: Context
    ) -> events_pb2.RedriveEventsResponse:
        """Mark parked events; the worker takes them up within a second."""
        async with self._uow(context.caller) as work:
            rows = await work.run(MARKED, request.source, request.branch_id)
            work.note(
                f"feeds/{request.source}", branch_id=HEAD_OFFICE, redriven=len(rows)
            )
        return events_pb2.RedriveEventsResponse(redriven_count=len(rows))


def event_of(row: Any) -> events_pb2.Event:
    """Return one outbox row as the contract's event."""
    event = events_pb2.Event(
        branch_id=row["branch_id"], sequence=row["sequence"], trace_id=row["trace_id"]
    )
    event.create_time.CopyFrom(wiretypes.time_to(row["create_time"]))
    event.fact.ParseFromString(row["fact"])
    return event


class Follower:
    """Follows one source for one service; any number of them may run."""

    def __init__(
        self,
        *,
        source: str,
        stub: Any,
        uow: UnitOfWork,
        caller: Caller,
        reactions: Reactions,
        bulk: UnitOfWork | None = None,
    ) -> None:
        """
        Read the feed through *stub* and handle facts by *reactions*; facts without one are passed over.

        *bulk* is for facts that move rows between branches.
        """
        self.source = source
        self._stub = stub
        self._uow = uow
        self._bulk = bulk or uow
        self._caller = caller
        self._reactions = {
            kind.DESCRIPTOR.full_name: (kind, act) for kind, act in reactions.items()
        }
        self.woken = asyncio.Event()
        self.heard = -inf  # when the source was asked last, by the loop's time, with all it had handled since

    async def wake(self) -> None:
        """Be woken by the source as long as it streams; polling is the truth when it does not."""
        while True:
            try:
                async for _ in self._stub.FollowHeads(
                    events_pb2.FollowHeadsRequest(), timeout=330
                ):
                    self.woken.set()
            except grpc.RpcError:
                await asyncio.sleep(2)

    async def step(self) -> int:
        """Look at every branch once, enter in ``heard`` when all was handled; return how many events were handled."""
        asked = asyncio.get_running_loop().time()
        request = events_pb2.ListHeadsRequest()
        heads = (await self._stub.ListHeads(request, timeout=5)).heads
        behind = await self._behind(heads)
        metrics.LAG.labels(self.source).set(
            sum(head.last_sequence - position for head, position in behind)
        )
        handled = 0
        for head, position in behind:
            handled += await self._branch(head.branch_id, position)
        if not behind or not await self._behind(heads):
            self.heard = asked
        return handled + await self._redrive()

    async def _behind(self, heads: Iterable[Any]) -> list[tuple[Any, int]]:
        """Return the heads of which something is not handled yet, each with its branch's position."""
        async with self._uow.read(self._caller) as work:
            rows = await work.run(POSITIONS, self.source)
        known = {row["branch_id"]: row["sequence"] for row in rows}
        found = [(head, known.get(head.branch_id, 0)) for head in heads]
        return [pair for pair in found if pair[0].last_sequence > pair[1]]

    async def _branch(self, branch_id: int, position: int) -> int:
        handled = 0
        while True:
            request = events_pb2.ListEventsRequest(
                branch_id=branch_id, after_sequence=position, page_size=PAGE
            )
            events = (await self._stub.ListEvents(request, timeout=10)).events
            if not events:
                return handled
            done = await self._page(branch_id, position, list(events))
            if not done:
                return handled
            handled += done
            position += done

    def _open(
        self, branch_id: int, others: frozenset[int]
    ) -> AbstractAsyncContextManager[Work]:
        """Begin a transaction of one branch; where *others* are needed too, of all of them under the bulk role."""
        if not others:
            return self._uow(self._caller.in_branch(branch_id))
        branches = tuple(sorted({branch_id, *others}))
        return self._bulk(replace(self._caller, branch_ids=branches))

    async def _page(
        self,
        branch_id: int,
        position: int,
        events: list[events_pb2.Event],
        others: frozenset[int] = frozenset(),
    ) -> int:
        """Handle a page in one transaction; where it fails, event by event, and count the failure of the first."""
        try:
            return await self._handle(branch_id, position, events, others)
        except Exception as error:  # noqa: BLE001 - whatever an event breaks, its branch must be able to go on
            if len(events) == 1:
                more = others | needed(error)
                if more != others:
                    return await self._page(branch_id, position, events, more)
                return await self._stumble(events[0], error)
        done = 0
        for event in events:
            moved = await self._page(branch_id, position + done, [event])
            if not moved:
                break
            done += moved
        return done

    async def _handle(
        self,
        branch_id: int,
        position: int,
        events: list[events_pb2.Event],
        others: frozenset[int],
    ) -> int:
        async with self._open(branch_id, others) as work:
            await work.run(ENTERED, branch_id, self.source)
            held = await work.run(HELD, branch_id, self.source)
            if not held or held[0]["sequence"] != position:
                return 0
            for event in events:
                await self._react(work, event)
            await work.run(MOVED, branch_id, self.source, events[-1].sequence)
        metrics.EVENTS.labels(self.source, "handled").inc(len(events))
        return len(events)

    async def _react(self, work: Work, event: events_pb2.Event) -> None:
        name = event.fact.TypeName()
        if name in self._reactions:
            kind, act = self._reactions[name]
            with within(event.trace_id, name, CONSUMER):
                await act(work, unpacked(event.fact, kind), event)
            if len(work.caller.branch_ids) > 1 and work.notes:
                deed = {"method": name, "trace_id": event.trace_id}
                await work.record(work.caller, decision="OK", **deed)
            log.info(
                "event.handled",
                source=self.source,
                fact=name,
                branch=event.branch_id,
                sequence=event.sequence,
                trace=event.trace_id,
            )

    async def _stumble(self, event: events_pb2.Event, error: BaseException) -> int:
        """Count a failed try; park the event after the last one and return 1, so that the branch goes on."""
        cause = cause_of(error)
        log.warning(
            "event.failed",
            source=self.source,
            branch=event.branch_id,
            sequence=event.sequence,
            cause=cause,
        )
        if sqlstate_of(error).startswith(("08", "57P", "40", "55P")) or isinstance(
            error, OSError
        ):
            return 0
        async with self._uow(self._caller.in_branch(event.branch_id)) as work:
            rows = await work.run(
                STUMBLED, event.branch_id, self.source, event.sequence - 1
            )
            tries = rows[0]["tries"] if rows else await self._enter(work, event)
            if tries < TRIES:
                return 0
            raw = event.SerializeToString()
            await work.run(
                PARKED,
                event.branch_id,
                self.source,
                event.sequence,
                raw,
                cause,
                tries,
                work.now,
            )
            await work.run(MOVED, event.branch_id, self.source, event.sequence)
        metrics.EVENTS.labels(self.source, "parked").inc()
        return 1

    async def _enter(self, work: Work, event: events_pb2.Event) -> int:
        """Enter the branch's first position, which the failed transaction took back with it."""
        await work.run(ENTERED, event.branch_id, self.source)
        rows = await work.run(
            STUMBLED, event.branch_id, self.source, event.sequence - 1
        )
        return int(rows[0]["tries"]) if rows else 0

    async def _redrive(self) -> int:
        async with self._uow.read(self._caller) as work:
            waiting = await work.run(WAITING, self.source)
        for row in waiting:
            await self._again(row)
        return len(waiting)

    async def _again(self, row: Any, others: frozenset[int] = frozenset()) -> None:
        """Try a parked event once more."""
        key = (row["branch_id"], self.source, row["sequence"])
        try:
            async with self._open(row["branch_id"], others) as work:
                if await work.run(REDONE, *key, work.now):
                    await self._react(work, events_pb2.Event.FromString(row["event"]))
        except Exception as error:  # noqa: BLE001 - it stays parked with the new cause
            more = others | needed(error)
            if more != others:
                await self._again(row, more)
                return
            async with self._open(row["branch_id"], frozenset()) as work:
                await work.run(FAILED, *key, cause_of(error))


def needed(error: BaseException) -> frozenset[int]:
    """Return the branches that a fact needs besides its own, if that is what *error* says."""
    return error.branches if isinstance(error, ElsewhereError) else frozenset()


def unpacked(fact: Packed, kind: type[Message]) -> Message:
    """Return *fact* as the message it holds."""
    message = kind()
    fact.Unpack(message)
    return message
