"""A worker that hands over by file, killed for real: every message stands in exactly one line of a finished file."""

import asyncio
from collections import Counter
from contextlib import contextmanager

import pytest_asyncio

from tests import messages
from tests.file_rig import FileRig
from tests.messages import counts, get
from tests.sms import Worker, a_town, environment, large_batch, mobiles, until

PEOPLE = 2000


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """A bank with a teller; the batch brings its people."""
    running = await a_town(bank)
    yield running
    await messages.stop(running)


@contextmanager
def working(told, folder, end):
    """Have a worker until the block ends, and end it by *end*."""
    worker = Worker(told, folder / "worker.log")
    try:
        yield
    finally:
        end(worker)


async def test_a_killed_worker_doubles_nothing_and_loses_nobody(town, tmp_path):
    """Killed three times in the midst of 2,000 messages, without any receipt from the other sender."""
    batch = await large_batch(town, PEOPLE)
    rig = FileRig(tmp_path / "handover")
    rig.folder.mkdir(mode=0o700)
    gateway = {
        "name": "demo",
        "protocol": "file",
        "folder": str(rig.folder),
        "window": 50,
        "rate": 1000,
        "validity_seconds": 2,
        "final_receipt_after": 2,
        "file_seconds": 0.2,
    }
    told = environment(town, 1, tmp_path, gateway=gateway)
    sums = set()
    for share in (0.15, 0.4, 0.7):
        with working(told, tmp_path, Worker.kill):
            await until(lambda share=share: len(rig.lines()) > PEOPLE * share)
        sums.add(sum(counts(await get(town, batch))))
    with working(told, tmp_path, Worker.stop):
        async with asyncio.timeout(60):
            while (await get(town, batch)).sent_count < PEOPLE:
                await asyncio.sleep(0.2)
    done = await get(town, batch)
    numbers = Counter(one["to"] for one in rig.lines("messages-*.jsonl"))

    assert numbers == Counter(mobiles(PEOPLE))
    assert rig.lines("*.part") == []
    assert sums == {PEOPLE}
    assert counts(done) == (0, 0, PEOPLE, 0, 0, 0, 0, 0)
