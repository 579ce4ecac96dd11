"""
A batch of 100,000 from lease to outcome, everything durable, against the least that could be done with the same centre.

Durable: the service's own worker, the SMPP driver with a window of 100, PostgreSQL with fsync, until every outcome is
committed. The floor: PDUs made beforehand, a blocking socket, the same window, no store. The peers: Celery on Redis,
a task for each message, and tasks of 100 messages that use the whole window inside. All in turns, medians of five.
"""

import asyncio
import logging
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import structlog

from tests.bench import celery_sms
from tests.bench.floors import ROUNDS, a_bank, interleaved, median, say
from tests.bench.raw_sms import blast, bound, submit
from tests.messages import stop
from tests.sms import Centre, Worker, a_town, environment, large_batch

PEOPLE = int(os.environ.get("GUANHU_BENCH_PEOPLE", "100000"))
EACH_PEOPLE = 3000
"""Messages of the slowest peer in one round: its rate does not depend on how many there are."""

CHUNK_PEOPLE = 20_000
WINDOW = 100
BOUND = '"state": "bound"'
RESTING_SECONDS = 0.15
"""Processor time in a second that a worker with nothing to send may use."""

LEFT = """
    SELECT count(*) AS n FROM chunks WHERE branch_id = 101 AND batch_id = $1 AND state < 2"""
SENT = "SELECT sum(sent_count) AS n FROM chunks WHERE branch_id = 101 AND batch_id = $1"


def floor(port):
    """Return how many messages a second the bare socket gets through."""
    pdus = [submit(n + 2, f"86138{n:08}") for n in range(PEOPLE)]
    line = bound(port)
    began = time.perf_counter()
    blast(line, pdus, WINDOW)
    seconds = time.perf_counter() - began
    line.close()
    return PEOPLE / seconds


class Bench:
    """A bank and a centre, with a worker that is started for each round."""

    def __init__(self, bank, town, centre, folder, loop):
        self.bank, self.town, self.messaging = bank, town, town.messaging
        self.centre, self.loop = centre, loop
        self.folder = folder
        self.cpu = []

    def durable(self):
        """Return how many messages a second come from their lease to their outcome."""
        return self.loop.run_until_complete(self._durable())

    async def _durable(self):
        batch = await large_batch(self.town, PEOPLE)
        key = batch.name.partition("/")[2]
        # one connection for all looks, as with the peers: making one costs as much as a hundred messages
        store = await asyncpg.connect(self.bank.postgres.dsn(self.messaging.database))
        try:
            return await self._sent(store, key)
        finally:
            await store.close()

    async def _sent(self, store, key):
        await store.execute("UPDATE batches SET state = 5 WHERE batch_id = $1", key)
        await store.execute("VACUUM ANALYZE")
        await store.execute("CHECKPOINT")
        told = environment(
            self.town, self.centre.port, self.folder, gateway={"window": WINDOW}
        )
        worker = Worker(told, self.folder / "worker.log")
        try:
            await self._warm(worker)
            before = worker.cpu_seconds()
            began = time.perf_counter()
            await store.execute("UPDATE batches SET state = 4 WHERE batch_id = $1", key)
            while await store.fetchval(LEFT, key):
                await asyncio.sleep(0.02)
            seconds = time.perf_counter() - began
            self.cpu.append((worker.cpu_seconds() - before) / PEOPLE * 1e6)
            sent = await store.fetchval(SENT, key)
        finally:
            worker.stop()
        if sent != PEOPLE:
            raise RuntimeError(f"{sent} of {PEOPLE} were sent")
        return PEOPLE / seconds

    async def _warm(self, worker):
        """Wait until the worker is bound to the centre, and has rested for a second since."""
        ends, log = time.monotonic() + 120, self.folder / "worker.log"
        while time.monotonic() < ends:
            used = worker.cpu_seconds()
            await asyncio.sleep(1)
            bound = log.read_text().count(BOUND) == len(self.cpu) + 1
            if bound and worker.cpu_seconds() - used < RESTING_SECONDS:
                return
        raise RuntimeError("the worker never came to rest")


@contextmanager
def peers(bank, messaging, bench):
    """The runs against Celery, where there is a Redis."""
    if not celery_sms.is_here():
        yield {}
        return
    store, port = bank.postgres.dsn(messaging.database), bench.centre.port
    log = bench.folder / "celery.log"
    with celery_sms.broker() as url, celery_sms.workers(url, store, port, log):

        def run(people, size):
            return celery_sms.rate(bench.loop, url, store, people=people, size=size)

        run(200, celery_sms.CHUNK)
        yield {
            "celery_chunk": lambda: run(CHUNK_PEOPLE, celery_sms.CHUNK),
            "celery_each": lambda: run(EACH_PEOPLE, 1),
        }


def measured(bank, folder, loop):
    """Return the rates of all runs in turns, the processor time of the sender, and whose centre it was."""
    centre = Centre(folder, receipts=None, record=False).start()
    town = loop.run_until_complete(a_town(bank))
    bench = Bench(bank, town, centre, folder, loop)
    try:
        with peers(bank, town.messaging, bench) as others:
            runs = {"durable": bench.durable, "floor": lambda: floor(centre.port)}
            rates = interleaved(ROUNDS, **runs, **others)
        return rates, median(bench.cpu), centre.name
    finally:
        centre.end()
        loop.run_until_complete(stop(town))


def main():
    """Run them in turns and print the figures."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    loop = asyncio.new_event_loop()
    with a_bank() as bank, tempfile.TemporaryDirectory(prefix="guanhu-sms-") as name:
        rates, cpu, centre = measured(bank, Path(name), loop)
    ratios = {
        f"ratio_to_{name}": round(
            median([a / b for a, b in zip(rates["durable"], found, strict=True)]), 3
        )
        for name, found in rates.items()
        if name != "durable"
    }
    say(
        bench="sms",
        recipients_per_s=round(median(rates["durable"])),
        **ratios,
        cpu_us_per_recipient=round(cpu, 1),
        floor_per_s=round(median(rates["floor"])),
        centre=centre,
    )


if __name__ == "__main__":
    main()
