"""The CMPP driver against a gateway that misbehaves, and receipts of messages in parts."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from services.messaging.gateways import GatewayEnded, Receipt, SubmitResult, stream
from services.messaging.gateways.cmpp import CmppGateway
from services.messaging.gateways.cmpp_codec import CMPP2, CMPP3
from services.messaging.gateways.cmpp_writer import CmppSettings
from services.messaging.gateways.joint_receipts import JointReceipts
from services.messaging.gateways.parts import Whole
from services.messaging.gateways.stream_session import Timers
from tests.cmpp_centre import (
    ACTIVE_TEST,
    CONNECT,
    DELIVER,
    HEAD,
    RESP,
    SUBMIT,
    TERMINATE,
    CmppCentre,
)
from tests.listening import Core, message, until

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
FORMS = {0x20: CMPP2, 0x30: CMPP3}
PATIENT = Timers(connect=5, answer=5, enquire=5, tick=0.02)


@contextlib.asynccontextmanager
async def meeting(version=0x20, *, bound=True, speaks=None, busy=0, **more):
    """Give a core whose driver speaks to a gateway, and the gateway."""
    centre = await CmppCentre(version).open()
    centre.busy = busy
    told = {"back_off": (0.02, 0.1), "timers": PATIENT, "secret": "trial", **more}
    core = Core(
        CmppGateway(
            CmppSettings(
                host="127.0.0.1",
                port=centre.port,
                form=FORMS[speaks or version],
                sp_id="901234",
                **told,
            )
        )
    )
    await core.gateway.start(core)
    if bound:
        await core.gateway.wait_room()
    yield core, centre
    await core.gateway.stop(0)
    await centre.close()


@pytest_asyncio.fixture(loop_scope="session", params=[0x20, 0x30])
async def met(request):
    """A bound driver of each version and its gateway."""
    async with meeting(request.param) as found:
        yield found


class TestTheConnection:
    @pytest.mark.parametrize("version", [0x20, 0x30])
    async def test_a_wrong_secret_is_refused_for_good(self, version):
        """The gateway says that authentication failed, in a status of either size."""
        async with meeting(version, bound=False, secret="wrong") as (core, centre):
            with pytest.raises(GatewayEnded, match="authentication failed"):
                await core.gateway.wait_room()
            await asyncio.sleep(0.2)

        assert centre.frames[CONNECT] == 1

    async def test_a_gateway_of_an_older_version_is_an_alarm(self):
        """It answers in its own form, and that is understood."""
        async with meeting(0x20, speaks=0x30, bound=False) as (core, _):
            with pytest.raises(GatewayEnded, match="version too high"):
                await core.gateway.wait_room()

    async def test_a_gateway_that_does_not_know_the_secret_is_not_trusted(self):
        """It accepts us without proof: customers' numbers are not for it."""
        async with meeting(bound=False) as (core, centre):
            await core.gateway.stop(0)
            centre.proves = False
            other = Core(CmppGateway(core.gateway._settings))
            await other.gateway.start(other)
            with pytest.raises(GatewayEnded, match="did not prove"):
                await other.gateway.wait_room()

    @pytest.mark.parametrize("version", [0x20, 0x30])
    async def test_a_busy_gateway_is_tried_again(self, version):
        """A status that is the gateway's own business passes."""
        async with meeting(version, busy=2) as (core, centre):
            refusals = [why for _, why in core.states[:-1]]

        assert refusals == ["connection refused: status 5"] * 2
        assert (centre.frames[CONNECT], centre.binds) == (3, 1)

    async def test_silence_is_asked_about_and_then_ends_the_link(self):
        """Answered tests keep the link; an unanswered one drops it, and it is made anew."""
        timers = Timers(connect=5, answer=0.2, enquire=0.1, tick=0.02)
        async with meeting(timers=timers) as (core, centre):
            await until(lambda: centre.asked >= 3)
            kept = centre.binds
            centre.silent = True
            core.gateway.submit([message(1)])
            await until(lambda: core.told[1] and len(core.states) >= 2)
            centre.silent = False
            await until(lambda: centre.binds == 2)

        assert kept == 1
        assert core.told == {1: 1}
        assert core.states[1] == ("connecting", "no answer to ACTIVE_TEST")

    async def test_the_gateways_own_requests_are_answered(self, met):
        """A test, something unheard of, which is passed over, and an end, after which the link is made anew."""
        core, centre = met
        [line] = centre.lines
        for command, sequence in ((ACTIVE_TEST, 5), (0x77, 6), (TERMINATE, 7)):
            centre.write(line, command, sequence)
        await until(lambda: centre.binds == 2)

        assert centre.frames[ACTIVE_TEST | RESP] == centre.frames[TERMINATE | RESP] == 1
        assert set(centre.frames) == {
            CONNECT,
            ACTIVE_TEST | RESP,
            TERMINATE | RESP,
        }
        assert core.states[1] == ("connecting", "the gateway ended the connection")

    async def test_an_answer_of_no_version_ends_the_link(self, met):
        """Nobody knows then what became of the message."""
        core, centre = met
        centre.silent = True
        core.gateway.submit([message(1)])
        await until(lambda: centre.waiting)
        [one] = centre.waiting
        centre.write(one.line, SUBMIT | RESP, one.sequence, bytes(10))
        await until(lambda: centre.binds == 2)

        assert (core.lost, core.results) == ([1], [])
        assert core.states[1] == ("connecting", "the gateway sent what is no PDU")

    async def test_a_welcome_of_no_version_is_no_link(self):
        """It is tried again."""
        async with meeting(bound=False) as (core, centre):
            centre.read = lambda line, frame: centre.write(
                line, CONNECT | RESP, 1, bytes(7)
            )
            await until(lambda: core.states)

        assert core.states[0] == ("connecting", "the gateway sent what is no PDU")


class TestWhatIsHeard:
    @pytest.mark.parametrize(
        ("fmt", "content", "text"),
        [
            (0, b"Hi @5", "Hi @5"),
            (8, "退订😀".encode("utf-16-be"), "退订😀"),
            (15, "拒收".encode("gbk"), "拒收"),
        ],
    )
    async def test_a_customers_text_reads_by_its_format(self, met, fmt, content, text):
        """ASCII, UCS-2 and GBK; the number comes with its country."""
        core, centre = met
        [line] = centre.lines
        frame = centre.deliver(
            1,
            b"12345678",
            "13800138000",
            "9559917",
            content=content,
            receipt=0,
            fmt=fmt,
        )
        centre.told[line, 1] = b"12345678"
        line.write(frame)
        await until(lambda: centre.acked)

        assert [(one.source, one.dest, one.text) for one in core.messages] == [
            ("8613800138000", "9559917", text)
        ]

    async def test_a_delivery_that_nobody_can_read_is_refused_for_good(self, met):
        """Result 1, the structure is wrong; the core does not hear of it, and the link goes on."""
        core, centre = met
        [line], answers, read = centre.lines, [], centre.read
        report = centre.deliver(
            8, b"12345678", "138", "955", content=b"cut", receipt=1, fmt=0
        )

        def noting(line, frame):
            _, command, sequence = HEAD.unpack_from(frame)
            if command == DELIVER | RESP:
                answers.append((sequence, frame[12:]))
            else:
                read(line, frame)

        centre.read = noting
        centre.write(line, DELIVER, 7, b"cut")
        line.write(report)
        await until(lambda: len(answers) == 2)
        size = 4 if centre.three else 1

        assert answers == [
            (7, b"cut".ljust(8, b"\0") + (1).to_bytes(size, "big")),
            (8, b"12345678" + (1).to_bytes(size, "big")),
        ]
        assert (core.messages, core.receipts) == ([], [])
        assert (await core.gateway.health()).counts["unreadable"] == 2

    async def test_a_link_that_goes_takes_the_parts_it_heard_with_it(self, met):
        """The gateway tells all parts again, so the next link's first part completes nothing."""
        core, centre = met
        parts = [
            bytes((5, 0, 3, 9, 2, place)) + "银行".encode("utf-16-be")
            for place in (1, 2)
        ]

        async def tell(place):
            content = parts[place - 1]
            centre._tell(centre.inbound_frame("13800138000", "95599", content, True))
            await asyncio.sleep(0.03)

        await tell(1)
        centre.cut()
        await until(lambda: centre.binds == 2)
        await tell(2)
        early = [*core.messages]
        await tell(1)
        await until(lambda: len(centre.acked) == 2)

        assert early == []
        assert [(one.text, one.whole) for one in core.messages] == [("银行银行", True)]

    async def test_the_networks_own_word_is_kept(self, met):
        """An operator needs it to ask the carrier."""
        core, centre = met
        await core.send(message(1))
        await until(lambda: core.results)
        centre.report("13800000101", "failed")
        await until(lambda: core.receipts)

        assert [(one.state, one.code) for one in core.receipts] == [
            ("failed", "MK:0012")
        ]

    async def test_no_receipt_is_asked_for_where_none_is_wanted(self, met):
        """Registered_Delivery is 0."""
        core, centre = met
        await core.send(message(1, want_receipt=False))
        await until(lambda: core.results)

        assert [one["Registered_Delivery"] for one in centre.submits] == [0]


LONG = "银" * 150


class TestReceiptsOfALongMessage:
    async def test_the_first_receipts_wait_unacknowledged_for_the_last(self, met):
        """Three parts report; the core hears once, and its acknowledgement answers all three."""
        core, centre = met
        core.acks = False
        await core.send(message(1, LONG))
        await until(lambda: core.results)
        centre.report("13800000101", parts={1, 3})
        await asyncio.sleep(0.05)
        early = [*core.receipts]
        centre.report("13800000101", parts={2})
        await until(lambda: core.receipts)
        unasked = [*centre.acked]
        core.gateway.ack([core.receipts[0].ack])
        await until(lambda: len(centre.acked) == 3)

        assert early == unasked == []
        assert [(one.gateway_id, one.state) for one in core.receipts] == [
            (core.results[0].gateway_id, "delivered")
        ]
        assert core.results[0].gateway_id == centre.id_of(3).hex()

    async def test_one_that_waits_too_long_is_let_go(self):
        """It is handed on as nothing final, so that the gateway can go on; the last one still ends the matter."""
        async with meeting(hold_seconds=0.05) as (core, centre):
            await core.send(message(1, LONG))
            await until(lambda: core.results)
            centre.report("13800000101", parts={1, 2})
            await until(lambda: len(centre.acked) == 2)
            early = [one.state for one in core.receipts]
            centre.report("13800000101", parts={3})
            await until(lambda: len(centre.acked) == 3)

        assert early == ["enroute", "enroute"]
        assert core.receipts[2].state == "delivered"
        assert core.receipts[2].gateway_id == core.results[0].gateway_id

    async def test_receipts_may_come_before_all_parts_are_answered(self, met):
        """A part has failed before the last one is answered: the whole is told first as taken, then as failed."""
        core, centre = met
        order = []
        core.submitted = lambda told: order.extend(one.verdict for one in told)
        core.refuses = lambda heard: order.append(heard.state)
        centre.silent = True
        core.gateway.submit([message(1, LONG)])
        await until(lambda: len(centre.waiting) == 3)
        [line], first = centre.lines, centre.waiting[0]
        centre.answer(2)
        make = centre.receipt_frame(first, 1, "failed")
        frame, centre.told[line, 1] = make(1)
        line.write(frame)
        await asyncio.sleep(0.05)
        early = [*order]
        centre.answer()
        await until(lambda: centre.acked)

        assert early == []
        assert order == ["accepted", "failed"]

    async def test_a_link_that_goes_lets_receipts_come_again(self, met):
        """What waited is not acknowledged; on the next link all three come, and one receipt of the whole."""
        core, centre = met
        await core.send(message(1, LONG))
        await until(lambda: core.results)
        centre.report("13800000101", parts={1, 2})
        await asyncio.sleep(0.05)
        centre.cut()
        await until(lambda: centre.binds == 2)
        early = [*core.receipts]
        centre.report("13800000101")
        await until(lambda: len(centre.acked) == 3)

        assert early == []
        assert [one.state for one in core.receipts] == ["delivered"]


def receipt(number, state="delivered", **more):
    """Return the receipt of one part."""
    told = {"dest": "86138", "source": "955", "client_ref": None, "heard_at": NOON}
    return Receipt(
        **{
            "gateway_id": number,
            "state": state,
            "code": state[:3],
            "ack": number,
            **told,
            **more,
        }
    )


def said(receipts):
    """Return what the core would hear."""
    return [(one.gateway_id, one.state, one.code, one.ack) for one in receipts]


def expecting(parts=2, verdict="accepted", **more):
    """Return joint receipts that know a message in parts a, b, ..., and the message."""
    joint, whole = JointReceipts(5, **more), Whole(7, parts)
    for number in "abcdef"[:parts]:
        joint.expect(whole, number)
    if verdict:
        last = "abcdef"[parts - 1] if verdict == "accepted" else None
        joint.settle(whole, SubmitResult(7, verdict, last, 0, ""))
    return joint, whole


class TestJointReceipts:
    @pytest.mark.parametrize(
        ("states", "end"),
        [
            (("delivered", "delivered"), "delivered"),
            (("delivered", "failed"), "failed"),
            (("delivered", "expired"), "expired"),
            (("delivered", "unknown"), "unknown"),
            (("unknown", "delivered"), "unknown"),
        ],
    )
    def test_the_whole_is_what_its_worst_part_is(self, states, end):
        """One receipt under the number of the whole, with the word of the part that decided."""
        joint, _ = expecting()
        first = joint.take(receipt("a", states[0]), 0)
        second = joint.take(receipt("b", states[1]), 1)

        assert first == []
        assert said(second) == [("b", end, end[:3], ("a", "b"))]

    def test_a_failure_is_told_at_once_and_stays(self):
        """What the other parts say later only repeats it."""
        joint, _ = expecting(3)
        told = [
            *joint.take(receipt("b", "expired"), 0),
            *joint.take(receipt("a", "failed"), 1),
            *joint.take(receipt("c"), 2),
        ]

        assert said(told) == [
            ("c", "expired", "exp", ("b",)),
            ("c", "expired", "exp", ("a",)),
            ("c", "expired", "exp", ("c",)),
        ]

    def test_one_told_twice_counts_once_and_one_repeated_later_repeats_the_end(self):
        """The first was not acknowledged in time; the last one's core had died before it was durable."""
        joint, _ = expecting()
        told = [joint.take(receipt("a", ack=one), 0) for one in (1, 2)]
        end = joint.take(receipt("b"), 1)
        again = joint.take(receipt("b", ack="b2"), 2)

        assert told == [[], []]
        assert said(end) == [("b", "delivered", "del", (1, 2, "b"))]
        assert said(again) == [("b", "delivered", "del", ("b2",))]

    def test_a_strangers_receipt_and_one_that_is_not_final_go_on_as_they_are(self):
        """Messages that travelled whole, of this process or of one before it."""
        joint, _ = expecting()
        strange, enroute = receipt("x"), receipt("a", "enroute")

        assert joint.take(strange, 0) == [strange]
        assert joint.take(enroute, 0) == [enroute]

    def test_parts_of_a_message_that_was_refused_end_nothing(self):
        """The core has it as failed already, and must not take them for another message's."""
        joint, _ = expecting(2, "rejected")

        assert said(joint.take(receipt("a"), 0)) == [("a", "enroute", "del", "a")]

    def test_parts_of_a_message_that_nobody_knows_of_are_one_message(self):
        """The core finds it by the customer's number; one number for all parts keeps it one."""
        joint, _ = expecting(2, "ambiguous")
        told = joint.take(receipt("b"), 0) + joint.take(receipt("a", "failed"), 0)

        assert said(told) == [
            ("a", "delivered", "del", "b"),
            ("a", "failed", "fai", "a"),
        ]

    def test_a_link_lost_in_the_middle_makes_a_message_one_that_nobody_knows_of(self):
        """Its receipts wait for no answer any more."""
        joint, _ = expecting(3, None)
        waiting = joint.take(receipt("a"), 0)
        joint.link_lost()

        assert waiting == joint.overdue(99) == []
        assert said(joint.take(receipt("b"), 1)) == [("a", "delivered", "del", "b")]

    def test_what_overtook_the_last_answer_is_told_with_it(self):
        """All parts have reported before the last of them was answered; what was let go meanwhile still counts."""
        joint, whole = expecting(2, None)
        joint.take(receipt("a"), 0)
        gone = joint.overdue(5)
        joint.take(receipt("b"), 6)
        end = joint.settle(whole, SubmitResult(7, "accepted", "b", 0, ""))

        assert said(gone) == [("a", "enroute", "del", "a")]
        assert said(end) == [("b", "delivered", "del", ("b",))]
        assert joint.overdue(99) == []

    def test_a_message_of_which_nothing_was_taken_is_not_known(self):
        """There is no receipt to come."""
        joint = JointReceipts(5)
        settled = joint.settle(Whole(7, 2), SubmitResult(7, "throttled", None, 8, ""))

        assert settled == []
        assert len(joint) == 0

    def test_only_those_that_waited_long_enough_are_let_go(self):
        """Each waits from its own first receipt."""
        joint, _ = expecting()
        other = Whole(8, 2)
        joint.expect(other, "x")
        joint.expect(other, "y")
        joint.settle(other, SubmitResult(8, "accepted", "y", 0, ""))
        joint.take(receipt("a"), 0)
        joint.take(receipt("x"), 3)
        let_go = [said(joint.overdue(now)) for now in (4.9, 5, 7.9, 8)]

        assert let_go == [
            [],
            [("a", "enroute", "del", "a")],
            [],
            [("x", "enroute", "del", "x")],
        ]

    def test_more_than_the_most_make_the_oldest_be_forgotten(self):
        """A flood costs bounded memory; what waited of the oldest is let go, and its other parts are strangers."""
        joint, _ = expecting(most=2)
        joint.take(receipt("a"), 0)
        for number in "xy":
            joint.expect(Whole(8, 2), number)

        assert len(joint) == 2
        assert said(joint.overdue(0)) == [("a", "enroute", "del", "a")]
        assert said(joint.take(receipt("b"), 1)) == [("b", "delivered", "del", "b")]


async def test_a_part_that_rests_takes_room(met, monkeypatch):
    """While a part refused for speed waits to be written again, no other message takes its place in the window."""
    monkeypatch.setattr(stream, "PART_PAUSE", 0.1)
    core, centre = met
    whole = core.gateway.room()
    centre.judge = lambda number: "throttled"
    await core.send(message(1, LONG))
    await until(lambda: centre.frames[SUBMIT] == 3 and not centre.waiting)
    await asyncio.sleep(0.03)
    resting = core.gateway.room()
    centre.judge = lambda number: "accepted"
    await until(lambda: core.results)

    assert (whole, resting, core.gateway.room()) == (100, 97, 100)
    assert core.verdicts == {"accepted": 1}
    assert centre.frames[SUBMIT] == 6


async def test_a_part_that_rests_when_the_link_goes_takes_no_room_on_the_next(met):
    """It is lost with its message, and is not written again."""
    core, centre = met
    centre.judge = lambda number: "throttled"
    await core.send(message(1, LONG))
    await until(lambda: core.gateway._counts["throttled"] == 3)
    centre.cut()
    await until(lambda: centre.binds == 2 and core.gateway.room())
    room = core.gateway.room()
    await asyncio.sleep(stream.PART_PAUSE + 0.2)

    assert (room, core.gateway.room()) == (100, 100)
    assert core.lost == [1]
    assert centre.frames[SUBMIT] == 3
