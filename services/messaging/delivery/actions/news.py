"""
How much this process knows of refusals: what it sends by is never older than a moment.

Refusals of the customer service come over its feed, those of answers are in messaging's own table. Whoever sends
reads both again and again, and holds while what was read cannot have held what was refused a moment ago: a follower
that hangs, or a customer service that is away, keeps messages back and lets none go to who refused.
"""

import asyncio
from typing import Protocol

import structlog

log = structlog.get_logger()

LOOK_SECONDS = 0.2
"""How often the feed is asked, and refusals are read, while something is being sent."""

FRESH_SECONDS = 0.6
"""How old what is known may be at the moment of writing (source: a refusal holds within a second of its commit)."""


class Source(Protocol):
    """A feed as its follower knows it: asked last at ``heard`` with everything in the store; ``woken`` asks again."""

    heard: float
    woken: asyncio.Event


class News:
    """Up to which moment the store holds every refusal, by the loop's time."""

    def __init__(self, source: Source | None = None) -> None:
        """Depend on *source*; without one, on the store alone."""
        self._source = source
        self._asked = 0.0
        self._held = False

    @staticmethod
    def now() -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    @property
    def known(self) -> float:
        """Return the moment up to which every refusal is in the store; read it before the store is."""
        now = self.now()
        return now if self._source is None else min(now, self._source.heard)

    def ask(self) -> None:
        """Have the feed asked, unless that was done a moment ago."""
        now = self.now()
        if self._source is not None and now - self._asked >= LOOK_SECONDS:
            self._asked = now
            self._source.woken.set()

    def fresh(self, known: float) -> bool:
        """Say whether one may write by what held at *known*; tell when sending has to wait for news, and no longer."""
        held = self.now() - known > FRESH_SECONDS
        if held != self._held:
            say = log.warning if held else log.info
            say("refusals.awaited" if held else "refusals.known")
        self._held = held
        return not held
