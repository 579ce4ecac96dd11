"""One bound connection to an SMPP centre: frames, the window, the timers; it ends with the connection."""

import asyncio
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar, cast

from services.messaging.gateways import smpp_codec as codec


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


class LinkFault(Exception):
    """The connection cannot be used: not made, not bound, or gone."""


class BindRefused(LinkFault):
    """The centre answered the bind with a status other than OK."""

    def __init__(self, status: int) -> None:
        """Keep the *status* and say it in words."""
        super().__init__(f"bind refused: {codec.STATUS.get(status, hex(status))}")
        self.status = status


Entry = TypeVar("Entry")


class SessionOwner(Protocol[Entry]):
    """Who is told what a session hears; called on the event loop."""

    def answered(self, entry: Entry, status: int, body: bytes) -> None:
        """Take the centre's answer to what was sent as *entry*."""

    def unanswered(self, entry: Entry) -> None:
        """Take note that *entry* was not answered in time, and will not be."""

    def delivered(self, session: "Session[Entry]", sequence: int, body: bytes) -> None:
        """Take a deliver_sm; ``Session.answer_delivers`` answers it, and nothing else does."""

    def moved(self) -> None:
        """Take note that the room may have changed, or that time has passed."""

    def lost(self, session: "Session[Entry]", why: str) -> None:
        """Take note that the connection is gone; ``unfinished`` says what it leaves."""


class Session(asyncio.Protocol, Generic[Entry]):
    """
    The connection from its first octet to its last.

    An entry is whatever the owner wants to have back with the answer to a submission.
    """

    def __init__(
        self, owner: SessionOwner[Entry], *, window: int, timers: Timers
    ) -> None:
        """Report to *owner*; leave at most *window* submissions unanswered."""
        self._owner = owner
        self._window = window
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        self._unanswered: dict[int, tuple[Entry, float]] = {}
        self._undecided: set[int] = set()
        self._sequence = 0
        self._rest = b""
        self._paused = False
        self._why = ""
        self._heard = self._asked = self._loop.time()
        self._bound: asyncio.Future[int] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

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
        """Cut the stream into PDUs; a length that cannot be ends the connection."""
        self._heard = self._loop.time()
        data = self._rest + data if self._rest else data
        place, end = 0, len(data)
        while end - place >= codec.HEADER.size:
            length, command, status, sequence = codec.HEADER.unpack_from(data, place)
            if not codec.HEADER.size <= length <= codec.LONGEST:
                self.abort("the centre sent what is no PDU")
                return
            if end - place < length:
                break
            body = data[place + codec.HEADER.size : place + length]
            self._take(command, status, sequence, body)
            place += length
        self._rest = data[place:]
        self._owner.moved()

    def _take(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command == codec.SUBMIT_RESP:
            self._answer(sequence, status, body)
        elif command == codec.DELIVER:
            self._undecided.add(sequence)
            self._owner.delivered(self, sequence, body)
        elif command == codec.NACK:
            self._answer(sequence, status or codec.INVALID_COMMAND, b"")
        elif command == codec.ENQUIRE:
            self._write(codec.pdu(codec.ENQUIRE_RESP, sequence))
        elif command == codec.UNBIND:
            self._write(codec.pdu(codec.UNBIND_RESP, sequence))
            self._part("the centre unbound")
        elif command == codec.UNBIND_RESP:
            self._part("unbound")
        elif command - codec.ANSWER in codec.BINDS.values():
            self._settle_bind(status)
        elif not command & codec.ANSWER:
            refusal = codec.pdu(codec.NACK, sequence, status=codec.INVALID_COMMAND)
            self._write(refusal)

    def _answer(self, sequence: int, status: int, body: bytes) -> None:
        if not self._bound.done():  # a centre may refuse even the bind by generic_nack
            self._settle_bind(status)
        elif found := self._unanswered.pop(sequence, None):
            self._owner.answered(found[0], status, body)

    def _settle_bind(self, status: int) -> None:
        if not self._bound.done():
            self._bound.set_result(status)

    # the owner's side

    async def bind(self, command: int, body: bytes) -> None:
        """Bind as *command* says; raises BindRefused, LinkFault, TimeoutError."""
        self._write(codec.pdu(command, self._next(), body))
        done, _ = await asyncio.wait([self._bound], timeout=self._timers.answer)
        if not done:
            raise TimeoutError("no answer to the bind")
        if self._bound.cancelled() or self.closed.done():
            raise LinkFault(self._why or "the connection was closed during the bind")
        if status := self._bound.result():
            raise BindRefused(status)

    def room(self) -> int:
        """Return how many submissions may be written now."""
        return 0 if self._paused else self._window - len(self._unanswered)

    @property
    def unfinished(self) -> list[Entry]:
        """Return the entries that have no answer yet, oldest first."""
        return [entry for entry, _ in self._unanswered.values()]

    def submit(self, items: Sequence[tuple[Entry, bytes]]) -> None:
        """Write submit_sm for each entry and its body, in one piece; the caller keeps to the room."""
        now, pieces = self._loop.time(), []
        for entry, body in items:
            sequence = self._next()
            self._unanswered[sequence] = (entry, now)
            pieces.append(codec.pdu(codec.SUBMIT, sequence, body))
        self._write(b"".join(pieces))

    def answer_delivers(self, sequences: Sequence[int], status: int = codec.OK) -> None:
        """Answer what was delivered; each is answered once, and none after the connection is gone."""
        due = [n for n in dict.fromkeys(sequences) if n in self._undecided]
        self._undecided.difference_update(due)
        if due and not self.closed.done():
            pieces = [
                codec.pdu(codec.DELIVER_RESP, number, b"\0", status=status)
                for number in due
            ]
            self._write(b"".join(pieces))

    async def unbind(self, seconds: float) -> None:
        """Part from the centre politely, by force after *seconds*."""
        self._why = "unbound"
        self._write(codec.pdu(codec.UNBIND, self._next()))
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
            self._sequence = self._sequence % codec.LAST_SEQUENCE + 1
            if self._sequence not in self._unanswered:
                return self._sequence

    # the clock's side

    def _look_at_clock(self) -> None:
        self._tick = self._loop.call_later(self._timers.tick, self._look_at_clock)
        now = self._loop.time()
        if self._asked > self._heard:
            if now - self._asked >= self._timers.answer:
                self.abort("no answer to enquire_link")
                return
        elif now - self._heard >= self._timers.enquire and self._bound.done():
            self._asked = now
            self._write(codec.pdu(codec.ENQUIRE, self._next()))
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
