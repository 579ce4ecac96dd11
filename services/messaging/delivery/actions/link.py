"""One gateway as the core listens to it: whose answer it is, what was heard and is not durable yet, how fast to go."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import repeat
from math import floor
from typing import Literal, Protocol
from uuid import UUID

import structlog

from services.chassis.clock import Clock
from services.messaging.delivery.actions.gauge import Gauge
from services.messaging.gateway.actions import LinkReport
from services.messaging.gateway.rules import LinkState as LinkNumber
from services.messaging.gateways import (
    Inbound,
    LinkState,
    Outgoing,
    Receipt,
    SmsGateway,
    SubmitResult,
)
from services.messaging.gateways.pace import UNKNOWN, Pace

log = structlog.get_logger()

SLOWED_SECONDS = 0.5
"""How long nothing is handed over after a centre said that it is in trouble."""


PARTS = 4
"""Of so many parts of the window one is to be free before more is written, unless that takes too long."""

MOST_SPOKEN = 10_000
"""Customers' messages that may wait to be stored; the centre keeps what is more."""


class InboxFull(Exception):
    """More messages wait to be stored than are kept in memory; the driver leaves this one with the centre."""


class Asker(Protocol):
    """Whoever handed messages over, and waits for what becomes of each, told by its place."""

    def accepted(
        self, places: Sequence[int], numbers: Sequence[str | None], moment: float
    ) -> None:
        """Take that the centre took the messages at *places*, with its own numbers of them, read at *moment*."""

    def refused(self, place: int, result: SubmitResult, moment: float) -> None:
        """Take that the centre did not take a message."""

    def lost(self, place: int) -> None:
        """Take that nobody knows about a message."""


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What is agreed with a centre.

    ``rate`` 0 means that no limit was told, times are in seconds, and ``encoding`` auto sends in the default alphabet
    what fits it.
    """

    access: str
    rate: int = 0
    validity: float = 7200
    certain_after: float = 3600
    encoding: Literal["ucs2", "auto"] = "ucs2"


class Link:
    """A gateway with what belongs to it in this process; implements GatewayEvents."""

    def __init__(
        self, name: str, gateway: SmsGateway, terms: Terms, clock: Clock
    ) -> None:
        """Listen to *gateway* under *name*."""
        self.name = name
        self.gateway = gateway
        self.terms = terms
        self.state: LinkState = "connecting"
        self.bound_at: float | None = None
        self.paused = False
        self.heard: list[Receipt] = []
        self.sorted_to: tuple[datetime, UUID] | None = None
        self.arrived = asyncio.Event()
        self.said: list[Inbound] = []
        self.spoken = asyncio.Event()
        self.why = ""
        self.gauge = Gauge(name)
        self._clock = clock
        self._last_token = 0
        self._unanswered: dict[int, tuple[Asker, int]] = {}
        self.pen = asyncio.Lock()
        self.busy = asyncio.Event()
        self._held_until = 0.0
        self._pace = Pace(terms.rate or UNKNOWN, self._time())

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    @property
    def open(self) -> bool:
        """Say whether messages may be handed over now."""
        return self.state == "bound" and not self.paused

    def bound_for(self) -> float:
        """Return for how many seconds the link has held without a break."""
        return 0.0 if self.bound_at is None else self._time() - self.bound_at

    def share(self, workers: int) -> None:
        """Keep to this worker's part of the agreed rate, which all *workers* that live have together."""
        if self.terms.rate:
            self._pace.limit(self.terms.rate / max(1, workers))

    def wait(self) -> float:
        """Return how many seconds the centre wants us to wait before the next message."""
        now = self._time()
        return max(self._held_until - now, self._pace.delay(now))

    def crowded(self, wanted: int) -> bool:
        """Say whether so little of the window is free for *wanted* messages that it pays to wait a moment for more."""
        some = min(wanted, self.gateway.caps.window // PARTS)
        return 0 < self.gateway.room() < some

    def grant(self, wanted: int) -> int:
        """Return how many of *wanted* messages may be handed over at this moment, by the window and by the pace."""
        if not self.open or self._held_until > self._time():
            return 0
        room = min(wanted, self.gateway.room())
        return self._pace.take(room, self._time()) if room else 0

    def tokens(self, count: int) -> range:
        """Return as many tokens as that, which were never given before."""
        first = self._last_token + 1
        self._last_token += count
        return range(first, first + count)

    def hand_over(
        self, asker: Asker, places: Sequence[int], messages: Sequence[Outgoing]
    ) -> None:
        """
        Write *messages* of *asker*, from its *places*.

        They were granted, their record says already that they are handed over, and each has a token of ``tokens``.
        """
        tokens = [message.token for message in messages]
        owners = zip(repeat(asker), places)
        self._unanswered.update(zip(tokens, owners, strict=True))
        segments = sum([message.segments for message in messages])
        self.gauge.handed_over(segments)
        self._pace.overdraw(segments - len(messages))
        self.gateway.submit(messages)

    def forget(self, asker: Asker) -> None:
        """Wait no more for what *asker* handed over: what still comes of it is passed over."""
        self._unanswered = {
            token: found
            for token, found in self._unanswered.items()
            if found[0] is not asker
        }

    def report(self, worker: str) -> LinkReport:
        """Return what *worker* tells about the link, and let Prometheus see it."""
        found = LinkReport(
            worker=worker,
            state=LinkNumber[self.state.upper()],
            reason=self.why,
            unanswered=len(self._unanswered),
            sent_per_second=self.gauge.rate(self._time()),
            allowed_per_second=0
            if self._pace.rate == UNKNOWN
            else round(self._pace.rate),
            counts=self.gauge.counts,
            hears=self.gateway.caps.receipts,
            can_query=self.gateway.caps.can_query,
        )
        self.gauge.publish(found)
        return found

    # what the gateway tells

    def accepted(self, tokens: Sequence[int], numbers: Sequence[str | None]) -> None:
        """Enter what the centre took."""
        _each(self._taken(tokens, numbers))

    def _taken(
        self, tokens: Sequence[int], numbers: Sequence[str | None]
    ) -> list[Callable[[], None]]:
        """Return what tells each asker which of its messages the centre took."""
        self.gauge.answered("accepted", len(tokens))
        by_asker: dict[Asker, tuple[list[int], list[str | None]]] = {}
        waiting, moment = self._unanswered, self._moment()
        for token, number in zip(tokens, numbers, strict=True):
            if (found := waiting.pop(token, None)) is None:
                continue
            asker, place = found
            if (taken := by_asker.get(asker)) is None:
                taken = by_asker[asker] = [], []
            taken[0].append(place)
            taken[1].append(number)
        return [
            partial(one.accepted, *taken, moment) for one, taken in by_asker.items()
        ]

    def submitted(self, results: Sequence[SubmitResult]) -> None:
        """Enter answers; one that the centre gave for speed, or in trouble, slows the whole queue down."""
        taken = [one for one in results if one.verdict == "accepted"]
        told = self._taken(
            [one.token for one in taken], [one.gateway_id for one in taken]
        )
        moment = self._moment()
        for result in results:
            if result.verdict == "accepted":
                continue
            self.gauge.answered(result.verdict)
            if result.verdict == "throttled":
                self._pace.throttled(self._time())
            elif result.verdict == "temporary":
                self._held_until = self._time() + SLOWED_SECONDS
            if found := self._unanswered.pop(result.token, None):
                asker, place = found
                told.append(partial(asker.refused, place, result, moment))
        _each(told)

    def _moment(self) -> float:
        """Return the time to a tenth of a second: what is told later names those of one moment together."""
        return floor(self._clock().timestamp() * 10) / 10

    def receipt(self, receipt: Receipt) -> None:
        """Keep a receipt until it is stored."""
        self.heard.append(receipt)
        self.arrived.set()

    def inbound(self, message: Inbound) -> None:
        """Keep a customer's message unacknowledged until it is stored; raises InboxFull when there is no room."""
        if len(self.said) >= MOST_SPOKEN:
            raise InboxFull
        self.said.append(message)
        self.spoken.set()

    def link_lost(self, unanswered: Sequence[int], why: str) -> None:
        """Enter that nobody knows about *unanswered* any more."""
        log.warning("link.lost", gateway=self.name, unanswered=len(unanswered))
        self.gauge.answered("ambiguous", len(unanswered))
        for token in unanswered:
            found = self._unanswered.pop(token, None)
            if found is not None:
                asker, place = found
                asker.lost(place)

    def link_changed(self, state: LinkState, why: str) -> None:
        """Take note of the link's state; a refused one needs a person."""
        self.state, self.why = state, why
        self.bound_at = self._time() if state == "bound" else None
        if state == "refused":
            log.error("link.refused", gateway=self.name, cause=why)
        else:
            log.info("link.changed", gateway=self.name, state=state)


def _each(told: Iterable[Callable[[], None]]) -> None:
    """Tell each asker; one asker's trouble keeps no answer from another, and is raised once all have theirs."""
    faults = []
    for tell in told:
        try:
            tell()
        except Exception as fault:  # noqa: BLE001 - whatever it is
            faults.append(fault)
    if faults:
        raise faults[0]
