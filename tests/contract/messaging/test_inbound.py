"""What customers answer: stored once, obeyed at once, confirmed once, and shown to whoever has to read it."""

import asyncio
from datetime import timedelta

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any
from guanhu.allocation.v1 import staff_pb2
from guanhu.allocation.v1.staff_pb2_grpc import StaffServiceStub
from guanhu.customer.v1 import consent_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.messaging.v1 import batch_pb2
from guanhu.messaging.v1 import inbound_pb2 as pb
from guanhu.messaging.v1 import messaging_events_pb2 as facts
from guanhu.policy.v1 import policy_pb2

from services.chassis.caller import service_caller
from services.chassis.worker import ErrandRunner
from services.messaging.delivery.actions.link import MOST_SPOKEN, InboxFull
from tests import messages
from tests.builders import a_branch, put, request_id
from tests.messages import (
    CARE,
    MARKETING,
    SERVICE_PURPOSE,
    Sender,
    a_group,
    answers,
    approve,
    approved,
    confirm,
    consent,
    inbox,
    mobile_of,
    plan,
    recipients,
    set_parameter,
)
from tests.refusals import refused

NUMBERS = [f"{number:02}" for number in range(1, 13)]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller, the last two with one number, and a service that writes to them at any hour."""
    running = await messages.start(bank, NUMBERS, same={"12": "11"})
    await set_parameter(running, "sms_hours", '{"from": 0, "to": 24}')
    await consent(running, *NUMBERS)
    yield running
    await messages.stop(running)


@pytest_asyncio.fixture(loop_scope="session")
async def sender(town, tmp_path):
    """A sender whose rounds the test turns."""
    opened = await Sender(town, tmp_path / "flight").open()
    yield opened
    opened.close()


async def planned(town, *numbers, purpose=MARKETING, who="teller"):
    """Plan a batch."""
    name = f"客群 {request_id()[:8]}"
    template = await approved(town, name=name, purpose=purpose)
    group = await a_group(town, *numbers, name=name, who=who)
    return await plan(town, template, group, who=who)


async def sent(town, sender, *numbers, purpose=MARKETING, who="teller"):
    """Send a batch, and return it."""
    batch = await confirm(
        town, await planned(town, *numbers, purpose=purpose, who=who), who=who
    )
    if batch.state == batch_pb2.BATCH_STATE_AWAITING_APPROVAL:
        second = "upper_manager" if who == "manager" else "manager"
        batch = await approve(town, batch, who=second)
    await sender.send()
    return batch


async def left_out(town, batch):
    """Return who of a batch is left out, with the reason's name."""
    people = (await recipients(town, batch)).recipients
    return {
        one.customer[-2:]: batch_pb2.ExclusionReason.Name(one.exclusion_reason)[17:]
        for one in people
        if one.exclusion_reason
    }


async def published(town):
    """Return the refusals that messaging published, in their order."""
    rows = await town.messaging.sql("SELECT fact FROM outbox ORDER BY sequence")
    packed = [Any.FromString(row["fact"]) for row in rows]
    return [
        facts.OptOutReceived.FromString(one.value)
        for one in packed
        if one.Is(facts.OptOutReceived.DESCRIPTOR)
    ]


async def delivered(town):
    """Deliver errands to the customer service until none that is due is left; return how many held."""
    frame, held = town.messaging.frame, 0
    await town.messaging.sql(
        "UPDATE errands SET done_time = due_time WHERE service <> 'customer'"
    )
    runner = ErrandRunner(
        uow=frame.uow,
        caller=service_caller("messaging"),
        peers=frame.peers,
        clock=frame.clock,
    )
    while found := await runner.step():
        held += found
    return held


async def ledger(town, number):
    """Return what the customer service has entered about messages, the oldest first, without what tests began with."""
    found = await town.customer.as_("manager")(ConsentServiceStub).ListConsents(
        consent_pb2.ListConsentsRequest(
            customer=f"customers/{number}", order_by="create_time"
        )
    )
    return [
        one
        for one in found.consents
        if one.evidence.kind == consent_pb2.EVIDENCE_KIND_INBOUND_MESSAGE
    ]


async def get(town, name, who="teller"):
    """Return one message with its text."""
    return await inbox(town, who).GetInbound(pb.GetInboundRequest(name=name))


async def assign(town, found, assignee, who="teller", **more):
    """Give a message to somebody."""
    fields = {"etag": found.etag, "request_id": request_id(), **more}
    return await inbox(town, who).AssignInbound(
        pb.AssignInboundRequest(name=found.name, assignee=f"staff/{assignee}", **fields)
    )


async def close(town, found, who="teller", **more):
    """Close a message."""
    fields = {
        "etag": found.etag,
        "remark": "已电话回复",
        "request_id": request_id(),
        **more,
    }
    return await inbox(town, who).CloseInbound(
        pb.CloseInboundRequest(name=found.name, **fields)
    )


async def test_an_unclear_reply_lands_with_the_sender_of_its_batch(town, sender):
    """It is stored sealed, names batch and customer, and its text is shown only where one message is asked for."""
    batch = await sent(town, sender, "01", "02")
    stored = await sender.hear("01", "请问利率是多少？", batch=batch)
    page = await answers(town)
    [found] = page.inbounds
    whole = await get(town, found.name)
    [row] = await town.messaging.sql("SELECT * FROM inbounds")

    assert stored == 1
    assert (found.batch, found.customer) == (batch.name, "customers/01")
    assert (found.branch, found.assignee) == ("branches/101", "staff/teller")
    assert (found.kind, found.state) == (pb.INBOUND_KIND_REPLY, pb.INBOUND_STATE_OPEN)
    assert (found.mobile, found.customer_display_name) == ("138****0001", "王小01")
    assert (found.text, whole.text) == ("", "请问利率是多少？")
    assert found.confirmation_state == pb.CONFIRMATION_STATE_UNSPECIFIED
    assert found.template_display_name == batch.template_display_name
    assert found.whole
    assert "利率" not in str(dict(row))
    assert mobile_of("01") not in str(dict(row))
    assert await town.messaging.sql("SELECT 1 FROM opt_outs") == []


async def test_nothing_is_acknowledged_before_it_is_stored(town, sender):
    """While the store is away a message stays with the centre; once it is stored it is acknowledged."""
    uow, sender.listener._uow = sender.listener._uow, None
    with pytest.raises(TypeError):
        await sender.hear("01", "在吗")
    before = list(sender.gateway.acked)
    sender.listener._uow = uow
    stored = await sender.listener.take(sender.link)

    assert (before, stored, len(sender.gateway.acked)) == ([], 1, 1)
    assert (await answers(town, "auditor")).total_size == 1


async def test_one_that_cannot_be_stored_keeps_no_other_back(town, sender):
    """What nobody can write down stays with the centre, what came with it is stored; a full memory takes no more."""
    sender.gateway.hear("8613800000001", "\ud800")
    sender.gateway.hear("8613800000002", "在吗")
    stored = await sender.listener.take(sender.link)
    left = [one.text for one in sender.link.said]
    sender.link.said += [sender.link.said[0]] * MOST_SPOKEN
    with pytest.raises(InboxFull):
        sender.gateway.hear("8613800000003", "在吗")

    assert (stored, left) == (1, ["\ud800"])
    assert len(sender.gateway.acked) == 1
    assert (await answers(town, "auditor")).total_size == 1


async def test_a_message_told_twice_is_one_and_the_same_words_later_are_another(
    town, sender
):
    """A centre that missed the acknowledgement tells it again; who writes the same after a while wrote twice."""
    batch = await sent(town, sender, "01")
    for _ in range(3):
        await sender.hear("01", "好的", batch=batch)
    once = (await answers(town)).total_size
    await town.messaging.sql(
        "UPDATE inbounds SET receive_time = receive_time - interval '6 minutes'"
    )
    sender.gateway._clock = lambda: town.messaging.frame.clock() + timedelta(minutes=6)
    await sender.hear("01", "好的", batch=batch)

    assert once == 1
    assert (await answers(town)).total_size == 2
    assert len(sender.gateway.acked) == 4


async def test_an_opt_out_holds_for_the_number_and_is_told_to_the_customer_service(
    town, sender
):
    """Offers are refused, by the message as evidence; what is about the customer's own business still goes."""
    batch = await sent(town, sender, "01", "02")
    await sender.hear("01", " ｒ ", batch=batch)
    [found] = (await answers(town)).inbounds
    offers = await planned(town, "01", "02", "03")
    greeting = await planned(town, "01", purpose=CARE)
    notice = await planned(town, "01", purpose=SERVICE_PURPOSE)
    held = await delivered(town)
    [entry] = await ledger(town, "01")
    [told] = await published(town)

    assert (found.kind, found.state) == (
        pb.INBOUND_KIND_OPT_OUT,
        pb.INBOUND_STATE_CLOSED,
    )
    assert await left_out(town, offers) == {
        "01": "REFUSED_BEFORE",
        "02": "CAP_REACHED",
    }
    assert await left_out(town, greeting) == await left_out(town, notice) == {}
    assert held == 1
    assert (entry.act, entry.channel, entry.purpose) == (
        consent_pb2.CONSENT_ACT_DO_NOT_DISTURB_SET,
        1,
        MARKETING,
    )
    assert entry.evidence.reference == found.name
    assert (told.inbound, told.batch) == (found.name, batch.name)
    assert list(told.customers) == ["customers/01"]
    assert list(told.purposes) == [MARKETING]


async def test_an_answer_to_a_greeting_refuses_greetings_too(town, sender):
    """Who asks to be left alone when greeted is neither greeted nor offered anything any more."""
    batch = await sent(town, sender, "03", purpose=CARE)
    await sender.hear("03", "TD", batch=batch)
    greeting = await planned(town, "03", purpose=CARE)
    offers = await planned(town, "03")
    [told] = await published(town)

    assert await left_out(town, greeting) == await left_out(town, offers)
    assert await left_out(town, offers) == {"03": "REFUSED_BEFORE"}
    assert list(told.purposes) == [CARE, MARKETING]


async def test_everybody_with_the_number_is_meant(town, sender):
    """Two customers with one phone both refuse by one answer, also the one who was left out as a double."""
    batch = await sent(town, sender, "11", "12")
    await sender.hear("11", "退订", batch=batch)
    await delivered(town)
    [told] = await published(town)
    rows = await town.messaging.sql(
        "SELECT number, act, channel, purpose FROM refusals WHERE act = 1 ORDER BY 1"
    )

    assert list(told.customers) == ["customers/11", "customers/12"]
    assert [tuple(row) for row in rows] == [
        ("11", 1, 1, MARKETING),
        ("12", 1, 1, MARKETING),
    ]
    assert len(await ledger(town, "11")) == len(await ledger(town, "12")) == 1


async def test_a_refusal_while_a_batch_is_sent_leaves_the_number_out_late(town, sender):
    """Somebody who was planned for and then refuses gets nothing of what is still to be handed over."""
    first = await sent(town, sender, "04", purpose=SERVICE_PURPOSE)
    batch = await confirm(town, await planned(town, "04", "05"))
    await approve(town, batch)
    await sender.hear("04", "R", batch=first)
    before = len(sender.gateway.submitted)
    await sender.send()

    assert [one.dest for one in sender.gateway.submitted[before:]] == [
        f"86{mobile_of('05')}"
    ]
    assert list((await left_out(town, batch)).items()) == [("04", "DO_NOT_DISTURB")]


async def test_a_number_alone_is_refused_where_nobody_is_known_by_it(town, sender):
    """An answer from a stranger lies with the head office, and holds for batches that are planned later."""
    await sender.hear("06", "N")
    await sender.hear("07", "你们是谁")
    theirs = await answers(town)
    all_ = (await answers(town, "auditor")).inbounds
    offers = await planned(town, "06")
    [told] = await published(town)
    await delivered(town)

    assert theirs.total_size == 0
    assert [(one.branch, one.customer, one.assignee) for one in all_] == [
        ("branches/0", "", "")
    ] * 2
    assert await left_out(town, offers) == {"06": "REFUSED_BEFORE"}
    assert not told.customers
    assert await ledger(town, "06") == []


async def test_who_allows_again_is_written_to_again(town, sender):
    """The number's refusal is lifted, and the ledger gets the lifting and a consent with evidence and text version."""
    batch = await sent(town, sender, "08")
    await sender.hear("08", "R", batch=batch)
    await sender.hear("08", "恢复", batch=batch)
    await delivered(town)
    entries = await ledger(town, "08")
    [refusal, allowance] = (await answers(town, order_by="receive_time")).inbounds
    await set_parameter(town, "marketing_cap", '{"week": 0, "month": 0}')
    offers = await planned(town, "08")

    assert [one.act for one in entries] == [
        consent_pb2.CONSENT_ACT_DO_NOT_DISTURB_SET,
        consent_pb2.CONSENT_ACT_DO_NOT_DISTURB_LIFTED,
        consent_pb2.CONSENT_ACT_GRANTED,
    ]
    assert entries[2].evidence.text_version == "sms-2026-11"
    assert [one.evidence.reference for one in entries] == [
        refusal.name,
        allowance.name,
        allowance.name,
    ]
    assert await left_out(town, offers) == {}
    assert len(await published(town)) == 1


async def test_an_old_permission_told_again_does_not_undo_a_refusal(town, sender):
    """Allowed, then refused: the centre repeating the first changes nothing; refusing again counts anew."""
    batch = await sent(town, sender, "09")
    for text in ("R", "恢复", "R", "恢复", "R"):
        await sender.hear("09", text, batch=batch)
    await set_parameter(town, "marketing_cap", '{"week": 0, "month": 0}')
    offers = await planned(town, "09")

    assert (await answers(town)).total_size == 3
    assert await left_out(town, offers) == {"09": "REFUSED_BEFORE"}


async def test_words_are_each_branchs_own(town, sender):
    """What another branch takes for a refusal is here something to read."""
    batch = await sent(town, sender, "10")
    await town.messaging.sql(
        "INSERT INTO parameters (branch_id, key, effective_date, value, update_time, update_by) "
        "VALUES (101, 'opt_out_words', '2026-01-01', '[\"别发了\"]', now(), 'x')"
    )
    await sender.hear("10", "R", batch=batch)
    await sender.hear("10", "别发了", batch=batch)
    found = (await answers(town, order_by="receive_time")).inbounds
    kinds = [pb.INBOUND_KIND_REPLY, pb.INBOUND_KIND_OPT_OUT]

    assert [one.kind for one in found] == kinds


async def test_a_refusal_is_confirmed_once_to_who_refused(town, sender):
    """The confirmation goes out though the number has just refused, from the number that was answered, and once."""
    batch = await sent(town, sender, "01")
    await sender.hear("01", "R", batch=batch)
    await sender.hear("01", "R", batch=batch)
    waiting = (await answers(town)).inbounds[0].confirmation_state
    before = len(sender.gateway.submitted)
    counts = [await sender.listener.confirm(sender.link) for _ in range(2)]
    [message] = sender.gateway.submitted[before:]
    [found] = (await answers(town)).inbounds

    assert waiting == pb.CONFIRMATION_STATE_WAITING
    assert counts == [1, 0]
    assert message.dest == f"86{mobile_of('01')}"
    assert message.source == sender.gateway.submitted[0].source
    assert message.text == (
        "【农业银行】您已拒收我行营销短信，即时生效；如需恢复请回复HF。"
    )
    assert not message.want_receipt
    assert found.confirmation_state == pb.CONFIRMATION_STATE_SENT


async def test_what_becomes_of_a_confirmation_is_kept(town, sender):
    """Refused by the centre, lost with the link, not wanted any more, or not taken and then taken."""
    batch = await sent(town, sender, "01", "02", "03", "04")
    verdicts = {"01": ["rejected"], "02": ["throttled", "accepted"]}
    sender.gateway.judge = lambda message: verdicts[message.dest[-2:]].pop(0)
    for number in ("01", "02"):
        await sender.hear(number, "R", batch=batch)
    await sender.listener.confirm(sender.link)
    sender.link._held_until = 0
    await sender.listener.confirm(sender.link)
    sender.gateway.silent = True
    await sender.hear("03", "R", batch=batch)
    task = asyncio.create_task(sender.listener.confirm(sender.link))
    while sender.gateway.room() == sender.gateway.caps.window:
        await asyncio.sleep(0.01)
    sender.gateway.lose_link("cut")
    await task
    sender.gateway.bind_again()
    await sender.hear("04", "R", batch=batch)
    await set_parameter(town, "opt_out_confirmation", '""')
    await sender.listener.confirm(sender.link)
    found = {
        one.customer[-2:]: one.confirmation_state
        for one in (await answers(town)).inbounds
    }

    assert found == {
        "01": pb.CONFIRMATION_STATE_FAILED,
        "02": pb.CONFIRMATION_STATE_SENT,
        "03": pb.CONFIRMATION_STATE_UNKNOWN,
        "04": pb.CONFIRMATION_STATE_UNSPECIFIED,
    }


async def test_a_confirmation_nobody_heard_of_is_not_sent_again(town, sender):
    """One that was in hand when its process ended becomes unknown, one that waited a day is given up."""
    batch = await sent(town, sender, "01", "02")
    for number in ("01", "02"):
        await sender.hear(number, "R", batch=batch)
    await town.messaging.sql(
        "UPDATE inbounds SET confirmation = 2, confirm_time = now() - interval '11 minutes' WHERE number = '01'"
    )
    await town.messaging.sql(
        "UPDATE inbounds SET receive_time = now() - interval '25 hours' WHERE number = '02'"
    )
    before = len(sender.gateway.submitted)
    await sender.listener.confirm(sender.link)
    found = {
        one.customer[-2:]: one.confirmation_state
        for one in (await answers(town)).inbounds
    }

    assert len(sender.gateway.submitted) == before
    assert found == {
        "01": pb.CONFIRMATION_STATE_UNKNOWN,
        "02": pb.CONFIRMATION_STATE_FAILED,
    }


async def test_nothing_is_confirmed_to_what_is_no_mobile(town, sender):
    """A service number that answers by itself gets no answer back, so that two machines never talk for ever."""
    sender.gateway.hear("10086", "R")
    await sender.listener.take(sender.link)
    [found] = (await answers(town, "auditor")).inbounds

    assert found.kind == pb.INBOUND_KIND_OPT_OUT
    assert found.confirmation_state == pb.CONFIRMATION_STATE_UNSPECIFIED


async def test_messages_are_seen_by_their_assignee_and_the_branch(town, sender):
    """A teller sees own ones, the branch manager the branch's, others none; pages end, and filters narrow."""
    mine = await sent(town, sender, "01", "02", "03", purpose=SERVICE_PURPOSE)
    theirs = await sent(town, sender, "04", purpose=SERVICE_PURPOSE, who="manager")
    for number in ("01", "02", "03"):
        await sender.hear(number, f"问题{number}", batch=mine)
    await sender.hear("04", "R", batch=theirs)
    first = await answers(town, page_size=2)
    rest = await answers(town, page_size=2, page_token=first.next_page_token)
    whole = await answers(town, "manager")
    [foreign] = (await answers(town, "manager", assignee="staff/manager")).inbounds
    sizes = [
        (await answers(town, "manager", **filters)).total_size
        for filters in (
            {"branch_id": 101},
            {"branch_id": 102},
            {"state": pb.INBOUND_STATE_OPEN},
            {"kind": pb.INBOUND_KIND_OPT_OUT},
            {"batch": mine.name},
            {"customer": "customers/02"},
            {"query": "0"},
            {"query": "3"},
        )
    ]
    hidden = await refused(get(town, foreign.name))
    far = await refused(get(town, foreign.name, "far_manager"))
    other = await answers(town, "keeper")

    assert [one.customer for one in (*first.inbounds, *rest.inbounds)] == [
        "customers/03",
        "customers/02",
        "customers/01",
    ]
    assert (first.total_size, rest.next_page_token) == (3, "")
    assert whole.total_size == 4
    assert sizes == [4, 0, 3, 1, 3, 1, 4, 0]
    assert hidden == far == ("NOT_FOUND", "NOT_FOUND")
    assert other.total_size == 0


async def test_a_message_is_closed_once_with_a_remark(town, sender):
    """Closing wants the etag, happens once, and is kept with who did it."""
    batch = await sent(town, sender, "01", "02")
    await sender.hear("01", "请回电", batch=batch)
    await sender.hear("02", "R", batch=batch)
    [refusal, reply] = (await answers(town)).inbounds
    stale = await refused(close(town, reply, etag="9"))
    short = await refused(close(town, reply, remark="x"))
    own = request_id()
    done = await close(town, reply, request_id=own)
    again = await close(town, reply, request_id=own)
    twice = await refused(close(town, done))
    machine = await refused(close(town, refusal))
    hidden = await refused(close(town, done, who="keeper"))

    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert short == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert (done.state, done.closer) == (pb.INBOUND_STATE_CLOSED, "staff/teller")
    assert (done.close_remark, done.HasField("close_time")) == ("已电话回复", True)
    assert again == done
    assert twice == machine == ("FAILED_PRECONDITION", "INBOUND_STATE_UNFIT")
    assert hidden == ("NOT_FOUND", "NOT_FOUND")


async def a_colleague(allocation, staff_id, branch=101):
    """Take somebody on in a branch."""
    await allocation.as_("operator")(StaffServiceStub).CreateStaff(
        staff_pb2.CreateStaffRequest(
            staff_id=staff_id,
            staff=staff_pb2.Staff(
                branch=f"branches/{branch}",
                display_name="同事",
                operator_no=f"op{staff_id}",
                posts=[policy_pb2.ROLE_OPEN_COUNTER_TELLER],
            ),
            initial_password="a long first password",
            request_id=request_id(),
        )
    )


@pytest_asyncio.fixture(loop_scope="session")
async def staffed(bank):
    """Customers of a teller beside the service that knows the staff: two people of the branch, one of another."""
    allocation = await messages.allocation_of(bank)
    await put(
        allocation,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        a_branch(102, parent_branch_id=100),
    )
    await a_colleague(allocation, "near")
    await a_colleague(allocation, "gone")
    await a_colleague(allocation, "far", 102)
    await allocation.sql(
        "UPDATE staff SET posts = '{}', state = 'LEFT' WHERE staff_id = 'gone'"
    )
    running = await messages.start(bank, NUMBERS[:2])
    yield running
    await messages.stop(running)
    await allocation.stop()
    bank._addresses.pop("allocation")


async def test_a_message_is_given_to_a_colleague_of_its_branch(staffed, tmp_path):
    """The colleague is looked up; another branch's, and nobody's, are refused; who gave it away does not see it."""
    sender = await Sender(staffed, tmp_path / "flight").open()
    batch = await sent(staffed, sender, "01", purpose=SERVICE_PURPOSE)
    await sender.hear("01", "请回电", batch=batch)
    sender.close()
    [reply] = (await answers(staffed)).inbounds
    unfit = [await refused(assign(staffed, reply, who)) for who in ("far", "gone")]
    nobody = await refused(assign(staffed, reply, "nobody"))
    stale = await refused(assign(staffed, reply, "near", etag="9"))
    given = await assign(staffed, reply, "near")
    hidden = await refused(get(staffed, reply.name))
    closed = await close(staffed, given, who="manager")
    late = await refused(assign(staffed, closed, "near", who="manager"))

    assert unfit == [("INVALID_ARGUMENT", "ASSIGNEE_UNFIT")] * 2
    assert nobody == ("NOT_FOUND", "NOT_FOUND")
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert given.assignee == "staff/near"
    assert hidden == ("NOT_FOUND", "NOT_FOUND")
    assert late == ("FAILED_PRECONDITION", "INBOUND_STATE_UNFIT")
