"""
One connection to a centre over which numbered requests and answers flow: frames, the window, the timers.

SMPP and CMPP are such protocols; what differs between them is in ``smpp_session`` and ``cmpp_session``.
"""

import asyncio
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

from services.messaging.gateways import Verdict


class Timers(NamedTuple):
    """
    How long a session waits, in seconds.

    Args:
        connect: For the connection and its encryption.
        answer: For an answer to anything we asked.
        enquire: Of silence before the centre is asked whether it is there.
        tick: Between two looks at the clock.

    """

    connect: float = 10
    answer: float = 60
    enquire: float = 30
    tick: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """
    How to reach one centre, whatever it speaks.

    Args:
        host, port: Where it listens.
        tls: Encryption with the authorities and certificates it carries; None for none.
        window: Most unanswered submissions the centre allows.
        timers: How long to wait for what.
        back_off: First and longest pause in seconds between two attempts to connect.
        verdicts: The centre's own status codes, where they differ from the specification's.
        hold_seconds: How long the parts of one message wait for one another.
        final_receipt_after: Seconds after its validity by which a message's final receipt has come.

    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    window: int = 100
    timers: Timers = field(default_factory=Timers)
    back_off: tuple[float, float] = (0.5, 30)
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    hold_seconds: float = 5
    final_receipt_after: float = 3600


class LinkFault(Exception):
    """The connection cannot be used: not made, not bound, or gone."""


class BindRefused(LinkFault):
    """The centre turned the bind away, or did not prove who it is; *hopeless* says that trying again cures nothing."""

    def __init__(self, why: str, *, hopeless: bool) -> None:
        super().__init__(why)
        self.hopeless = hopeless


Entry = TypeVar("Entry")


class SessionOwner(Protocol[Entry]):
    """Who is told what a session hears; called on the event loop."""

    def answered(self, answers: Sequence[tuple[Entry, int, bytes]]) -> None:
        """Take the centre's answers that were read together: what was sent, the status, and the answer's body."""

    def unanswered(self, entry: Entry) -> None:
        """Take note that *entry* was not answered in time, and will not be."""

    def delivered(self, session: "Session[Entry]", sequence: int, body: bytes) -> None:
        """Take what the centre delivers; ``Session.answer_delivers`` answers it, and nothing else does."""

    def moved(self) -> None:
        """Take note that the room may have changed, or that time has passed."""

    def lost(self, session: "Session[Entry]", why: str) -> None:
        """Take note that the connection is gone; ``unfinished`` says what it leaves."""


class Session(asyncio.Protocol, ABC, Generic[Entry]):
    """
    The connection from its first octet to its last.

    An entry is whatever the owner wants to have back with the answer to a submission. Each frame begins with its
    whole length in four octets, as the first number of ``head``.
    """

    head: ClassVar[struct.Struct]
    longest: ClassVar[int]
    last_sequence: ClassVar[int] = 0x7FFFFFFF
    enquiry_name: ClassVar[str]

    def __init__(
        self, owner: SessionOwner[Entry], *, window: int, timers: Timers
    ) -> None:
        """Report to *owner*; leave at most *window* submissions unanswered."""
        self._owner = owner
        self._window = window
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        self._unanswered: dict[int, tuple[Entry, float]] = {}
        self._answers: list[tuple[Entry, int, bytes]] = []
        self._undecided: dict[int, bytes] = {}
        self._sequence = 0
        self._rest = b""
        self._paused = False
        self._why = ""
        self._heard = self._asked = self._loop.time()
        self._bound: asyncio.Future[int] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # what each protocol says in its own way

    @abstractmethod
    def _take(self, head: tuple[int, ...], body: bytes) -> None:
        """Take one frame: the numbers of its head, and what follows."""

    @abstractmethod
    def _submission(self, sequence: int, size: int) -> bytes:
        """Return the head of the frame that submits a message, whose body has *size* octets."""

    @abstractmethod
    def _receipt_of(self, sequence: int, repeated: bytes, status: int) -> bytes:
        """Return the frame that answers a delivery; *repeated* is what was kept of it for that."""

    @abstractmethod
    def _enquiry(self, sequence: int) -> bytes:
        """Return the frame that asks whether the centre is there."""

    @abstractmethod
    def _farewell(self, sequence: int) -> bytes:
        """Return the frame that ends the session."""

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the clock."""
        self._transport = cast("asyncio.Transport", transport)
        self._tick = self._loop.call_later(self._timers.tick, self._look_at_clock)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, once."""
        self._tick.cancel()
        why = self._why or (str(exc) if exc else "the centre closed the connection")
        if not self._bound.done():
            self._bound.cancel()
        self.closed.set_result(None)
        self._owner.lost(self, why)

    def pause_writing(self) -> None:
        """Take no more: the network does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """Take more again."""
        self._paused = False
        self._owner.moved()

    def data_received(self, data: bytes) -> None:
        """Take what came, and tell the owner of all answers in it at once."""
        self._heard = self._loop.time()
        try:
            self._cut(self._rest + data if self._rest else data)
        finally:  # whatever a frame did, the answers before it are no longer waited for
            self._tell_answers()
        self._owner.moved()

    def _tell_answers(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self._owner.answered(answers)

    def _cut(self, data: bytes) -> None:
        """Cut the stream into frames; a length that cannot be ends the connection."""
        place, end, size = 0, len(data), self.head.size
        unpack, longest, take = self.head.unpack_from, self.longest, self._take
        while end - place >= size:
            head = unpack(data, place)
            length = head[0]
            if not size <= length <= longest:
                self.abort("the centre sent what is no PDU")
                return
            if end - place < length:
                break
            take(head, data[place + size : place + length])
            place += length
        self._rest = data[place:]

    def _answer(self, sequence: int, status: int, body: bytes) -> None:
        if found := self._unanswered.pop(sequence, None):
            self._answers.append((found[0], status, body))

    def _deliver(self, sequence: int, body: bytes, repeated: bytes = b"") -> None:
        """Hand on what the centre delivers, and keep what its answer must repeat; the answers before it come first."""
        self._tell_answers()
        self._undecided[sequence] = repeated
        self._owner.delivered(self, sequence, body)

    def _settle_bind(self, status: int) -> None:
        if not self._bound.done():
            self._bound.set_result(status)

    # the owner's side

    async def _ask_to_bind(self, frame: bytes) -> int:
        """Write the bind and return the status of its answer; raises LinkFault, TimeoutError."""
        self._write(frame)
        done, _ = await asyncio.wait([self._bound], timeout=self._timers.answer)
        if not done:
            raise TimeoutError("no answer to the bind")
        if self._bound.cancelled() or self.closed.done():
            raise LinkFault(self._why or "the connection was closed during the bind")
        return self._bound.result()

    def room(self) -> int:
        """Return how many submissions may be written now."""
        return 0 if self._paused else self._window - len(self._unanswered)

    @property
    def unfinished(self) -> list[Entry]:
        """Return the entries that have no answer yet, oldest first."""
        return [entry for entry, _ in self._unanswered.values()]

    def submit(self, items: Sequence[tuple[Entry, bytes]]) -> None:
        """Write a submission for each entry and its body, in one piece; the caller keeps to the room."""
        now, pieces = self._loop.time(), list[bytes]()
        unanswered, submission = self._unanswered, self._submission
        following = self._next
        for entry, body in items:
            sequence = following()
            unanswered[sequence] = (entry, now)
            pieces += (submission(sequence, len(body)), body)
        self._write(b"".join(pieces))

    def answer_delivers(self, sequences: Sequence[int], status: int = 0) -> None:
        """Answer what was delivered; each is answered once, and none after the connection is gone."""
        due = [
            (number, self._undecided.pop(number))
            for number in dict.fromkeys(sequences)
            if number in self._undecided
        ]
        if due and not self.closed.done():
            pieces = [self._receipt_of(*one, status) for one in due]
            self._write(b"".join(pieces))

    async def leave(self, seconds: float) -> None:
        """Part from the centre politely, by force after *seconds*."""
        self._why = "unbound"
        self._write(self._farewell(self._next()))
        await asyncio.wait([self.closed], timeout=seconds)
        if not self.closed.done():
            self.abort("unbound by force")
            await asyncio.wait([self.closed])

    def abort(self, why: str) -> None:
        """Drop the connection at once."""
        self._why = self._why or why
        self._transport.abort()

    def _part(self, why: str) -> None:
        self._why = self._why or why
        self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _next(self) -> int:
        """Return the next sequence number that no unanswered submission holds."""
        while True:
            self._sequence = self._sequence % self.last_sequence + 1
            if self._sequence not in self._unanswered:
                return self._sequence

    # the clock's side

    def _look_at_clock(self) -> None:
        self._tick = self._loop.call_later(self._timers.tick, self._look_at_clock)
        now = self._loop.time()
        if self._asked > self._heard:
            if now - self._asked >= self._timers.answer:
                self.abort(f"no answer to {self.enquiry_name}")
                return
        elif now - self._heard >= self._timers.enquire and self._bound.done():
            self._asked = now
            self._write(self._enquiry(self._next()))
        self._expire(now - self._timers.answer)
        self._owner.moved()

    def _expire(self, before: float) -> None:
        late = []
        for sequence, (_, sent) in self._unanswered.items():
            if sent > before:
                break
            late.append(sequence)
        for sequence in late:
            self._owner.unanswered(self._unanswered.pop(sequence)[0])
