"""What an aggregator's answer to a question proves: that it took a message, that it never did, or nothing at all."""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import system_clock
from services.messaging.gateways import Question
from services.messaging.gateways.http_calls import Asking, Timers
from services.messaging.gateways.http_client import NobodyKnows, NothingLeft
from services.messaging.gateways.http_inquiry import inquire
from tests.aggregator import AliyunCentre, TencentCentre
from tests.http_rig import HttpRig
from tests.listening import until
from tests.unit.messaging.promises import message
from tests.unit.messaging.test_http_answers import GARBAGE, dialect, some_bytes

KINDS = {"aliyun": AliyunCentre, "tencent": TencentCentre}
REFERENCE = bytes(range(22))
OURS = REFERENCE.hex()
DEST = "8613800000101"


def question(**more):
    """Return a question about a message that was handed over an hour ago, within a minute, at noon."""
    now = system_clock()
    told = {"dest": DEST, "source": "9559901", "client_ref": REFERENCE}
    span = {"since": now - timedelta(hours=1), "until": now - timedelta(minutes=59)}
    return Question(**{**told, **span, **more})


def entry(kind, reference=OURS, *, dest=DEST, state=3):
    """Return one entry of an answer; state 1 awaits its receipt, which one provider alone tells."""
    if kind == "aliyun":
        return {
            "PhoneNum": dest[2:],
            "SendStatus": state,
            "ErrCode": "DELIVERED",
            "OutId": reference,
        }
    return {
        "PhoneNumber": f"+{dest}",
        "SerialNo": "1:2",
        "ReportStatus": "SUCCESS",
        "Description": "DELIVRD",
        "SessionContext": reference,
    }


def listed(kind, *entries, total=None):
    """Return the body of an answer with these entries."""
    if kind == "aliyun":
        body = {
            "Code": "OK",
            "TotalCount": len(entries) if total is None else total,
            "SmsSendDetailDTOs": {"SmsSendDetailDTO": entries},
        }
    else:
        body = {"Response": {"PullSmsSendStatusSet": entries}}
    return json.dumps(body).encode()


async def told(kind, body, *, status=200, asked=None, **settings):
    """Return what an answer says, and how often it was asked."""
    questions = []

    async def perform(action, fields):
        questions.append((action, fields))
        if isinstance(body, Exception):
            raise body
        return status, body

    found = await inquire(
        asked or question(),
        dialect(kind, **settings),
        perform,
        now=system_clock(),
        counts=Counter(),
    )
    return found, questions


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_with_our_reference_was_taken(kind):
    """Its receipt is the message's own: number, access number and reference are those that were asked about."""
    body = listed(kind, entry(kind, "ffff"), entry(kind))
    found, _ = await told(kind, body)

    assert (found.state, found.dest, found.source) == ("delivered", DEST, "9559901")
    assert found.client_ref == REFERENCE
    assert 0 < len(found.gateway_id) <= 64


async def test_a_message_that_awaits_its_receipt_was_taken():
    """Its state says no more than that."""
    found, _ = await told("aliyun", listed("aliyun", entry("aliyun", state=1)))

    assert found.state == "enroute"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_whole_list_without_the_message_says_that_it_never_came(kind):
    """Empty, or with messages that carry other references, ours or another system's."""
    bodies = [
        listed(kind),
        listed(kind, entry(kind, "ffff")),
        listed(kind, entry(kind, "code-1")),
    ]

    assert [(await told(kind, body))[0] for body in bodies] == ["absent"] * 3


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_that_leaves_a_doubt_says_nothing(kind):
    """One without a reference may be ours; a beginning of ours may have been cut off; another number is no answer."""
    bodies = [
        listed(kind, entry(kind, "")),
        listed(kind, entry(kind, REFERENCE.hex()[:8].upper())),
        listed(kind, entry(kind, "ffff", dest="8613800000102")),
        listed(kind, entry(kind, dest="8613800000102")),
    ]

    assert [(await told(kind, body))[0] for body in bodies] == [None] * 4


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("aliyun", listed("aliyun", entry("aliyun", "ffff"), total=2)),
        ("aliyun", listed("aliyun", total="1")),
        ("aliyun", listed("aliyun", total="many")),
        ("aliyun", b'{"Code":"OK","SmsSendDetailDTOs":{"SmsSendDetailDTO":[]}}'),
        ("aliyun", b'{"Code":"isp.RAM_PERMISSION_DENY"}'),
        ("tencent", listed("tencent", *[entry("tencent", "ffff")] * 100)),
        ("tencent", b'{"Response":{"Error":{"Code":"InternalError"}}}'),
        ("tencent", b'{"Response":{"PullSmsSendStatusSet":null}}'),
    ],
)
async def test_a_part_of_a_list_and_an_error_say_nothing(kind, body):
    """More messages than are shown, a total that is missing or does not fit, a refusal."""
    assert (await told(kind, body))[0] is None


async def test_the_total_may_be_written_as_digits():
    """As some of the provider's own packages have it."""
    assert (await told("aliyun", listed("aliyun", total="0")))[0] == "absent"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 302, 404, 500, 503])
async def test_garbage_says_nothing(kind, status):
    """Whatever the status."""
    for body in GARBAGE:
        assert (await told(kind, body, status=status))[0] is None, body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [201, 302, 404, 500, 503])
async def test_an_empty_list_under_a_bad_status_says_nothing(kind, status):
    """A proxy may answer with whatever it has kept."""
    assert (await told(kind, listed(kind), status=status))[0] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [NothingLeft("x"), NobodyKnows("TimeoutError")])
async def test_a_call_that_fails_says_nothing(kind, fault):
    """Before it left, and after."""
    assert (await told(kind, fault))[0] is None


@given(kind=st.sampled_from([*KINDS]), status=st.integers(100, 599), body=some_bytes)
async def test_no_answer_makes_up_that_a_message_never_came(kind, status, body):
    """Whatever comes, short of a list."""
    assert (await told(kind, body, status=status))[0] is None


@pytest.mark.parametrize(("kind", "days"), [("aliyun", 29), ("tencent", 6)])
async def test_a_provider_that_has_forgotten_is_not_asked(kind, days):
    """Its empty list would prove nothing: one keeps 30 days, the other 7."""
    now = system_clock()
    span = {"until": now - timedelta(days=days - 1)}
    late = question(since=now - timedelta(days=days, minutes=1), **span)
    early = question(since=now - timedelta(days=days, minutes=-10), **span)
    found, questions = await told(kind, listed(kind), asked=late)

    assert (found, questions) == (None, [])
    assert (await told(kind, listed(kind), asked=early))[0] == "absent"


async def test_every_day_on_which_it_may_have_been_taken_is_asked_about():
    """From the first to the last, five minutes more at either end, in the provider's zone; one silent day is enough."""
    begin = system_clock().replace(hour=16, minute=3) - timedelta(days=5)
    asked = question(since=begin, until=begin + timedelta(days=1, hours=23, minutes=53))
    found, questions = await told("aliyun", listed("aliyun"), asked=asked)
    home = begin + timedelta(hours=8)
    wanted = [f"{home + timedelta(days=place):%Y%m%d}" for place in (-1, 0, 1, 2)]
    _, once = await told("tencent", listed("tencent"), asked=asked)

    assert found == "absent"
    assert [fields["SendDate"] for _, fields in questions] == wanted
    assert [fields["BeginTime"] for _, fields in once] == [int(begin.timestamp()) - 300]


async def test_where_calls_are_shared_only_an_empty_list_is_certain():
    """Their messages carry no reference, so any to the number may be the one."""
    whole = await told("aliyun", listed("aliyun"), references=False)
    other = await told(
        "aliyun", listed("aliyun", entry("aliyun", "")), references=False
    )

    assert (whole[0], other[0]) == ("absent", None)


# over the network


@pytest_asyncio.fixture(params=KINDS)
async def rig(request):
    """An aggregator of each shape."""
    made = HttpRig(await KINDS[request.param]().start(), references=True)
    yield made
    await made.close()


def about(one):
    """Return the question about a message."""
    return question(dest=one.dest, source=one.source, client_ref=one.client_ref)


async def test_the_driver_asks_and_is_answered(rig):
    """By a signed call: one message was taken, the other was not; nothing is told to the core on the way."""
    core = await rig.open()
    await core.send(message(1))
    await until(lambda: core.results)
    rig.centre.remembers[message(1).dest] = 3
    taken = await core.gateway.query(about(message(1)))
    absent = await core.gateway.query(about(message(2)))

    assert core.gateway.caps.can_query
    assert (taken.state, taken.client_ref) == ("delivered", message(1).client_ref)
    assert absent == "absent"
    assert (core.receipts, rig.centre.forged) == ([], 0)


async def test_time_outs_and_a_link_in_doubt_say_nothing(rig):
    """The link does not pay for a question; where it is lost nothing is asked."""
    core = await rig.open(timers=Timers(connect=0.2, answer=0.2, probe=60))
    rig.centre.patience.clear()
    slow = await core.gateway.query(about(message(1)))
    rig.centre.patience.set()
    states = [state for state, _ in core.states]
    rig.centre.instead = lambda action: web.Response(status=502)
    await core.send(message(2))
    await until(lambda: core.states[-1][0] == "connecting")
    asked = len(rig.centre.actions)
    lost = await core.gateway.query(about(message(1)))

    assert (slow, lost) == (None, None)
    assert states == ["bound"]
    assert len(rig.centre.actions) <= asked + 2


async def test_questions_keep_to_their_rate(rig):
    """Ten at 20 a second take half a second, however many ask at a time."""
    core = await rig.open(asking=Asking(after=600, until=3600, rate=20))
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await asyncio.gather(
        *(core.gateway.query(about(message(n))) for n in range(10))
    )

    assert found == ["absent"] * 10
    assert loop.time() - began >= 0.5
