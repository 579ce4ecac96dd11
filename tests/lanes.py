"""Lanes without a store: chunks made up, handed over by the real link, pace and SMPP driver, and recorded in flight."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from services.messaging.batch.actions.letters import Letters
from services.messaging.delivery.actions.flight import Flight, Key
from services.messaging.delivery.actions.lane import BURST
from services.messaging.delivery.actions.lease import Claim
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.run import Run
from services.messaging.gateways import Outgoing
from services.messaging.gateways.smpp import SmppGateway

SETTLING = 0.03
"""Seconds that a lane is busy with the store between two chunks."""

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def a_claim(chunk):
    """Return a chunk of a thousand messages."""
    first = chunk * 1000
    ordinals = range(first, first + 1000)
    numbers = [str(ordinal) for ordinal in ordinals]
    ready = Letters(ordinals, numbers, [b""] * 1000, [1] * 1000)
    return Claim(Key(101, UUID(int=1), chunk), "demo", 1, first, first + 999, ready)


def outgoing(run, token, place):
    """Return the message at one place of a chunk."""
    number = f"86138{run.claim.ready.ordinals[place]:08}"
    return Outgoing(token, number, "9559901", "您好", "ucs2", b"\0\1")


async def hand_over(link, claim, folder):
    """Hand one chunk over as a lane does, and return it."""
    path = folder / claim.key.file
    run = Run(claim, Flight(path, claim.ready.ordinals))
    while run.left or run.unanswered:
        if granted := run.left and link.grant(min(BURST, run.open)):
            places = run.take(granted)
            pairs = zip(link.tokens(granted), places, strict=True)
            link.hand_over(run, places, [outgoing(run, *pair) for pair in pairs])
            await asyncio.sleep(0)
        elif run.left and (wait := link.wait()) > 0:
            await asyncio.sleep(min(wait, 0.2))
        else:
            run.moved.clear()
            await asyncio.wait([asyncio.ensure_future(run.moved.wait())], timeout=0.2)
    return run


async def send(settings, folder, *, chunks, rate):
    """Hand *chunks* over in two lanes through one link, and return the runs and the seconds it took."""
    loop = asyncio.get_running_loop()
    gateway = SmppGateway(settings, clock=lambda: NOON)
    link = Link("demo", gateway, Terms("95599", rate), lambda: NOON)
    await gateway.start(link)
    await gateway.wait_room()
    began, left, runs = loop.time(), iter(range(chunks)), []

    async def lane(later):
        await asyncio.sleep(later)
        for chunk in left:
            runs.append(await hand_over(link, a_claim(chunk), folder))
            await asyncio.sleep(SETTLING)

    await asyncio.gather(lane(0), lane(0.25))
    took = loop.time() - began
    await gateway.stop(1)
    return runs, took


def states_of(runs):
    """Return how many messages of *runs* stand in each state, by their flight records."""
    return Counter(state for run in runs for state in run.flight.answers().states)
