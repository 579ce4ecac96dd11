"""A link passes on what its gateway tells, whoever of those who wait is in trouble."""

from uuid import UUID

import pytest

from services.chassis.clock import system_clock
from services.messaging.batch.actions.letters import Letters
from services.messaging.delivery.actions.flight import Flight, Key
from services.messaging.delivery.actions.lease import Claim
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.run import Run
from services.messaging.gateways import SubmitResult
from services.messaging.gateways.memory import RememberingGateway
from tests.unit.messaging.promises import message


class Asker:
    """Remembers what it is told, and may fall over it."""

    def __init__(self, *, falls=False):
        self.falls, self.told = falls, []

    def accepted(self, places, numbers, moment):
        self.told += [(place, "accepted") for place in places]
        if self.falls:
            raise RuntimeError("in trouble")

    def refused(self, place, result, moment):
        self.told.append((place, result.verdict))

    def lost(self, place):
        self.told.append((place, "lost"))


async def test_one_askers_trouble_keeps_no_answer_from_another():
    """Answers read together go to whom they belong, each once; the trouble is told when all have theirs."""
    gateway = RememberingGateway(silent=True)
    link = Link("demo", gateway, Terms("95599"), system_clock)
    await gateway.start(link)
    first, second = Asker(falls=True), Asker()
    for asker, places in ((first, (7,)), (second, (0, 1))):
        tokens = link.tokens(len(places))
        batch = [message(0)._replace(token=token) for token in tokens]
        link.hand_over(asker, places, batch)
    results = [
        SubmitResult(one.token, verdict, None, 0, "")
        for one, verdict in zip(
            gateway.submitted, ("accepted", "rejected", "accepted"), strict=True
        )
    ]
    with pytest.raises(RuntimeError, match="in trouble"):
        link.submitted([*results, SubmitResult(99, "accepted", None, 0, "")])
    link.link_lost([one.token for one in results], "cut")

    assert first.told == [(7, "accepted")]
    assert sorted(second.told) == [(0, "rejected"), (1, "accepted")]
    assert link.gauge.counts == {"accepted": 3, "rejected": 1, "ambiguous": 3}


async def test_an_answer_that_comes_after_its_chunk_was_settled_is_passed_over(
    tmp_path,
):
    """The chunk ended without it, its message unknown; the link goes on, and others hear what is theirs."""
    gateway = RememberingGateway(silent=True)
    link = Link("demo", gateway, Terms("95599"), system_clock)
    await gateway.start(link)
    ready = Letters([1, 2], ["01", "02"], [b""] * 2, [1, 1])
    claim = Claim(Key(101, UUID(int=1), 1), "demo", 1, 1, 2, ready)
    run = Run(claim, Flight(tmp_path / "one.flight", ready.ordinals))
    other = Asker()
    for asker, places in ((run, run.take(2)), (other, [0])):
        tokens = link.tokens(len(places))
        batch = [message(0)._replace(token=token) for token in tokens]
        link.hand_over(asker, places, batch)
    link.forget(run)
    known = run.flight.answers()
    run.flight.drop()
    gateway.answer()
    link.link_lost([], "cut")

    assert known.ambiguous == [1, 2]
    assert other.told == [(0, "accepted")]
    assert link.report("w").unanswered == 0
