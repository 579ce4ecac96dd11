"""
The HTTP driver: hands messages over to an aggregator by calls; what it hears is in http_hearing.

There is no connection to keep, so the link is what a harmless question finds: it holds while the question is answered
well, and whatever casts doubt on it has the question asked anew, with nothing handed over until then.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import (
    Capabilities,
    Finding,
    GatewayEnded,
    GatewayEvents,
    Health,
    LinkState,
    NoRoom,
    Outgoing,
    Question,
    SubmitResult,
    Verdict,
)
from services.messaging.gateways.http_aliyun import Aliyun
from services.messaging.gateways.http_calls import (
    Call,
    Dialect,
    HttpSettings,
    Standing,
)
from services.messaging.gateways.http_client import Client, NobodyKnows, NothingLeft
from services.messaging.gateways.http_hearing import Hearing
from services.messaging.gateways.http_inquiry import inquire
from services.messaging.gateways.http_tencent import Tencent

log = structlog.get_logger()

DIALECTS: Mapping[str, Callable[[HttpSettings, Clock], Dialect]] = {
    "aliyun": Aliyun,
    "tencent": Tencent,
}

REF_SIZE = 64
"""Bytes of our reference that travel where every message is a call of its own; both providers take twice as many."""

STATES: Mapping[str, LinkState] = {
    "good": "bound",
    "away": "connecting",
    "refused": "refused",
}
"""What a look makes of the link."""

Calling = asyncio.Task[None]


class HttpGateway:
    """One configured access to one aggregator; implements SmsGateway."""

    def __init__(self, settings: HttpSettings, *, clock: Clock = system_clock) -> None:
        """Speak to the aggregator of *settings*."""
        self.caps = Capabilities(
            window=settings.window,
            sends=True,
            receipts=True,
            inbound=settings.push is not None,
            ref_size=REF_SIZE if settings.references else 0,
            final_receipt_after=settings.final_receipt_after,
            can_query=True,
        )
        self._settings = settings
        self._clock = clock
        self._turn = asyncio.Lock()
        self._dialect = DIALECTS[settings.dialect](settings, clock)
        self._counts: Counter[str] = Counter()
        self._hearing = Hearing(
            settings, self._dialect, self._ask, clock=clock, counts=self._counts
        )
        self._unanswered: dict[int, Outgoing] = {}
        self._calls: set[Calling] = set()
        self._state: LinkState = "connecting"
        self._why = ""
        self._moved = asyncio.Event()
        self._doubt = asyncio.Event()
        self._keepers: list[Calling] = []

    # the link

    async def start(self, events: GatewayEvents) -> None:
        """Begin to look whether the link holds; from now on it is kept until it is refused or stopped."""
        self._events = events
        self._client = Client(self._settings)
        asking = self._hearing.ask(lambda: self._state == "bound")
        self._keepers = [
            asyncio.create_task(self._keep()),
            asyncio.create_task(asking),
        ]
        for keeper in self._keepers:
            keeper.add_done_callback(self._keeper_done)

    async def _keep(self) -> None:
        tries = 0
        first, longest = self._settings.back_off
        while not self._ended:
            self._doubt.clear()
            standing = await self._look()
            self._become(STATES[standing.state], standing.why)
            if self._state == "bound" and await self._held():
                tries = 0
                continue
            pause = min(longest, first * 2 ** min(tries, 16))
            tries += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def _held(self) -> bool:
        """Wait until the next look; say whether nothing cast doubt on the link meanwhile."""
        try:
            async with asyncio.timeout(self._settings.timers.probe):
                await self._doubt.wait()
        except TimeoutError:
            return True
        return False

    async def _look(self) -> Standing:
        """Return whether pushes can come in and the aggregator answers well."""
        try:
            await self._hearing.open(self._events)
            status, body = await self._call(*self._dialect.probe())
        except OSError as fault:
            return Standing("away", f"no place for pushes: {type(fault).__name__}")
        except (NothingLeft, NobodyKnows) as fault:
            return Standing("away", str(fault))
        return self._dialect.standing(status, body)

    @property
    def _ended(self) -> bool:
        """Say whether nothing will be handed over any more."""
        return self._state in ("refused", "stopping", "stopped")

    def _keeper_done(self, keeper: Calling) -> None:
        """Raise the alarm when a task fell over something nobody foresaw."""
        if not keeper.cancelled() and (fault := keeper.exception()):
            log.error("gateway.fault", fault=type(fault).__name__)
            self._change("refused", f"fault of the driver: {type(fault).__name__}")

    def _change(self, state: LinkState, why: str) -> None:
        before, self._state, self._why = (self._state, self._why), state, why
        self._moved.set()
        if before != (state, why):
            self._events.link_changed(state, why)

    def _become(self, state: LinkState, why: str) -> None:
        """Take up a state; what was refused or is being stopped stays so."""
        if not self._ended:
            self._change(state, why)

    def _suspect(self, why: str) -> None:
        """Hand nothing over until the link is looked at again."""
        self._become("connecting", why)
        self._doubt.set()

    def _refuse(self, why: str) -> None:
        """Raise the alarm: a person must see to it."""
        self._become("refused", why)
        self._doubt.set()

    async def stop(self, drain_seconds: float) -> None:
        """Wait for answers, report the rest as lost, and let what is not durable be brought again."""
        if not self._keepers:
            return
        self._change("stopping", "")
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.wait(self._keepers)
        if self._calls:
            await asyncio.wait(self._calls, timeout=drain_seconds)
        lost = [*self._unanswered]
        self._unanswered.clear()
        if left := [*self._calls]:
            for call in left:
                call.cancel()
            await asyncio.wait(left)
        if lost:
            self._events.link_lost(lost, "stopped")
        await self._hearing.close()
        await self._client.close()
        self._keepers = []
        self._change("stopped", "")

    async def health(self) -> Health:
        """Return state and counts."""
        unanswered = len(self._unanswered)
        return Health(self._state, self._why, unanswered, dict(self._counts))

    # sending

    def room(self) -> int:
        """Return the free part of the window."""
        if self._state != "bound":
            return 0
        return max(0, self.caps.window - len(self._unanswered))

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""
        while not self.room():
            if self._ended:
                raise GatewayEnded(self._why or self._state)
            self._moved.clear()
            await self._moved.wait()

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Hand *batch* over in as few calls as the dialect allows; what it cannot say is reported as rejected later."""
        if len(batch) > self.room():
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        calls, unfit = self._dialect.calls(batch)
        for message in batch:
            self._unanswered[message.token] = message
        if unfit:
            asyncio.get_running_loop().call_soon(self._tell, unfit)
        for call in calls:
            task = asyncio.create_task(self._perform(call))
            self._calls.add(task)
            task.add_done_callback(partial(self._call_done, call))
        self._counts["submitted"] += len(batch)

    async def _call(self, action: str, fields: Mapping[str, Any]) -> tuple[int, bytes]:
        return await self._client.call(partial(self._dialect.request, action, fields))

    async def _ask(self, action: str, fields: Mapping[str, Any]) -> tuple[int, bytes]:
        """Make a call that asks, so that all of them together keep to their rate."""
        async with self._turn:
            await asyncio.sleep(1 / self._settings.asking.rate)
        return await self._call(action, fields)

    async def query(self, question: Question) -> Finding:
        """Return what the aggregator says about a message; nothing while the link is in doubt."""
        if self._state != "bound":
            return None
        return await inquire(
            question,
            self._dialect,
            self._ask,
            now=self._clock(),
            counts=self._counts,
        )

    async def _perform(self, call: Call) -> None:
        verdict: Verdict
        try:
            status, body = await self._call(call.action, call.fields)
        except NothingLeft as fault:
            verdict, why = "temporary", str(fault)
        except NobodyKnows as fault:
            verdict, why = "ambiguous", str(fault)
        else:
            answer = self._dialect.answer(call, status, body)
            if answer.alarm:
                self._refuse(answer.alarm)
            elif any(one.verdict == "ambiguous" for one in answer.results):
                self._suspect(answer.results[0].reason)
            self._tell(answer.results)
            return
        self._suspect(why)
        self._tell(
            [SubmitResult(one.token, verdict, None, 0, why) for one in call.messages]
        )

    def _call_done(self, call: Call, task: Calling) -> None:
        """Report what a call left open when it fell over something nobody foresaw."""
        self._calls.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is None:
            return
        log.error("gateway.fault", fault=type(fault).__name__)
        lost = [one.token for one in call.messages if one.token in self._unanswered]
        for token in lost:
            del self._unanswered[token]
        why = f"fault of the driver: {type(fault).__name__}"
        self._events.link_lost(lost, why)
        self._refuse(why)

    def _tell(self, results: Sequence[SubmitResult]) -> None:
        messages = [self._unanswered[one.token] for one in results]
        for result, message in zip(results, messages, strict=True):
            del self._unanswered[result.token]
            self._counts[result.verdict] += 1
            if result.verdict in ("accepted", "ambiguous"):
                self._hearing.await_receipt(message, result.gateway_id)
        self._moved.set()
        self._events.submitted(results)

    def ack(self, acks: Sequence[object]) -> None:
        """Answer pushes all of which is durable now, and ask no more about what is."""
        self._hearing.ack(acks)
