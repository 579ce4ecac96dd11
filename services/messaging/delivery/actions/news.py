"""
How much this process knows of refusals: what it sends by is never older than a moment.

Refusals of the customer service come over its feed, those of answers are in messaging's own table. Whoever sends
reads both again and again, and holds while what was read cannot have held what was refused a moment ago: a follower
that hangs, or a customer service that is away, keeps messages back and lets none go to who refused.
"""

import asyncio
from math import inf
from typing import NamedTuple, Protocol

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


class Sight(NamedTuple):
    """
    What a look at the store can have shown, taken before the look; times are the loop's.

    Args:
        looked: When it began.
        known: The moment up to which every refusal was in the store.
        turn: What changes whenever the feed was asked: then it is time to look again.

    """

    looked: float = -inf
    known: float = -inf
    turn: float = -inf


class News:
    """Up to which moment the store holds every refusal."""

    def __init__(self, source: Source | None = None) -> None:
        """Depend on *source*; without one, on the store alone."""
        self._source = source
        self._asked = 0.0
        self._held = False

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def sight(self) -> Sight:
        """Return what a look that begins now can show."""
        now = self._now()
        if self._source is None:
            return Sight(now, now, 0.0)
        heard = self._source.heard
        return Sight(now, min(now, heard), heard)

    def ask(self) -> None:
        """Have the feed asked, unless that was done a moment ago."""
        now = self._now()
        if self._source is not None and now - self._asked >= LOOK_SECONDS:
            self._asked = now
            self._source.woken.set()

    def is_due(self, last: Sight) -> bool:
        """Say whether it is time to look again after the *last* look."""
        now = self.sight()
        return now.turn != last.turn or now.looked - last.looked >= LOOK_SECONDS

    def is_fresh(self, last: Sight) -> bool:
        """Say whether one may write by the *last* look; tell when sending has to wait for news, and no longer."""
        held = self._now() - last.known > FRESH_SECONDS
        if held != self._held:
            say = log.warning if held else log.info
            say("refusals.awaited" if held else "refusals.known")
        self._held = held
        return not held
