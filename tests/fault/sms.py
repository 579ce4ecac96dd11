"""
Kills the sender of a batch, its store and the SMS centre at random moments, and counts who got how many messages.

What counts is the record of a centre that is not ours. Before each kill of the sender the centre leaves half of the
submissions unanswered, half of which it has taken all the same. After the last kill the sender works on in peace;
then nobody may have got two messages or none, and nobody's fate may be unknown.
"""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import structlog
from guanhu.messaging.v1 import batch_pb2

from tests.bench.floors import a_bank, say
from tests.messages import contacts, counts, get, stop
from tests.sms import (
    Centre,
    Worker,
    a_town,
    environment,
    large_batch,
    mobiles,
    until,
)

PEOPLE = int(os.environ.get("GUANHU_FAULT_PEOPLE", "100000"))
KILLS = {"sender": 20, "store": 3, "centre": 2}
WINDOW = 100
SWALLOWING_SECONDS = 0.25
"""How long the centre swallows answers before a kill: long enough to fill the window with what nobody knows."""

DOWN_SECONDS = 0.5
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 600
FINISHED = batch_pb2.BATCH_STATE_FINISHED
ZERO = (
    *("duplicates", "lost", "strangers", "unknown"),
    *("undelivered", "contacts_wrong"),
)
UNKNOWN = "SELECT sent_time FROM unknowns ORDER BY sent_time"


@dataclass
class Report:
    """What was seen while things died."""

    kills: Counter = field(default_factory=Counter)
    moments: list = field(default_factory=list)
    sums: set = field(default_factory=set)
    snapshots: int = 0
    last: object = None


class Scene:
    """A sender, its store and a centre, each of which can be killed and started again."""

    def __init__(self, bank, town, centre, folder, *, window=WINDOW):
        self.bank, self.messaging, self.centre = bank, town.messaging, centre
        gateway = {"window": window, "validity_seconds": 2, "final_receipt_after": 6}
        self.told = environment(town, centre.port, folder / "state", gateway=gateway)
        self.log = folder / "sender.log"
        self.report = Report()
        self.worker = None

    def work(self):
        """Start the sender."""
        self.worker = Worker(self.told, self.log)

    async def watch(self, batch):
        """Note what the counts of every snapshot come to, until it ended and all are reported."""
        ended = False
        while not ended:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await get(self, batch)
            except grpc.RpcError:  # the store is away
                continue
            self.report.last = found
            self.report.sums.add(sum(counts(found)))
            self.report.snapshots += 1
            reported = found.delivered_count == len(self.centre.accepted())
            ended = reported and found.state == FINISHED

    async def kill(self, victim):
        """Kill *victim* at this very moment, and start it again."""
        if victim == "sender":
            self.centre.tell("swallow 0.5")
            await asyncio.sleep(SWALLOWING_SECONDS)
        self.report.kills[victim] += 1
        self.report.moments.append(datetime.now(UTC))
        if victim == "sender":
            self.worker.kill()
            self.centre.tell("swallow 0")
            self.work()
        elif victim == "store":
            postmaster = self.bank.postgres._process
            postmaster.kill()
            postmaster.wait()
            await asyncio.sleep(DOWN_SECONDS)
            self.bank.postgres.start()  # here: the child of a thread may fall over dropping root
        else:
            self.centre.end()
            await asyncio.sleep(DOWN_SECONDS)
            self.centre.start()


async def under_fire(scene, batch, people, victims, dice):
    """Send *batch* while *victims* die, one after the other, at random moments; then let it end in peace."""
    scene.work()
    watching = asyncio.create_task(scene.watch(batch))
    for number, victim in enumerate(victims):
        before = scene.centre.accepted().total()
        left = (people - before) // (len(victims) - number + 1)
        goal = before + dice.randint(left // 4, left)
        await until(
            lambda goal=goal: scene.centre.accepted().total() >= goal, 120, 0.003
        )
        await scene.kill(victim)
        told = f"kill {number + 1}/{len(victims)}: {victim} at {goal}"
        print(told, file=sys.stderr, flush=True)
    await asyncio.wait([watching], timeout=PATIENCE_SECONDS)
    watching.cancel()
    scene.worker.stop()


async def judged(scene, people):
    """Return the figures: what the centre's record says, and what was unknown after each kill."""
    found = scene.report.last
    arrived = scene.centre.accepted()
    wanted = set(mobiles(people))
    rows = await scene.messaging.sql(UNKNOWN)
    after = Counter(
        sum(moment <= row["sent_time"] for moment in scene.report.moments)
        for row in rows
    )
    return {
        "recipients": people,
        "kills": scene.report.kills.total(),
        "kills_by_victim": dict(scene.report.kills),
        "duplicates": sum(count - 1 for count in arrived.values()),
        "lost": len(wanted - arrived.keys()),
        "strangers": len(arrived.keys() - wanted),
        "unknown": found.unknown_count,
        "undelivered": people - found.delivered_count,
        "ambiguous": sum(after.values()),
        "max_ambiguous_per_kill": max(after.values(), default=0),
        "contacts_wrong": people - list((await contacts(scene)).values()).count(1),
        "snapshots": scene.report.snapshots,
        "sums": sorted(scene.report.sums),
        "centre": scene.centre.name,
    }


def is_well(figures):
    """Say whether nobody was lost, doubled or left unknown, and every snapshot came to the total."""
    right = figures["sums"] == [figures["recipients"]]
    return right and not any(figures[name] for name in ZERO)


async def fault(bank, folder, people, kills, dice, *, policy=1, **centre):
    """Send to *people* while what *kills* counts dies; return the figures."""
    victims = [victim for victim, times in kills.items() for _ in range(times)]
    dice.shuffle(victims)
    town = await a_town(bank)
    place = Centre(folder, **centre).start()
    scene = Scene(bank, town, place, folder)
    batch = await large_batch(town, people, policy=policy)
    try:
        await under_fire(scene, batch, people, victims, dice)
        return await judged(scene, people)
    finally:
        if scene.worker.process.poll() is None:
            scene.worker.kill()
        place.end()
        await stop(town)


def main():
    """Run the long form, and judge."""
    seed = int(os.environ.get("GUANHU_FAULT_SEED", str(random.randrange(1 << 32))))
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    print(f"seed {seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with a_bank() as bank, tempfile.TemporaryDirectory(prefix="guanhu-sms-") as folder:
        figures = asyncio.run(
            fault(bank, Path(folder), PEOPLE, KILLS, random.Random(seed))
        )
    seconds = round(time.monotonic() - began, 1)
    say(fault="sms", **figures, seed=seed, seconds=seconds)
    raise SystemExit(0 if is_well(figures) else 1)


if __name__ == "__main__":
    main()
