"""The short form of ``make fault T=sms``: what dies costs nobody a message, and gives nobody two."""

import random
from collections import Counter

import pytest
from guanhu.messaging.v1 import batch_pb2 as pb

from tests.bench.floors import a_bank
from tests.fault.sms import WINDOW, ZERO, fault, is_well

PEOPLE = 5000
KILLS = {"sender": 3, "store": 1, "centre": 1}


@pytest.fixture
def own_bank():
    """A bank whose store may be killed; it writes through, since others would forget what they had promised."""
    with a_bank() as bank:
        yield bank


async def test_5000_people_get_one_message_each_whatever_dies(own_bank, tmp_path):
    """Sender, store and centre die five times in all; the centre's record has everybody once, every sum is right."""
    dice = random.Random(20261124)
    figures = await fault(own_bank, tmp_path, PEOPLE, KILLS, dice, node=False)

    assert is_well(figures), figures
    assert figures["kills_by_victim"] == Counter(KILLS)
    assert 0 < figures["max_ambiguous_per_kill"] <= WINDOW
    assert figures["snapshots"] > 10


async def killed_twice(bank, tmp_path, policy):
    """Return the figures of a batch of 800 under *policy* whose sender is killed twice, answers being swallowed."""
    dice = random.Random(20261126)
    figures = await fault(
        bank, tmp_path, 800, {"sender": 2}, dice, policy=policy, node=False
    )

    assert figures["sums"] == [800]
    assert figures["max_ambiguous_per_kill"] <= WINDOW
    return figures


async def test_at_most_once_leaves_what_nobody_knows_as_it_is(bank, tmp_path):
    """Nobody gets two; receipts settle those whom the centre had taken, the others stay unknown and get none."""
    found = await killed_twice(bank, tmp_path, pb.UNKNOWN_POLICY_AT_MOST_ONCE)

    assert found["duplicates"] == found["strangers"] == 0
    assert 0 < found["lost"] < found["ambiguous"]
    assert found["unknown"] == found["lost"] == found["undelivered"]


async def test_at_least_once_sends_what_nobody_knows_again(bank, tmp_path):
    """Everybody gets one; who gets two had been swallowed; nobody is unknown, or waits for a fence."""
    found = await killed_twice(bank, tmp_path, pb.UNKNOWN_POLICY_AT_LEAST_ONCE)

    assert 0 < found["duplicates"] <= 2 * WINDOW
    assert not any(found[name] for name in ZERO if name != "duplicates")
