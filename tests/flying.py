"""
Hands messages over through one driver and enters them in a flight record, until it is killed.

``python -m tests.flying PROTOCOL ADDRESS RECORD WINDOW COUNT``; the protocol ``memory`` is its own centre.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import structlog

from services.chassis.clock import system_clock
from services.messaging.batch.actions.letters import Letters
from services.messaging.delivery.actions.flight import Flight, Key
from services.messaging.delivery.actions.lease import Claim
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.run import Run
from services.messaging.gateways.drivers import Described, driver_of
from services.messaging.gateways.memory import RememberingGateway
from tests.listening import message

LONG = "银" * 150


def outgoing(ordinal):
    """Return the message at a place; every fifth travels in parts."""
    return message(ordinal, LONG if ordinal % 5 == 0 else "您好")


def gateway_of(protocol, address, window):
    """Return the driver."""
    if protocol == "memory":
        return RememberingGateway(window=window, silent=True)
    return driver_of(
        Described(
            protocol=protocol,
            address=address,
            system_id="901234",
            password="trial",
            window=window,
            final_receipt_after=60,
        ),
        system_clock,
    )


async def answer_slowly(gateway):
    """Answer three messages a millisecond."""
    while True:
        await asyncio.sleep(0.001)
        gateway.answer([*gateway._unanswered][:3])


async def fly(protocol, address, record, window, count):
    """Hand over *count* messages, as a lane does."""
    gateway = gateway_of(protocol, address, int(window))
    link = Link("trial", gateway, Terms("95599"), system_clock)
    ordinals = range(int(count))
    numbers = [str(place) for place in ordinals]
    ready = Letters(ordinals, numbers, [b""] * len(ordinals), [1] * len(ordinals))
    key = Key(1, UUID(int=1), 0)
    run = Run(
        Claim(key, "trial", 1, 0, int(count) - 1, ready),
        Flight(Path(record), ordinals),
    )
    await gateway.start(link)
    slow = [answer_slowly(gateway)] if protocol == "memory" else []
    await asyncio.gather(hand_over(run, link), *slow)


async def hand_over(run, link):
    """Hand over as much as there is room for, and say each time how far it has come."""
    while run.left:
        await link.gateway.wait_room()
        places = run.take(link.grant(run.open))
        tokens = link.tokens(len(places))
        batch = [
            outgoing(place)._replace(token=token)
            for token, place in zip(tokens, places, strict=True)
        ]
        link.hand_over(run, places, batch)
        print(run.next, flush=True)
        await asyncio.sleep(0)
    await asyncio.Event().wait()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(fly(*sys.argv[1:]))
