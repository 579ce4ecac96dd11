"""The SMPP 3.4 driver: keeps one session bound, and turns messages into PDUs and PDUs into events."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import structlog

from services.chassis.clock import Clock, system_clock
from services.messaging.gateways import (
    Capabilities,
    GatewayEnded,
    GatewayEvents,
    Health,
    Inbound,
    LinkState,
    NoRoom,
    Outgoing,
    Receipt,
    SubmitResult,
    Verdict,
    encoding,
)
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.assembly import Assembly, Joined, Piece
from services.messaging.gateways.smpp_session import BindRefused, LinkFault, Session
from services.messaging.gateways.smpp_writer import (
    Entry,
    Part,
    SmppSettings,
    Whole,
    Writer,
    in_words,
)

log = structlog.get_logger()

Heard = TypeVar("Heard", Receipt, Inbound)

PART_TRIES = 10
"""How often a long message's parts are written again, in all, when the centre refuses them for speed."""

PART_PAUSE = 1.0
"""Seconds until then."""

UNBIND_SECONDS = 2.0

SmppSession = Session[Entry]


class Ack(NamedTuple):
    """What acknowledges a receipt or a message: where it was heard, and its sequence numbers there."""

    session: "SmppSession"
    sequences: tuple[int, ...]


def capabilities(settings: SmppSettings) -> Capabilities:
    """Return what a connection with *settings* can do."""
    hears = settings.bind != "transmitter"
    return Capabilities(
        window=settings.window,
        sends=settings.bind != "receiver",
        receipts=hears,
        inbound=hears,
        ref_size=2,
        final_receipt_after=settings.final_receipt_after,
    )


class SmppGateway:
    """One configured connection to one SMPP centre; implements SmsGateway."""

    def __init__(self, settings: SmppSettings, *, clock: Clock = system_clock) -> None:
        """Raise ValueError when the credentials do not fit the protocol's fields."""
        self.caps = capabilities(settings)
        self._settings = settings
        self._clock = clock
        self._bind_body = codec.bind_body(
            settings.system_id, settings.password, settings.system_type
        )
        self._writer = Writer(settings)
        self._verdicts = {**codec.VERDICTS, **settings.verdicts}
        self._session: SmppSession | None = None
        self._queue: deque[tuple[Entry, bytes]] = deque()
        self._wholes: dict[int, Whole] = {}
        self._assembly = Assembly(settings.hold_seconds)
        self._state: LinkState = "connecting"
        self._why = ""
        self._counts: Counter[str] = Counter()
        self._moved = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # the link

    async def start(self, events: GatewayEvents) -> None:
        """Begin to connect; from now on the link is kept until it is refused or stopped."""
        self._events = events
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._keeper_done)

    async def _keep(self) -> None:
        loop, tries = asyncio.get_running_loop(), 0
        first, longest = self._settings.back_off
        while True:
            began = loop.time()
            try:
                why = await self._live()
            except BindRefused as refusal:
                why = str(refusal)
                if refusal.status in codec.HOPELESS_BINDS:
                    self._change("refused", why)
                    return
            except (OSError, LinkFault) as fault:  # TimeoutError is an OSError
                why = str(fault) or type(fault).__name__
            # a link that lasted was a good one: the next trouble is a new trouble
            tries = 0 if loop.time() - began > longest else tries + 1
            self._change("connecting", why)
            pause = min(longest, first * 2 ** min(tries, 16))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter

    def _keeper_done(self, keeper: asyncio.Task[None]) -> None:
        """Raise the alarm when the keeper fell over something nobody foresaw."""
        if not keeper.cancelled() and (fault := keeper.exception()):
            self._change("refused", f"fault of the driver: {type(fault).__name__}")

    async def _live(self) -> str:
        """Connect, bind, and return why the link ended once it has."""
        settings, timers = self._settings, self._settings.timers
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timers.connect):
            _, session = await loop.create_connection(
                lambda: SmppSession(self, window=settings.window, timers=timers),
                settings.host,
                settings.port,
                ssl=settings.tls,
            )
        try:
            await session.bind(codec.BINDS[settings.bind], self._bind_body)
        except BaseException:
            session.abort("not bound")
            raise
        self._session = session
        self._counts["binds"] += 1
        self._change("bound", "")
        await asyncio.wait(
            [session.closed]
        )  # unlike await, leaves it alone if cancelled
        return self._why

    def _change(self, state: LinkState, why: str) -> None:
        self._state, self._why = state, why
        self._moved.set()
        self._events.link_changed(state, why)

    def lost(self, session: SmppSession, why: str) -> None:
        """Report everything that will not be answered, once, and forget it."""
        if session is not self._session:
            return
        tokens = self._unanswered()
        self._session, self._why = None, why
        self._queue.clear()
        self._wholes.clear()
        self._assembly.forget()
        self._counts["links_lost"] += 1
        self._events.link_lost(tokens, why)
        self._moved.set()

    async def stop(self, drain_seconds: float) -> None:
        """Wait for answers, part from the centre, report the rest as lost."""
        if self._keeper is None:
            return
        self._change("stopping", "")
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        try:
            async with asyncio.timeout(drain_seconds):
                while self._unanswered():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass  # what is left is reported as lost
        if self._session:
            await self._session.unbind(UNBIND_SECONDS)
        self._change("stopped", "")

    async def health(self) -> Health:
        """Return state and counts."""
        unanswered = len(self._unanswered())
        return Health(self._state, self._why, unanswered, dict(self._counts))

    def _unanswered(self) -> list[int]:
        """Return the tokens the core has not heard of again."""
        waiting = self._session.unfinished if self._session else []
        waiting += [entry for entry, _ in self._queue]
        return [entry for entry in waiting if isinstance(entry, int)] + [*self._wholes]

    # sending

    def room(self) -> int:
        """Return the free part of the window, less what still waits to be written."""
        if not self._session or self._state != "bound" or not self.caps.sends:
            return 0
        return max(0, self._session.room() - len(self._queue))

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""
        while not self.room():
            if not self.caps.sends or self._state in ("refused", "stopping", "stopped"):
                raise GatewayEnded(self._why or self._state)
            self._moved.clear()
            await self._moved.wait()

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Write *batch*; a message that cannot be encoded is reported as rejected, after this returns."""
        session = self._session
        if len(batch) > self.room() or session is None:
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        for message in batch:
            try:
                entries = self._writer.entries(message)
            except ValueError as fault:
                reason = f"cannot be encoded: {type(fault).__name__}"
                result = SubmitResult(message.token, "rejected", None, 0, reason)
                asyncio.get_running_loop().call_soon(self._events.submitted, result)
                continue
            first = entries[0][0]
            if isinstance(first, Part):
                self._wholes[message.token] = first.whole
            self._queue.extend(entries)
        self._counts["submitted"] += len(batch)
        self._flush(session)

    def _flush(self, session: SmppSession) -> None:
        fitting = min(session.room(), len(self._queue))
        if fitting > 0:
            session.submit([self._queue.popleft() for _ in range(fitting)])

    def moved(self) -> None:
        """Write what waits, hand on what waited too long, and wake who waits for room."""
        if self._session:
            self._flush(self._session)
        for joined in self._assembly.overdue(asyncio.get_running_loop().time()):
            self._hear(joined)
        self._moved.set()

    def answered(self, entry: Entry, status: int, body: bytes) -> None:
        """Pass the verdict on; a part's is kept until all are there."""
        verdict = self._verdicts.get(status, "rejected")
        self._counts[verdict] += 1
        if not isinstance(entry, int):
            self._part_answered(entry, verdict, status, body)
            return
        taken = verdict == "accepted"
        number = codec.message_id_of(body) if taken else None
        reason = "" if taken else in_words(status)
        self._events.submitted(SubmitResult(entry, verdict, number, status, reason))

    def unanswered(self, entry: Entry) -> None:
        """Report that nobody knows: the centre may have it or not."""
        self._counts["ambiguous"] += 1
        if isinstance(entry, int):
            result = SubmitResult(entry, "ambiguous", None, 0, "no answer in time")
            self._events.submitted(result)
        else:
            self._settle(entry.whole, "ambiguous", 0)

    def _part_answered(
        self, part: Part, verdict: Verdict, status: int, body: bytes
    ) -> None:
        whole = part.whole
        if verdict == "throttled" and whole.tries < PART_TRIES:
            # a message half sent cannot be given back to the core: the part itself is tried again
            whole.tries += 1
            asyncio.get_running_loop().call_later(PART_PAUSE, self._write_again, part)
            return
        if part.last:
            whole.last_id = codec.message_id_of(body)
        self._settle(whole, verdict, status)

    def _write_again(self, part: Part) -> None:
        if self._wholes.get(part.whole.token) is part.whole:
            self._queue.append((part, part.body))
            self.moved()

    def _settle(self, whole: Whole, verdict: Verdict, status: int) -> None:
        whole.left -= 1
        if verdict != "accepted":
            whole.faults.append((verdict, status))
        if not whole.left:
            del self._wholes[whole.token]
            self._events.submitted(whole.result())

    # hearing

    def delivered(self, session: SmppSession, sequence: int, body: bytes) -> None:
        """Pass a receipt or a customer's message on, unacknowledged; one that nobody can read is refused for good."""
        try:
            message = codec.read_deliver(body)
        except codec.MalformedPdu:
            self._counts["unreadable"] += 1
            session.answer_delivers([sequence], codec.REJECTED_BY_US)
            return
        ack = Ack(session, (sequence,))
        if codec.is_receipt(message):
            self._counts["receipts"] += 1
            self._tell(self._events.receipt, self._receipt(message, ack))
        else:
            self._counts["inbound"] += 1
            self._take_inbound(message, ack)

    def _receipt(self, message: codec.Deliver, ack: Ack) -> Receipt:
        report = codec.read_report(message)
        return Receipt(
            gateway_id=report.message_id,
            dest=message.source.removeprefix("+"),
            source=message.dest,
            client_ref=report.reference,
            state=report.state,
            code=report.code,
            heard_at=self._clock(),
            ack=ack,
        )

    def _take_inbound(self, message: codec.Deliver, ack: Ack) -> None:
        place, data = None, message.payload
        if message.esm_class & codec.UDHI:
            place, data = encoding.read_header(data)
        text = encoding.decode(data, message.data_coding)
        piece = Piece(message.source.removeprefix("+"), message.dest, text, ack)
        if place is None:
            self._hear(Joined(*piece[:3], (ack,), whole=True))
        elif joined := self._assembly.add(
            piece, place, asyncio.get_running_loop().time()
        ):
            self._hear(joined)

    def _hear(self, joined: Joined) -> None:
        message = Inbound(
            source=joined.source,
            dest=joined.dest,
            text=joined.text,
            heard_at=self._clock(),
            ack=joined.acks,
            whole=joined.whole,
        )
        self._tell(self._events.inbound, message)

    def _tell(self, take: Callable[[Heard], None], heard: Heard) -> None:
        """Let the core *take* what was *heard*; if it fails, that alone stays unacknowledged."""
        try:
            take(heard)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the link must not pay for it
            self._counts["not_taken"] += 1
            log.error("gateway.not_taken", fault=type(fault).__name__)

    def ack(self, acks: Sequence[object]) -> None:
        """Acknowledge in one write per session; what a lost session heard, the centre delivers again."""
        due: dict[SmppSession, list[int]] = {}
        for ack in _flat(acks):
            due.setdefault(ack.session, []).extend(ack.sequences)
        for session, sequences in due.items():
            session.answer_delivers(sequences)


def _flat(acks: Sequence[object]) -> list[Ack]:
    """Return the acknowledgements in *acks*; those of a message in parts come as one tuple."""
    flat: list[Ack] = []
    for ack in acks:
        if isinstance(ack, Ack):
            flat.append(ack)
        elif isinstance(ack, tuple):
            flat.extend(each for each in ack if isinstance(each, Ack))
    return flat
