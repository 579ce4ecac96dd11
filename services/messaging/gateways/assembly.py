"""
Putting the parts of customers' long messages together again.

Parts are held without being acknowledged, so a part cannot be lost with the process. A centre that sends the next
part only after the last one is acknowledged would wait for ever; therefore parts are held for a few seconds only,
and then handed on as they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.messaging.gateways.encoding import Concatenation


class Piece(NamedTuple):
    """One part: from whom, to which access number, its text, and what acknowledges it."""

    source: str
    dest: str
    text: str
    ack: object


class Joined(NamedTuple):
    """What the parts gave: the text, what acknowledges each of them, and whether it is the whole message."""

    source: str
    dest: str
    text: str
    acks: Sequence[object]
    whole: bool


class _Held:
    """The parts of one message that are here so far."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.texts: dict[int, str] = {}
        self.acks: list[object] = []


Key = tuple[str, str, int, int]


class Assembly:
    """The long messages that are not complete yet; at most *most* of them, the oldest gives way."""

    def __init__(self, hold_seconds: float, *, most: int = 1000) -> None:
        """Hold incomplete messages for *hold_seconds*."""
        self._hold = hold_seconds
        self._most = most
        self._held: dict[Key, _Held] = {}

    def __len__(self) -> int:
        """Return how many messages are incomplete."""
        return len(self._held)

    def add(self, piece: Piece, place: Concatenation, now: float) -> Joined | None:
        """Take one part; return the message if this part completes it. A part that comes twice counts once."""
        key = (piece.source, piece.dest, place.reference, place.total)
        held = self._held.setdefault(key, _Held(now))
        held.texts[place.number] = piece.text
        held.acks.append(piece.ack)
        if len(held.texts) < place.total:
            return None
        return self._join(key)

    def overdue(self, now: float) -> list[Joined]:
        """Return what has waited too long for its missing parts, the parts joined as far as they came."""
        late = [
            key for key, held in self._held.items() if now - held.since >= self._hold
        ]
        excess = max(0, len(self._held) - len(late) - self._most)
        oldest = [key for key in self._held if key not in late][:excess]
        return [self._join(key) for key in (*late, *oldest)]

    def forget(self) -> None:
        """Drop everything, because the link is gone and the centre will send the parts again."""
        self._held.clear()

    def _join(self, key: Key) -> Joined:
        held = self._held.pop(key)
        source, dest, _, total = key
        text = "".join(held.texts[number] for number in sorted(held.texts))
        return Joined(source, dest, text, tuple(held.acks), len(held.texts) == total)
