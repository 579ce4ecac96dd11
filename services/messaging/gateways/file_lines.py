"""
Files of messages for another sender: one JSON object a line, finished under another name than while it is written.

A name that ends in ``.part`` is being written, by whoever holds the lock on the file; one that ends in ``.jsonl`` is
finished and will not change. The files hold numbers and texts: their owner alone may read them.
"""

import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, Field, ValidationError

from services.messaging.gateways import Outgoing, encoding

PART = ".part"
FINISHED = ".jsonl"
OWNER_ONLY = 0o600
NAMES = "messages-*"

REF_SIZE = 64
"""Bytes of our reference that stand in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """
    Where messages are handed over, and how.

    Args:
        folder: It must exist and be closed to others.
        window: Most messages that are not durable yet.
        most_octets: Size after which a file is finished.
        most_seconds: Age of its first line after which a file is finished.
        receipts: Whether the other sender reports what became of every message.
        look_seconds: Between two looks for answers, and for files that were left behind.
        final_receipt_after: Seconds after its validity by which a message's final receipt has come.

    """

    folder: Path
    window: int = 1000
    most_octets: int = 16 << 20
    most_seconds: float = 10
    receipts: bool = True
    look_seconds: float = 1
    final_receipt_after: float = 3600


def open_to_others(folder: Path) -> bool:
    """Say whether *folder* can be read, searched or written by others than its owner and group; raises OSError."""
    return bool(folder.stat().st_mode & stat.S_IRWXO)


def fields_of(message: Outgoing) -> dict[str, Any]:
    """Return what a line tells about *message*; raises ValueError for a text that its encoding cannot carry."""
    encoding.encode(message.text, message.encoding)
    until = message.valid_until
    return {
        "to": message.dest,
        "from": message.source,
        "text": message.text,
        "encoding": message.encoding,
        "segments": message.segments,
        "reference": message.client_ref[:REF_SIZE].hex(),
        "receipt": message.want_receipt,
        "valid_until": until.astimezone(UTC).isoformat() if until else None,
    }


class Written:
    """The file that one process is writing."""

    def __init__(self, settings: FileSettings) -> None:
        """Make a new file; raises OSError."""
        self._settings = settings
        name = f"messages-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
        self.name = name
        self._part = settings.folder / f"{name}{PART}"
        # an object and not a bare number: whatever fails from here on, it is closed
        self._opened = open(  # noqa: SIM115 - kept open
            self._part, "xb", buffering=0, opener=_privately
        )
        self._file = self._opened.fileno()
        self._length = 0
        self._began = 0.0
        self.lines = 0
        self._busy = threading.Lock()
        self._abandoned = False
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._part.stat()  # whoever held the lock first may have tidied the new file away
        sync_folder(settings.folder)

    def append(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """
        Write a line a message and return once they are durable; False says that none of them is in the file.

        Raises OSError when nobody knows what is in it.
        """
        with self._busy:
            try:
                return self._append(messages)
            finally:
                if self._abandoned:
                    self._opened.close()

    def _append(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        lines = [
            json.dumps({"id": f"{self.name}:{number}", **fields}, ensure_ascii=False)
            for number, fields in enumerate(messages, self.lines + 1)
        ]
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            _write_all(self._file, data)
        except OSError:
            os.ftruncate(self._file, self._length)
            os.fsync(self._file)
            return False
        os.fsync(self._file)
        if not self.lines:
            self._began = time.monotonic()
        self._length += len(data)
        self.lines += len(lines)
        return True

    def due_in(self) -> float:
        """Return the seconds until the file is old enough to be finished; an empty one never is."""
        if not self.lines:
            return float("inf")
        return max(0.0, self._began + self._settings.most_seconds - time.monotonic())

    def full(self) -> bool:
        """Say whether the file is large or old enough to be finished."""
        return self._length >= self._settings.most_octets or self.due_in() <= 0

    def finish(self) -> None:
        """Give the file its last name, or take it away when it is empty; raises OSError."""
        with self._busy:
            finish(self._part, empty=not self.lines)
            self._opened.close()

    def abandon(self) -> None:
        """Leave the file as it is to whoever looks for such files; a write under way closes it at its end."""
        self._abandoned = True
        if self._busy.acquire(blocking=False):
            self._opened.close()
            self._busy.release()


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, OWNER_ONLY)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def finish(part: Path, *, empty: bool) -> None:
    """Give a file its last name, or take it away when it is *empty*; raises OSError."""
    if empty:
        part.unlink(missing_ok=True)
    else:
        part.rename(part.with_suffix(FINISHED))
    sync_folder(part.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


class KeptLine(BaseModel):
    """What is read of a line of ours."""

    id: str
    to: str
    sender: str = Field(alias="from")
    reference: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that nobody writes any more and that is not finished, held by its lock until it is let go."""

    path: Path
    file: int

    def lines(self) -> list[KeptLine]:
        """Cut off what follows the last whole line, make the rest durable and return its lines; raises OSError."""
        with self.path.open("rb") as opened:
            data = opened.read()
        found, end = [], 0
        for text in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                found.append(KeptLine.model_validate_json(text))
            except ValidationError:
                break  # nothing was told about it: it was being written when the power went
            end += len(text)
        os.ftruncate(self.file, end)
        os.fsync(self.file)
        return found

    def release(self) -> None:
        """Let go of the file."""
        os.close(self.file)


def leftovers(folder: Path) -> Iterator[Leftover]:
    """Yield the files in *folder* that were left behind; a file whose writer lives is passed over."""
    for path in sorted(folder.glob(f"{NAMES}{PART}")):
        try:
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # finished meanwhile
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = not path.exists()
        except BlockingIOError:
            gone = True
        if gone:
            os.close(file)
        else:
            yield Leftover(path, file)
