"""
A lane hands chunks over, one after the other; several lanes of a link share its window.

claim, hand over, settle: sending is never inside a transaction, and what is not settled when the process dies
is settled from the flight record by the next one.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import repeat

import structlog

from services.chassis.caller import Caller, Tree
from services.chassis.clock import HOME_ZONE, Clock
from services.chassis.db import UnitOfWork
from services.chassis.feed import cause_of
from services.chassis.vault import Vault
from services.messaging.delivery import rules
from services.messaging.delivery.actions import lease
from services.messaging.delivery.actions.flight import Flight, Key, Seat
from services.messaging.delivery.actions.lease import Claim
from services.messaging.delivery.actions.link import Link
from services.messaging.delivery.actions.news import News
from services.messaging.delivery.actions.run import NEVER, Run
from services.messaging.delivery.actions.settle import Settlement, settle
from services.messaging.delivery.rules import NOTHING_KNOWN, Tenure
from services.messaging.gateways import GatewayEnded, Outgoing
from services.messaging.gateways.encoding import count

log = structlog.get_logger()

OUTGOING = partial(tuple.__new__, Outgoing)
"""Makes a message of its fields in their order; Outgoing itself takes twice as long."""

BURST = 100
"""Most messages that are opened and written in one go, so that answers are read in between."""

LOOK_SECONDS = 1.0
"""How long it is relied on which branches have something to send; when none of them has, it is looked up at once."""

PAUSE = 0.2
HOLD = 0.02
"""Between two looks whether there is news to send by."""

GATHER_SECONDS = 0.001
"""
How long more answers are waited for where little of the window is free: a centre's answers come one by one, and to
write a message for each costs a fifth more. No longer: one that leaves Nagle's algorithm on holds the rest of its
answers back until ours are acknowledged, which happens with the next write.
"""

DRAIN_SECONDS = 3.0
"""How long a lane that is stopped waits for answers; what does not come is unknown."""


class Desk:
    """What lanes and the station share: the store, the vault, the time, this process's seat, and chunks in hand."""

    def __init__(
        self,
        *,
        uow: UnitOfWork,
        caller: Caller,
        vault: Vault,
        clock: Clock,
        news: News | None = None,
        zones: dict[int, str] | None = None,
        tenure: Tenure | None = None,
    ) -> None:
        """Work as *caller*, by *news* of refusals; *zones* are the branches' where they are not the home zone."""
        self.uow = uow
        self.caller = caller
        self.vault = vault
        self.clock = clock
        self.news = news or News()
        self.boot = ""
        self.seat: Seat | None = None
        self.tenure = tenure or Tenure()
        self.runs: set[Run] = set()
        self.keys: set[Key] = set()
        self._zones = zones or {}

    def learn_zones(self, tree: Tree) -> None:
        """Take up the time zones of branches."""
        self._zones = {one.branch_id: one.zone for one in tree.branches.values()}

    def zone(self, branch_id: int) -> str:
        """Return the time zone of a branch."""
        return self._zones.get(branch_id, HOME_ZONE)


class Lane:
    """Hands over one chunk at a time."""

    def __init__(self, desk: Desk, link: Link) -> None:
        """Work at *desk*, through *link*."""
        self._desk = desk
        self._link = link
        self._held: Claim | None = None
        self._held_at = 0.0
        self._sight = NEVER
        self._run: Run | None = None
        self._turn = 0
        self._idle = False
        self._branches: list[int] = []
        self._looked_at = 0.0

    async def step(self) -> int:
        """Hand over one chunk; return 0 when there was none."""
        await self._give_back()
        if not self._link.open or not await self._claim():
            self._idle = True
            return 0
        if self._idle:  # where one finds something after a rest, there may be more
            self._idle = False
            self._link.busy.set()
        try:
            await self._hand_over()
        finally:
            await self._give_back()
        return 1

    async def _claim(self) -> bool:
        """Take a chunk of the next branch that has one, each branch in turn."""
        desk, gateway = self._desk, self._link.name
        assert desk.seat is not None
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked_at >= LOOK_SECONDS or not self._branches:
            self._looked_at = loop.time()
            self._branches = await lease.branches(desk.uow, desk.caller, gateway)
        branches = self._branches
        start = self._turn % len(branches) if branches else 0
        self._turn += 1
        for branch_id in [*branches[start:], *branches[:start]]:
            self._held_at, self._sight = loop.time(), desk.news.sight()
            claimed = await lease.claim(
                desk.uow,
                desk.caller,
                desk.vault,
                branch_id=branch_id,
                gateway=gateway,
                seat=desk.seat,
                boot=desk.boot,
                zone=desk.zone(branch_id),
            )
            # one that comes again was given back by another lane whose commit was not confirmed: that one ends it
            if claimed and claimed.key not in desk.keys:
                self._held = claimed
                desk.keys.add(claimed.key)
                return True
        self._branches = []
        return False

    async def _hand_over(self) -> None:
        desk = self._desk
        assert self._held is not None
        assert desk.seat is not None
        claim = self._held
        flight = Flight(desk.seat.path(claim.key), claim.ready.ordinals)
        run = Run(claim, flight, self._held_at, self._sight)
        self._run = run
        desk.runs.add(run)
        run.leave_out(claim.reasons)
        # one lane writes at a time: two that wait for the same room wake each other in vain
        async with self._link.pen:
            await self._write_all(run)
        await self._answers(run, None)

    async def _write_all(self, run: Run) -> None:
        """Hand over everything of *run*, as window and pace allow."""
        letters = self._letters(run.claim)
        while run.left and not run.stopped:
            if self._link.crowded(run.open):
                await asyncio.sleep(GATHER_SECONDS)
            informed = await self._informed(run)
            # from here to the write nothing is waited for: what was found out meanwhile holds
            if run.stopped or not informed:
                continue
            if self._silent(run):
                await asyncio.sleep(PAUSE)
                continue
            granted = self._link.grant(min(BURST, run.open))
            if granted:
                places = run.take(granted)
                tokens = self._link.tokens(len(places))
                self._link.hand_over(run, places, letters(tokens, places))
                await asyncio.sleep(0)
            elif run.open:
                await self._wait(run)
            else:
                run.take(0)

    def _silent(self, run: Run) -> bool:
        """Say whether the lease was renewed too long ago to write anything: another may be about to take it over."""
        passed = asyncio.get_running_loop().time() - run.held_at
        return passed >= self._desk.tenure.silent

    async def _informed(self, run: Run) -> bool:
        """Say whether *run* may write by what it knows of refusals; read them anew when it is time to."""
        news = self._desk.news
        news.ask()
        if news.is_due(run.sight):
            await self._look(run)
        if news.is_fresh(run.sight):
            return True
        await asyncio.sleep(HOLD)
        return False

    async def _look(self, run: Run) -> None:
        """Leave out who refused since; a store that is away leaves what is known as it is."""
        desk, sight = self._desk, self._desk.news.sight()
        try:
            found = await lease.refusals(desk.uow, desk.caller, run.claim)
        except Exception as error:  # noqa: BLE001 - whatever keeps the store away, nothing is written until it is back
            log.warning("refusals.unread", cause=cause_of(error))
            await asyncio.sleep(PAUSE)
            return
        run.leave_out(found)
        run.sight = sight

    def _letters(
        self, claim: Claim
    ) -> Callable[[Sequence[int], Sequence[int]], list[Outgoing]]:
        """Return what makes messages of *claim* by token and place; what all have in common is worked out once."""
        ready, batch_id = claim.ready, claim.key.batch_id
        terms, clock = self._link.terms, self._desk.clock
        source = rules.source_of(terms.access, batch_id)
        dests = [rules.COUNTRY + mobile for mobile in ready.mobiles]
        references = list(map(rules.references(batch_id), ready.ordinals))
        validity = timedelta(seconds=terms.validity)
        abroad = terms.encoding == "auto"

        def letters(tokens: Sequence[int], places: Sequence[int]) -> list[Outgoing]:
            texts = [ready.texts[place] for place in places]
            counts = [count(text) for text in texts] if abroad else []
            columns = (
                tokens,
                [dests[place] for place in places],
                repeat(source),
                texts,
                [one.encoding for one in counts] if abroad else repeat("ucs2"),
                [references[place] for place in places],
                [one.segments for one in counts]
                if abroad
                else [ready.segments[place] for place in places],
                repeat(object=True),
                # seconds are as fine as the wire tells it, so that messages in a row have it in common
                repeat((clock() + validity).replace(microsecond=0)),
            )
            # not strict: what all have in common goes on for ever
            return list(map(OUTGOING, zip(*columns)))  # noqa: B905

        return letters

    async def _wait(self, run: Run) -> None:
        """Wait until more may be handed over; a link that is not open gives the chunk back."""
        if not self._link.open:
            run.stopped = True
        elif wait := self._link.wait():
            await asyncio.sleep(min(wait, PAUSE))
        else:
            try:
                async with asyncio.timeout(PAUSE):
                    await self._link.gateway.wait_room()
            except TimeoutError:
                return
            except GatewayEnded:
                run.stopped = True

    async def _answers(self, run: Run, seconds: float | None) -> None:
        """Wait for every answer; at most *seconds* where the process is about to end."""
        try:
            async with asyncio.timeout(seconds):
                while run.unanswered:
                    run.moved.clear()
                    await run.moved.wait()
        except TimeoutError:
            return

    async def _give_back(self) -> None:
        """Settle what is in hand and end its lease; what fails is tried again before anything else is taken."""
        if self._held is None:
            return
        desk, run = self._desk, self._run
        assert desk.seat is not None
        if run is not None:
            run.stopped = True
            await self._answers(run, DRAIN_SECONDS)
            self._link.forget(run)  # its record closes with what is known now
        terms = self._link.terms
        found = Settlement(
            key=self._held.key,
            known=run.flight.answers() if run else NOTHING_KNOWN,
            worker=desk.seat.worker,
            certain_after=timedelta(seconds=terms.validity + terms.certain_after),
            numbers=run.claim.ready.by_ordinal if run else {},
        )
        await settle(desk.uow, desk.caller, found)
        if run is not None:
            run.flight.drop()
            desk.runs.discard(run)
        desk.keys.discard(self._held.key)
        self._held = self._run = None
