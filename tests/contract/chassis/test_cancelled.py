"""A caller that hangs up, at whatever moment, leaves nothing behind."""

import asyncio
import random

import pytest_asyncio

from services.allocation.__main__ import SERVICE
from services.chassis.caller import service_caller


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """A service."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


async def ask(frame, *, write):
    """Do a little in a transaction."""
    caller = service_caller("allocation").in_branch(101)
    opened = frame.uow(caller) if write else frame.uow.read(caller)
    async with opened as work:
        await work.run("SELECT 1")
        await work.run("SELECT pg_sleep(0.0005)")


async def test_work_that_is_cancelled_at_any_moment_gives_its_connection_back(served):
    """Cancelled while it begins, asks, commits or ends, even twice, a unit of work keeps no connection."""
    pool = served.frame.uow._engine.pool
    dice = random.Random(7)
    before = pool.checkedout()
    for turn in range(400):
        task = asyncio.ensure_future(ask(served.frame, write=turn % 2 == 0))
        await asyncio.sleep(dice.random() * 0.006)
        task.cancel()
        if turn % 3 == 0:
            await asyncio.sleep(dice.random() * 0.001)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(100):
        if pool.checkedout() == before:
            break
        await asyncio.sleep(0.02)

    assert pool.checkedout() == before
    await ask(served.frame, write=True)
