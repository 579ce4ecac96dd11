"""
The file driver: hands messages over to another sender as lines of files, and hears its answers from files beside them.

A message is accepted once its line is durable. What a process that died, or a disk that failed, left unfinished is
finished by the next look, after the core has been told which messages are in it: the file is the proof.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog

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
    SubmitResult,
    Verdict,
)
from services.messaging.gateways.file_answers import (
    LineAck,
    ReceiptLine,
    ReplyLine,
    Tail,
)
from services.messaging.gateways.file_lines import (
    REF_SIZE,
    FileSettings,
    KeptLine,
    Leftover,
    Written,
    fields_of,
    finish,
    leftovers,
    open_to_others,
)

log = structlog.get_logger()

Heard = TypeVar("Heard", Receipt, Inbound)
Waiting = tuple[Outgoing, Mapping[str, Any]]


class Adopted(NamedTuple):
    """What acknowledges one message of a file that was left behind."""

    path: Path
    number: int


class FileGateway:
    """One folder that another sender takes messages from; implements SmsGateway."""

    def __init__(self, settings: FileSettings, *, clock: Clock = system_clock) -> None:
        """Write into the folder of *settings*."""
        self.caps = Capabilities(
            window=settings.window,
            sends=True,
            receipts=settings.receipts,
            inbound=True,
            ref_size=REF_SIZE,
            final_receipt_after=settings.final_receipt_after,
        )
        self._settings = settings
        self._clock = clock
        folder = settings.folder
        self._receipts = Tail(folder / "receipts.jsonl", ReceiptLine)
        self._replies = Tail(folder / "replies.jsonl", ReplyLine)
        self._queue: deque[Waiting] = deque()
        self._unanswered: set[int] = set()
        self._adopted: dict[Path, tuple[Leftover, set[int]]] = {}
        self._state: LinkState = "connecting"
        self._why = ""
        self._counts: Counter[str] = Counter()
        self._moved = asyncio.Event()
        self._queued = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # the link

    async def start(self, events: GatewayEvents) -> None:
        """Begin to look after the folder; it is kept until it is refused or stopped."""
        self._events = events
        self._keeper = asyncio.create_task(self._keep())
        self._keeper.add_done_callback(self._keeper_done)

    async def _keep(self) -> None:
        """Write what comes; a folder or disk that is away is looked for again."""
        while not self._ended:
            try:
                if open_to_others(self._settings.folder):
                    self._change("refused", "the folder is open to others")
                    return
                await self._look()
                file = await asyncio.to_thread(Written, self._settings)
            except OSError as fault:
                self._away(type(fault).__name__)
            else:
                await self._write(file)
            if not self._ended:
                await self._wait(self._settings.look_seconds)

    @property
    def _ended(self) -> bool:
        """Say whether no more messages are taken."""
        return self._state in ("refused", "stopping", "stopped")

    def _away(self, why: str) -> None:
        """Take nothing until the folder is good again; what waits to be written has not been."""
        self._become("connecting", why)
        waiting = [message for message, _ in self._queue]
        self._queue.clear()
        self._tell_results(
            [SubmitResult(one.token, "temporary", None, 0, why) for one in waiting]
        )

    def _keeper_done(self, keeper: asyncio.Task[None]) -> None:
        """Raise the alarm when the keeper fell over something nobody foresaw."""
        if not keeper.cancelled() and (fault := keeper.exception()):
            log.error("gateway.fault", fault=type(fault).__name__)
            why = f"fault of the driver: {type(fault).__name__}"
            self._lose(why)
            self._change("refused", why)

    def _lose(self, why: str) -> None:
        """Report what is not durable as lost; whether it is written, the file tells later."""
        lost = sorted(self._unanswered)
        self._unanswered.clear()
        self._queue.clear()
        if lost:
            self._events.link_lost(lost, why)

    def _change(self, state: LinkState, why: str) -> None:
        before, self._state, self._why = (self._state, self._why), state, why
        self._moved.set()
        if before != (state, why):
            self._events.link_changed(state, why)

    def _become(self, state: LinkState, why: str) -> None:
        """Take up a state; what was refused or is being stopped stays so."""
        if not self._ended:
            self._change(state, why)

    async def stop(self, drain_seconds: float) -> None:
        """Write what waits and finish the file; what is not durable by then is reported as lost."""
        if self._keeper is None:
            return
        self._change("stopping", "")
        self._queued.set()
        await asyncio.wait([self._keeper], timeout=drain_seconds)
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        self._keeper = None
        for left, _ in self._adopted.values():
            left.release()
        self._adopted.clear()
        for tail in (self._receipts, self._replies):
            tail.close()
        self._lose("stopped")
        self._change("stopped", "")

    async def query(self, _question: Question) -> Finding:
        """Say nothing: the other sender reports by itself."""
        return None

    async def health(self) -> Health:
        """Return state and counts."""
        unreadable = self._receipts.unreadable + self._replies.unreadable
        counts = {**self._counts, "unreadable": unreadable}
        return Health(self._state, self._why, len(self._unanswered), counts)

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
        """Let *batch* be written; all that waits is written and made durable together."""
        if len(batch) > self.room():
            raise NoRoom(f"{len(batch)} messages for a room of {self.room()}")
        for message in batch:
            self._unanswered.add(message.token)
            try:
                self._queue.append((message, fields_of(message)))
            except ValueError as fault:
                reason = f"cannot be encoded: {type(fault).__name__}"
                result = SubmitResult(message.token, "rejected", None, 0, reason)
                asyncio.get_running_loop().call_soon(self._tell_results, [result])
        self._counts["submitted"] += len(batch)
        self._queued.set()

    async def _write(self, file: Written) -> None:
        """Write until the disk fails or the end has come; rotate by size and by age."""
        self._become("bound", "")
        try:
            while True:
                await self._wait(min(self._settings.look_seconds, file.due_in()))
                if not await self._write_queued(file):
                    return
                if self._ended or file.full():
                    await asyncio.to_thread(file.finish)
                    if self._ended:
                        return
                    file = await asyncio.to_thread(Written, self._settings)
                await self._look()
        except OSError as fault:
            self._away(type(fault).__name__)
        finally:
            file.abandon()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._queued.wait()
        except TimeoutError:
            return
        self._queued.clear()

    async def _write_queued(self, file: Written) -> bool:
        """Write what waits and tell what became of it; say whether the file can be relied on."""
        batch = [*self._queue]
        self._queue.clear()
        if not batch:
            return True
        first = file.lines + 1
        verdict: Verdict = "accepted"
        why = ""
        try:
            if not await asyncio.to_thread(file.append, [line for _, line in batch]):
                verdict, why = "temporary", "the disk took nothing"
        except OSError as fault:
            verdict, why = "ambiguous", type(fault).__name__
        results = []
        for number, (message, _) in enumerate(batch, first):
            place = f"{file.name}:{number}" if verdict == "accepted" else None
            results.append(SubmitResult(message.token, verdict, place, 0, why))
        self._tell_results(results)
        if why:
            self._away(why)
        return not why

    def _tell_results(self, results: Sequence[SubmitResult]) -> None:
        # others were lost in between with everything else
        known = [one for one in results if one.token in self._unanswered]
        self._unanswered.difference_update(one.token for one in known)
        self._counts.update(one.verdict for one in known)
        self._moved.set()
        if known:
            self._events.submitted(known)

    # hearing

    async def _look(self) -> None:
        """Look for files that were left behind, and for answers; raises OSError."""
        for left in await asyncio.to_thread(
            lambda: [*leftovers(self._settings.folder)]
        ):
            self._adopt(left, await asyncio.to_thread(left.lines))
        for tail in (self._receipts, self._replies):
            taken = [self._hear(line, ack) for line, ack in tail.read()]
            if not all(taken):
                tail.again()

    def _adopt(self, left: Leftover, lines: Sequence[KeptLine]) -> None:
        """Tell the core what stands in a file that nobody writes any more; it is finished once that is durable."""
        self._counts["adopted"] += 1
        receipts = [
            Receipt(
                gateway_id=line.id,
                dest=line.to,
                source=line.sender,
                client_ref=bytes.fromhex(line.reference),
                state="unknown",
                code="",
                heard_at=self._clock(),
                ack=Adopted(left.path, number),
            )
            for number, line in enumerate(lines)
        ]
        self._adopted[left.path] = left, set(range(len(receipts)))
        taken = [self._tell(self._events.receipt, one) for one in receipts]
        if not receipts:
            self._finish(left, empty=True)
        elif not all(taken) and left.path in self._adopted:
            del self._adopted[left.path]
            left.release()

    def _finish(self, left: Leftover, *, empty: bool) -> None:
        del self._adopted[left.path]
        try:
            finish(left.path, empty=empty)
        except OSError as fault:
            log.error("gateway.not_finished", fault=type(fault).__name__)
        left.release()

    def _hear(self, line: ReceiptLine | ReplyLine, ack: LineAck) -> bool:
        if isinstance(line, ReplyLine):
            self._counts["inbound"] += 1
            message = Inbound(line.sender, line.to, line.text, self._clock(), ack)
            return self._tell(self._events.inbound, message)
        self._counts["receipts"] += 1
        receipt = Receipt(
            gateway_id=line.id,
            dest=line.to,
            source=line.sender,
            client_ref=bytes.fromhex(line.reference) or None,
            state=line.state,
            code=line.code,
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

    def ack(self, acks: Sequence[object]) -> None:
        """Keep how far answers are durable, and finish files that were left behind."""
        for ack in acks:
            if isinstance(ack, LineAck):
                ack.tail.ack(ack)
            elif isinstance(ack, Adopted) and ack.path in self._adopted:
                left, open_ = self._adopted[ack.path]
                open_.discard(ack.number)
                if not open_:
                    self._finish(left, empty=False)
