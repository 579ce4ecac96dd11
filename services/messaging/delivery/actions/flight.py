"""
The flight record of a chunk: what was handed over and what came back, in a file mapped into memory.

The kernel keeps a mapped page when the process is killed, so the record costs memory stores and no write to disk,
and bounds what nobody knows to what was really on the wire. A power cut loses it: then the machine's boot differs
from the lease's, and the whole chunk counts as unknown.
"""

import fcntl
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from services.messaging.delivery.rules import NOTHING_KNOWN, Answers, Slot

HEAD = struct.Struct("<4sII")
"""Mark, number of slots, and how many of them were handed over."""

MARK = b"GHF1"
HIGH = 8
BODY = struct.Struct("<BxxId64s")
"""Length of the centre's identifier, its code, the moment, the identifier; the state stands before it."""

WHOLE = struct.Struct("<BBxxId64s")
"""A slot: its state, then its body."""

SLOT = WHOLE.size
ORDINAL = struct.Struct("<I")
LONGEST_ID = 64
SEATS = 256
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Key:
    """Which chunk of which batch."""

    branch_id: int
    batch_id: UUID
    chunk: int

    @property
    def file(self) -> str:
        """Return the name of the chunk's flight record."""
        return f"{self.branch_id}-{self.batch_id}-{self.chunk}.flight"


class Flight:
    """The record of one chunk while it is in a worker's hands."""

    def __init__(self, path: Path, ordinals: Sequence[int]) -> None:
        """Make the record at *path* for messages at *ordinals*, none of them handed over."""
        self.path = path
        self.count = len(ordinals)
        self.high = 0
        size = HEAD.size + self.count * (SLOT + ORDINAL.size)
        with path.open("w+b") as file:
            path.chmod(0o600)
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        start = HEAD.size + self.count * SLOT
        struct.pack_into(f"<{self.count}I", self._map, start, *ordinals)
        HEAD.pack_into(self._map, 0, MARK, self.count, 0)

    @staticmethod
    def _slot(place: int) -> int:
        return HEAD.size + place * SLOT

    def sent_to(self, high: int) -> None:
        """Enter that messages up to *high* are handed over; to be called before the first octet is written."""
        self.high = high
        ORDINAL.pack_into(self._map, HIGH, high)

    def sent_again(self, place: int) -> None:
        """Enter that a message which was not taken is handed over once more."""
        self._map[self._slot(place)] = Slot.SENT

    def answer(
        self,
        place: int,
        state: Slot,
        *,
        code: int = 0,
        moment: float = 0.0,
    ) -> None:
        """Enter what became of a message; the state last: a record cut short does not say more than it holds."""
        at = self._slot(place)
        BODY.pack_into(self._map, at + 1, 0, code & 0xFFFFFFFF, moment, b"")
        self._map[at] = state

    def accepted(
        self, places: Sequence[int], numbers: Sequence[str | None], moment: float
    ) -> None:
        """Enter that the centre accepted messages at *moment*: places, and its own numbers of them."""
        record, pack, first = self._map, BODY.pack_into, HEAD.size
        state = int(Slot.ACCEPTED)
        for place, number in zip(places, numbers, strict=True):
            identifier = number.encode()[:LONGEST_ID] if number else b""
            at = first + place * SLOT
            pack(record, at + 1, len(identifier), 0, moment, identifier)
            record[at] = state

    def answers(self) -> Answers:
        """Return what the record says."""
        return _answers(self._map, self.count, self.high)

    def close(self) -> None:
        """Let go of the memory, and leave the file."""
        self._map.close()

    def drop(self) -> None:
        """Forget the record: the store knows everything it held."""
        self._map.close()
        self.path.unlink(missing_ok=True)


def _answers(found: bytes | mmap.mmap, count: int, high: int) -> Answers:
    if not count:
        return NOTHING_KNOWN
    ends = HEAD.size + count * SLOT
    ordinals = struct.unpack(f"<{count}I", found[ends : ends + count * ORDINAL.size])
    slots = zip(*WHOLE.iter_unpack(found[HEAD.size : ends]), strict=True)
    states, lengths, codes, moments, identifiers = slots
    if Slot.UNTOUCHED in states[:high]:
        sent = [state or Slot.SENT for state in states[:high]]
        states = (*sent, *states[high:])
    messages = [
        identifier[:length].decode(errors="ignore")
        for identifier, length in zip(identifiers, lengths, strict=True)
    ]
    return Answers(ordinals, states, codes, messages, moments)


def read(path: Path) -> Answers:
    """Return what the record at *path* says; nothing when there is none, or it was never used."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return NOTHING_KNOWN
    if len(found) < HEAD.size:
        return NOTHING_KNOWN
    mark, count, high = HEAD.unpack_from(found)
    return _answers(found, count, high) if mark == MARK else NOTHING_KNOWN


def boot() -> str:
    """Return what tells one start of this machine from another."""
    return BOOT.read_text().strip() if BOOT.exists() else ""


@dataclass(slots=True)
class Seat:
    """A folder of flight records that one live process holds; ``worker`` is its name in leases, kept for ever."""

    folder: Path
    worker: str
    lock: IO[str]

    def path(self, key: Key) -> Path:
        """Return where the record of a chunk lies."""
        return self.folder / key.file

    def release(self) -> None:
        """Let another process have the seat."""
        self.lock.close()


def records(seat: Seat) -> list[Path]:
    """Return the records that lie in a seat."""
    return sorted(seat.folder.glob("*.flight"))


def forget(path: Path) -> None:
    """Remove a record that is settled."""
    path.unlink(missing_ok=True)


def take(folder: Path) -> Seat | None:
    """Return the seat in *folder* if no live process holds it; the lock ends with the process, however it ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (folder / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    name = folder / "worker"
    if not name.exists() or not name.read_text().strip():
        part = folder / "worker.part"
        part.write_text(uuid4().hex)
        part.replace(name)
    return Seat(folder, name.read_text().strip(), lock)


def free_seats(folder: Path) -> Iterator[Seat]:
    """Yield the seats below *folder* that exist and that nobody holds; each is held until it is released."""
    for place in sorted(folder.glob("seat-*")):
        if seat := take(place):
            yield seat


def first_seat(folder: Path) -> Seat:
    """Return the first seat below *folder* that can be had; raises RuntimeError when there is none."""
    for number in range(1, SEATS + 1):
        if seat := take(folder / f"seat-{number:03d}"):
            return seat
    raise RuntimeError(f"all {SEATS} seats in {folder} are taken")
