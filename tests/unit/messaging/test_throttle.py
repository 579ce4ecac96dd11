"""Pace, link and SMPP driver together against centres that refuse what is too fast, in virtual time."""

import asyncio
import math
import random
import struct
from collections import Counter, deque

import pytest

from services.messaging.delivery.rules import Slot
from services.messaging.gateways.smpp_writer import SmppSettings
from tests import virtual
from tests.lanes import send, states_of

HEADER = struct.Struct(">IIII")
BIND, SUBMIT, UNBIND, ANSWER, THROTTLED = 9, 4, 6, 1 << 31, 0x58
LIMIT = 2000
SETTINGS = SmppSettings(
    host="", port=0, system_id="guanhu", password="trial", window=200
)


class CalendarSecond:
    """Takes so many in each second of its own clock."""

    def __init__(self, limit, start):
        self.limit, self.start = limit, start
        self.taken = Counter()

    def takes(self, now):
        second = math.floor(now - self.start)
        fits = self.taken[second] < self.limit
        self.taken[second] += fits
        return fits


class SlidingSecond:
    """Takes so many in any stretch of a second."""

    def __init__(self, limit, start):
        self.limit, self.times = limit, deque()

    def takes(self, now):
        while self.times and self.times[0] <= now - 1:
            self.times.popleft()
        if len(self.times) >= self.limit:
            return False
        self.times.append(now)
        return True


class Bucket:
    """Takes so many a second, and a tenth of a second's worth at once."""

    def __init__(self, limit, start):
        self.limit, self.tokens, self.at = limit, limit / 10, 0

    def takes(self, now):
        filled = self.tokens + (now - self.at) * self.limit
        self.tokens, self.at = min(self.limit / 10, filled), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Centre(asyncio.Protocol):
    """Answers binds, and messages as its limiter says; counts what it took by number."""

    def __init__(self, limiter):
        self.limiter, self.rest = limiter, b""
        self.taken, self.refused = Counter(), 0

    def connection_made(self, transport):
        self.transport, self.loop = transport, asyncio.get_running_loop()

    def connection_lost(self, exc):
        pass

    def data_received(self, data):
        data, answers = self.rest + data, []
        while len(data) >= 16:
            length, command, _, sequence = HEADER.unpack_from(data)
            if len(data) < length:
                break
            status = self.judge(data[16:length]) if command == SUBMIT else 0
            body = b"m1\0" if command in (BIND, SUBMIT) and not status else b""
            head = HEADER.pack(16 + len(body), command | ANSWER, status, sequence)
            answers.append(head + body)
            data = data[length:]
        self.rest = data
        self.transport.write(b"".join(answers))

    def judge(self, body):
        if not self.limiter.takes(self.loop.time()):
            self.refused += 1
            return THROTTLED
        _, _, rest = body[3:].partition(b"\0")  # behind the sender's number
        self.taken[rest[2:].partition(b"\0")[0]] += 1
        return 0


def trial(folder, limiter, *, chunks, rate, seed=1):
    """Send against *limiter* over a line of five to nine milliseconds; return the centre, the runs, the seconds."""
    dice = random.Random(seed)
    made = []

    def peer():
        made.append(Centre(limiter(LIMIT, start=dice.random())))
        return made[-1]

    runs, took = virtual.run(
        send(SETTINGS, folder, chunks=chunks, rate=rate),
        peer=peer,
        delay=lambda: dice.uniform(0.005, 0.009),
    )
    [centre] = made
    return centre, runs, took


LIMITERS = [CalendarSecond, SlidingSecond, Bucket]


@pytest.mark.parametrize("limiter", LIMITERS)
def test_an_agreed_limit_is_used_and_not_passed(tmp_path, limiter):
    """At least 97 per cent of the centre's limit is used, and at most one message in a thousand is refused."""
    centre, runs, took = trial(tmp_path, limiter, chunks=40, rate=LIMIT)

    assert states_of(runs) == {Slot.ACCEPTED: 40_000}
    assert 40_000 / took >= 0.97 * LIMIT
    assert centre.refused <= 40


@pytest.mark.parametrize("limiter", LIMITERS)
def test_a_limit_that_nobody_told_is_found(tmp_path, limiter):
    """By refusals alone nothing is lost and nothing comes twice; most of the limit is used, and few are refused."""
    centre, runs, took = trial(tmp_path, limiter, chunks=24, rate=0)

    assert states_of(runs) == {Slot.ACCEPTED: 24_000}
    assert len(centre.taken) == 24_000
    assert set(centre.taken.values()) == {1}
    assert 24_000 / took >= 0.8 * LIMIT
    assert centre.refused <= 0.05 * 24_000


def test_a_limit_half_of_what_was_agreed_is_found(tmp_path):
    """An agreement that the centre does not keep costs refusals at first, and then nearly none."""
    centre, runs, took = trial(tmp_path, SlidingSecond, chunks=24, rate=2 * LIMIT)

    assert states_of(runs) == {Slot.ACCEPTED: 24_000}
    assert 24_000 / took >= 0.8 * LIMIT
    assert centre.refused <= 0.05 * 24_000
