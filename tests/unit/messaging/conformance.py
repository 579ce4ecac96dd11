"""
What every driver promises, as tests: one class that a driver passes by giving it a rig.

A rig is the driver's other end. ``open`` returns a core that listens to a started and bound driver; ``judge``,
``silent``, ``answer``, ``cut``, ``report`` and ``hear`` decide what the centre does; ``taken``, ``most`` and
``acked`` are the centre's own books. A driver that has no link, hears no receipts or no customers takes those of the
four classes that concern it.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter

import pytest

from services.messaging.gateways import GatewayEnded, NoRoom
from tests.listening import Core, message, until

WINDOW = 8
LONG = "银" * 66 + "😀" + "行" * 150 + "🏦"
"""Four parts; a pair of units stands where the first part ends."""


class Rig(ABC):
    """The other end of one driver."""

    judge = staticmethod(lambda number: "accepted")
    silent = False

    @abstractmethod
    async def open(self, **more) -> Core:
        """Return a core that listens to a driver of window WINDOW, bound."""

    @abstractmethod
    async def refused(self) -> Core:
        """Return a core that listens to a driver whose credentials are turned away."""

    @abstractmethod
    def answer(self, count=None):
        """Answer the oldest *count* of what waits, all for None."""

    @abstractmethod
    def cut(self):
        """Drop the link; it can be had again at once."""

    @property
    @abstractmethod
    def taken(self):
        """What the centre took, each with number, source and text; numbers as the core writes them."""

    @property
    @abstractmethod
    def most(self):
        """How many messages the centre saw unanswered at a time, at most."""

    @property
    @abstractmethod
    def acked(self):
        """What the driver acknowledged to the centre, in order."""

    @abstractmethod
    def report(self, number, state):
        """Let the centre report the fate of the message to *number*."""

    @abstractmethod
    def hear(self, source, dest, text):
        """Let a customer write."""


async def still():
    """Let what is on its way arrive."""
    await asyncio.sleep(0.05)


class Sends:
    """Window, verdicts, and the end."""

    async def test_the_window_is_never_exceeded(self, rig):
        """As many as the window may be unanswered; each answer makes room for one, also among long messages."""
        core = await rig.open()
        rig.silent = True
        await core.send(*map(message, range(WINDOW - 1)), message(7, LONG))
        full, rooms = core.gateway.room(), []
        await still()
        rig.answer(3)
        await still()
        rooms.append(core.gateway.room())
        rig.silent = False
        rig.answer()
        await until(lambda: len(core.told) == WINDOW)
        rooms.append(core.gateway.room())

        assert full == 0
        assert 0 <= rooms[0] <= 3
        assert rooms[1] == WINDOW
        assert rig.most <= WINDOW
        assert core.verdicts == {"accepted": WINDOW}

    async def test_more_than_the_room_is_refused_and_none_of_it_written(self, rig):
        """NoRoom leaves no trace: neither at the centre nor among what is told."""
        core = await rig.open()
        rig.silent = True
        await core.send(*map(message, range(5)))
        with pytest.raises(NoRoom):
            core.gateway.submit([message(token) for token in range(10, 14)])
        unanswered = (await core.gateway.health()).unanswered
        rig.silent = False
        rig.answer()
        await until(lambda: len(core.told) == 5)
        await still()

        assert unanswered == 5
        assert core.told == Counter(range(5))
        assert {one.number for one in rig.taken} == {
            message(token).dest for token in range(5)
        }

    async def test_each_token_comes_back_once_with_the_centres_verdict(self, rig):
        """What is refused for speed, for now or for good is told as that, and only the accepted arrived."""
        verdicts = ("accepted", "throttled", "rejected", "accepted")
        sent = [message(token) for token in range(200)]
        due = {one.dest: verdicts[one.token % 4] for one in sent}
        rig.judge = due.__getitem__
        core = await rig.open()
        await core.send(*sent)
        await until(lambda: len(core.told) == 200)
        told = {message(one.token).dest: one.verdict for one in core.results}

        assert core.told == Counter(range(200))
        assert told == due
        assert Counter(one.number for one in rig.taken) == Counter(
            number for number, verdict in due.items() if verdict == "accepted"
        )
        assert all(
            bool(one.gateway_id) == (one.verdict == "accepted") for one in core.results
        )
        assert core.most <= WINDOW

    async def test_a_text_arrives_word_for_word(self, rig):
        """Short and long, with pairs of units at the seams; from the access number that was asked for."""
        texts = ["您好😀", "Hi €5", "银" * 70, LONG, "好" * 66 + "😀" * 40]
        core = await rig.open()
        await core.send(*(message(*one) for one in enumerate(texts)))
        await until(lambda: len(core.results) == len(texts))

        assert {(one.number, one.source, one.text) for one in rig.taken} == {
            (message(token).dest, "9559901", text) for token, text in enumerate(texts)
        }
        assert core.verdicts == {"accepted": len(texts)}

    async def test_what_does_not_fit_its_encoding_is_rejected_alone(self, rig):
        """The others go out, and nothing of it reaches the centre."""
        core = await rig.open()
        core.gateway.submit([message(1), message(2, "银", encoding="gsm7"), message(3)])
        at_once = [*core.results]
        await until(lambda: len(core.told) == 3)

        assert at_once == []
        assert {one.token: one.verdict for one in core.results} == {
            1: "accepted",
            2: "rejected",
            3: "accepted",
        }
        assert len(rig.taken) == 2

    async def test_stopping_takes_no_more_and_waits_for_answers(self, rig):
        """Who waits for room hears of the end, what is answered in time is told, the rest is lost, once."""
        core = await rig.open()
        rig.silent = True
        await core.send(*map(message, range(WINDOW)))
        waiting = asyncio.create_task(core.gateway.wait_room())
        await still()
        stop = asyncio.create_task(core.gateway.stop(0.5))
        await still()
        with pytest.raises(NoRoom):
            core.gateway.submit([message(9)])
        rig.answer(3)
        await stop
        with pytest.raises(GatewayEnded):
            await waiting
        with pytest.raises(GatewayEnded):
            await core.gateway.wait_room()

        assert core.told == Counter(range(WINDOW))
        assert [one.token for one in core.results] == [0, 1, 2]
        assert core.states[-1][0] == "stopped"
        assert (await core.gateway.health()).unanswered == 0

    async def test_what_the_driver_says_of_itself_holds(self, rig):
        """The window is the configured one, and counts agree with what was told."""
        core = await rig.open()
        await core.send(*map(message, range(20)))
        await until(lambda: len(core.told) == 20)
        health = await core.gateway.health()

        assert core.gateway.caps.window == core.gateway.room() == WINDOW
        assert core.gateway.caps.sends
        assert (health.state, health.unanswered) == ("bound", 0)
        assert health.counts["accepted"] == 20


class Keeps:
    """The link: cut, made again, refused."""

    async def test_a_cut_link_loses_what_is_unanswered_and_comes_back(self, rig):
        """Every unanswered token is lost once, the answered are not, and what follows is answered on the next link."""
        core = await rig.open()
        rig.silent = True
        await core.send(*map(message, range(WINDOW - 1)), message(7, LONG))
        await still()
        rig.answer(3)
        await until(lambda: len(core.results) == 3)
        rig.cut()
        await until(lambda: core.lost)
        gone = core.gateway.room()
        rig.silent = False
        await core.send(*map(message, range(10, 30)))
        await until(lambda: len(core.told) == WINDOW + 20)

        assert gone == 0
        assert core.told == Counter([*range(WINDOW), *range(10, 30)])
        assert sorted(core.lost) == [3, 4, 5, 6, 7]
        assert [state for state, _ in core.states] == ["bound", "connecting", "bound"]
        assert rig.most <= WINDOW

    async def test_refused_credentials_are_an_alarm(self, rig):
        """The driver says so, ends, and does not try again by itself."""
        core = await rig.refused()
        with pytest.raises(GatewayEnded):
            await core.gateway.wait_room()
        await still()

        assert core.states[-1][0] == "refused"
        assert [state for state, _ in core.states].count("refused") == 1
        assert core.gateway.room() == 0

    @pytest.mark.parametrize("seed", range(3))
    async def test_whatever_happens_each_token_comes_back_once(self, rig, seed):
        """A random mixture of short and long texts, all verdicts, silence, answers and cuts."""
        dice = random.Random(seed)
        verdicts = ["accepted"] * 6 + ["rejected", "temporary"]
        rig.judge = lambda number: dice.choice(verdicts)
        core = await rig.open()
        sent = 0
        async with asyncio.timeout(30):
            while sent < 100:
                rig.silent = dice.random() < 0.5
                count = dice.randint(0, core.gateway.room())
                if count:
                    core.gateway.submit(
                        [
                            message(sent + place, dice.choice(("您好", "您好", LONG)))
                            for place in range(count)
                        ]
                    )
                sent += count
                core.most = max(core.most, (await core.gateway.health()).unanswered)
                await asyncio.sleep(dice.choice((0, 0.002, 0.01)))
                if dice.random() < 0.5:
                    rig.answer(dice.randint(1, WINDOW))
                if dice.random() < 0.08:
                    rig.cut()
        rig.silent = False
        rig.answer()
        await until(lambda: len(core.told) == sent)
        await still()
        taken = Counter(one.number for one in rig.taken)
        accepted = [one.token for one in core.results if one.verdict == "accepted"]

        assert core.told == Counter(range(sent))
        assert max(core.most, rig.most) <= WINDOW
        assert max(taken.values()) == 1
        assert {message(token).dest for token in accepted} <= set(taken)


class Reports:
    """Receipts."""

    async def test_a_receipt_names_its_message_and_says_what_happened(self, rig):
        """Number, access number, state, and the reference as far as the driver says that it travels."""
        core = await rig.open()
        states = ("delivered", "failed", "expired")
        await core.send(*(message(place) for place in range(3)))
        await until(lambda: len(core.results) == 3)
        for place, state in enumerate(states):
            rig.report(message(place).dest, state)
        await until(lambda: len(core.receipts) == 3)
        ids = {one.gateway_id: one.token for one in core.results}
        size = core.gateway.caps.ref_size

        assert core.gateway.caps.receipts
        assert [
            (ids[one.gateway_id], one.dest, one.source, one.state, one.client_ref)
            for one in core.receipts
        ] == [
            (
                place,
                message(place).dest,
                "9559901",
                state,
                message(place).client_ref[:size] or None,
            )
            for place, state in enumerate(states)
        ]
        assert all(one.heard_at.tzinfo for one in core.receipts)

    async def test_a_long_message_has_one_final_receipt(self, rig):
        """It names the number that was told when the message was taken."""
        core = await rig.open()
        await core.send(message(1, LONG))
        await until(lambda: core.results)
        rig.report(message(1).dest, "delivered")
        await until(lambda: core.receipts)
        await still()
        final = [one for one in core.receipts if one.state != "enroute"]

        assert [(one.gateway_id, one.state) for one in final] == [
            (core.results[0].gateway_id, "delivered")
        ]

    async def test_a_receipt_is_acknowledged_when_the_core_says_so(self, rig):
        """Not before; once, however often it is said; and what the core does not take is left alone."""
        core = await rig.open()
        core.acks = False
        core.refuses = lambda heard: heard.dest == message(1).dest
        await core.send(*(message(place) for place in range(3)))
        await until(lambda: len(core.results) == 3)
        for place in range(3):
            rig.report(message(place).dest, "delivered")
        await until(lambda: len(core.receipts) == 3)
        await still()
        unasked = [*rig.acked]
        kept = [one.ack for one in core.receipts if not core.refuses(one)]
        core.gateway.ack([*kept, kept[0]])
        core.gateway.ack(kept)
        await still()
        await core.send(message(9))
        await until(lambda: len(core.results) == 4)

        assert unasked == []
        assert len(rig.acked) == 2
        assert core.lost == []


class Hears:
    """Customers' messages."""

    async def test_a_customers_message_comes_whole(self, rig):
        """A short one as it is, a long one once all its parts are there; acknowledged when the core says so."""
        core = await rig.open()
        core.acks = False
        rig.hear("8613800000001", "95599", "R")
        rig.hear("8613800000002", "9559917", LONG)
        await until(lambda: len(core.messages) == 2)
        await still()
        unasked = [*rig.acked]
        core.gateway.ack([one.ack for one in core.messages])
        await still()

        assert core.gateway.caps.inbound
        assert [
            (one.source, one.dest, one.text, one.whole) for one in core.messages
        ] == [
            ("8613800000001", "95599", "R", True),
            ("8613800000002", "9559917", LONG, True),
        ]
        assert unasked == []
        assert len(rig.acked) >= 2


class Conformance(Sends, Keeps, Reports, Hears):
    """All of it: a driver over a kept link that sends and hears."""
