"""Batches: planned for people in groups, confirmed by digest, seen by a second person, held back, ended."""

import asyncio
from datetime import timedelta

import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import messaging_events_pb2 as facts

from services.chassis.wiretypes import time_to
from tests import messages
from tests.builders import request_id
from tests.messages import (
    CARE,
    MARKETING,
    a_group,
    approve,
    approved,
    batches,
    change,
    confirm,
    consent,
    counts,
    get,
    mobile_of,
    plan,
    recipients,
    refuse,
)
from tests.refusals import read, refused

NUMBERS = [f"{number:02}" for number in range(1, 13)]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller in branch 101, beside the service that writes to them."""
    running = await messages.start(bank, NUMBERS, same={"12": "11"})
    yield running
    await messages.stop(running)


async def planned(town, *numbers, **more):
    """Plan a batch for customers in a group of their own."""
    purpose = more.pop("purpose", messages.SERVICE_PURPOSE)
    who = more.get("who", "teller")
    name = f"客群 {request_id()[:8]}"
    template = await approved(town, name=name, purpose=purpose)
    group = await a_group(town, *numbers, name=name, who=who)
    return await plan(town, template, group, **more)


def excluded(batch):
    """Return the exclusions of a batch by the reason's name."""
    return {
        pb.ExclusionReason.Name(one.reason).removeprefix("EXCLUSION_REASON_"): one.count
        for one in batch.exclusions
    }


async def reject(town, batch, who="manager"):
    """Turn a batch down."""
    return await batches(town, who).RejectBatch(
        pb.RejectBatchRequest(
            name=batch.name, etag=batch.etag, remark="不妥", request_id=request_id()
        )
    )


async def finished(town):
    """Return the ends of batches that were published."""
    rows = await town.messaging.sql("SELECT fact FROM outbox ORDER BY sequence")
    found = []
    for row in rows:
        fact = facts.BatchFinished()
        if b"BatchFinished" in row["fact"]:
            holder = messages.SimpleNamespace(value=row["fact"])
            fact.ParseFromString(any_value(holder.value))
            found.append(fact)
    return found


def any_value(raw):
    """Return the packed message of a stored fact."""
    from google.protobuf.any_pb2 import Any

    return Any.FromString(raw).value


async def test_several_groups_are_one_batch_with_everybody_once(town):
    """Who is in two groups is planned once; samples are rendered, counts sum up, and nothing is written in clear."""
    template = await approved(town, name="两组")
    one = await a_group(town, "01", "02", "03", name="一组")
    two = await a_group(town, "03", "04", name="二组")
    batch = await plan(town, template, one, two)
    people = await recipients(town, batch)
    rows = await town.messaging.sql("SELECT * FROM recipients")
    audited = await town.customer.sql(
        "SELECT resources, actor FROM audit_records WHERE method LIKE '%StreamMembers'"
    )

    assert (batch.state, batch.total_count, batch.segment_count) == (
        pb.BATCH_STATE_PLANNED,
        4,
        4,
    )
    assert counts(batch) == (0, 4, 0, 0, 0, 0, 0, 0)
    assert (batch.gateway, batch.unknown_policy) == (
        "gateways/demo",
        pb.UNKNOWN_POLICY_FENCE,
    )
    assert batch.samples[0].text == (
        "【农业银行】尊敬的王先生，您的定期存款即将到期，欢迎莅临营业部。"
    )
    assert [one.customer for one in people.recipients] == [
        f"customers/{number}" for number in ("01", "02", "03", "04")
    ]
    assert people.recipients[0].mobile == "138****0001"
    assert {one.state for one in people.recipients} == {pb.RECIPIENT_STATE_WAITING}
    for row in rows:
        text = "|".join(str(value) for value in dict(row).values())
        assert mobile_of(row["number"]) not in text
        assert "定期存款" not in text
    assert batch.name in audited[-1]["resources"]
    assert audited[-1]["actor"] == "staff/teller"


async def test_everybody_is_left_out_for_the_first_reason_that_holds(town):
    """Each reason as its customer has it; of two with one number the first is written to."""
    sql = town.customer.sql
    await sql(
        "UPDATE customers SET mobile = NULL, mobile_mask = '' WHERE number = '01'"
    )
    await sql("UPDATE customers SET mobile_mask = '12345' WHERE number = '02'")
    await refuse(town, "03")
    await consent(town, "03", "05", "06", "07", "08", "09", "11", "12")
    await sql("UPDATE customers SET owner = 'other_keeper' WHERE number = '07'")
    await sql("UPDATE customers SET display_name = '【骗子】' WHERE number = '08'")
    group = await a_group(town, *NUMBERS[:6], "08", "09", "11", "12", name="各色")
    await sql(
        "INSERT INTO group_members SELECT branch_id, group_id, '07', add_time, NULL, 99 "
        "FROM group_members WHERE number = '09' LIMIT 1"
    )
    template = await approved(
        town, name="各色", purpose=MARKETING, body="{{customer_name}}您好，新品上市。"
    )
    batch = await plan(town, template, group)
    people = await recipients(town, batch)
    reason = {
        one.customer[-2:]: pb.ExclusionReason.Name(one.exclusion_reason)[17:]
        for one in people.recipients
    }
    only = await recipients(
        town, batch, exclusion_reason=pb.EXCLUSION_REASON_CONSENT_MISSING
    )

    assert reason == {
        "01": "NO_MOBILE",
        "02": "INVALID_MOBILE",
        "03": "DO_NOT_DISTURB",
        "04": "CONSENT_MISSING",
        "05": "UNSPECIFIED",
        "06": "UNSPECIFIED",
        "07": "NOT_OWNED",
        "08": "FIELD_MISSING",
        "09": "UNSPECIFIED",
        "11": "UNSPECIFIED",
        "12": "SAME_NUMBER",
    }
    assert excluded(batch) == {
        name: 1 for name in reason.values() if name != "UNSPECIFIED"
    }
    assert sum(counts(batch)) == batch.total_count == 11
    assert [one.customer for one in only.recipients] == ["customers/04"]


async def test_a_group_of_somebody_else_cannot_be_written_to(town):
    """A teller sees only groups of their own; another branch's is not there either."""
    template = await approved(town, name="越权")
    manager = await a_group(town, "01", name="主任的组", who="manager")
    far = await refused(plan(town, template, manager, who="far_manager"))
    theirs = await refused(plan(town, template, manager))
    mine = await plan(town, template, manager, who="manager")

    assert theirs == far == ("NOT_FOUND", "NOT_FOUND")
    assert mine.sender == "staff/manager"


async def test_what_cannot_be_planned_is_refused(town):
    """No approved template, no gateway, a time that does not fit, nobody, too many."""
    group, empty = (
        await a_group(town, "01", "02", name="甲"),
        await a_group(town, name="乙"),
    )
    draft = await messages.a_template(town, name="草稿")
    template = await approved(town, name="可用")
    now = town.messaging.frame.clock()
    fits = [
        await refused(plan(town, template, group, **more))
        for more in (
            {"schedule_time": time_to(now - timedelta(minutes=5))},
            {"schedule_time": time_to(now + timedelta(days=31))},
            {"gateway": "gateways/nowhere"},
        )
    ]
    unready = await refused(plan(town, draft, group))
    nobody = await refused(plan(town, template, empty))
    await messages.set_parameter(town, "batch_limit", "1")
    large = await refused(plan(town, template, group))

    assert fits == [
        ("INVALID_ARGUMENT", "SCHEDULE_UNFIT"),
        ("INVALID_ARGUMENT", "SCHEDULE_UNFIT"),
        ("FAILED_PRECONDITION", "GATEWAY_MISSING"),
    ]
    assert unready == ("FAILED_PRECONDITION", "TEMPLATE_NOT_APPROVED")
    assert nobody == ("FAILED_PRECONDITION", "BATCH_EMPTY")
    assert large == ("RESOURCE_EXHAUSTED", "BATCH_TOO_LARGE")


async def test_the_same_request_plans_one_batch(town):
    """A repeated request gets the stored answer; another batch of the same people has the same digest."""
    template = await approved(town, name="重复")
    group = await a_group(town, "01", name="重复")
    request = request_id()
    first = await plan(town, template, group, request_id=request)
    again = await plan(town, template, group, request_id=request)
    other = await plan(town, template, group)
    later = town.messaging.frame.clock() + timedelta(days=1)
    put_off = await plan(town, template, group, schedule_time=time_to(later))
    rows = await town.messaging.sql("SELECT count(*) AS count FROM batches")

    assert first == again
    assert first.name != other.name
    assert first.digest == other.digest != put_off.digest
    assert rows[0]["count"] == 3


async def test_a_service_notice_goes_out_as_soon_as_it_is_confirmed(town):
    """Confirming wants digest and etag; a batch for later waits for its time."""
    batch = await planned(town, "01", "02")
    digest = await refused(confirm(town, batch, digest="f" * 64))
    stale = await refused(confirm(town, batch, etag="9"))
    done = await confirm(town, batch)
    twice = await refused(confirm(town, done))
    later = town.messaging.frame.clock() + timedelta(hours=1)
    put_off = await confirm(
        town, await planned(town, "03", schedule_time=time_to(later))
    )

    assert digest == ("INVALID_ARGUMENT", "DIGEST_DIFFERS")
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert done.state == pb.BATCH_STATE_SENDING
    assert twice == ("FAILED_PRECONDITION", "BATCH_STATE_UNFIT")
    assert put_off.state == pb.BATCH_STATE_SCHEDULED


async def test_an_old_plan_and_one_without_anybody_are_not_confirmed(town):
    """The plan must be fresh, and somebody must be left."""
    batch = await planned(town, "01")
    await town.messaging.sql(
        "UPDATE batches SET create_time = create_time - interval '25 hours'"
    )
    old = await refused(confirm(town, batch))
    await refuse(town, "02")
    nobody = await planned(town, "02", purpose=CARE)
    left = await refused(confirm(town, nobody))

    assert old == ("FAILED_PRECONDITION", "BATCH_PLAN_OUTDATED")
    assert excluded(nobody) == {"DO_NOT_DISTURB": 1}
    assert left == ("FAILED_PRECONDITION", "BATCH_NOBODY_LEFT")


async def test_marketing_and_large_batches_need_a_second_person(town):
    """Who planned or confirmed does not approve; the digest must be the one shown."""
    await consent(town, "01", "02")
    batch = await planned(town, "01", "02", purpose=MARKETING, who="manager")
    waiting = await confirm(town, batch, who="manager")
    own = await refused(approve(town, waiting, who="manager"))
    digest = await refused(approve(town, waiting, who="upper_manager", digest="0"))
    done = await approve(town, waiting, who="upper_manager")
    await messages.set_parameter(town, "approval_size", "1")
    large = await confirm(town, await planned(town, "03", "04"))
    back = await reject(town, large)

    assert waiting.state == pb.BATCH_STATE_AWAITING_APPROVAL
    assert own == ("PERMISSION_DENIED", "APPROVER_IS_SENDER")
    assert digest == ("INVALID_ARGUMENT", "DIGEST_DIFFERS")
    assert (done.state, done.approver) == (
        pb.BATCH_STATE_SENDING,
        "staff/upper_manager",
    )
    assert (back.state, back.review_remark) == (pb.BATCH_STATE_REJECTED, "不妥")
    assert counts(back) == (0, 0, 0, 0, 0, 0, 2, 0)
    assert [one.state for one in await finished(town)] == [pb.BATCH_STATE_REJECTED]


async def test_a_batch_is_held_back_goes_on_and_ends(town):
    """Pause, resume, cancel; what was not handed over is cancelled, and the end is published once."""
    batch = await confirm(town, await planned(town, "01", "02", "03"))
    paused = await change(town, "Pause", batch)
    twice = await refused(change(town, "Pause", batch))
    resumed = await change(town, "Resume", batch)
    ended = await change(town, "Cancel", batch)
    late = await refused(change(town, "Cancel", batch))
    [told] = await finished(town)

    assert paused.state == pb.BATCH_STATE_PAUSED
    assert twice == late == ("FAILED_PRECONDITION", "BATCH_STATE_UNFIT")
    assert resumed.state == pb.BATCH_STATE_SENDING
    assert ended.state == pb.BATCH_STATE_CANCELLED
    assert ended.HasField("finish_time")
    assert counts(ended) == (0, 0, 0, 0, 0, 0, 3, 0)
    assert (told.batch, told.state, told.total_count, told.accepted_count) == (
        batch.name,
        pb.BATCH_STATE_CANCELLED,
        3,
        0,
    )


async def test_batches_are_seen_by_their_sender_and_the_branch(town):
    """A teller sees own batches only, the branch manager all of the branch, another branch none; pages end."""
    mine = [await planned(town, number) for number in ("01", "02", "03")]
    theirs = await planned(town, "04", who="manager")
    hidden = await refused(get(town, theirs))
    elsewhere = await refused(get(town, mine[0], who="far_manager"))
    first = await batches(town).ListBatches(pb.ListBatchesRequest(page_size=2))
    rest = await batches(town).ListBatches(
        pb.ListBatchesRequest(page_size=2, page_token=first.next_page_token)
    )
    whole = await batches(town, "manager").ListBatches(pb.ListBatchesRequest())
    sent = await batches(town, "manager").ListBatches(
        pb.ListBatchesRequest(sender="staff/manager")
    )
    none = await batches(town, "far_manager").ListBatches(pb.ListBatchesRequest())

    assert hidden == elsewhere == ("NOT_FOUND", "NOT_FOUND")
    assert [one.name for one in (*first.batches, *rest.batches)] == [
        one.name for one in reversed(mine)
    ]
    assert (first.total_size, rest.next_page_token) == (3, "")
    assert not first.batches[0].samples
    assert whole.total_size == 4
    assert [one.name for one in sent.batches] == [theirs.name]
    assert none.total_size == 0


async def test_recipients_page_to_the_end_and_narrow(town):
    """Pages of five hold each person once, by place; a number's beginning and a state narrow."""
    batch = await planned(town, *NUMBERS)
    found, token = [], ""
    while True:
        page = await batches(town).ListRecipients(
            pb.ListRecipientsRequest(batch=batch.name, page_size=5, page_token=token)
        )
        found += [(one.ordinal, one.customer) for one in page.recipients]
        token = page.next_page_token
        if not token:
            break
    tens = await recipients(town, batch, query="1")
    sent = await recipients(town, batch, state=pb.RECIPIENT_STATE_SENT)

    assert found == [
        (place, f"customers/{number}") for place, number in enumerate(NUMBERS, 1)
    ]
    assert page.total_size == 12
    assert [one.customer for one in tens.recipients] == [
        f"customers/{number}" for number in ("10", "11", "12")
    ]
    assert sent.total_size == 0


async def test_watching_tells_at_once_when_something_changes_and_ends_with_the_batch(
    town,
):
    """The first answer is the batch as it stands, the last its end; every snapshot's counts sum to the total."""
    batch = await confirm(town, await planned(town, "01", "02"))
    call = batches(town).WatchBatch(pb.WatchBatchRequest(name=batch.name))
    seen = []
    async for snapshot in call:
        seen.append(snapshot)
        if len(seen) == 1:
            await change(town, "Pause", batch)
        if snapshot.state == pb.BATCH_STATE_PAUSED:
            await change(town, "Cancel", batch)
    stranger = batches(town, "keeper").WatchBatch(pb.WatchBatchRequest(name=batch.name))
    try:
        hidden = [one async for one in stranger]
    except Exception as error:  # noqa: BLE001 - what is refused is read below
        hidden = read(error)
    await asyncio.sleep(0)

    assert [one.state for one in seen] == [
        pb.BATCH_STATE_SENDING,
        pb.BATCH_STATE_PAUSED,
        pb.BATCH_STATE_CANCELLED,
    ]
    assert {sum(counts(one)) for one in seen} == {2}
    assert hidden == ("NOT_FOUND", "NOT_FOUND")
