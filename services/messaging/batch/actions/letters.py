"""
Number and text of messages as they lie in the store: each under a seal of its own, and a chunk's under one.

A recipient keeps what was written to him, for whoever looks it up. A chunk that waits keeps all its messages besides:
sending opens a thousand in a row, and to open each for itself costs more than to write it to the wire.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, TypeVar
from uuid import UUID

from services.chassis.vault import Vault

T = TypeVar("T")

PLACE = "recipients.message|{}/{}"
"""What a sealed message is bound to: the batch, and its place there."""

CHUNK_PLACE = "chunks.letters|{}/{}"
"""What the sealed messages of a chunk are bound to: the batch, and the chunk."""

MOBILE_DIGITS = 11


@dataclass(frozen=True, slots=True)
class Letters:
    """
    Messages of one chunk as they are handed over, in their order; each field holds one value a message.

    Args:
        ordinals: Which.
        numbers: The customers'.
        indexes: Of their mobiles.
        segments: Messages each travels as.
        mobiles, texts: What is written to whom; nothing shows them by accident.

    """

    ordinals: Sequence[int] = ()
    numbers: Sequence[str] = ()
    indexes: Sequence[bytes] = ()
    segments: Sequence[int] = ()
    mobiles: Sequence[str] = field(default=(), repr=False)
    texts: Sequence[str] = field(default=(), repr=False)

    @property
    def by_ordinal(self) -> dict[int, str]:
        """Return the customers' numbers by ordinal."""
        return dict(zip(self.ordinals, self.numbers, strict=True))

    def only(self, ordinals: Collection[int]) -> "Letters":
        """Return those at *ordinals*."""
        if len(ordinals) == len(self.ordinals):
            return self
        kept = set(ordinals)
        chosen = [ordinal in kept for ordinal in self.ordinals]
        return Letters(
            _at(self.ordinals, chosen),
            _at(self.numbers, chosen),
            _at(self.indexes, chosen),
            _at(self.segments, chosen),
            _at(self.mobiles, chosen),
            _at(self.texts, chosen),
        )


def _at(column: Iterable[T], chosen: Iterable[bool]) -> list[T]:
    return list(compress(column, chosen))


def seal_one(
    vault: Vault, batch_id: UUID, ordinal: int, mobile: str, text: str
) -> bytes:
    """Return one message sealed, bound to batch and place."""
    return vault.seal(f"{mobile}{text}", PLACE.format(batch_id, ordinal))


def open_one(
    vault: Vault, batch_id: UUID, ordinal: int, sealed: bytes
) -> tuple[str, str]:
    """Return mobile and text of one message."""
    plain = vault.open(sealed, PLACE.format(batch_id, ordinal))
    return plain[:MOBILE_DIGITS], plain[MOBILE_DIGITS:]


def seal_chunk(vault: Vault, batch_id: UUID, chunk: int, letters: Letters) -> bytes:
    """Return the messages of a chunk under one seal, bound to batch and chunk."""
    plain = json.dumps(
        {
            "ordinals": letters.ordinals,
            "numbers": letters.numbers,
            "indexes": [index.hex() for index in letters.indexes],
            "segments": letters.segments,
            "mobiles": letters.mobiles,
            "texts": letters.texts,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return vault.seal(plain, CHUNK_PLACE.format(batch_id, chunk))


def open_chunk(vault: Vault, batch_id: UUID, chunk: int, sealed: bytes) -> Letters:
    """Return what ``seal_chunk`` sealed."""
    found = json.loads(vault.open(sealed, CHUNK_PLACE.format(batch_id, chunk)))
    found["indexes"] = [bytes.fromhex(index) for index in found["indexes"]]
    return Letters(**found)


def open_each(vault: Vault, batch_id: UUID, rows: Iterable[Any]) -> Letters:
    """Return the messages of recipients' *rows*, each of which is sealed for itself."""
    columns = [
        (
            row.ordinal,
            row.number,
            row.mobile_index,
            row.segments,
            *open_one(vault, batch_id, row.ordinal, row.message),
        )
        for row in rows
    ]
    return Letters(*map(list, zip(*columns, strict=True)))
