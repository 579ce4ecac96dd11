"""What is heard from an aggregator: receipts and replies that it brings, and receipts that it is asked for."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import structlog

from services.chassis.clock import Clock, day_of
from services.messaging.gateways import GatewayEvents, Inbound, Outgoing, Receipt
from services.messaging.gateways.http_calls import (
    Dialect,
    HttpSettings,
    Reply,
    Report,
    Unreadable,
)
from services.messaging.gateways.http_client import NobodyKnows, NothingLeft
from services.messaging.gateways.http_push import Door, Kind, Push
from services.messaging.gateways.http_watch import Awaited, Watch

log = structlog.get_logger()

Heard = TypeVar("Heard", Receipt, Inbound)

Perform = Callable[[str, Mapping[str, Any]], Awaitable[tuple[int, bytes]]]
"""Makes a call; raises NothingLeft, NobodyKnows."""

CLOCKS_APART = timedelta(minutes=5)
"""By how much the aggregator's clock may differ from ours when a day or a begin is named."""


class Pushed(NamedTuple):
    """What acknowledges one entry of a push, and under which keys its message may be awaited."""

    push: Push
    place: int
    keys: tuple[str, ...] = ()


class Asked(NamedTuple):
    """What acknowledges a receipt that was asked for: it is not asked for any more."""

    keys: tuple[str, ...]


class Hearing:
    """Tells the core what the aggregator says, and acknowledges it when the core has it."""

    def __init__(
        self,
        settings: HttpSettings,
        dialect: Dialect,
        perform: Perform,
        *,
        clock: Clock,
        counts: Counter[str],
    ) -> None:
        """Hear by *dialect*, ask by *perform*, and count in *counts*."""
        self._settings = settings
        self._dialect = dialect
        self._perform = perform
        self._clock = clock
        self._counts = counts
        self._watch = Watch(settings.asking)
        self._door: Door | None = None
        if settings.push:
            self._door = Door(
                settings.push,
                self._brought,
                thanks=dialect.thanks,
                hold=settings.timers.hold,
            )

    async def open(self, events: GatewayEvents) -> None:
        """Let pushes in and tell them to *events*; raises OSError when the address cannot be had."""
        self._events = events
        if self._door:
            await self._door.open()

    async def close(self) -> None:
        """Let no more pushes in; what is not durable is brought again."""
        if self._door:
            await self._door.close()

    def await_receipt(self, message: Outgoing, gateway_id: str | None) -> None:
        """Ask about *message* when its receipt does not come by itself; None where nobody knows if it was taken."""
        if not message.want_receipt or not (gateway_id or self._settings.references):
            return
        self._watch.add(
            Awaited(
                key=gateway_id or key_of(message.client_ref),
                dest=message.dest,
                source=message.source,
                reference=message.client_ref,
                gateway_id=gateway_id,
                sent_at=self._clock(),
                since=asyncio.get_running_loop().time(),
                pause=self._settings.asking.after,
            )
        )

    def ack(self, acks: Sequence[object]) -> None:
        """Answer pushes all of which is durable now, and ask no more about what is."""
        for ack in acks:
            if isinstance(ack, Pushed | Asked):
                for key in ack.keys:
                    self._watch.drop(key)
            if isinstance(ack, Pushed):
                ack.push.ack(ack.place)

    # what is brought

    def _brought(self, kind: Kind, body: bytes) -> Push:
        """Tell the core what was pushed; what it does not take is brought again."""
        if kind == "reports":
            reports, bad = self._dialect.reports(body)
            push = Push(len(reports))
            for place, report in enumerate(reports):
                keys = (report.gateway_id or "", key_of(reference_of(report) or b""))
                if not self._hear(report, Pushed(push, place, keys)):
                    push.refuse()
        else:
            replies, bad = self._dialect.replies(body)
            push = Push(len(replies))
            for place, reply in enumerate(replies):
                if not self._hear_reply(reply, Pushed(push, place)):
                    push.refuse()
        self._counts["unreadable"] += bad
        return push

    def _hear_reply(self, reply: Reply, ack: Pushed) -> bool:
        self._counts["inbound"] += 1
        message = Inbound(
            source=reply.source,
            dest=self._settings.access + reply.extension,
            text=reply.text,
            heard_at=self._clock(),
            ack=ack,
        )
        return self._tell(self._events.inbound, message)

    def _hear(self, report: Report, ack: Pushed | Asked) -> bool:
        self._counts["receipts"] += 1
        reference = reference_of(report)
        if self._dialect.echoes and reference is None:
            # our messages all carry a reference: this one is of another system with the same account
            self._counts["foreign"] += 1
            self.ack([ack])
            return True
        receipt = Receipt(
            gateway_id=report.gateway_id or ack.keys[0],
            dest=report.dest,
            source=self._watch.source_of(ack.keys),
            client_ref=reference,
            state=report.state,
            code=report.code,
            heard_at=self._clock(),
            ack=ack,
        )
        return self._tell(self._events.receipt, receipt)

    def _tell(self, take: Callable[[Heard], None], heard: Heard) -> bool:
        """Let the core *take* what was *heard*; say whether it did."""
        try:
            take(heard)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the link must not pay for it
            self._counts["not_taken"] += 1
            log.error("gateway.not_taken", fault=type(fault).__name__)
            return False
        return True

    # what is asked for

    async def ask(self, bound: Callable[[], bool]) -> None:
        """Ask, one after the other and while the link is *bound*, about messages whose receipts were not brought."""
        loop = asyncio.get_running_loop()
        while True:
            one = self._watch.due(loop.time()) if bound() else None
            await asyncio.sleep(1 / self._settings.asking.rate)
            if one is not None:
                await self._ask_about(one)

    async def _ask_about(self, one: Awaited) -> None:
        begin = (one.sent_at - CLOCKS_APART).timestamp()
        days = {day_of(one.sent_at + apart) for apart in (-CLOCKS_APART, CLOCKS_APART)}
        for day in sorted(days):
            self._counts["asked"] += 1
            question = self._dialect.question(
                one.dest, one.gateway_id, f"{day:%Y%m%d}", begin
            )
            try:
                status, body = await self._perform(*question)
                found = self._dialect.found(one.gateway_id, status, body)
            except (NothingLeft, NobodyKnows, Unreadable):
                self._counts["not_told"] += 1
                return
            for report in found.reports:
                if _is_about(report, one):
                    self._hear(report, Asked((one.key,)))


def key_of(reference: bytes) -> str:
    """Return what stands for the aggregator's number of a message where that is not known."""
    return f"?{reference.hex()[:63]}"


def reference_of(report: Report) -> bytes | None:
    """Return the reference that was echoed; None when it is none of ours."""
    try:
        return bytes.fromhex(report.echoed) or None
    except ValueError:
        return None


def _is_about(report: Report, one: Awaited) -> bool:
    """Say whether a receipt that was asked for is a final one of the message that was meant."""
    if report.state == "enroute" or report.dest != one.dest:
        return False
    if one.gateway_id is None:
        return reference_of(report) == one.reference
    return report.gateway_id == one.gateway_id
