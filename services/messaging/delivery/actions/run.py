"""One chunk in hand: what is still to be handed over, what came back, and the record of both."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from services.messaging.delivery import rules
from services.messaging.delivery.actions.flight import Flight
from services.messaging.delivery.actions.lease import Claim
from services.messaging.delivery.actions.news import Sight
from services.messaging.delivery.rules import Slot
from services.messaging.gateways import SubmitResult

NEVER = Sight()
"""Nobody has looked yet."""


@dataclass(slots=True, eq=False)
class Run:
    """
    A chunk while it is handed over.

    ``excluded`` are places left out that were not come to yet. ``stopped`` ends it early: what was not handed over
    waits for the next worker. ``held_at`` is when the lease was renewed last, by the loop's time: the moment before
    the store was asked, so that it is never too late; without a lease there is none to lose. ``sight`` is what the
    last look for refusals can have shown.
    """

    claim: Claim
    flight: Flight
    held_at: float = inf
    sight: Sight = NEVER
    stopped: bool = False
    unanswered: int = 0
    next: int = 0
    again: deque[int] = field(default_factory=deque)
    tries: dict[int, int] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> bool:
        """Say whether nothing is left to hand over, and every answer is there."""
        return not (self.left or self.unanswered)

    @property
    def left(self) -> bool:
        """Say whether something is left to hand over."""
        return bool(self.again) or self.next < len(self.claim.ready.ordinals)

    @property
    def open(self) -> int:
        """Return how many places are left that are not left out."""
        left = len(self.again) + len(self.claim.ready.ordinals) - self.next
        return left - len(self.excluded)

    def _places(self) -> list[int]:
        return [*self.again, *range(self.next, len(self.claim.ready.ordinals))]

    def leave_out(self, reasons: Mapping[str, int]) -> None:
        """Leave out customers who are not handed over yet, for *reasons* by number."""
        if not reasons:
            return
        numbers = self.claim.ready.numbers
        for place in self._places():
            if reason := reasons.get(numbers[place], 0):
                self.flight.answer(place, Slot.EXCLUDED, code=reason)
                self.excluded.add(place)

    def take(self, room: int) -> list[int]:
        """
        Return up to *room* places to hand over next, and enter them as handed over; those left out are passed over.

        The record says so before the first octet is written: what it says of a killed process is never too little.
        """
        found: list[int] = []
        while self.again and (len(found) < room or self.again[0] in self.excluded):
            place = self.again.popleft()
            if not self._passed(place):
                self.flight.sent_again(place)
                found.append(place)
        total = len(self.claim.ready.ordinals)
        if not self.excluded:
            last = min(total, self.next + room - len(found))
            found.extend(range(self.next, last))
            self.next = last
        while self.next < total and (len(found) < room or self.next in self.excluded):
            if not self._passed(self.next):
                found.append(self.next)
            self.next += 1
        self.flight.sent_to(self.next)
        self.unanswered += len(found)
        return found

    def _passed(self, place: int) -> bool:
        """Say whether a place is left out, and pass it over if so."""
        passed = place in self.excluded
        self.excluded.discard(place)
        return passed

    def accepted(
        self, places: Sequence[int], numbers: Sequence[str | None], moment: float
    ) -> None:
        """Enter that the centre took the messages at *places*, with its own numbers of them, at the same *moment*."""
        self.flight.accepted(places, numbers, moment)
        self._came(len(places))

    def refused(self, place: int, result: SubmitResult, moment: float) -> None:
        """Enter that the centre did not take a message; for a while it is handed over again."""
        if result.verdict == "temporary":
            self.tries[place] = self.tries.get(place, 0) + 1
        state = rules.refused(result.verdict, self.tries.get(place, 0))
        self.flight.answer(place, state, code=result.code, moment=moment)
        if state is Slot.NOT_TAKEN:
            self.again.append(place)
        self._came(1)

    def lost(self, place: int) -> None:
        """Enter that nobody knows about a message."""
        self.flight.answer(place, Slot.AMBIGUOUS)
        self._came(1)

    def _came(self, count: int) -> None:
        self.unanswered -= count
        self.moved.set()
