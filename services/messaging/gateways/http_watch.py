"""Which messages of an aggregator await a receipt, and when somebody should ask for it."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count as numbers

from services.messaging.gateways.http_calls import Asking

MOST = 100_000
"""Messages that are remembered; the oldest give way, and their receipts come by push or not at all."""


@dataclass(slots=True)
class Awaited:
    """
    One message without a final receipt; ``gateway_id`` is None where nobody knows whether it was taken.

    ``pause`` is how long to wait before the next question; times in seconds of one monotonic clock.
    """

    key: str
    dest: str
    source: str
    reference: bytes
    gateway_id: str | None
    sent_at: datetime
    since: float
    pause: float


class Watch:
    """The awaited messages, in the order in which they are asked about."""

    def __init__(self, asking: Asking) -> None:
        """Ask as *asking* says."""
        self._asking = asking
        self._awaited: dict[str, Awaited] = {}
        self._due: list[tuple[float, int, str]] = []
        self._turn = numbers()

    def __len__(self) -> int:
        """Return how many messages are awaited."""
        return len(self._awaited)

    def add(self, one: Awaited) -> None:
        """Await a receipt."""
        if len(self._awaited) >= MOST:
            self._awaited.pop(next(iter(self._awaited)))
        self._awaited[one.key] = one
        self._plan(one, one.since)

    def drop(self, key: str) -> None:
        """Await no receipt any more; it is durable."""
        self._awaited.pop(key, None)

    def source_of(self, keys: Sequence[str]) -> str:
        """Return from which access number an awaited message was sent; empty when none of *keys* is awaited."""
        found = [self._awaited[key].source for key in keys if key in self._awaited]
        return found[0] if found else ""

    def due(self, now: float) -> Awaited | None:
        """Return a message to ask about now; it is asked about again after twice the pause, until it is too old."""
        while self._due and self._due[0][0] <= now:
            _, _, key = heapq.heappop(self._due)
            one = self._awaited.get(key)
            if one is None:
                continue
            if now - one.since > self._asking.until:
                self.drop(key)
                continue
            one.pause *= 2
            self._plan(one, now)
            return one
        return None

    def _plan(self, one: Awaited, now: float) -> None:
        heapq.heappush(self._due, (now + one.pause, next(self._turn), one.key))
