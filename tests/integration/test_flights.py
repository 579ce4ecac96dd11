"""The flight record of a killed process, for each driver: at most the window unknown, and never too little told."""

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

from services.messaging.delivery.actions.flight import read
from services.messaging.delivery.rules import Slot
from tests.cmpp_centre import CmppCentre
from tests.flying import outgoing
from tests.smpp_centre import SmppCentre

ROOT = Path(__file__).parents[2]
WINDOW, COUNT = 20, 5000

CENTRES = {
    "smpp": SmppCentre,
    "cmpp2": lambda: CmppCentre(0x20),
    "cmpp3": lambda: CmppCentre(0x30),
}


@contextlib.asynccontextmanager
async def slow_centre(kind):
    """Serve a centre that answers three submissions a millisecond, and stops answering when it is left."""

    async def answer():
        while True:
            await asyncio.sleep(0.001)
            centre.answer(3)

    centre = await kind().open()
    centre.silent = True
    answering = asyncio.create_task(answer())
    try:
        yield centre
    finally:
        answering.cancel()
        await centre.close()


async def killed(protocol, address, record, moment):
    """Let a process hand messages over, and kill it after *moment* of them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.flying", protocol, address, record),
        *(str(WINDOW), str(COUNT)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ".:protos"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while int(await process.stdout.readline()) < moment:
                pass
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("protocol", CENTRES)
async def test_a_killed_process_leaves_at_most_the_window_unknown(protocol, tmp_path):
    """What the centre took is in the record as taken or as unknown, and what the record calls taken arrived."""
    record, moment = tmp_path / "trial.flight", random.randint(100, 600)
    async with slow_centre(CENTRES[protocol]) as centre:
        await killed(protocol, f"127.0.0.1:{centre.port}", record, moment)
    answers = read(record)
    seen = {number[-8:] for number in centre.numbers}
    arrived = {one.number[-8:] for one in centre.taken}
    pairs = zip(answers.ordinals, answers.states, strict=True)
    states = {outgoing(ordinal).dest[-8:]: state for ordinal, state in pairs}
    unknown = {number for number, state in states.items() if state == Slot.SENT}
    taken = {number for number, state in states.items() if state == Slot.ACCEPTED}

    assert len(answers.ordinals) == COUNT
    assert 0 < len(unknown) <= WINDOW
    assert len(taken) >= moment - WINDOW
    assert taken <= arrived
    assert seen <= taken | unknown
    assert centre.most <= WINDOW


async def test_so_it_is_with_the_driver_that_remembers(tmp_path):
    """It is its own centre, so only the record is left to look at."""
    record = tmp_path / "trial.flight"
    await killed("memory", "", record, 300)
    answers = read(record)

    assert 0 < len(answers.ambiguous) <= WINDOW
    assert answers.states.count(Slot.ACCEPTED) >= 300 - WINDOW
