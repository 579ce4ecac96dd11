"""Messages one by one: in which state and why, found by customer, batch, state, sender and time, and handed out."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import pytest
import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2, delivery_pb2
from guanhu.messaging.v1.delivery_pb2_grpc import DeliveryServiceStub
from guanhu.policy.v1 import policy_pb2

from services.chassis.caller import service_caller
from services.chassis.wiretypes import time_to
from services.messaging.delivery.actions import receipts
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.actions.settle import Settlement, send_again, settle
from services.messaging.delivery.rules import Answers, DoubtCause, Slot, Tenure
from services.messaging.gateways.memory import RememberingGateway
from tests import messages
from tests.builders import request_id
from tests.messages import (
    Sender,
    a_group,
    approved,
    change,
    confirm,
    get,
    mobile_of,
    plan,
    recipients,
    refuse,
)
from tests.refusals import read, refused

NUMBERS = [f"{number:02}" for number in range(1, 13)]
CALLER = service_caller("messaging")
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller, one of whom asked not to be disturbed."""
    running = await messages.start(bank, NUMBERS)
    await refuse(running, "12")
    yield running
    await messages.stop(running)


def stub(town, who="teller"):
    """Return the stub of messages."""
    return town.messaging.as_(who)(DeliveryServiceStub)


async def listed(town, who="teller", **more):
    """Return a page of messages."""
    return await stub(town, who).ListMessages(
        delivery_pb2.ListMessagesRequest(**{"page_size": 500, **more})
    )


async def unknown(town, who="teller", **more):
    """Return a page of messages of which nobody knows."""
    return await stub(town, who).ListUnknown(delivery_pb2.ListUnknownRequest(**more))


async def whole(town, name, who="teller"):
    """Return one message."""
    return await stub(town, who).GetMessage(delivery_pb2.GetMessageRequest(name=name))


async def exported(town, batch, who="teller", **more):
    """Return the pieces of an export."""
    request = delivery_pb2.ExportMessagesRequest(batch=batch.name, **more)
    return [piece async for piece in stub(town, who).ExportMessages(request)]


async def a_batch(town, *numbers, who="teller", send=True, **more):
    """Return a batch; one that is to be sent is confirmed."""
    name = f"客群 {request_id()[:8]}"
    template = await approved(town, name=name)
    group = await a_group(town, *numbers, name=name, who=who)
    batch = await plan(town, template, group, who=who, **more)
    return await confirm(town, batch, who=who) if send else batch


async def sent(town, folder, **centre):
    """Let a sender of its own hand over everything, and return it, closed."""
    sender = await Sender(town, folder, **centre).open()
    await sender.send()
    return sender


async def settled(town, batch, *answers, **more):
    """Enter what is known of messages of a batch's first chunk: of each its ordinal, its state, and more."""
    key = Key(101, UUID(batch.name.partition("/")[2]), 1)
    known = Answers(*(list(one) for one in zip(*answers, strict=True)))
    await settle(town.messaging.frame.uow, CALLER, Settlement(key, known, **more))


def answer(ordinal, state, *, code=0, gateway_message="", moment=0.0):
    """Return what is known of one message."""
    return ordinal, state, code, gateway_message, moment


def numbers_of(page):
    """Return the numbers of the customers on a page, in its order."""
    return [one.customer.partition("/")[2] for one in page.messages]


async def test_a_message_tells_everything_about_one_recipient(town, tmp_path):
    """Batch, customer, masked mobile, purpose, state, the centre's number and the moments; the text only when asked."""
    batch = await a_batch(town, "01", "12")
    sender = await sent(town, tmp_path / "flight")
    [key] = sender.gateway.taken
    sender.gateway.report(key, "delivered")
    await sender.station.take_receipts(sender.link)
    await sender.station.sort_receipts(sender.link)
    sender.close()
    page = await listed(town, batch=batch.name, order_by="create_time")
    first, quiet = page.messages
    found = await whole(town, first.name)
    empty = await whole(town, quiet.name)

    assert first.name == f"messages/{batch.name.partition('/')[2]}.1"
    assert (first.batch, first.branch, first.sender) == (
        batch.name,
        "branches/101",
        "staff/teller",
    )
    assert (first.customer, first.customer_display_name) == ("customers/01", "王小01")
    assert (first.mobile, first.purpose, first.segments) == ("138****0001", 1, 1)
    assert first.state == batch_pb2.RECIPIENT_STATE_DELIVERED
    assert (first.gateway, first.gateway_message) == ("gateways/demo", key)
    assert (first.attempt_count, first.failure_cause, first.text) == (1, 0, "")
    assert first.create_time.seconds <= first.settle_time.seconds
    assert first.settle_time.seconds <= first.receipt_time.seconds
    assert not first.HasField("doubt")
    assert found.text == (await get(town, batch)).samples[0].text
    assert mobile_of("01") not in str(found)
    assert quiet.state == batch_pb2.RECIPIENT_STATE_EXCLUDED
    assert quiet.exclusion_reason == batch_pb2.EXCLUSION_REASON_DO_NOT_DISTURB
    assert (empty.text, empty.attempt_count, empty.segments) == ("", 0, 0)


async def test_lists_are_narrowed_by_every_filter(town):
    """Customer, beginning of the number, batch, state, reason, sender, branch and period add up."""
    one = await a_batch(town, "01", "02", "12")
    two = await a_batch(town, "02", "03", send=False)
    await settled(town, one, answer(1, Slot.FAILED, code=0x0B))
    await change(town, "Cancel", two)
    failed, excluded, waiting, cancelled = 6, 1, 2, 8
    moment = two.create_time.ToDatetime(UTC)
    by = {
        "customer": await listed(town, customer="customers/02"),
        "query": await listed(town, query="0", batch=one.name),
        "failed": await listed(town, state=failed),
        "excluded": await listed(town, state=excluded),
        "waiting": await listed(town, state=waiting),
        "cancelled": await listed(town, state=cancelled, branch_id=101),
        "reason": await listed(town, exclusion_reason=3),
        "sender": await listed(town, who="manager", sender="staff/nobody"),
        "before": await listed(town, end_time=time_to(moment)),
        "from": await listed(town, start_time=time_to(moment)),
        "both": await listed(
            town,
            start_time=time_to(moment - timedelta(days=1)),
            end_time=time_to(moment + timedelta(days=1)),
        ),
        "branch": await listed(town, who="upper_manager", branch_id=102),
    }

    assert {
        key: (page.total_size, sorted(numbers_of(page))) for key, page in by.items()
    } == {
        "customer": (2, ["02", "02"]),
        "query": (2, ["01", "02"]),
        "failed": (1, ["01"]),
        "excluded": (1, ["12"]),
        "waiting": (1, ["02"]),
        "cancelled": (2, ["02", "03"]),
        "reason": (1, ["12"]),
        "sender": (0, []),
        "before": (3, ["01", "02", "12"]),
        "from": (2, ["02", "03"]),
        "both": (5, ["01", "02", "02", "03", "12"]),
        "branch": (0, []),
    }


async def test_pages_lead_to_the_end_in_both_orders(town):
    """Page by page every message comes once, newest batch first; the other order is its reverse; skip agrees."""
    for numbers in (("01", "02", "03"), ("04", "05"), ("06", "07", "08", "12")):
        await a_batch(town, *numbers)
    everything = [one.name for one in (await listed(town)).messages]
    upward = [one.name for one in (await listed(town, order_by="create_time")).messages]
    got, token = [], ""
    for _ in range(5):
        page = await listed(town, page_size=2, page_token=token)
        got.append([one.name for one in page.messages])
        token = page.next_page_token
    skipped = await listed(town, page_size=2, skip=7)
    elsewhere = await refused(
        listed(
            town,
            page_token=(await listed(town, page_size=1)).next_page_token,
            query="0",
        )
    )
    order = await refused(listed(town, order_by="mobile"))

    assert [len(page) for page in got] == [2, 2, 2, 2, 1]
    assert token == ""
    assert [name for page in got for name in page] == everything == upward[::-1]
    assert [one.name for one in skipped.messages] == everything[7:]
    assert elsewhere == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert order == ("INVALID_ARGUMENT", "ORDER_UNKNOWN")


async def test_messages_out_of_sight_are_not_there(town):
    """A teller sees the messages of batches of their own, a manager those of the branch, another branch none."""
    batch = await a_batch(town, "01")
    name = f"messages/{batch.name.partition('/')[2]}.1"
    other, far = await listed(town, "keeper"), await listed(town, "far_manager")
    near, above = await listed(town, "manager"), await listed(town, "upper_manager")
    hidden = [
        await refused(whole(town, name, who)) for who in ("keeper", "far_manager")
    ]
    missing = await refused(whole(town, f"{name}9"))
    no_batch = await refused(whole(town, f"messages/{request_id()}.1"))
    malformed = await refused(whole(town, f"{name}.1"), fields=True)
    reversed_ = await refused(
        listed(
            town,
            start_time=time_to(datetime(2026, 2, 1, tzinfo=UTC)),
            end_time=time_to(datetime(2026, 1, 1, tzinfo=UTC)),
        )
    )
    with pytest.raises(grpc.RpcError) as export:
        await exported(town, batch, "far_manager")

    assert [page.total_size for page in (other, far, near, above)] == [0, 0, 1, 1]
    assert {*hidden, missing, no_batch} == {("NOT_FOUND", "NOT_FOUND")}
    assert malformed == ("INVALID_ARGUMENT", "FIELD_INVALID", ["name"])
    assert reversed_ == ("INVALID_ARGUMENT", "PERIOD_REVERSED")
    assert read(export.value) == ("NOT_FOUND", "NOT_FOUND")


async def test_failures_say_what_their_codes_mean(town, tmp_path):
    """An answer's code is read by the gateway's protocol, a receipt's by the carriers' tables; others mean nothing."""
    batch = await a_batch(town, "01", "02", "03", "04", "05")

    def judge(message):
        return "rejected" if message.dest[-2:] == "01" else "accepted"

    sender = await sent(town, tmp_path / "flight", judge=judge)
    taken = {one.dest[-2:]: key for key, one in sender.gateway.taken.items()}
    for number, state, code in (
        ("02", "failed", "MK:0001"),
        ("03", "expired", "MI:0024"),
        ("04", "failed", "070"),
        ("05", "expired", "expired"),
    ):
        sender.gateway.report(taken[number], state, code=code)
    await sender.station.take_receipts(sender.link)
    await sender.station.sort_receipts(sender.link)
    sender.close()
    page = await listed(town, batch=batch.name, order_by="create_time")
    causes = delivery_pb2.FailureCause

    assert [
        (
            one.failure_code,
            causes.Name(one.failure_cause).removeprefix("FAILURE_CAUSE_"),
        )
        for one in page.messages
    ] == [
        ("1", "MALFORMED"),
        ("MK:0001", "NUMBER_VOID"),
        ("MI:0024", "HANDSET_AWAY"),
        ("070", "OTHER"),
        ("expired", "EXPIRED"),
    ]


def test_every_cause_of_a_failure_is_explained_in_both_languages():
    """Each value but the first carries a sentence for people in English and in Chinese."""
    values = delivery_pb2.FailureCause.DESCRIPTOR.values
    sayings = [value.GetOptions().Extensions[policy_pb2.saying] for value in values]

    assert len(values) == 14
    assert all(one.en.endswith(".") and one.zh.endswith("。") for one in sayings[1:])


async def test_unknown_messages_say_since_when_why_and_what_becomes_of_them(town):
    """Until the fence a receipt decides; after it the batch's policy does; a cancelled batch sends nothing again."""
    at_most = batch_pb2.UNKNOWN_POLICY_AT_MOST_ONCE
    fenced = await a_batch(town, "01", "02")
    careful = await a_batch(town, "03", unknown_policy=at_most)
    ended = await a_batch(town, "04")
    hour = timedelta(hours=1)
    await settled(town, fenced, answer(1, Slot.AMBIGUOUS), certain_after=hour)
    await settled(
        town,
        fenced,
        answer(2, Slot.AMBIGUOUS),
        certain_after=-hour,
        cause=DoubtCause.RECORD_LOST,
    )
    await settled(town, careful, answer(1, Slot.AMBIGUOUS), certain_after=-hour)
    await settled(town, ended, answer(1, Slot.AMBIGUOUS), certain_after=-hour)
    await change(town, "Cancel", ended)
    page = await unknown(town)
    narrowed = [
        (await unknown(town, batch=careful.name)).total_size,
        (await unknown(town, query="0", branch_id=101)).total_size,
        (await unknown(town, "far_manager")).total_size,
    ]
    token = (await unknown(town, page_size=3)).next_page_token
    rest = await unknown(town, page_size=3, page_token=token)
    doubts = {one.customer[-2:]: one.doubt for one in page.messages}
    causes, courses = delivery_pb2.DoubtCause, delivery_pb2.DoubtCourse

    assert {
        number: (causes.Name(doubt.cause), courses.Name(doubt.course))
        for number, doubt in doubts.items()
    } == {
        "01": ("DOUBT_CAUSE_NO_ANSWER", "DOUBT_COURSE_AWAITS_RECEIPT"),
        "02": ("DOUBT_CAUSE_RECORD_LOST", "DOUBT_COURSE_GOES_AGAIN"),
        "03": ("DOUBT_CAUSE_NO_ANSWER", "DOUBT_COURSE_STAYS"),
        "04": ("DOUBT_CAUSE_NO_ANSWER", "DOUBT_COURSE_STAYS"),
    }
    assert doubts["03"].unknown_policy == at_most
    assert doubts["01"].fence_time.seconds - doubts["01"].start_time.seconds == 3600
    assert {one.attempt_count for one in page.messages} == {1}
    assert narrowed == [1, 4, 0]
    assert (page.total_size, len(rest.messages), rest.next_page_token) == (4, 1, "")


async def test_a_lost_machine_leaves_doubts_that_say_so(town, tmp_path):
    """Messages under a lease that nobody renews may have been handed over: their record is lost, and that is told."""
    await a_batch(town, "01", "02")
    await town.messaging.sql(
        "UPDATE chunks SET state = 1, worker = 'gone', boot = 'gone', lease_time = $1",
        town.messaging.frame.clock(),
    )
    sender = await Sender(town, tmp_path / "flight", tenure=Tenure(1)).open()
    await sender.station.watch()
    await asyncio.sleep(0.6)
    await sender.station.watch()
    sender.close()
    page = await unknown(town)

    assert [one.doubt.cause for one in page.messages] == [
        delivery_pb2.DOUBT_CAUSE_RECORD_LOST
    ] * 2


async def test_attempts_count_what_was_handed_over(town, tmp_path):
    """A second try after the fence counts; a receipt that decides a doubt adds none."""
    again = await a_batch(town, "01")
    told = await a_batch(town, "02")
    hour = timedelta(hours=1)
    await settled(town, again, answer(1, Slot.AMBIGUOUS), certain_after=-hour)
    await settled(town, told, answer(1, Slot.AMBIGUOUS), certain_after=hour)
    sender = await Sender(town, tmp_path / "flight").open()
    frame = town.messaging.frame
    caps = sender.gateway.caps
    count = await receipts.fence(
        frame.uow, CALLER, gateway="demo", caps=caps, now=frame.clock()
    )
    await sender.send()
    sender.close()
    await settled(town, told, answer(1, Slot.ACCEPTED, gateway_message="77"))
    page = await listed(town)

    assert count == 1
    assert {
        one.customer[-2:]: (one.state, one.attempt_count) for one in page.messages
    } == {
        "01": (batch_pb2.RECIPIENT_STATE_SENT, 2),
        "02": (batch_pb2.RECIPIENT_STATE_SENT, 1),
    }


async def test_silence_proves_nothing_where_receipts_are_not_heard_or_may_be_lost(town):
    """While a batch is being sent the fence passes such gateways over; it holds where receipts are kept for us."""
    batch = await a_batch(town, "01", "02")
    await settled(town, batch, answer(1, Slot.AMBIGUOUS), certain_after=-HOUR)
    frame, caps = town.messaging.frame, RememberingGateway().caps
    fenced = [
        await receipts.fence(
            frame.uow, CALLER, gateway="demo", caps=one, now=frame.clock()
        )
        for one in (caps._replace(receipts=False), caps._replace(can_query=True), caps)
    ]

    assert fenced == [0, 0, 1]


async def test_what_is_known_of_one_attempt_says_nothing_of_the_next(town):
    """Of two workers that learn that the first try never arrived, the slower does not end the doubt of the second."""
    batch = await a_batch(town, "01")
    await settled(town, batch, answer(1, Slot.AMBIGUOUS))
    place = {
        "branch_id": 101,
        "batch_id": UUID(batch.name.partition("/")[2]),
        "chunk": 1,
        "tries": [(1, 1)],
    }
    uow = town.messaging.frame.uow
    first = await send_again(uow, CALLER, **place)
    await settled(town, batch, answer(1, Slot.AMBIGUOUS))
    late = await send_again(uow, CALLER, **place)

    assert (first, late) == (1, 0)
    assert (await unknown(town)).total_size == 1


async def test_an_export_is_the_batch_in_its_order_and_on_record(town):
    """Every message once, by its place, narrowed as asked; the trail names who took which batch."""
    batch = await a_batch(town, *NUMBERS)
    pieces = await exported(town, batch)
    found = [one for piece in pieces for one in piece.messages]
    left_out = await exported(town, batch, state=1)
    [first] = await exported(town, batch, query="03")
    people = (await recipients(town, batch)).recipients
    audited = await town.messaging.sql(
        "SELECT actor, resources FROM audit_records WHERE method LIKE '%ExportMessages' ORDER BY sequence"
    )

    assert [one.customer for one in found] == [one.customer for one in people]
    assert [len(piece.messages) for piece in left_out] == [1]
    assert numbers_of(first) == ["03"]
    assert {one.text for one in found} == {""}
    assert {mobile_of(number) in str(pieces) for number in NUMBERS} == {False}
    assert len(audited) == 3
    assert all(batch.name in row["resources"] for row in audited)


async def test_what_is_told_twice_has_one_outcome(town):
    """Two receipts of one message in one settlement, and the same settlement again, leave one outcome and one count."""
    batch = await a_batch(town, "01", "02")
    twice = (
        answer(1, Slot.ACCEPTED, gateway_message="71"),
        answer(1, Slot.ACCEPTED, gateway_message="71"),
    )
    await settled(town, batch, *twice)
    await settled(town, batch, *twice)
    await settled(
        town, batch, answer(1, Slot.FAILED, code=8), answer(2, Slot.FAILED, code=8)
    )
    found = await get(town, batch)
    rows = await town.messaging.sql(
        "SELECT ordinal, state, failure_code FROM outcomes ORDER BY ordinal"
    )

    assert (found.sent_count, found.failed_count) == (1, 1)
    assert [tuple(row.values()) for row in rows] == [(1, 4, ""), (2, 6, "8")]
