"""
The driver that remembers: what was submitted, what was acknowledged; tests decide what the centre answers.

It keeps every promise of the package, so a core that works with it needs no other change for a real centre.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count as numbers

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import (
    Capabilities,
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
    ReceiptState,
    SubmitResult,
    Verdict,
    encoding,
)

Judge = Callable[[Outgoing], Verdict]
"""What the centre says to a message."""


def accept(_message: Outgoing) -> Verdict:
    """Take every message."""
    return "accepted"


class RememberingGateway:
    """A centre in memory; implements SmsGateway."""

    def __init__(
        self,
        *,
        window: int = 100,
        judge: Judge = accept,
        silent: bool = False,
        clock: Clock = system_clock,
    ) -> None:
        """
        Answer as *judge* says.

        Args:
            window: Most messages that may be unanswered.
            judge: The verdict on each message.
            silent: Answer only when ``answer`` is called, instead of on the next turn of the loop.
            clock: When receipts are heard.

        """
        self.caps = Capabilities(
            window=window,
            sends=True,
            receipts=True,
            inbound=True,
            ref_size=64,
            final_receipt_after=60,
        )
        self.judge = judge
        self.silent = silent
        self.submitted: list[Outgoing] = []
        self.taken: dict[str, Outgoing] = {}
        self.acked: list[object] = []
        self.state: LinkState = "connecting"
        self.why = ""
        self._clock = clock
        self._unanswered: dict[int, Outgoing] = {}
        self._ids = numbers(1)
        self._counts: Counter[str] = Counter()
        self._moved = asyncio.Event()

    # what the core uses

    async def start(self, events: GatewayEvents) -> None:
        """Be bound at once."""
        self._events = events
        self._change("bound", "")

    def room(self) -> int:
        """Return the free part of the window."""
        if self.state != "bound":
            return 0
        return self.caps.window - len(self._unanswered)

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""
        while not self.room():
            if self.state in ("refused", "stopping", "stopped"):
                raise GatewayEnded(self.why or self.state)
            self._moved.clear()
            await self._moved.wait()

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Remember *batch*, and answer it unless the centre is silent."""
        if len(batch) > self.room():
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        for message in batch:
            self.submitted.append(message)
            self._unanswered[message.token] = message
        if not self.silent:
            tokens = [message.token for message in batch]
            asyncio.get_running_loop().call_soon(self.answer, tokens)

    def ack(self, acks: Sequence[object]) -> None:
        """Remember what was acknowledged."""
        self.acked.extend(acks)

    async def query(self, _question: Question) -> Finding:
        """Say nothing: what was taken is told by receipts alone."""
        return None

    async def health(self) -> Health:
        """Return state and counts."""
        return Health(self.state, self.why, len(self._unanswered), dict(self._counts))

    async def stop(self, drain_seconds: float) -> None:
        """Answer what waits unless the centre is silent, else wait for answers; report the rest as lost."""
        self._change("stopping", "")
        if not self.silent:
            self.answer()
        try:
            async with asyncio.timeout(drain_seconds):
                while self._unanswered:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass  # what is left is reported as lost
        if self._unanswered:
            self._lose("stopped")
        self._change("stopped", "")

    # what the test decides

    def answer(self, tokens: Sequence[int] | None = None) -> None:
        """Answer the messages of *tokens*, all unanswered ones for None; a token of a lost link is passed over."""
        chosen = [*self._unanswered] if tokens is None else tokens
        found = [self._unanswered.pop(token, None) for token in chosen]
        if results := [self._judged(one) for one in found if one]:
            self._events.submitted(results)
        self._moved.set()

    def _judged(self, message: Outgoing) -> SubmitResult:
        try:
            encoding.encode(message.text, message.encoding)
            verdict = self.judge(message)
        except ValueError:
            verdict = "rejected"
        self._counts[verdict] += 1
        if verdict != "accepted":
            return SubmitResult(message.token, verdict, None, 1, verdict)
        gateway_id = f"m{next(self._ids)}"
        self.taken[gateway_id] = message
        return SubmitResult(message.token, verdict, gateway_id, 0, "")

    def lose_link(self, why: str) -> None:
        """Drop the link with everything unanswered; ``bind_again`` brings it back."""
        self._change("connecting", why)
        self._lose(why)

    def _lose(self, why: str) -> None:
        lost = [*self._unanswered]
        self._unanswered.clear()
        self._events.link_lost(lost, why)

    def bind_again(self) -> None:
        """Be bound again after ``lose_link``."""
        self._change("bound", "")

    def refuse(self, why: str) -> None:
        """Turn the credentials away: the alarm; what is unanswered is lost."""
        self.lose_link(why)
        self._change("refused", why)

    def report(
        self, gateway_id: str, state: ReceiptState = "delivered", *, code: str = "000"
    ) -> Receipt:
        """Send the receipt of a message the centre took, and return it; its ack comes to ``acked``."""
        message = self.taken[gateway_id]
        receipt = Receipt(
            gateway_id=gateway_id,
            dest=message.dest,
            source=message.source,
            client_ref=message.client_ref,
            state=state,
            code=code,
            heard_at=self._clock(),
            ack=("receipt", gateway_id, state),
        )
        self._events.receipt(receipt)
        return receipt

    def hear(self, source: str, text: str, *, dest: str = "95599") -> Inbound:
        """Send a customer's message, and return it."""
        ack = ("inbound", source, next(self._ids))
        message = Inbound(source, dest, text, self._clock(), ack)
        self._events.inbound(message)
        return message

    def _change(self, state: LinkState, why: str) -> None:
        self.state, self.why = state, why
        self._moved.set()
        self._events.link_changed(state, why)
