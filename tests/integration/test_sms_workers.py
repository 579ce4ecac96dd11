"""Several senders at once, each with flight records of its own, as on machines of their own: who dies is replaced."""

import asyncio
import signal
from contextlib import suppress

import grpc
import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb

from tests.messages import counts, get, stop
from tests.sms import (
    Centre,
    Worker,
    a_town,
    environment,
    large_batch,
    mobiles,
    until,
)

PEOPLE = 8000
RATE = 1000
WINDOW = 20
LEASE_SECONDS = 3
LEASED = "SELECT DISTINCT worker FROM chunks WHERE state = 1"
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = 'guanhu_messaging'"""


class Machines:
    """Two senders that share a store and a centre, and nothing else."""

    def __init__(self, town, folder):
        self.town, self.messaging, self.folder = town, town.messaging, folder
        self.centre = Centre(folder, node=False).start()
        self.workers = []

    async def start(self, name):
        """Start a sender on a machine of its own, and return when it is bound to the centre."""
        gateway = {"window": WINDOW, "rate": RATE, "final_receipt_after": 5}
        told = environment(
            self.town,
            self.centre.port,
            self.folder / name,
            gateway=gateway,
            GUANHU_MESSAGING_LEASE_SECONDS=str(LEASE_SECONDS),
        )
        log = self.folder / f"{name}.log"
        worker = Worker(told, log)
        self.workers.append(worker)
        await until(lambda: '"state": "bound"' in log.read_text())
        return worker

    async def leased(self):
        """Return the names of workers that hold chunks."""
        return {row["worker"] for row in await self.messaging.sql(LEASED)}

    async def both_work(self):
        """Wait until two workers hold chunks, and return their names."""
        async with asyncio.timeout(120):
            while len(found := await self.leased()) < 2:
                await asyncio.sleep(0.02)
        return found

    async def end_of(self, batch, delivered):
        """Return the batch once it is finished and *delivered* of its messages are reported."""
        found = batch
        async with asyncio.timeout(300):
            while True:
                await asyncio.sleep(0.1)
                with suppress(grpc.RpcError):  # its connections were cut too
                    found = await get(self, batch)
                if found.state == pb.BATCH_STATE_FINISHED and (
                    found.delivered_count == delivered
                ):
                    return found


@pytest_asyncio.fixture(loop_scope="session")
async def machines(bank, tmp_path):
    """Two machines that are not started yet."""
    town = await a_town(bank)
    made = Machines(town, tmp_path)
    yield made
    for worker in made.workers:
        if worker.process.poll() is None:
            worker.kill()
    made.centre.end()
    await stop(town)


async def test_a_dead_machines_chunks_are_taken_over(machines):
    """Two send one batch; one is killed and its records are away: all that it had open is unknown."""
    first, _ = await machines.start("a"), await machines.start("b")
    batch = await large_batch(machines.town, PEOPLE)
    names = await machines.both_work()
    await until(lambda: machines.centre.accepted().total() > PEOPLE / 4)
    first.kill()
    done = await machines.end_of(batch, PEOPLE)
    lost = await machines.messaging.sql("SELECT count(*) AS n FROM unknowns")

    assert len(names) == 2
    assert machines.centre.accepted() == dict.fromkeys(mobiles(PEOPLE), 1)
    assert counts(done) == (0, 0, 0, PEOPLE, 0, 0, 0, 0)
    assert lost[0]["n"] > WINDOW


async def test_a_machine_that_was_cut_off_and_comes_back_doubles_nothing(machines):
    """Stopped in the middle and cut off from the store, it finds its chunks taken over, and writes no more of them."""
    first, _ = await machines.start("a"), await machines.start("b")
    batch = await large_batch(machines.town, PEOPLE)
    await machines.both_work()
    await until(lambda: machines.centre.accepted().total() > PEOPLE / 4)
    first.process.send_signal(signal.SIGSTOP)
    await machines.messaging.sql(CUT)
    done = await machines.end_of(batch, PEOPLE)
    first.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(3)
    late = await get(machines, batch)

    assert machines.centre.accepted() == dict.fromkeys(mobiles(PEOPLE), 1)
    assert counts(done) == counts(late) == (0, 0, 0, PEOPLE, 0, 0, 0, 0)
    assert first.process.poll() is None
