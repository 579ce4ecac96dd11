"""The HTTP driver where the network, the aggregator or the account misbehaves."""

import asyncio
import ssl
from collections import Counter

import pytest
import pytest_asyncio
import trustme
from aiohttp import web

from services.messaging.gateways import GatewayEnded
from services.messaging.gateways.http_calls import Asking, Timers
from tests.aggregator import AliyunCentre, TencentCentre
from tests.http_rig import HttpRig
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


def states(core):
    """Return the states that the core was told, in order."""
    return [state for state, _ in core.states]


# answers that do not come


async def test_no_answer_in_time_is_one_that_nobody_knows(rig):
    """The message may have been taken: it is neither accepted nor to be repeated; later the link is good again."""
    core = await rig.open(timers=BRISK)
    rig.silent = True
    await core.send(message(1))
    await until(lambda: core.results)
    rig.silent = False
    rig.answer()
    await core.gateway.wait_room()
    await core.send(message(2))
    await until(lambda: len(core.results) == 2)

    assert [one.verdict for one in core.results] == ["ambiguous", "accepted"]
    assert core.results[0].gateway_id is None
    assert states(core) == ["bound", "connecting", "bound"]
    assert core.told == Counter([1, 2])


async def test_a_connection_that_ends_without_an_answer_is_one_that_nobody_knows(rig):
    """Here the aggregator had taken the message, and there was no second try."""
    core = await rig.open(timers=BRISK)
    rig.centre.swallow = True
    await core.send(message(1))
    await until(lambda: core.results)
    rig.centre.swallow = False

    assert core.verdicts == {"ambiguous": 1}
    assert len(rig.taken) == 1
    assert rig.centre.count("SendSms") == 1


async def test_what_could_not_leave_may_be_tried_again(rig):
    """Nobody listens: nothing was taken; the link says so, and is found again on the same port."""
    core = await rig.open(timers=Timers(connect=1, answer=1, probe=600))
    await rig.centre.stop()
    core.gateway.submit([message(1)])
    await until(lambda: core.results)
    gone = core.gateway.room()
    await rig.centre.start()
    await core.send(message(2))
    await until(lambda: len(core.results) == 2)

    assert [one.verdict for one in core.results] == ["temporary", "accepted"]
    assert gone == 0
    assert states(core) == ["bound", "connecting", "bound"]
    assert [one.number for one in rig.taken] == [message(2).dest]


async def test_an_aggregator_that_is_away_at_the_start_is_waited_for(rig):
    """Nothing is handed over until it is there."""
    await rig.centre.stop()
    core = await rig.start()
    await until(lambda: core.states)
    early = core.gateway.room()
    await rig.centre.start()
    await core.send(message(1))
    await until(lambda: core.results)

    assert early == 0
    assert states(core)[0] == "connecting"
    assert core.verdicts == {"accepted": 1}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(rig, status):
    """Neither is the message repeated elsewhere, nor is it told as accepted."""
    core = await rig.open()
    there = f"http://127.0.0.1:{rig.centre.port}/"
    rig.centre.instead = lambda action: (
        web.Response(status=status, headers={"Location": there})
        if action == "SendSms"
        else None
    )
    await core.send(message(1))
    await until(lambda: core.results)

    assert core.verdicts == {"ambiguous": 1}
    assert rig.centre.count("SendSms") == 1
    assert rig.taken == []


async def test_a_body_without_end_is_not_read_to_its_end(rig):
    """More than a mebibyte is no aggregator's answer."""
    core = await rig.open()
    rig.centre.instead = lambda action: (
        web.Response(body=b" " * (3 << 20)) if action == "SendSms" else None
    )
    await core.send(message(1))
    await until(lambda: core.results)

    assert core.verdicts == {"ambiguous": 1}


async def test_a_link_in_doubt_gets_no_more_messages_at_once(rig):
    """While sendings are answered with a fault of the server, few messages are risked between two looks."""
    core = await rig.open(window=100, back_off=(5, 5))
    rig.centre.instead = lambda action: (
        web.Response(status=502, text="<html>") if action == "SendSms" else None
    )
    core.gateway.submit([message(1)])
    await until(lambda: core.results)
    await still()

    assert core.gateway.room() == 0
    assert core.verdicts == {"ambiguous": 1}
    assert states(core) == ["bound", "connecting"]


# the account


async def test_a_wrong_secret_is_an_alarm_and_no_second_try(rig):
    """A refused access key ends the driver, lest the account be locked."""
    core = await rig.start(secret="wrong")
    with pytest.raises(GatewayEnded, match="Signature"):
        await core.gateway.wait_room()
    await still()

    assert states(core) == ["refused"]
    assert rig.centre.forged == len(rig.centre.actions) == 1
    assert core.gateway.room() == 0


async def test_an_unknown_access_key_is_an_alarm(rig):
    """The same for its name."""
    core = await rig.start(key_id="nobody")
    with pytest.raises(GatewayEnded, match="NotFound"):
        await core.gateway.wait_room()


@pytest.mark.parametrize("kind", ["key", "credit"])
async def test_what_needs_a_person_stops_the_driver_in_the_midst(rig, kind):
    """What was under way was not taken and may be tried again; nothing more is handed over."""
    core = await rig.open(timers=Timers(probe=600))
    if kind == "key":
        rig.centre.secret = "changed"
    else:
        codes = {
            "aliyun": "isv.AMOUNT_NOT_ENOUGH",
            "tencent": "FailedOperation.InsufficientBalanceInSmsPackage",
        }
        rig.judge = lambda number: codes[rig.centre.name]
    core.gateway.submit([message(token) for token in range(3)])
    await until(lambda: len(core.results) == 3)
    with pytest.raises(GatewayEnded):
        await core.gateway.wait_room()

    assert core.verdicts == {"temporary": 3}
    assert states(core) == ["bound", "refused"]
    assert rig.taken == []


async def test_the_driver_that_is_refused_can_be_stopped(rig):
    """Nothing is left behind."""
    core = await rig.start(secret="wrong")
    await until(lambda: core.states)
    await core.gateway.stop(1)

    assert states(core) == ["refused", "stopping", "stopped"]
    assert core.lost == []


async def test_a_core_that_falls_over_an_answer_loses_the_rest_of_the_call_once(rig):
    """The driver says so and stops, and no token is told twice."""
    core = await rig.open()

    def fall_over(results):
        core.results += results
        raise RuntimeError("13800000001")

    core.submitted = fall_over
    core.gateway.submit([message(1)])
    await until(lambda: "refused" in states(core))

    assert core.told == Counter([1])
    assert core.states[-1] == ("refused", "fault of the driver: RuntimeError")


async def test_what_a_core_fell_over_is_not_told_again():
    """One call, three messages: all are told together, and none of them is lost as well."""
    rig = HttpRig(await AliyunCentre().start(), references=False)
    core = await rig.open()

    def fall_over(results):
        core.results += results
        raise RuntimeError

    core.submitted = fall_over
    core.gateway.submit([message(token) for token in range(3)])
    await until(lambda: "refused" in states(core))
    await rig.close()

    assert core.told == Counter(range(3))
    assert core.lost == []


async def test_a_core_that_falls_over_the_links_state_is_told_of_the_fault(rig):
    """The driver ends with an alarm, and can be stopped."""
    core = await rig.start()
    told = core.link_changed

    def fall_over(state, why):
        told(state, why)
        if state == "bound":
            raise RuntimeError

    core.link_changed = fall_over
    await until(lambda: "refused" in states(core))
    with pytest.raises(GatewayEnded, match="RuntimeError"):
        await core.gateway.wait_room()
    await core.gateway.stop(1)

    assert states(core) == ["bound", "refused", "stopping", "stopped"]


async def test_what_is_refused_at_once_is_told_once_however_soon_the_end_comes(rig):
    """Stopped before it could be told, it is lost and not rejected as well."""
    core = await rig.open()
    core.gateway.submit([message(1)._replace(text="没有签名")])
    await core.gateway.stop(0)
    await still()

    assert core.told == Counter([1])


# encryption


async def test_the_link_is_encrypted_where_it_is_wanted(rig):
    """With the right authority messages pass through TLS; with another one nothing leaves."""
    authority, ours = trustme.CA(), ssl.create_default_context()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(ours)
    site = web.TCPSite(rig.centre.runner, "127.0.0.1", 0, ssl_context=served)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    core = await rig.open(port=port, tls=ours)
    await core.send(message(1))
    await until(lambda: core.results)
    other = await rig.start(port=port, tls=ssl.create_default_context())
    await until(lambda: other.states)

    assert core.verdicts == {"accepted": 1}
    assert states(other)[0] == "connecting"
    assert "Certificate" in other.states[0][1]


# receipts that are not brought


async def test_a_receipt_that_is_not_brought_is_asked_for(rig):
    """Until it is durable: one that the core did not take is told again, one that it has is not asked for any more."""
    core = await rig.open(asking=Asking(after=0.05, until=60, rate=100))
    core.refuses = lambda heard: len(core.receipts) == 1
    await core.send(message(1))
    await until(lambda: rig.centre.count(rig.centre.question) >= 1)
    early = len(core.receipts)
    rig.centre.remembers[message(1).dest] = 3
    await until(lambda: len(core.receipts) == 2)
    asked = rig.centre.count(rig.centre.question)
    await asyncio.sleep(1)
    first, second = core.receipts

    assert early == 0
    assert (first.state, first.dest) == ("delivered", message(1).dest)
    assert first.gateway_id == second.gateway_id == core.results[0].gateway_id
    assert first.client_ref == message(1).client_ref
    assert rig.centre.count(rig.centre.question) == asked


async def test_asking_tells_what_became_of_a_message_that_nobody_knew_about(rig):
    """The aggregator had taken it: its receipt carries our reference, so that it can be told from another's."""
    core = await rig.open(asking=Asking(after=0.05, until=60, rate=100))
    rig.centre.swallow = True
    await core.send(message(1))
    await until(lambda: core.results)
    rig.centre.swallow = False
    rig.centre.taken.append({**rig.centre.taken[0], "reference": "ffff", "id": "7"})
    rig.centre.remembers[message(1).dest] = 3
    await until(lambda: core.receipts)
    await still()

    assert core.verdicts == {"ambiguous": 1}
    assert {(one.dest, one.client_ref, one.state) for one in core.receipts} == {
        (message(1).dest, message(1).client_ref, "delivered")
    }
    assert all(0 < len(one.gateway_id) <= 64 for one in core.receipts)


async def test_an_aggregator_that_does_not_know_yet_is_asked_less_and_less(rig):
    """The pauses double, and after a time nobody asks any more."""
    core = await rig.open(asking=Asking(after=0.05, until=1.5, rate=200))
    await core.send(message(1))
    await until(lambda: rig.centre.count(rig.centre.question) >= 1)
    await asyncio.sleep(2)
    asked = rig.centre.count(rig.centre.question)
    await asyncio.sleep(1)

    # after 50, 150, 350 and 750 ms; the next would be too late. About a day that has just begun it asks twice.
    assert 1 <= asked <= 8
    assert rig.centre.count(rig.centre.question) == asked
    assert core.receipts == []


async def test_a_question_that_is_not_answered_is_asked_again(rig):
    """The link does not pay for it."""
    core = await rig.open(asking=Asking(after=0.05, until=60, rate=100))
    rig.centre.instead = lambda action: (
        web.Response(text="<html>") if action == rig.centre.question else None
    )
    await core.send(message(1))
    await until(lambda: rig.centre.count(rig.centre.question) >= 2)
    rig.centre.instead = lambda action: None
    rig.centre.remembers[message(1).dest] = 3
    await until(lambda: core.receipts)

    assert states(core) == ["bound"]
    assert (await core.gateway.health()).counts["not_told"] >= 2


async def test_without_pushes_receipts_are_asked_for_and_nobody_is_heard(rig):
    """The driver says so, and where nobody wants a receipt nobody asks."""
    core = await rig.open(push=None, asking=Asking(after=0.05, until=60, rate=100))
    await core.send(message(1), message(2, want_receipt=False))
    await until(lambda: len(core.results) == 2)
    rig.centre.remembers |= {message(1).dest: 3, message(2).dest: 2}
    await until(lambda: core.receipts)
    await still()
    await core.gateway.stop(1)

    assert not core.gateway.caps.inbound
    assert core.gateway.caps.receipts
    assert [one.dest for one in core.receipts] == [message(1).dest]


async def test_an_access_number_without_extension_asks_for_none(rig):
    """The provider's field is left out."""
    core = await rig.open()
    await core.send(message(1, source="95599"))
    await until(lambda: core.results)

    assert [one["extension"] for one in rig.centre.taken] == [""]
    assert [one.source for one in rig.taken] == ["95599"]
