"""
What a driver that has no connection to lose promises, as tests: it passes by giving a rig, the driver's other end.

Whoever tests another driver takes the classes that concern it, and gives the fixture ``rig``.
"""

import asyncio
import random
from collections import Counter

import pytest

from services.messaging.gateways import GatewayEnded, NoRoom
from tests.listening import message as plain
from tests.listening import until

WINDOW = 8

SIGN = "【农业银行】"
LONG = SIGN + "银" * 66 + "😀" + "行" * 150 + "🏦"


def message(token, text="尊敬的客户，您好", **more):
    """Return a message as messaging writes it: with the signature at its head."""
    return plain(token, SIGN + text.removeprefix(SIGN), **more)


async def still():
    """Let what is on its way arrive."""
    await asyncio.sleep(0.15)


class Sends:
    """Room, words, and the end."""

    async def test_more_than_the_room_is_refused_and_none_of_it_written(self, rig):
        """NoRoom leaves no trace: neither at the centre nor among what is told."""
        core = await rig.open()
        with pytest.raises(NoRoom):
            core.gateway.submit([message(token) for token in range(WINDOW + 1)])
        await core.send(*(message(token) for token in range(20, 23)))
        await until(lambda: len(core.told) == 3)

        assert core.told == Counter([20, 21, 22])
        assert {one.number for one in rig.taken} == {
            message(token).dest for token in (20, 21, 22)
        }

    async def test_a_text_arrives_word_for_word(self, rig):
        """Short and long, with quotes, lines and pairs of units; from the access number that was asked for."""
        texts = ["您好😀", 'Hi €5 & "a=b"+c%', "一\n二\\n", LONG, "~'()*! /?#"]
        sent = [message(*one) for one in enumerate(texts)]
        core = await rig.open()
        await core.send(*sent)
        await until(lambda: len(core.results) == len(texts))

        assert {(one.number, one.source, one.text) for one in rig.taken} == {
            (one.dest, one.source, one.text) for one in sent
        }
        assert core.verdicts == {"accepted": len(texts)}

    async def test_what_does_not_fit_its_encoding_is_rejected_alone(self, rig):
        """The others go out, and it is told after submit has returned."""
        core = await rig.open()
        core.gateway.submit([message(1), message(2, encoding="gsm7"), message(3)])
        at_once = [*core.results]
        await until(lambda: len(core.told) == 3)

        assert at_once == []
        assert {one.token: one.verdict for one in core.results} == {
            1: "accepted",
            2: "rejected",
            3: "accepted",
        }
        assert len(rig.taken) == 2
        assert all("银行" not in one.reason for one in core.results)

    async def test_each_accepted_message_has_a_number_of_its_own(self, rig):
        """Two hundred messages, some to one number, have as many numbers, which fit a flight record."""
        core = await rig.open()
        sent = [
            message(token, dest=f"8613800000{token % 150:03}") for token in range(200)
        ]
        await core.send(*sent)
        await until(lambda: len(core.results) == 200)
        ids = [one.gateway_id for one in core.results]

        assert core.told == Counter(range(200))
        assert len(set(ids)) == 200
        assert max(len(one.encode()) for one in ids) <= 64
        assert len(rig.taken) == 200
        assert core.most <= WINDOW

    async def test_who_waits_for_room_hears_of_the_end(self, rig):
        """After a stop nothing is taken, and nobody waits for ever."""
        core = await rig.open()
        await core.gateway.stop(1)
        with pytest.raises(GatewayEnded):
            await core.gateway.wait_room()
        with pytest.raises(NoRoom):
            core.gateway.submit([message(9)])
        await core.gateway.stop(1)

        assert [state for state, _ in core.states] == ["bound", "stopping", "stopped"]
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
        assert health.counts["accepted"] == health.counts["submitted"] == 20


class Waits:
    """A centre that can be silent."""

    async def test_the_window_is_never_exceeded(self, rig):
        """As many as the window may be unanswered, and answers make room."""
        core = await rig.open()
        rig.silent = True
        await core.send(*map(message, range(WINDOW)))
        full = core.gateway.room()
        await still()
        rig.answer()
        rig.silent = False
        await core.send(*map(message, range(WINDOW, 60)))
        await until(lambda: len(core.told) == 60)

        assert full == 0
        assert rig.most == WINDOW
        assert core.verdicts == {"accepted": 60}
        assert core.gateway.room() == WINDOW

    async def test_stopping_waits_for_answers_and_reports_the_rest_as_lost(self, rig):
        """What is answered in time is told, the rest is lost, each once."""
        core = await rig.open()
        rig.silent = True
        for token in range(4):
            await core.send(message(token))
        await until(lambda: rig.centre.under_way == 4)
        stop = asyncio.create_task(core.gateway.stop(0.4))
        await asyncio.sleep(0)
        rig.answer(2)
        await stop

        assert core.told == Counter(range(4))
        assert core.verdicts == {"accepted": 2}
        assert len(core.lost) == 2
        assert core.states[-1][0] == "stopped"

    async def test_each_token_comes_back_once_with_the_centres_verdict(self, rig):
        """What is refused for speed, for now or for good is told as that, and only the accepted arrived."""
        verdicts = ("accepted", "throttled", "rejected", "temporary", "accepted")
        sent = [message(token, f"第{token}号") for token in range(100)]
        due = {one.dest: verdicts[one.token % 5] for one in sent}
        rig.judge = due.__getitem__
        core = await rig.open()
        for one in sent:
            await core.send(one)
        await until(lambda: len(core.told) == 100)
        told = {message(one.token).dest: one.verdict for one in core.results}
        arrived = Counter(one.number for one in rig.taken)

        assert core.told == Counter(range(100))
        assert told == due
        assert arrived == Counter(n for n, one in due.items() if one == "accepted")

    @pytest.mark.parametrize("seed", range(3))
    async def test_whatever_happens_each_token_comes_back_once(self, rig, seed):
        """A random mixture of verdicts, silence, and answers; nobody gets a message twice, and the last is taken."""
        dice = random.Random(seed)
        verdicts = ["accepted"] * 6 + ["rejected", "throttled", "ambiguous"]
        rig.judge = lambda number: dice.choice(verdicts)
        core = await rig.open()
        sent = 0
        for _ in range(60):
            rig.silent = dice.random() < 0.5
            count = dice.randint(0, core.gateway.room())
            if count:
                core.gateway.submit([message(sent + place) for place in range(count)])
            sent += count
            core.most = max(core.most, (await core.gateway.health()).unanswered)
            await asyncio.sleep(dice.choice((0, 0.005, 0.02)))
            if dice.random() < 0.5:
                rig.answer(dice.randint(1, WINDOW))
        while len(core.told) < sent:
            rig.silent = False
            rig.answer()
            await asyncio.sleep(0.01)
        rig.judge, rig.silent = (lambda number: "accepted"), False
        await core.send(message(sent))
        await until(lambda: len(core.told) > sent)
        taken = Counter(one.number for one in rig.taken)
        accepted = {
            message(one.token).dest for one in core.results if one.verdict == "accepted"
        }

        assert sent > 30
        assert core.told == Counter(range(sent + 1))
        assert max(core.most, rig.most) <= WINDOW
        assert max(taken.values()) == 1
        assert accepted == set(taken)


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
        await until(lambda: len(core.receipts) >= 3)
        ids = {one.gateway_id: one.token for one in core.results}
        size = core.gateway.caps.ref_size

        assert core.gateway.caps.receipts
        assert {
            (ids[one.gateway_id], one.dest, one.source, one.state, one.client_ref)
            for one in core.receipts
        } == {
            (
                place,
                message(place).dest,
                "9559901",
                state,
                message(place).client_ref[:size] or None,
            )
            for place, state in enumerate(states)
        }
        assert all(one.heard_at.tzinfo for one in core.receipts)

    async def test_nothing_is_acknowledged_before_the_core_says_so(self, rig):
        """Neither a receipt nor a reply; then it is."""
        core = await rig.open()
        core.acks = False
        await core.send(message(1))
        await until(lambda: core.results)
        rig.report(message(1).dest, "delivered")
        rig.hear("8613800000001", "9559917", "R")
        await until(lambda: core.receipts and core.messages)
        await still()
        unasked = [*rig.acked]
        core.gateway.ack([core.receipts[0].ack])
        await until(lambda: len(rig.acked) == 1)
        core.gateway.ack([core.messages[0].ack, core.messages[0].ack])
        await until(lambda: len(rig.acked) == 2)

        assert unasked == []

    async def test_a_customers_message_comes_whole(self, rig):
        """From the customer's number, to the access number with its extension, word for word."""
        core = await rig.open()
        rig.hear("8613800000001", "95599", "R")
        rig.hear("8613800000002", "9559917", LONG)
        await until(lambda: len(core.messages) == 2)

        assert core.gateway.caps.inbound
        assert {
            (one.source, one.dest, one.text, one.whole) for one in core.messages
        } == {
            ("8613800000001", "95599", "R", True),
            ("8613800000002", "9559917", LONG, True),
        }
