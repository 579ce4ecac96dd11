"""
The audit chains as anybody outside can check them: every hash computed again from the records alone.

This is written after the contract, apart from the code that writes the chains: a fault there must not hide here.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guanhu.audit.v1 import audit_pb2

GENESIS = bytes(32)
"""The hash before the first record."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A link of a chain as it was seen once: what stood at *sequence*, and where that is kept."""

    sequence: int
    hash: str
    where: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The first record of a chain that is not as it was written, and what is wrong with it."""

    sequence: int
    sentence: str


def link(before: bytes, record: audit_pb2.Record) -> bytes:
    """
    Return the SHA-256 over the hash before and the fields of *record* as a JSON list without spaces.

    Times count as microseconds since 1970.
    """
    stamp = record.create_time
    fields = [
        record.branch_id,
        record.sequence,
        stamp.seconds * 1_000_000 + stamp.nanos // 1000,
        record.actor,
        record.agent,
        record.method,
        record.decision,
        record.resources,
        record.detail_json,
        record.trace_id,
    ]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


class Chain:
    """One branch's chain, checked record by record as it comes."""

    def __init__(self, branch_id: int, seen: Sequence[Seen]) -> None:
        """Check the chain of *branch_id*, in which everything that was *seen* must still stand."""
        self._branch_id = branch_id
        self._seen = seen
        self._hash = GENESIS
        self.records = 0
        self.fault: Fault | None = None

    @property
    def hash(self) -> str:
        """Return the hash of the last good record, in hexadecimal."""
        return self._hash.hex()

    def take(self, record: audit_pb2.Record) -> bool:
        """Take the next record; return whether the chain is still good."""
        number = self.records + 1
        computed = link(self._hash, record)
        said = self._wrong(record, number, computed)
        if said:
            self.fault = Fault(number, said)
            return False
        self.records, self._hash = number, computed
        return True

    def _wrong(self, record: audit_pb2.Record, number: int, computed: bytes) -> str:
        if record.sequence != number:
            return f"record {number} is missing: record {record.sequence} stands in its place"
        if record.branch_id != self._branch_id:
            return f"record {number} is one of branch {record.branch_id}"
        if record.hash != computed.hex():
            return (
                f"record {number} was changed, or does not follow from the one before: its hash is"
                f" {record.hash}, but its fields come to {computed.hex()}"
            )
        for one in self._seen:
            if one.sequence == number and one.hash != record.hash:
                return f"record {number} is not the one that {one.where} names: its hash was {one.hash}"
        return ""

    def end(self) -> None:
        """Say that no more records come: whatever was seen further on has been cut off."""
        beyond = [one for one in self._seen if one.sequence > self.records]
        if self.fault is None and beyond:
            one = max(beyond, key=lambda seen: seen.sequence)
            number = self.records + 1
            self.fault = Fault(
                number,
                f"record {number} is missing: the chain ends there, but {one.where} names record {one.sequence}",
            )


Heads = Mapping[int, Sequence[Seen]]
"""By branch, the links that were seen."""


def write_heads(
    folder: Path, service: str, heads: Sequence[audit_pb2.ChainHead], now: datetime
) -> Path:
    """
    Write the heads of *service* into a fresh file of *folder* and return its path; older files are never touched.

    Raises OSError, FileExistsError among them when there is one of the same second.
    """
    path = folder / f"{service}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"
    held = [
        {"branch_id": one.branch_id, "sequence": one.sequence, "hash": one.hash}
        for one in heads
    ]
    text = json.dumps(
        {"service": service, "time": now.astimezone(UTC).isoformat(), "heads": held},
        indent=1,
    )
    with path.open("x") as file:
        file.write(f"{text}\n")
    return path


def read_heads(folder: Path) -> dict[str, dict[int, list[Seen]]]:
    """
    Return what all files of *folder* saw, by service and branch.

    Raises ValueError with a sentence for a file that is not one of heads, and OSError.
    """
    found: dict[str, dict[int, list[Seen]]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            for service, branch_id, seen in _seen_in(path):
                found.setdefault(service, {}).setdefault(branch_id, []).append(seen)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} does not hold exported heads.") from None
    return found


def _seen_in(path: Path) -> Iterator[tuple[str, int, Seen]]:
    told: Any = json.loads(path.read_text())
    for head in told["heads"]:
        seen = Seen(int(head["sequence"]), str(head["hash"]), path.name)
        yield str(told["service"]), int(head["branch_id"]), seen
