"""
What another sender answers in files beside those of the messages: receipts, and replies of customers.

It appends lines, and we keep how far they are durable with us. One process reads at a time; when it ends, another
goes on where it stopped.
"""

import fcntl
import os
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_OCTETS = 1 << 18
"""How much is read at a time; a longer line is passed over."""

MOST_OPEN = 5000
"""Lines that may wait to be durable before more are read."""

OWNER_ONLY = 0o600

Number = Annotated[str, Field(pattern=r"^[0-9]{5,21}$")]


class ReceiptLine(BaseModel):
    """One line of ``receipts.jsonl``: *id* or *reference* is that of the message's line."""

    model_config = ConfigDict(strict=True)

    id: str = Field(min_length=1, max_length=64)
    to: Number
    sender: str = Field(default="", alias="from", pattern=r"^[0-9]{0,21}$")
    reference: str = Field(default="", pattern=r"^([0-9a-f]{2}){0,64}$")
    state: Literal["delivered", "failed", "expired", "unknown"]
    code: str = Field(default="", pattern=r"^[A-Za-z0-9_.:-]{0,32}$")


class ReplyLine(BaseModel):
    """One line of ``replies.jsonl``: from a customer's number, to an access number."""

    model_config = ConfigDict(strict=True)

    sender: Number = Field(alias="from")
    to: Number
    text: str = Field(max_length=4000)


Line = ReceiptLine | ReplyLine


class Told(NamedTuple):
    """One readable line, and the mark that acknowledges it."""

    line: Line
    ack: "LineAck"


class LineAck(NamedTuple):
    """Where a line ends in the file that it was read from."""

    tail: "Tail"
    inode: int
    end: int


class Tail:
    """A file that somebody appends to, read from where its lines are not durable with us yet."""

    def __init__(self, path: Path, kind: type[Line]) -> None:
        """Read lines of *kind* from *path*; how far is kept beside it."""
        self._path = path
        self._kind = kind
        self._mark = path.with_suffix(".offset")
        self._lock: int | None = None
        self._inode = 0
        self._durable = 0
        self._next = 0
        self._open: dict[int, bool] = {}
        self.unreadable = 0

    def read(self) -> list[Told]:
        """Return the next whole lines; none while another process reads. Raises OSError."""
        if not self._path.exists() or not self._hold() or len(self._open) >= MOST_OPEN:
            return []
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._durable:
                # another file under the same name: it begins at its beginning
                self._inode, self._durable = found.st_ino, 0
                self.again()
            file.seek(self._next)
            data = file.read(MOST_OCTETS)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == MOST_OCTETS:
            whole = data
        told, end = [], self._next
        for text in whole.splitlines(keepends=True):
            end += len(text)
            self._open.setdefault(end, False)
            ack = LineAck(self, self._inode, end)
            try:
                told.append(Told(self._kind.model_validate_json(text), ack))
            except ValidationError:
                self.unreadable += 1
                self.ack(ack)
        self._next = end
        return told

    def ack(self, ack: LineAck) -> None:
        """Take note that a line is durable; the place is kept once every line before it is, too."""
        if ack.inode != self._inode or ack.end not in self._open:
            return
        self._open[ack.end] = True
        before = self._durable
        for end in [*takewhile(self._open.__getitem__, self._open)]:
            del self._open[end]
            self._durable = end
        if self._durable != before and self._lock is not None:
            os.pwrite(self._lock, self._place(), 0)

    def again(self) -> None:
        """Read again from the first line that is not durable."""
        self._open.clear()
        self._next = self._durable

    def close(self) -> None:
        """Let another process read."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self.again()

    def _place(self) -> bytes:
        return b"%020d %020d\n" % (self._inode, self._durable)

    def _hold(self) -> bool:
        """Hold the mark's lock, and begin where it says; say whether it is held."""
        if self._lock is not None:
            return True
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        lock = os.open(self._mark, flags, OWNER_ONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        kept = os.pread(lock, 64, 0).split()
        if len(kept) == 2 and all(one.isdigit() for one in kept):
            self._inode, self._durable = int(kept[0]), int(kept[1])
        self.again()
        return True
