"""
An SMS centre in the test's own process, whose every answer the test decides; it keeps the books a driver is judged by.

What is the same in every protocol over a connection is here; ``cmpp_centre`` and ``smpp_centre`` read and write.
"""

import asyncio
import struct
from collections import Counter
from typing import NamedTuple


class Submission(NamedTuple):
    """What arrived: on which line, under which number there, to whom, from where, and which part of which text."""

    line: "Line"
    sequence: int
    number: str
    source: str
    text: str
    place: tuple[int, int, int]
    wants_receipt: bool
    reference: bytes | None

    @property
    def message(self):
        """What tells the message, of which this may be a part, from the others."""
        return (self.number, self.source, self.place[0])


class Taken(NamedTuple):
    """A message that the centre took, whole: whom it is for, and the numbers of the parts that want a receipt."""

    number: str
    source: str
    text: str
    ids: tuple
    reference: bytes | None


class Line(asyncio.Protocol):
    """One connection: cuts the stream into frames and hands them to the centre."""

    def __init__(self, centre):
        self.centre, self.rest, self.bound, self.sequence = centre, b"", False, 0

    def connection_made(self, transport):
        self.transport = transport
        self.centre.lines.append(self)

    def connection_lost(self, exc):
        self.centre.lines.remove(self)
        self.centre.gone(self)

    def data_received(self, data):
        self.rest += data
        while len(self.rest) >= 4:
            [length] = struct.unpack_from(">I", self.rest)
            if len(self.rest) < length:
                break
            frame, self.rest = self.rest[:length], self.rest[length:]
            self.centre.read(self, frame)

    def write(self, data):
        self.transport.write(data)

    def next(self):
        """Return the next number of the centre's own requests on this line."""
        self.sequence += 1
        return self.sequence


class Centre:
    """
    Takes messages and answers as it is told.

    ``judge`` says what becomes of a message to a number: accepted, throttled, temporary or rejected. While ``silent``,
    messages wait in ``waiting`` until ``answer`` is called. ``numbers`` are those of all that ever arrived.
    """

    def __init__(self):
        self.judge = lambda number: "accepted"
        self.silent = False
        self.secret = "trial"
        self.lines, self.waiting = [], []
        self.binds = 0
        self.frames = Counter()
        self.taken: list[Taken] = []
        self.numbers = set()
        self.most = self.most_frames = 0
        self.told, self.acked = {}, []
        self._parts, self._ids = {}, 0
        self._loop = asyncio.get_running_loop()

    async def open(self):
        """Listen on any port."""
        self.server = await self._loop.create_server(lambda: Line(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def close(self):
        """Drop everybody."""
        self.server.close()
        self.cut()
        await self.server.wait_closed()

    def cut(self):
        """Drop every connection at once."""
        for line in [*self.lines]:
            line.transport.abort()

    def gone(self, line):
        """Forget what cannot be answered any more, and what was told and not acknowledged on the line."""
        self.waiting = [one for one in self.waiting if one.line is not line]
        self.told = {key: what for key, what in self.told.items() if key[0] is not line}

    # what arrives

    def arrived(self, submission):
        """Take a submission, and answer it unless silent."""
        self.waiting.append(submission)
        self.numbers.add(submission.number)
        self.most = max(self.most, len({one.message for one in self.waiting}))
        self.most_frames = max(self.most_frames, len(self.waiting))
        if not self.silent:
            self._loop.call_soon(self.answer)

    def answer(self, count=None):
        """Answer the oldest *count* submissions, all for None."""
        due, self.waiting = self.waiting[:count], self.waiting[count:] if count else []
        for one in due:
            verdict = self.judge(one.number)
            self._ids += 1
            self.write_answer(one, verdict, self._ids)
            if verdict == "accepted":
                self._join(one, self._ids)

    def _join(self, one, number):
        held = self._parts.setdefault(one.message, {})
        held[one.place[2]] = (one.text, number if one.wants_receipt else None)
        if len(held) == one.place[1]:
            del self._parts[one.message]
            texts, ids = zip(*(held[place] for place in sorted(held)), strict=True)
            self.taken.append(
                Taken(
                    one.number,
                    one.source,
                    "".join(texts),
                    tuple(each for each in ids if each),
                    one.reference,
                )
            )

    # what the centre tells

    def report(self, number, state="delivered", *, parts=None):
        """Report the fate of the newest message to *number*, part by part; *parts* limits it to some, from 1."""
        taken = [one for one in self.taken if one.number == number][-1]
        for place, one in enumerate(taken.ids, 1):
            if parts is None or place in parts:
                self._tell(self.receipt_frame(taken, one, state))

    def hear(self, source, dest, text):
        """Pass a customer's message on; a long one in parts, last part first."""
        pieces = [text[at : at + 66] for at in range(0, len(text), 66)]
        for place in range(len(pieces), 0, -1):
            header = bytes((5, 0, 3, 77, len(pieces), place)) if pieces[1:] else b""
            content = header + pieces[place - 1].encode("utf-16-be")
            self._tell(self.inbound_frame(source, dest, content, bool(header)))

    def _tell(self, make):
        line = next(one for one in self.lines if one.bound)
        sequence = line.next()
        frame, what = make(sequence)
        self.told[line, sequence] = what
        line.write(frame)

    def acknowledged(self, line, sequence, what):
        """Take an acknowledgement; one of what was not told, or told on another line, is a fault of the driver."""
        assert self.told.pop((line, sequence)) == what
        self.acked.append(what)
