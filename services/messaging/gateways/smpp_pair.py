"""Two SMPP connections as one gateway, for centres that want messages on one and tell receipts on the other."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import (
    Finding,
    GatewayEnded,
    GatewayEvents,
    Health,
    Inbound,
    LinkState,
    NoRoom,
    Outgoing,
    Question,
    Receipt,
    SubmitResult,
)
from services.messaging.gateways.smpp import SmppGateway, capabilities
from services.messaging.gateways.smpp_writer import SmppSettings

WORST_FIRST: tuple[LinkState, ...] = (
    "refused",
    "stopped",
    "stopping",
    "connecting",
    "bound",
)
"""A pair stands where the worse of its connections stands: who cannot be heard is not written to."""

ENDED = ("refused", "stopping", "stopped")


class End:
    """One connection of a pair; implements GatewayEvents, and tells the pair what it hears."""

    def __init__(
        self, pair: "SmppPair", settings: SmppSettings, *, clock: Clock
    ) -> None:
        """Belong to *pair*."""
        self.state: LinkState = "connecting"
        self.why = ""
        self.gateway = SmppGateway(settings, clock=clock)
        self._pair = pair

    def accepted(self, tokens: Sequence[int], numbers: Sequence[str | None]) -> None:
        """Pass on what the centre took."""
        self._pair.events.accepted(tokens, numbers)

    def submitted(self, results: Sequence[SubmitResult]) -> None:
        """Pass answers on."""
        self._pair.events.submitted(results)

    def receipt(self, receipt: Receipt) -> None:
        """Pass a receipt on."""
        self._pair.events.receipt(receipt)

    def inbound(self, message: Inbound) -> None:
        """Pass a customer's message on."""
        self._pair.events.inbound(message)

    def link_lost(self, unanswered: Sequence[int], why: str) -> None:
        """Pass on what will not be answered; losing the connection that only hears loses no answer."""
        if self.gateway.caps.sends:
            self._pair.events.link_lost(unanswered, why)

    def link_changed(self, state: LinkState, why: str) -> None:
        """Let the pair find out where it stands now."""
        self.state, self.why = state, why
        self._pair.changed()


class SmppPair:
    """A transmitter and a receiver to one centre; implements SmsGateway."""

    events: GatewayEvents

    def __init__(self, settings: SmppSettings, *, clock: Clock = system_clock) -> None:
        """Take *settings* for both, whatever they say about the way of binding."""
        self.caps = capabilities(replace(settings, bind="transceiver"))
        self._out = End(self, replace(settings, bind="transmitter"), clock=clock)
        self._in = End(self, replace(settings, bind="receiver"), clock=clock)
        self._told: tuple[LinkState, str] | None = None
        self._moved = asyncio.Event()

    def _stands(self) -> tuple[LinkState, str]:
        worse = min((self._out, self._in), key=lambda end: WORST_FIRST.index(end.state))
        return worse.state, worse.why

    def changed(self) -> None:
        """Tell the core where the pair stands, when that is news."""
        self._moved.set()
        if self._stands() != self._told:
            self._told = self._stands()
            self.events.link_changed(*self._told)

    async def start(self, events: GatewayEvents) -> None:
        """Begin to connect both; the one that hears first, so that no receipt is early."""
        self.events = events
        await self._in.gateway.start(self._in)
        await self._out.gateway.start(self._out)

    def room(self) -> int:
        """Return the free part of the window; 0 while one of the two is not bound."""
        return self._out.gateway.room() if self._in.state == "bound" else 0

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""
        while not self.room():
            state, why = self._stands()
            if state in ENDED:
                raise GatewayEnded(why or state)
            if self._in.state == "bound" and self._out.state == "bound":
                await self._out.gateway.wait_room()
            else:
                self._moved.clear()
                await self._moved.wait()

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Write *batch*, no longer than ``room()``."""
        if len(batch) > self.room():
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        self._out.gateway.submit(batch)

    def ack(self, acks: Sequence[object]) -> None:
        """Acknowledge what was heard."""
        self._in.gateway.ack(acks)

    async def query(self, _question: Question) -> Finding:
        """Say nothing: SMPP asks by the centre's number, which such a message lacks."""
        return None

    async def health(self) -> Health:
        """Return where the pair stands, and the counts of both together."""
        sent = await self._out.gateway.health()
        heard = await self._in.gateway.health()
        counts = Counter(sent.counts) + Counter(heard.counts)
        return Health(*self._stands(), sent.unanswered, dict(counts))

    async def stop(self, drain_seconds: float) -> None:
        """Wait for answers, then part from both."""
        await self._out.gateway.stop(drain_seconds)
        await self._in.gateway.stop(0)
