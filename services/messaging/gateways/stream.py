"""
What the drivers over one kept connection share: the link, the window, parts of long messages, acknowledgements.

A driver of one protocol adds how it binds, how it writes a message, and how it reads an answer and a delivery.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import structlog

from services.chassis.clock import Clock
from services.messaging.gateways import (
    Capabilities,
    Finding,
    GatewayEnded,
    GatewayEvents,
    Health,
    Inbound,
    LinkState,
    NoRoom,
    Outgoing,
    Question,
    Receipt,
    SubmitResult,
    Verdict,
    encoding,
)
from services.messaging.gateways.assembly import Assembly, Joined, Piece
from services.messaging.gateways.parts import Entry, Part, Whole
from services.messaging.gateways.stream_session import (
    BindRefused,
    LinkFault,
    Session,
    StreamSettings,
)

log = structlog.get_logger()

Heard = TypeVar("Heard", Receipt, Inbound)
Life = Session[Entry]

PART_TRIES = 10
"""How often a long message's parts are written again, in all, when the centre refuses them for speed."""

PART_PAUSE = 1.0
"""Seconds until then."""

LEAVE_SECONDS = 2.0


class Ack(NamedTuple):
    """What acknowledges a receipt or a message: where it was heard, and its sequence number there."""

    session: Life
    sequence: int


class StreamGateway(ABC):
    """One configured connection to one centre; implements SmsGateway."""

    def __init__(
        self,
        settings: StreamSettings,
        *,
        caps: Capabilities,
        verdicts: Mapping[int, Verdict],
        clock: Clock,
    ) -> None:
        """Keep a link as *settings* say; *verdicts* are those of the protocol, any other status is a rejection."""
        self.caps = caps
        self._stream = settings
        self._clock = clock
        self._verdicts = {**verdicts, **settings.verdicts}
        self._session: Life | None = None
        self._queue: deque[tuple[Entry, bytes]] = deque()
        self._resting = 0
        self._wholes: dict[int, Whole] = {}
        self._assembly = Assembly(settings.hold_seconds)
        self._state: LinkState = "connecting"
        self._why = ""
        self._counts: Counter[str] = Counter()
        self._moved = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # what each protocol does in its own way

    @abstractmethod
    def _new_session(self) -> Life:
        """Return a session that is not connected yet."""

    @abstractmethod
    async def _bind(self, session: Life) -> None:
        """Bind; raises BindRefused, LinkFault, TimeoutError."""

    @abstractmethod
    def _entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        """Return what to write for *message*; raises ValueError when it cannot be written."""

    @abstractmethod
    def _number_of(self, body: bytes) -> str | None:
        """Return the centre's number of a message from its answer, None when there is none."""

    @abstractmethod
    def _in_words(self, status: int) -> str:
        """Return the name of a status."""

    @abstractmethod
    def delivered(self, session: Life, sequence: int, body: bytes) -> None:
        """Pass a receipt or a customer's message on, unacknowledged; one that nobody can read is refused for good."""

    def _whole_ended(self, _whole: Whole, result: SubmitResult) -> None:
        """Tell the core what became of a message in parts."""
        self._events.submitted([result])

    def _look(self, now: float) -> None:
        """Do what the passing of time asks for."""
        for joined in self._assembly.overdue(now):
            self._hear(joined)

    def _forget(self) -> None:
        """Drop what was heard and not handed on, because the centre delivers it again on the next link."""
        self._assembly.forget()

    # the link

    async def start(self, events: GatewayEvents) -> None:
        """Begin to connect; from now on the link is kept until it is refused or stopped."""
        self._events = events
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._keeper_done)

    async def _keep(self) -> None:
        loop, tries = asyncio.get_running_loop(), 0
        first, longest = self._stream.back_off
        while True:
            began = loop.time()
            try:
                why = await self._live()
            except BindRefused as refusal:
                why = str(refusal)
                if refusal.hopeless:
                    self._change("refused", why)
                    return
            except (OSError, LinkFault) as fault:  # TimeoutError is an OSError
                why = str(fault) or type(fault).__name__
            # a link that lasted was a good one: the next trouble is a new trouble
            tries = 0 if loop.time() - began > longest else tries + 1
            self._change("connecting", why)
            pause = min(longest, first * 2 ** min(tries, 16))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter

    def _keeper_done(self, keeper: asyncio.Task[None]) -> None:
        """Raise the alarm when the keeper fell over something nobody foresaw."""
        if not keeper.cancelled() and (fault := keeper.exception()):
            self._change("refused", f"fault of the driver: {type(fault).__name__}")

    async def _live(self) -> str:
        """Connect, bind, and return why the link ended once it has."""
        settings = self._stream
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(settings.timers.connect):
            _, session = await loop.create_connection(
                self._new_session, settings.host, settings.port, ssl=settings.tls
            )
        try:
            await self._bind(session)
        except BaseException:
            session.abort("not bound")
            raise
        self._session = session
        self._counts["binds"] += 1
        self._change("bound", "")
        await asyncio.wait(
            [session.closed]
        )  # unlike await, leaves it alone if cancelled
        return self._why

    def _change(self, state: LinkState, why: str) -> None:
        self._state, self._why = state, why
        self._moved.set()
        self._events.link_changed(state, why)

    def lost(self, session: Life, why: str) -> None:
        """Report everything that will not be answered, once, and forget it."""
        if session is not self._session:
            return
        tokens = self._unanswered()
        self._session, self._why = None, why
        self._queue.clear()
        self._wholes.clear()
        self._resting = 0
        self._forget()
        self._counts["links_lost"] += 1
        self._events.link_lost(tokens, why)
        self._moved.set()

    async def stop(self, drain_seconds: float) -> None:
        """Wait for answers, part from the centre, report the rest as lost."""
        if self._keeper is None:
            return
        self._change("stopping", "")
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        try:
            async with asyncio.timeout(drain_seconds):
                while self._unanswered():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass  # what is left is reported as lost
        if self._session:
            await self._session.leave(LEAVE_SECONDS)
        self._change("stopped", "")

    async def query(self, _question: Question) -> Finding:
        """Say nothing: protocols over a kept connection ask by the centre's number, which such a message lacks."""
        return None

    async def health(self) -> Health:
        """Return state and counts."""
        unanswered = len(self._unanswered())
        return Health(self._state, self._why, unanswered, dict(self._counts))

    def _unanswered(self) -> list[int]:
        """Return the tokens the core has not heard of again."""
        waiting = self._session.unfinished if self._session else []
        waiting += [entry for entry, _ in self._queue]
        return [entry for entry in waiting if isinstance(entry, int)] + [*self._wholes]

    # sending

    def room(self) -> int:
        """Return the free part of the window, less what still waits to be written or to be written again."""
        if not self._session or self._state != "bound" or not self.caps.sends:
            return 0
        return max(0, self._session.room() - len(self._queue) - self._resting)

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""
        while not self.room():
            if not self.caps.sends or self._state in ("refused", "stopping", "stopped"):
                raise GatewayEnded(self._why or self._state)
            self._moved.clear()
            await self._moved.wait()

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Write *batch*; a message that cannot be encoded is reported as rejected, after this returns."""
        session = self._session
        if len(batch) > self.room() or session is None:
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        waiting = self._queue
        for message in batch:
            try:
                entries = self._entries(message)
            except ValueError as fault:
                reason = f"cannot be encoded: {type(fault).__name__}"
                result = SubmitResult(message.token, "rejected", None, 0, reason)
                asyncio.get_running_loop().call_soon(self._events.submitted, [result])
                continue
            if len(entries) > 1 and isinstance(first := entries[0][0], Part):
                self._wholes[message.token] = first.whole
            waiting.extend(entries)
        self._counts["submitted"] += len(batch)
        self._flush(session)

    def _flush(self, session: Life) -> None:
        waiting = self._queue
        fitting = min(session.room(), len(waiting))
        if fitting > 0:
            session.submit([waiting.popleft() for _ in range(fitting)])

    def moved(self) -> None:
        """Write what waits, hand on what waited too long, and wake who waits for room."""
        if self._session:
            self._flush(self._session)
        self._look(asyncio.get_running_loop().time())
        self._moved.set()

    def answered(self, answers: Sequence[tuple[Entry, int, bytes]]) -> None:
        """Pass the verdicts on; a part's is kept until all are there."""
        tokens, numbers = list[int](), list[str | None]()
        refused = list[SubmitResult]()
        verdicts, number_of = self._verdicts, self._number_of
        for entry, status, body in answers:
            verdict = verdicts.get(status, "rejected")
            if not isinstance(entry, int):
                self._counts[verdict] += 1
                self._part_answered(entry, verdict, status, body)
            elif verdict == "accepted":
                tokens.append(entry)
                numbers.append(number_of(body))
            else:
                self._counts[verdict] += 1
                reason = self._in_words(status)
                refused.append(SubmitResult(entry, verdict, None, status, reason))
        try:
            if tokens:
                self._counts["accepted"] += len(tokens)
                self._events.accepted(tokens, numbers)
        finally:  # whatever became of those, these are no longer waited for
            if refused:
                self._events.submitted(refused)

    def unanswered(self, entry: Entry) -> None:
        """Report that nobody knows: the centre may have it or not."""
        self._counts["ambiguous"] += 1
        if isinstance(entry, int):
            result = SubmitResult(entry, "ambiguous", None, 0, "no answer in time")
            self._events.submitted([result])
        else:
            self._settle(entry.whole, "ambiguous", 0)

    def _part_answered(
        self, part: Part, verdict: Verdict, status: int, body: bytes
    ) -> None:
        whole = part.whole
        if verdict == "throttled" and whole.tries < PART_TRIES:
            # a message half sent cannot be given back to the core: the part itself is tried again
            whole.tries += 1
            self._resting += 1
            asyncio.get_running_loop().call_later(PART_PAUSE, self._write_again, part)
            return
        if part.last:
            whole.last_id = self._number_of(body)
        self._settle(whole, verdict, status)

    def _write_again(self, part: Part) -> None:
        if self._wholes.get(part.whole.token) is part.whole:
            self._resting -= 1
            self._queue.append((part, part.body))
            self.moved()

    def _settle(self, whole: Whole, verdict: Verdict, status: int) -> None:
        whole.left -= 1
        if verdict != "accepted":
            whole.faults.append((verdict, status))
        if not whole.left:
            del self._wholes[whole.token]
            self._whole_ended(whole, whole.result(self._in_words))

    # hearing

    def _take_inbound(self, piece: Piece, place: encoding.Concatenation | None) -> None:
        """Take a customer's message, or one part of it where *place* says which."""
        self._counts["inbound"] += 1
        if place is None:
            self._hear(Joined(*piece[:3], (piece.ack,), whole=True))
        elif joined := self._assembly.add(
            piece, place, asyncio.get_running_loop().time()
        ):
            self._hear(joined)

    def _hear(self, joined: Joined) -> None:
        message = Inbound(
            source=joined.source,
            dest=joined.dest,
            text=joined.text,
            heard_at=self._clock(),
            ack=joined.acks,
            whole=joined.whole,
        )
        self._tell(self._events.inbound, message)

    def _report(self, receipt: Receipt) -> None:
        self._tell(self._events.receipt, receipt)

    def _tell(self, take: Callable[[Heard], None], heard: Heard) -> None:
        """Let the core *take* what was *heard*; if it fails, that alone stays unacknowledged."""
        try:
            take(heard)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the link must not pay for it
            self._counts["not_taken"] += 1
            log.error("gateway.not_taken", fault=type(fault).__name__)

    def ack(self, acks: Sequence[object]) -> None:
        """Acknowledge in one write per session; what a lost session heard, the centre delivers again."""
        due: dict[Life, list[int]] = {}
        for ack in _flat(acks):
            due.setdefault(ack.session, []).append(ack.sequence)
        for session, sequences in due.items():
            session.answer_delivers(sequences)


def _flat(acks: Sequence[object]) -> list[Ack]:
    """Return the acknowledgements in *acks*; those of a message in parts come as one tuple."""
    flat: list[Ack] = []
    for ack in acks:
        if isinstance(ack, Ack):
            flat.append(ack)
        elif isinstance(ack, tuple):
            flat.extend(each for each in ack if isinstance(each, Ack))
    return flat
