"""What an aggregator brings: who may bring it, what is read of it, and when it is answered."""

import asyncio

import pytest
import pytest_asyncio

from services.messaging.gateways.http_calls import PushPlace, Timers
from services.messaging.gateways.http_push import Door, Push
from tests.aggregator import PUSH_SECRET, AliyunCentre, TencentCentre
from tests.http_rig import HttpRig, free_port
from tests.listening import until
from tests.unit.messaging.promises import message, still

KINDS = {"aliyun": AliyunCentre, "tencent": TencentCentre}
BRISK = Timers(connect=1, answer=0.3, probe=0.1, hold=0.5)


@pytest_asyncio.fixture(params=KINDS)
async def rig(request):
    """An aggregator of each shape; every message is a call of its own."""
    made = HttpRig(await KINDS[request.param]().start(), references=True)
    yield made
    await made.close()


async def test_only_who_knows_the_secret_can_bring_anything(rig):
    """Another path is not there, and tells nothing."""
    core = await rig.open()
    await core.send(message(1))
    await until(lambda: core.results)
    body = [rig.centre.report(rig.centre.taken[0])]
    wrong = [
        await rig.centre.bring("reports", body, secret=secret)
        for secret in ("wrong", PUSH_SECRET[:-1], PUSH_SECRET + "x", "%C3%A4")
    ]
    other = await rig.centre.bring("others", body)

    assert {status for status, _ in (*wrong, other)} == {404}
    assert core.receipts == []


async def test_bodies_have_their_limits(rig):
    """Too long, or nothing that an aggregator would bring."""
    core = await rig.open()
    long = await rig.centre.bring("reports", b"[" + b" " * (2 << 20) + b"]")
    empty = await rig.centre.bring("reports", b"[]")
    many = await rig.centre.bring("reports", b"[" + b"{}," * 6000 + b"{}]")
    none = [
        await rig.centre.bring(kind, body)
        for kind in ("reports", "replies")
        for body in (b"", b"<html>", b"7", b"[7]", b"[" * 5000)
    ]

    assert (long[0], many[0], empty[0]) == (413, 400, 200)
    assert {status for status, _ in none} == {400}
    assert core.receipts == core.messages == []


async def test_one_unreadable_entry_does_not_keep_the_others_back(rig):
    """It is counted; the good ones are told, and the whole is answered once they are durable."""
    core = await rig.open()
    await core.send(message(1))
    await until(lambda: core.results)
    good = rig.centre.report(rig.centre.taken[0])
    nobody = {"phone_number": "nobody", "mobile": "nobody"}
    entries = [{"phone_number": "x", "mobile": 5}, good, {}, {**good, **nobody}]
    status, answer = await rig.centre.bring("reports", entries)
    health = await core.gateway.health()

    assert status == 200
    assert b'"OK"' in answer or "接收成功" in answer.decode("unicode-escape")
    assert len(core.receipts) == 1
    assert health.counts["unreadable"] == 3


async def test_a_push_that_the_core_does_not_take_is_to_come_again(rig):
    """It is answered with a fault, and the next try with thanks; a repetition is harmless."""
    core = await rig.open()
    core.refuses = lambda heard: len(core.receipts) == 1
    await core.send(message(1))
    await until(lambda: core.results)
    body = [rig.centre.report(rig.centre.taken[0])]
    told = [(await rig.centre.bring("reports", body))[0] for _ in range(3)]

    assert told == [503, 200, 200]
    assert len({one.gateway_id for one in core.receipts}) == 1


async def test_a_reply_that_the_core_does_not_take_is_to_come_again(rig):
    """One that the core has is answered with thanks, one from nobody is counted and passed over."""
    core = await rig.open()
    core.refuses = lambda heard: len(core.messages) == 1
    reply = rig.centre.reply("8613800000001", "17", "R")
    nobody = rig.centre.reply("86nobody", "17", "R")
    told = [
        (await rig.centre.bring("replies", one))[0] for one in (reply, reply, nobody)
    ]

    assert told == [503, 200, 200]
    assert [(one.source, one.dest) for one in core.messages] == [
        ("8613800000001", "9559917")
    ] * 2


async def test_several_that_are_not_taken_are_one_refusal(rig):
    """And what the core says of them afterwards, or of things that are no acknowledgements, changes nothing."""
    core = await rig.open()
    core.refuses = lambda heard: True
    await core.send(message(1), message(2))
    await until(lambda: len(core.results) == 2)
    body = [rig.centre.report(one) for one in rig.centre.taken]
    status, _ = await rig.centre.bring("reports", body)
    core.gateway.ack([*(one.ack for one in core.receipts), None, "x"])

    assert status == 503
    assert len(core.receipts) == 2


async def test_who_does_not_end_a_push_is_not_waited_for(rig):
    """A body that stays away is given up, and others get their turn meanwhile."""
    await rig.open(timers=BRISK)
    host, _, port = rig.centre.push_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /{PUSH_SECRET}/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n["
    writer.write(head.encode())
    between = await rig.centre.bring("reports", [])
    line = await reader.readline()
    writer.close()

    assert between[0] == 200
    assert b" 408 " in line


async def test_pushes_that_wait_for_the_store_have_their_number(rig):
    """When too many wait, the next one is to come later; those that wait are not dropped."""
    waiting = []

    def take(kind, body):
        waiting.append(Push(1))
        return waiting[-1]

    door = await opened(rig, take, most=3)
    bringing = [asyncio.create_task(rig.centre.bring("replies", [])) for _ in range(3)]
    await until(lambda: len(waiting) == 3)
    status, _ = await rig.centre.bring("replies", [])
    for one in waiting:
        one.ack(0)
    waited = [(await one)[0] for one in bringing]
    await door.close()

    assert status == 503
    assert waited == [200] * 3


async def opened(rig, take, **more):
    """Return a door that is open for what an aggregator brings."""
    port = free_port()
    place = PushPlace(host="127.0.0.1", port=port, secret=PUSH_SECRET)
    door = Door(place, take, thanks={}, hold=30, **more)
    await door.open()
    rig.centre.push_url = f"http://127.0.0.1:{port}"
    return door


async def test_a_fault_nobody_foresaw_is_told_without_what_was_pushed(rig, capsys):
    """The answer is empty, and the log names the kind of the fault alone."""

    def take(kind, body):
        raise RuntimeError(body.decode())

    door = await opened(rig, take)
    told = await rig.centre.bring("replies", b"13800000001")
    await door.close()
    written = capsys.readouterr()

    assert told == (500, b"")
    assert "RuntimeError" in written.out + written.err
    assert "13800000001" not in written.out + written.err


async def test_a_push_that_is_not_durable_in_time_is_to_come_again(rig):
    """The aggregator is not kept waiting until it gives up by itself."""
    core = await rig.open(timers=BRISK)
    core.acks = False
    status, _ = await rig.centre.bring(
        "replies", rig.centre.reply("8613800000001", "17", "R")
    )
    core.gateway.ack([core.messages[0].ack])

    assert status == 503
    assert len(core.messages) == 1


async def test_a_push_is_durable_when_every_entry_is(rig):
    """Two receipts, acknowledged one after the other; only then it is answered."""
    core = await rig.open(timers=Timers(hold=5))
    core.acks = False
    await core.send(message(1), message(2))
    await until(lambda: len(core.results) == 2)
    body = [rig.centre.report(one) for one in rig.centre.taken]
    bringing = asyncio.create_task(rig.centre.bring("reports", body))
    await until(lambda: len(core.receipts) == 2)
    core.gateway.ack([core.receipts[0].ack, core.receipts[0].ack])
    await still()
    early = bringing.done()
    core.gateway.ack([core.receipts[1].ack])

    assert not early
    assert (await bringing)[0] == 200


async def test_stopping_lets_what_is_not_durable_come_again(rig):
    """Whoever brings it is told at once."""
    core = await rig.open(timers=Timers(hold=60))
    core.acks = False
    reply = rig.centre.reply("8613800000001", "17", "R")
    bringing = asyncio.create_task(rig.centre.bring("replies", reply))
    await until(lambda: core.messages)
    await core.gateway.stop(1)

    assert (await bringing)[0] == 503


async def test_two_workers_of_one_machine_share_the_port_of_pushes(rig):
    """Whichever hears a receipt may store it: it does not matter who sent the message."""
    first = await rig.open()
    push = first.gateway._settings.push
    second = await rig.open(push=push)
    rig.centre.push_url = f"http://127.0.0.1:{push.port}"
    await first.send(message(1))
    await until(lambda: first.results)
    body = [rig.centre.report(rig.centre.taken[0])]
    for _ in range(20):
        assert (await rig.centre.bring("reports", body))[0] == 200
    heard = [one.gateway_id for one in (*first.receipts, *second.receipts)]

    assert heard == [first.results[0].gateway_id] * 20


async def test_without_a_place_for_pushes_the_link_is_not_good(rig):
    """An address that cannot be had is told, and tried again."""
    core = await rig.start(
        push=PushPlace(host="203.0.113.1", port=1, secret=PUSH_SECRET)
    )
    await until(lambda: core.states)

    assert core.states[0] == ("connecting", "no place for pushes: OSError")
    assert core.gateway.room() == 0


@pytest.mark.parametrize("secret", ["", "short", "with/slash/in/the/middle/of"])
def test_a_poor_secret_of_pushes_is_refused(secret):
    """It must be long, and fit a path."""
    with pytest.raises(ValueError, match="20 to 128"):
        PushPlace(host="127.0.0.1", port=1, secret=secret)


async def test_a_receipt_of_another_system_with_the_same_account_is_passed_over():
    """All of ours carry a reference: without one of ours it is answered with thanks, and the core hears nothing."""
    rig = HttpRig(await AliyunCentre().start(), references=True)
    core = await rig.open()
    foreign = {"dest": "8613800000101", "id": "77^0", "reference": "order-7"}
    told = [
        await rig.centre.bring("reports", [rig.centre.report({**foreign, **more})])
        for more in ({}, {"reference": ""})
    ]
    health = await core.gateway.health()
    await rig.close()

    assert [status for status, _ in told] == [200, 200]
    assert core.receipts == []
    assert health.counts["foreign"] == 2
