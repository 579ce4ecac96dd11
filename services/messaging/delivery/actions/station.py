"""
The sender of one process: its seat, its links, its lanes, and the rounds that keep them true.

Any number of stations may work at once. At its start a station settles what the last one in its seat, and any that
died beside it, left behind.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from services.chassis.caller import Tree
from services.chassis.feed import cause_of
from services.chassis.worker import POLL_SECONDS, repeat
from services.messaging.delivery import queries
from services.messaging.delivery.actions import flight, inquire, lease, receipts
from services.messaging.delivery.actions.flight import Key, Seat
from services.messaging.delivery.actions.lane import Desk, Lane
from services.messaging.delivery.actions.link import Link
from services.messaging.delivery.actions.presence import (
    LOCKS,
    Presence,
    Vigil,
    is_lost,
    lock_of,
)
from services.messaging.delivery.actions.run import NEVER, Run
from services.messaging.delivery.actions.settle import Settlement, settle
from services.messaging.delivery.rules import Answers, DoubtCause, certain, nobody_knows
from services.messaging.gateway import actions as gateways
from services.messaging.gateway.rules import State
from services.messaging.template.rules import Purpose

log = structlog.get_logger()

LANES = 4
"""Chunks of one link in hand at a time: while some are claimed or settled, another fills the window."""

NOTICE_SECONDS = 0.2
"""How often one lane of an idle link looks whether a batch has begun; it calls the others when it finds one."""

BEAT_SECONDS = 0.5
GATHER_SECONDS = 0.05
"""How long receipts are gathered before they are stored together."""

ADOPT_EVERY = 4
"""Beats between two looks for seats that nobody holds any more."""

WATCH_EVERY = 2
"""Beats between two looks at the leases of other workers."""

UNSURE = timedelta(hours=3)
"""How long a receipt of a gateway that is no longer configured may still come."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receipt is kept before it may belong to an unknown message; and the link must hold before a fence."""

    grace: timedelta = timedelta(seconds=30)
    steady: float = 60.0


class Station:
    """Sends, listens, and keeps both true to the store."""

    def __init__(
        self,
        desk: Desk,
        links: Mapping[str, Link],
        folder: Path,
        *,
        tree: Callable[[], Tree] = Tree,
        patience: Patience | None = None,
        presence: Presence | None = None,
    ) -> None:
        """Work at *desk* through *links*, with flight records below *folder*; others see *presence* while it lives."""
        self.desk = desk
        self.links = links
        self._folder = folder
        self._tree = tree
        self._patience = patience or Patience()
        self._presence = presence
        self._vigil = Vigil()
        self._beats = 0

    async def open(self) -> None:
        """Take a seat, and settle what was left in it and in those of processes that died."""
        desk = self.desk
        desk.boot = flight.boot()
        desk.seat = await asyncio.to_thread(flight.first_seat, self._folder)
        await self.recover(desk.seat)
        await self.adopt()

    async def adopt(self) -> None:
        """Settle what processes of this machine that died left in their seats, by their flight records."""
        for seat in flight.free_seats(self._folder):
            try:
                await self.recover(seat)
            finally:
                seat.release()

    async def watch(self) -> None:
        """
        Share the rate with the workers that live, and take over the leases of those that do not.

        Their flight records are away, with their machine: all that is open of such a chunk counts as unknown. It may
        have been handed over, and nobody guesses.
        """
        desk = self.desk
        assert desk.seat is not None
        async with desk.uow.read(desk.caller) as work:
            rows = await work.run(queries.OTHERS, desk.seat.worker)
            living = [row.lock for row in await work.run(queries.LIVING, LOCKS)]
        for link in self.links.values():
            link.share(len(living))
        leases: dict[Hashable, Any] = {
            (_key(row), row.worker): row.lease_time for row in rows
        }
        stood = self._vigil.look(leases, asyncio.get_running_loop().time())
        for row in rows:
            seconds = stood[_key(row), row.worker]
            if is_lost(desk.tenure, seconds, lives=lock_of(row.worker) in living):
                log.warning("lease.lost", branch=row.branch_id, chunk=row.chunk)
                known = await self._everything(row)
                cause = DoubtCause.RECORD_LOST
                await self._settle(_key(row), known, row.worker, row.gateway, cause)

    async def recover(self, seat: Seat) -> None:
        """
        Settle the chunks that *seat* left behind.

        Answered messages get their outcomes, those handed over without an answer are unknown, the others wait again.
        Where the machine itself was started anew, the record cannot be relied on, and all count as unknown.
        """
        async with self.desk.uow.read(self.desk.caller) as work:
            rows = await work.run(queries.HELD, seat.worker)
        for row in rows:
            path = seat.path(_key(row))
            relied = row.boot == self.desk.boot
            known = flight.read(path) if relied else await self._everything(row)
            cause = DoubtCause.NO_ANSWER if relied else DoubtCause.RECORD_LOST
            await self._settle(_key(row), known, seat.worker, row.gateway, cause)
            flight.forget(path)
        for path in flight.records(seat):
            await self._stray(path)

    async def _stray(self, path: Path) -> None:
        """Settle the certain part of a record whose lease has ended; it was settled before, or somebody took over."""
        branch, rest = path.stem.split("-", 1)
        batch, chunk = rest.rsplit("-", 1)
        key = Key(int(branch), UUID(batch), int(chunk))
        known = certain(flight.read(path))
        if known.ordinals:
            await self._settle(key, known, "", "")
        flight.forget(path)

    async def _everything(self, row: Any) -> Answers:
        """Return every open message of a chunk as one of which nobody knows."""
        caller = self.desk.caller.in_branch(row.branch_id)
        async with self.desk.uow.read(caller) as work:
            ordinals = await lease.waiting(work, _key(row), row.low, row.high)
        return nobody_knows(ordinals)

    async def _settle(
        self,
        key: Key,
        known: Answers,
        worker: str,
        gateway: str,
        cause: DoubtCause = DoubtCause.NO_ANSWER,
    ) -> None:
        link = self.links.get(gateway)
        terms = link.terms if link else None
        after = (
            timedelta(seconds=terms.validity + terms.certain_after) if terms else UNSURE
        )
        found = Settlement(key, known, worker, after, cause)
        await settle(self.desk.uow, self.desk.caller, found)

    # rounds

    async def beat(self) -> int:
        """Show that we live, renew leases, stop what must stop, have refusals read anew, report about links."""
        if self._presence and self.desk.seat:
            await self._presence.hold(self.desk.seat.worker)
        self.desk.learn_zones(self._tree())
        assert self.desk.seat is not None
        for link in self.links.values():
            state = await gateways.report(
                self.desk.uow,
                self.desk.caller,
                gateway=link.name,
                bound=link.state == "bound",
                told=link.report(self.desk.seat.worker),
            )
            link.paused = state is not State.RUNNING
        by_branch: dict[int, list[Run]] = defaultdict(list)
        for run in self.desk.runs:
            by_branch[run.claim.key.branch_id].append(run)
        for branch_id, runs in sorted(by_branch.items()):
            await self._beat(branch_id, runs)
        self._beats += 1
        if self._beats % ADOPT_EVERY == 0:
            await self.adopt()
        if self._beats % WATCH_EVERY == 0:
            await self.watch()
        return 0

    async def _beat(self, branch_id: int, runs: list[Run]) -> None:
        desk = self.desk
        assert desk.seat is not None
        asked = asyncio.get_running_loop().time()
        news = await lease.beat(
            desk.uow,
            desk.caller,
            branch_id=branch_id,
            worker=desk.seat.worker,
            zone=desk.zone(branch_id),
            batches=list({run.claim.key.batch_id for run in runs}),
        )
        for run in runs:
            key, night = run.claim.key, not news.day_time
            run.sight = NEVER
            if (
                key.batch_id not in news.sending
                or (key.batch_id, key.chunk) not in news.held
                or (night and run.claim.purpose != Purpose.SERVICE)
            ):
                run.stopped = True
            else:
                run.held_at = asked

    async def take_receipts(self, link: Link) -> int:
        """Store what was heard, then acknowledge it; a store that is away leaves it with the centre."""
        if not link.heard:
            try:
                async with asyncio.timeout(1):
                    await link.arrived.wait()
            except TimeoutError:
                return 0
            await asyncio.sleep(GATHER_SECONDS)
        link.arrived.clear()
        found = link.heard[: receipts.PAGE]
        desk = self.desk
        await receipts.store(
            desk.uow, desk.caller, desk.vault, gateway=link.name, receipts=found
        )
        del link.heard[: len(found)]
        link.gateway.ack([one.ack for one in found])
        return len(found)

    async def sort_receipts(self, link: Link) -> int:
        """Give a page of receipts to their messages; at the end hand over again what cannot have been accepted."""
        desk, now = self.desk, self.desk.clock()
        page = await receipts.sort(
            desk.uow,
            desk.caller,
            gateway=link.name,
            access=link.terms.access,
            now=now,
            grace=self._patience.grace,
            after=link.sorted_to,
        )
        link.sorted_to = page.after
        if page.after is None and self._is_steady(link):
            await receipts.fence(
                desk.uow,
                desk.caller,
                gateway=link.name,
                caps=link.gateway.caps,
                now=now,
            )
        return page.done or int(page.after is not None)

    def _is_steady(self, link: Link) -> bool:
        """Say whether a link has held so long that what it had to bring has come, and is stored."""
        return link.bound_for() >= self._patience.steady and not link.heard

    async def ask(self, link: Link) -> int:
        """Ask a centre about unknown messages whose receipts must have come; return how many were asked about."""
        if not (link.gateway.caps.can_query and self._is_steady(link)):
            return 0
        return await inquire.inquire(self.desk, link)

    async def keep(self, link: Link) -> None:
        """Keep a gateway connected until the process ends."""
        await link.gateway.start(link)
        try:
            await asyncio.Event().wait()
        finally:
            await link.gateway.stop(2)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.open()
                break
            except Exception as error:  # noqa: BLE001 - whatever keeps the store away, it is tried again
                log.warning("sender.waiting", cause=cause_of(error))
                if self.desk.seat is not None:
                    self.desk.seat.release()
                await asyncio.sleep(1)
        loops: list[Awaitable[None]] = [self._beating()]
        for link in self.links.values():
            loops.append(self.keep(link))
            loops += [
                repeat(
                    f"lane.{link.name}",
                    Lane(self.desk, link).step,
                    link.busy,
                    POLL_SECONDS if number else NOTICE_SECONDS,
                )
                for number in range(LANES)
            ]
            loops += [
                repeat(f"receipts.{link.name}", partial(self.take_receipts, link)),
                repeat(f"sort.{link.name}", partial(self.sort_receipts, link)),
            ]
            if link.gateway.caps.can_query:
                loops.append(repeat(f"ask.{link.name}", partial(self.ask, link)))
        await asyncio.gather(*loops)

    async def _beating(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception as error:  # noqa: BLE001 - a sender outlives whatever a round meets
                log.warning("sender.failing", cause=cause_of(error))
                self._vigil.forget()
            await asyncio.sleep(BEAT_SECONDS)


def _key(row: Any) -> Key:
    return Key(row.branch_id, row.batch_id, row.chunk)
