"""The SMPP driver against the demonstration's centre in a process of its own, and against a centre that misbehaves."""

import asyncio
import json
import os
import ssl
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
import trustme

from services.messaging.gateways import GatewayEnded, NoRoom, stream
from services.messaging.gateways.memory import RememberingGateway
from services.messaging.gateways.stream_session import Timers
from tests.drivers import driver
from tests.listening import Core, message, until

ROOT = Path(__file__).parents[2]
HEADER = struct.Struct(">IIII")
SUBMIT, DELIVER, UNBIND, ENQUIRE, NACK, ANSWER = 4, 5, 6, 0x15, 1 << 31, 1 << 31


class Heard(NamedTuple):
    """A PDU that the driver wrote."""

    command: int
    status: int
    sequence: int
    body: bytes


class Centre:
    """The demonstration's centre as a process; it can be killed and started again on the same port."""

    def __init__(self, folder):
        self.folder = folder
        self.port = 0
        (folder / "smsc-password").write_text("trial")

    def start(self, *arguments):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "deploy/smsc.py", "--print-port", "--delay=0"),
                *(f"--port={self.port}", f"--record={self.folder}/taken", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, "GUANHU_SECRETS_DIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port = int(self.process.stdout.readline())
        return self

    def end(self, *, kill=False):
        self.process.kill() if kill else self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(10)

    @property
    def taken(self):
        """What it took, in the order it did."""
        lines = (self.folder / "taken").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def centre(tmp_path):
    """A centre that is not started yet."""
    made = Centre(tmp_path)
    yield made
    made.end()


async def test_500_messages_are_answered_and_reported_within_the_window(centre):
    """Each token comes back once, each message arrives once and word for word, each receipt names its message."""
    core = driver(centre.start().port, window=100)
    messages = [message(token, f"第{token}号客户，您好") for token in range(500)]
    await core.hand_over(*messages)
    await until(lambda: len(core.receipts) == 500)
    await core.gateway.stop(5)
    ids = {one.gateway_id: one.token for one in core.results}

    assert core.told == Counter(range(500))
    assert core.verdicts == {"accepted": 500}
    assert 50 < core.most <= 100
    assert Counter((one["number"], one["text"]) for one in centre.taken) == Counter(
        (one.dest, one.text) for one in messages
    )
    assert {(r.dest, r.client_ref, r.state, r.source) for r in core.receipts} == {
        (one.dest, one.client_ref, "delivered", one.source) for one in messages
    }
    assert all(message(ids[r.gateway_id]).dest == r.dest for r in core.receipts)
    assert [state for state, _ in core.states] == ["bound", "stopping", "stopped"]


async def test_a_centre_that_is_killed_and_started_again_is_found_again(centre):
    """Every token comes back once, answered or lost; what follows is answered by the new centre."""
    core = driver(centre.start().port, window=100)
    sending = asyncio.create_task(core.hand_over(*map(message, range(2000))))
    await until(lambda: len(core.results) > 300)
    centre.end(kill=True)
    await until(lambda: core.lost)
    before = len(core.results)
    centre.start()
    await sending
    await until(lambda: len(core.told) == 2000)
    await core.gateway.stop(5)
    arrived = Counter(one["number"] for one in centre.taken)

    assert core.told == Counter(range(2000))
    assert core.verdicts == {"accepted": 2000 - len(core.lost)}
    assert 0 < len(core.lost) <= 100
    assert len(core.results) > before
    assert max(arrived.values()) == 1
    assert {message(one.token).dest for one in core.results} <= set(arrived)
    assert [state for state, _ in core.states].count("bound") == 2


async def test_a_receipt_that_could_not_be_stored_comes_again(centre):
    """It is not acknowledged, the link goes on, and the centre's next try is taken."""
    core = driver(centre.start("--again", "0.3").port)
    failing = {message(3).dest, message(7).dest}
    core.refuses = lambda heard: heard.dest in failing
    await core.hand_over(*map(message, range(10)))
    await until(lambda: len(core.receipts) >= 12)
    failing.clear()
    heard = len(core.receipts)
    await until(lambda: len(core.receipts) == heard + 2)
    await asyncio.sleep(0.5)
    health = await core.gateway.health()
    await core.gateway.stop(5)
    times = Counter(receipt.dest for receipt in core.receipts)

    assert len(core.receipts) == heard + 2
    assert {n for n, count in times.items() if count > 1} == {
        message(3).dest,
        message(7).dest,
    }
    assert health.counts["not_taken"] == heard - 8
    assert health.counts["binds"] == 1
    assert core.lost == []


async def test_what_was_not_acknowledged_is_heard_by_the_next_session(centre):
    """A sender that ends before its commit finds the receipts again."""
    first, second = driver(centre.start().port), driver(centre.port)
    first.acks = False
    await first.hand_over(*map(message, range(20)))
    await until(lambda: len(first.receipts) == 20)
    await first.gateway.stop(1)
    await second.gateway.start(second)
    await until(lambda: len(second.receipts) == 20)
    await second.gateway.stop(1)

    assert {one.gateway_id for one in second.receipts} == {
        one.gateway_id for one in first.results
    }


async def test_wrong_credentials_are_an_alarm_and_no_second_try(centre):
    """A refused bind ends the driver, lest the account be locked."""
    core = driver(centre.start().port, password="wrong")
    await core.gateway.start(core)
    with pytest.raises(GatewayEnded, match="ESME_RINVPASWD"):
        await core.gateway.wait_room()
    await asyncio.sleep(0.3)
    await core.gateway.stop(0)

    assert core.states == [
        ("refused", "bind refused: ESME_RINVPASWD"),
        ("stopping", ""),
        ("stopped", ""),
    ]


async def test_what_is_refused_for_speed_was_not_taken(centre):
    """Throttled and accepted add up, and only the accepted arrived."""
    core = driver(centre.start("--rate", "20").port)
    await core.hand_over(*map(message, range(90)))
    await until(lambda: len(core.results) == 90)
    await core.gateway.stop(1)
    verdicts = core.verdicts

    assert set(verdicts) == {"accepted", "throttled"}
    assert verdicts.total() == 90
    assert len(centre.taken) == verdicts["accepted"] <= 40


async def test_fates_and_answers_are_heard_as_they_are(centre):
    """Not reached, expired, answered, and refused at once."""
    core = driver(centre.start().port)
    numbers = ["8613800000000", "8613800000001", "8613800000002", "12a"]
    await core.hand_over(*(message(n, dest=dest) for n, dest in enumerate(numbers)))
    await until(lambda: len(core.receipts) == 3 and core.messages)
    await core.gateway.stop(1)

    assert {one.dest: (one.state, one.code) for one in core.receipts} == {
        numbers[0]: ("failed", "069"),
        numbers[1]: ("expired", "070"),
        numbers[2]: ("delivered", "000"),
    }
    [answer] = core.messages
    assert (answer.source, answer.dest, answer.text) == (numbers[2], "9559901", "R")
    [refused] = [one for one in core.results if one.token == 3]
    assert (refused.verdict, refused.reason) == ("rejected", "ESME_RINVDSTADR")


@pytest.mark.parametrize(("kind", "pdus"), [("payload", 1), ("parts", 4)])
async def test_long_messages_arrive_word_for_word(centre, kind, pdus):
    """In one PDU, or in parts that the phone joins; either way it is one message with one receipt."""
    text = "银" * 66 + "😀" + "行" * 150
    core = driver(centre.start().port, window=3, long_messages=kind)
    await core.hand_over(message(1, text))
    await until(lambda: core.receipts)
    await core.gateway.stop(1)
    taken = sorted(centre.taken, key=lambda one: (one["part"] or [0, 0, 0])[2])

    assert len(taken) == pdus
    assert "".join(one["text"] for one in taken) == text
    [result] = core.results
    assert result.gateway_id == taken[-1]["message_id"]
    assert [one.gateway_id for one in core.receipts] == [result.gateway_id]


async def test_the_link_is_encrypted_where_the_centre_wants_it(centre):
    """With the right authority messages pass through TLS; with another one nothing is ever bound."""
    authority, ours = trustme.CA(), ssl.create_default_context()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(ours)
    centre.start()

    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def relay(reader, writer):
        inner = await asyncio.open_connection("127.0.0.1", centre.port)
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    door = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=served)
    port = door.sockets[0].getsockname()[1]
    core = driver(port, tls=ours)
    stranger = driver(port, tls=ssl.create_default_context())
    await stranger.gateway.start(stranger)
    await core.hand_over(*map(message, range(50)))
    await until(lambda: len(core.receipts) == 50 and len(stranger.states) > 1)
    await core.gateway.stop(1)
    await stranger.gateway.stop(1)
    door.close()
    await door.wait_closed()

    assert core.verdicts == {"accepted": 50}
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.states[0][1]
    assert stranger.gateway.room() == 0


class Line:
    """The centre's end of one connection, by hand."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def read(self, command=None):
        async with asyncio.timeout(5):
            head = HEADER.unpack(await self.reader.readexactly(16))
            body = await self.reader.readexactly(head[0] - 16)
        assert command in (None, head[1])
        return Heard(*head[1:], body)

    def write(self, command, sequence, body=b"", status=0):
        head = HEADER.pack(16 + len(body), command, status, sequence)
        self.writer.write(head + body)

    def answer(self, heard, body=b"", status=0):
        self.write(heard.command | ANSWER, heard.sequence, body, status)

    def deliver(self, sequence, text=b"id:m1 stat:DELIVRD err:000"):
        fields = b"\0\1\1+86138\0\0\x0095599\0\4\0\0\0\0\0\0\0\0"
        self.write(DELIVER, sequence, fields + bytes((len(text),)) + text)


class Peer:
    """A centre whose every word the test decides."""

    async def open(self):
        self.arrived, self.lines, self.cores = asyncio.Queue(), [], []
        self.server = await asyncio.start_server(
            lambda *ends: self.arrived.put_nowait(Line(*ends)), "127.0.0.1", 0
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def called(self):
        async with asyncio.timeout(5):
            self.lines.append(await self.arrived.get())
        return self.lines[-1], await self.lines[-1].read()

    async def bound(self, status=0):
        line, bind = await self.called()
        line.answer(bind, b"centre\0", status)
        return line

    async def meet(self, **settings):
        """Bind a driver, and return its core with the centre's end."""
        if timers := settings.get("timers"):
            settings["timers"] = Timers(connect=5, tick=0.02)._replace(**timers)
        self.cores.append(core := driver(self.port, **settings))
        await core.gateway.start(core)
        line = await self.bound()
        await until(lambda: core.states[-1:] == [("bound", "")])
        return core, line

    async def close(self):
        while not self.arrived.empty():
            self.lines.append(self.arrived.get_nowait())
        self.server.close()
        for line in self.lines:
            line.writer.transport.abort()
        for core in self.cores:
            await core.gateway.stop(0)


@pytest_asyncio.fixture(loop_scope="session")
async def peer():
    """A centre that does nothing by itself."""
    opened = await Peer().open()
    yield opened
    await opened.close()


async def test_silence_is_asked_about_and_then_ends_the_link(peer):
    """An answered enquiry keeps the link; an unanswered one drops it, and it is made anew."""
    core, line = await peer.meet(timers={"answer": 0.2, "enquire": 0.1})
    for _ in range(3):
        asked = await line.read(ENQUIRE)
        line.answer(asked)
    core.gateway.submit([message(1)])
    await line.read(SUBMIT)
    await until(lambda: core.told[1])
    await peer.bound()
    await until(lambda: len(core.states) == 3)

    assert core.told == {1: 1}
    assert core.states[1] == ("connecting", "no answer to enquire_link")


async def test_the_centres_own_requests_are_answered(peer):
    """Enquiries, something unheard of, and an unbind, after which the link is made anew."""
    core, line = await peer.meet()
    line.write(ENQUIRE, 5)
    line.write(0x0102, 6)
    line.write(0x0103 | ANSWER, 7)
    line.write(9 | ANSWER, 7)
    line.write(UNBIND, 8)
    heard = [await line.read() for _ in range(3)]
    await peer.bound()

    assert heard == [
        (ENQUIRE | ANSWER, 0, 5, b""),
        (NACK, 3, 6, b""),
        (UNBIND | ANSWER, 0, 8, b""),
    ]
    assert core.states[1] == ("connecting", "the centre unbound")


async def test_stopping_waits_for_answers_and_parts_politely(peer):
    """Nothing more is taken; what is answered in time is told, the rest is lost, once."""
    core, line = await peer.meet()
    core.gateway.submit([message(1), message(2)])
    stop = asyncio.create_task(core.gateway.stop(0.3))
    first, _ = await line.read(SUBMIT), await line.read(SUBMIT)
    with pytest.raises(NoRoom):
        core.gateway.submit([message(3)])
    line.answer(first, b"m1\0")
    unbind = await line.read(UNBIND)
    line.answer(unbind)
    await stop

    assert core.results == [(1, "accepted", "m1", 0, "")]
    assert core.lost == [2]
    assert core.states[-1] == ("stopped", "")


async def test_a_centre_that_does_not_part_is_left(peer, monkeypatch):
    """An unbind without answer ends by force."""
    monkeypatch.setattr(stream, "LEAVE_SECONDS", 0.05)
    core, line = await peer.meet()
    await core.gateway.stop(0)
    await line.read(UNBIND)

    assert await line.reader.read() == b""
    assert core.states[-1] == ("stopped", "")


async def test_a_bind_that_fails_for_now_is_tried_again(peer):
    """A busy centre, one that hangs up, one that says nothing, one that does not understand: then one binds."""
    timers = Timers(connect=5, answer=0.1, enquire=5, tick=0.02)
    core = driver(peer.port, timers=timers, bind="transmitter")
    peer.cores.append(core)
    await core.gateway.start(core)
    await peer.bound(status=0x08)
    (await peer.called())[0].writer.transport.abort()
    await peer.called()
    line, bind = await peer.called()
    line.write(NACK, bind.sequence, status=3)
    await peer.bound()
    await until(core.gateway.room)
    caps = core.gateway.caps

    assert [why.split(":")[0] for _, why in core.states] == [
        "bind refused",
        "the connection was closed during the bind",
        "no answer to the bind",
        "bind refused",
        "",
    ]
    assert bind.command == 2
    assert (caps.sends, caps.receipts, caps.inbound) == (True, False, False)


async def test_a_receiver_hears_and_does_not_send(peer):
    """There never will be room."""
    core, line = await peer.meet(bind="receiver")
    line.deliver(1)
    await line.read(DELIVER | ANSWER)
    with pytest.raises(GatewayEnded):
        await core.gateway.wait_room()

    assert len(core.receipts) == 1


async def test_a_fault_that_nobody_foresaw_is_an_alarm(peer):
    """A driver that fell over says so, and does not look as if it were connecting."""
    core = driver(peer.port)
    peer.cores.append(core)
    note = core.link_changed

    def stumble(state, why):
        note(state, why)
        if state == "bound":
            raise KeyError(state)

    core.link_changed = stumble
    await core.gateway.start(core)
    await peer.bound()
    await until(lambda: len(core.states) == 2)

    assert core.states[1] == ("refused", "fault of the driver: KeyError")


async def test_the_driver_that_remembers_keeps_a_drivers_promises():
    """Window, NoRoom, one outcome a token, refusals as they are, and nothing acknowledged unasked."""
    verdicts = {2: "throttled", 3: "rejected"}
    core = Core(
        gateway := RememberingGateway(
            window=4, judge=lambda one: verdicts.get(one.token, "accepted")
        )
    )
    core.acks = False
    await core.hand_over(*map(message, range(1, 9)))
    await until(lambda: len(core.results) == 8)
    gateway.silent = True
    gateway.submit([message(9), message(10)])
    with pytest.raises(NoRoom):
        gateway.submit([message(11), message(12), message(13)])
    gateway.lose_link("gone")
    room = gateway.room()
    gateway.bind_again()
    gateway.submit([message(14, "银", encoding="gsm7"), message(15)])
    gateway.answer([14, 9])
    await gateway.stop(0)
    receipt, heard = gateway.report("m1", "expired"), gateway.hear("86138", "R")
    unasked = [*gateway.acked]
    gateway.ack([receipt.ack, heard.ack])

    assert core.most <= 4
    assert core.told == Counter([*range(1, 11), 14, 15])
    assert core.lost == [9, 10, 15]
    assert core.verdicts == {"accepted": 6, "throttled": 1, "rejected": 2}
    assert room == 0
    assert (core.receipts, core.messages) == ([receipt], [heard])
    assert (unasked, gateway.acked) == ([], [receipt.ack, heard.ack])
    assert (await gateway.health())[:3] == ("stopped", "", 0)
    with pytest.raises(GatewayEnded, match="stopped"):
        await gateway.wait_room()


async def test_one_that_is_refused_loses_and_one_that_answers_drains():
    """Refusal loses what is unanswered; stopping answers it."""
    refused, drained = Core(RememberingGateway(silent=True)), Core(RememberingGateway())
    await refused.hand_over(message(1))
    await drained.hand_over(message(1))
    refused.gateway.refuse("password")
    await drained.gateway.stop(1)

    assert (refused.lost, refused.states[-1]) == ([1], ("refused", "password"))
    assert (drained.lost, drained.verdicts) == ([], {"accepted": 1})
