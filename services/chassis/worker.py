"""
What a service does without being asked: follow feeds, deliver errands, run due work by the clock.

Any number of processes may work at once; every piece is claimed by a row, one branch at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import structlog

from services.chassis import errands, metrics
from services.chassis.caller import Caller, Tree
from services.chassis.client import Peers
from services.chassis.clock import Clock
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import info_of
from services.chassis.feed import Follower, cause_of
from services.chassis.traces import CLIENT, INTERNAL, within

log = structlog.get_logger()

POLL_SECONDS = 1.0
LEASE_SECONDS = 30
"""How long a claimed errand is left to whoever claimed it."""

SLOWEST_SECONDS = 300
"""The longest wait between two tries of an errand."""

ANSWERED_TRIES = 12
"""How often the receiver may answer that it does not know what an errand is about, before the errand is parked."""

UNKNOWN_RESOURCES = "UNKNOWN_RESOURCES"
"""The cause of an errand of which something is left because the receiver does not know it."""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a parked errand is due: whoever has mended the cause sets another time."""

BATCH = 20

BRANCHES = "SELECT DISTINCT branch_id FROM errands WHERE done_time IS NULL AND due_time <= $1 ORDER BY 1"
# Chosen once, apart: a subquery may be run again for every row, and would then find and lock others each time.
CLAIMED = """
    WITH chosen AS MATERIALIZED (
        SELECT errand_id FROM errands WHERE branch_id = $1 AND done_time IS NULL AND due_time <= $2
        ORDER BY errand_id LIMIT $4 FOR UPDATE SKIP LOCKED)
    UPDATE errands SET due_time = $3, tries = tries + 1
    FROM chosen WHERE errands.branch_id = $1 AND errands.errand_id = chosen.errand_id
    RETURNING branch_id, errands.errand_id, service, method, request, trace_id, tries, cause"""
DONE = "UPDATE errands SET done_time = $3, cause = '' WHERE branch_id = $1 AND errand_id = $2"
PUT_OFF = """
    UPDATE errands SET due_time = $3, cause = $4, tries = $5, request = $6 WHERE branch_id = $1 AND errand_id = $2"""
RUN = """
    INSERT INTO due_runs (branch_id, task, run_date, done_time) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1"""


@dataclass(frozen=True, slots=True)
class Due:
    """
    Work that falls due once a day in every branch, at a local time.

    ``act`` runs in the transaction that also records the run, so it happens once whichever process is alive.
    ``bulk`` runs it under the bulk role. ``makes_up`` runs yesterday's where it was missed, until today's is due: for a
    branch that opened since, or after all workers were away.
    """

    task: str
    at: time
    act: Callable[[Work, int, date], Awaitable[None]]
    bulk: bool = False
    makes_up: bool = False

    def day(self, local: datetime) -> date | None:
        """Return the day whose run is due at *local* time, None when none is."""
        if local.time() >= self.at:
            return local.date()
        return local.date() - timedelta(days=1) if self.makes_up else None


class ErrandRunner:
    """Delivers errands until they hold."""

    def __init__(
        self, *, uow: UnitOfWork, caller: Caller, peers: Peers, clock: Clock
    ) -> None:
        """Claim through *uow* as *caller* and call *peers*."""
        self._uow = uow
        self._caller = caller
        self._peers = peers
        self._clock = clock

    async def step(self) -> int:
        """Try what is due now, branch by branch; return how many errands held."""
        async with self._uow.read(self._caller) as work:
            branches = [
                row["branch_id"] for row in await work.run(BRANCHES, self._clock())
            ]
        held = 0
        for branch_id in branches:
            held += await self._branch(branch_id)
        return held

    async def _branch(self, branch_id: int) -> int:
        now = self._clock()
        async with self._uow(self._caller.in_branch(branch_id)) as work:
            claimed = await work.run(
                CLAIMED, branch_id, now, now + timedelta(seconds=LEASE_SECONDS), BATCH
            )
        held = 0
        for row in sorted(claimed, key=lambda one: one["errand_id"]):
            try:
                with within(row["trace_id"], row["method"], CLIENT):
                    answer = await self._peers.call(
                        row["service"], row["method"], row["request"]
                    )
            except grpc.RpcError as error:
                info = info_of(error)
                cause = info.reason if info else error.code().name
                await self._put_off(row, cause, row["request"])
                continue
            rest = errands.left_over(row["method"], row["request"], answer)
            if rest is not None:
                await self._put_off(row, UNKNOWN_RESOURCES, rest)
                continue
            async with self._uow(self._caller.in_branch(branch_id)) as work:
                await work.run(DONE, branch_id, row["errand_id"], self._clock())
            metrics.ERRANDS.labels(row["service"], "held").inc()
            held += 1
        return held

    async def _put_off(self, row: Any, cause: str, request: bytes) -> None:
        """
        Keep what is left of an errand as *request*, and try it again later, or park it when that has no end.

        What the receiver does not know may become known there; what has gone elsewhere for good never will.
        """
        unknown, tries = cause == UNKNOWN_RESOURCES, row["tries"]
        if unknown and row["cause"] != cause:
            tries = 1
        parked = unknown and tries >= ANSWERED_TRIES
        wait = timedelta(seconds=min(SLOWEST_SECONDS, 2 ** min(tries, 9) * 0.5))
        due_time = NEVER if parked else self._clock() + wait
        outcome, say = ("parked", log.error) if parked else ("put_off", log.warning)
        where = {"service": row["service"], "method": row["method"]}
        key = row["branch_id"], row["errand_id"]
        say(f"errand.{outcome}", **where, errand=str(key[1]), cause=cause, tries=tries)
        metrics.ERRANDS.labels(row["service"], outcome).inc()
        async with self._uow(self._caller.in_branch(key[0])) as work:
            await work.run(PUT_OFF, *key, due_time, cause, tries, request)


class DueRunner:
    """Runs due work when its time has come in a branch."""

    def __init__(
        self,
        *,
        uow: UnitOfWork,
        bulk: UnitOfWork,
        caller: Caller,
        tree: Callable[[], Tree],
        clock: Clock,
        due: Sequence[Due],
    ) -> None:
        """Run *due* in the branches of *tree*."""
        self._uows = {False: uow, True: bulk}
        self._caller = caller
        self._tree = tree
        self._clock = clock
        self._due = due
        self._known: set[tuple[str, int, date]] = set()

    async def step(self) -> int:
        """Run what has fallen due and has not been run; return how many runs there were."""
        now, ran = self._clock(), 0
        for branch in self._tree().branches.values():
            local = now.astimezone(ZoneInfo(branch.zone))
            for due in self._due:
                day = due.day(local)
                if day and (due.task, branch.branch_id, day) not in self._known:
                    ran += await self._run(due, branch.branch_id, day)
        return ran

    async def _run(self, due: Due, branch_id: int, day: date) -> int:
        try:
            async with self._uows[due.bulk](self._caller.in_branch(branch_id)) as work:
                fresh = await work.run(RUN, branch_id, due.task, day, work.now)
                if fresh:
                    with within("", due.task, INTERNAL):
                        await due.act(work, branch_id, day)
        except Exception as error:  # noqa: BLE001 - one branch's failure must not keep the others waiting
            log.error(
                "due.failed", task=due.task, branch=branch_id, cause=cause_of(error)
            )
            metrics.DUE.labels(due.task, "failed").inc()
            return 0
        self._known.add((due.task, branch_id, day))
        if fresh:
            log.info("due.run", task=due.task, branch=branch_id, day=day.isoformat())
            metrics.DUE.labels(due.task, "run").inc()
        return len(fresh)


async def repeat(
    name: str,
    step: Callable[[], Awaitable[int]],
    woken: asyncio.Event | None = None,
    pause: float = POLL_SECONDS,
) -> None:
    """Call *step* for ever: again at once while it finds work, else after a *pause* or when *woken* since it began."""
    failing = False
    while True:
        found = 0
        if woken is not None:
            woken.clear()
        try:
            found = await step()
            failing = False
        except Exception as error:  # noqa: BLE001 - a worker outlives whatever a round meets
            if not failing:
                log.warning("worker.failing", loop=name, cause=cause_of(error))
            failing = True
        if found:
            continue
        if woken is None:
            await asyncio.sleep(pause)
            continue
        try:
            # wait_for of Python 3.11 loses a cancellation that comes together with what it waits for
            async with asyncio.timeout(pause):
                await woken.wait()
        except TimeoutError:
            continue


def loops_of(
    followers: Sequence[Follower], errands: ErrandRunner, due: DueRunner
) -> list[Awaitable[None]]:
    """Return the endless loops of a worker, to be run side by side."""
    loops: list[Awaitable[None]] = [
        repeat("errands", errands.step),
        repeat("due", due.step),
    ]
    for follower in followers:
        loops += [
            repeat(f"feed.{follower.source}", follower.step, follower.woken),
            follower.wake(),
        ]
    return loops
