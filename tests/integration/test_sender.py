"""Sending: nobody gets a message twice and nobody is lost, whatever dies; refusals and pauses hold to the last."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any
from guanhu.customer.v1 import customer_events_pb2
from guanhu.engagement.v1 import work_log_pb2
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import messaging_events_pb2 as facts
from uuid_utils.compat import uuid7

from deploy.localpg import free_port
from services.chassis.caller import Caller, service_caller
from services.messaging.batch.actions import change as changes
from services.messaging.batch.actions import plan as plans
from services.messaging.batch.rules import Person
from services.messaging.delivery.actions import receipts
from services.messaging.delivery.actions.station import Patience
from tests import messages
from tests.messages import (
    CARE,
    MARKETING,
    Sender,
    a_group,
    approve,
    approved,
    change,
    confirm,
    consent,
    counts,
    get,
    plan,
    recipients,
    tell,
)

ROOT = Path(__file__).parents[2]
NUMBERS = [f"{number:02}" for number in range(1, 13)]
NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller."""
    running = await messages.start(bank, NUMBERS)
    yield running
    await messages.stop(running)


@pytest.fixture
def folder(tmp_path):
    """Where flight records lie."""
    return tmp_path / "flight"


async def going_out(town, *numbers, purpose=messages.SERVICE_PURPOSE, **more):
    """Return a batch that is being sent."""
    name = f"客群 {uuid4().hex[:8]}"
    template = await approved(town, name=name, purpose=purpose)
    group = await a_group(town, *numbers, name=name)
    batch = await confirm(town, await plan(town, template, group, **more))
    if batch.state == pb.BATCH_STATE_AWAITING_APPROVAL:
        batch = await approve(town, batch)
    return batch


async def published(town, kind):
    """Return the facts of one kind that messaging published, in their order."""
    rows = await town.messaging.sql("SELECT fact FROM outbox ORDER BY sequence")
    packed = [Any.FromString(row["fact"]) for row in rows]
    return [kind.FromString(one.value) for one in packed if one.Is(kind.DESCRIPTOR)]


async def contacts(town):
    """Return what engagement is told, by customer."""
    rows = await town.messaging.sql("SELECT request FROM errands ORDER BY errand_id")
    found = Counter()
    for row in rows:
        request = work_log_pb2.RecordBatchContactsRequest.FromString(row["request"])
        found.update(one.customer for one in request.contacts)
    return found


async def counted(town, batch):
    """Return the eight counts of a batch from its rows, the plain way."""
    people = (await recipients(town, batch)).recipients
    found = Counter(one.state for one in people)
    order = (1, 2, 4, 5, 6, 7, 8, 3)
    return tuple(found[state] for state in order)


async def test_everybody_gets_one_message_and_engagement_hears_once(town, folder):
    """The text that was planned goes to the number that was stored; counts, facts and contacts agree with the rows."""
    batch = await going_out(town, *NUMBERS)
    sender = await Sender(town, folder).open()
    await sender.send()
    done = await get(town, batch)
    settled = await published(town, facts.MessageSettled)
    [ended] = await published(town, facts.BatchFinished)
    told = await contacts(town)

    assert Counter(one.dest for one in sender.gateway.submitted) == Counter(
        f"86{messages.mobile_of(number)}" for number in NUMBERS
    )
    assert {one.text for one in sender.gateway.submitted} == {batch_text(done)}
    assert done.state == pb.BATCH_STATE_FINISHED
    assert counts(done) == await counted(town, batch) == (0, 0, 12, 0, 0, 0, 0, 0)
    assert [len(one.lines) for one in settled] == [12]
    assert (ended.accepted_count, ended.total_count) == (12, 12)
    assert told == Counter(f"customers/{number}" for number in NUMBERS)
    assert not list(folder.rglob("*.flight"))
    sender.close()


def batch_text(batch):
    """Return the text of a batch whose people are all called alike."""
    return batch.samples[0].text


async def test_failures_and_receipts_are_entered(town, folder):
    """A refusal is final, passing trouble is tried three times, receipts say delivered or failed, the first counts."""
    batch = await going_out(town, "01", "02", "03", "04")
    verdicts = {"01": "rejected", "02": "temporary"}

    def judge(message):
        return verdicts.get(message.dest[-2:], "accepted")

    sender = await Sender(town, folder, judge=judge).open()
    await sender.send()
    by_dest = {one.dest[-2:]: key for key, one in sender.gateway.taken.items()}
    sender.gateway.report(by_dest["03"], "delivered")
    sender.gateway.report(by_dest["04"], "expired", code="070")
    sender.gateway.report(by_dest["03"], "failed")
    stored = await sender.station.take_receipts(sender.link)
    sorted_ = await sender.station.sort_receipts(sender.link)
    people = {
        one.customer[-2:]: one for one in (await recipients(town, batch)).recipients
    }
    tried = Counter(one.dest[-2:] for one in sender.gateway.submitted)

    assert (stored, sorted_) == (3, 3)
    assert len(sender.gateway.acked) == 3
    assert {number: one.state for number, one in people.items()} == {
        "01": pb.RECIPIENT_STATE_FAILED,
        "02": pb.RECIPIENT_STATE_FAILED,
        "03": pb.RECIPIENT_STATE_DELIVERED,
        "04": pb.RECIPIENT_STATE_FAILED,
    }
    assert (people["04"].failure_code, people["01"].failure_code) == ("070", "1")
    assert tried == Counter({"01": 1, "02": 3, "03": 1, "04": 1})
    assert (
        counts(await get(town, batch))
        == await counted(town, batch)
        == (0, 0, 0, 1, 3, 0, 0, 0)
    )
    sender.close()


async def test_receipts_are_acknowledged_only_once_they_are_stored(town, folder):
    """While the store is away nothing is acknowledged; a receipt told twice is one row."""
    await going_out(town, "01")
    sender = await Sender(town, folder).open()
    await sender.send()
    [taken] = sender.gateway.taken
    sender.gateway.report(taken)
    uow, sender.desk.uow = sender.desk.uow, None
    with pytest.raises(TypeError):
        await sender.station.take_receipts(sender.link)
    before = list(sender.gateway.acked)
    sender.desk.uow = uow
    await sender.station.take_receipts(sender.link)
    sender.gateway.report(taken)
    await sender.station.take_receipts(sender.link)
    rows = await town.messaging.sql("SELECT * FROM receipts")

    assert before == []
    assert len(sender.gateway.acked) == 2
    assert len(rows) == 1
    sender.close()


async def test_a_throttled_message_is_handed_over_again(town, folder):
    """What the centre did not take for speed is not lost and not doubled."""
    batch = await going_out(town, *NUMBERS)
    refusals = Counter()

    def judge(message):
        refusals[message.dest] += 1
        return "throttled" if refusals[message.dest] == 1 else "accepted"

    sender = await Sender(town, folder, judge=judge).open()
    await sender.send()

    assert counts(await get(town, batch)) == (0, 0, 12, 0, 0, 0, 0, 0)
    assert Counter(one.dest for one in sender.gateway.taken.values()) == Counter(
        f"86{messages.mobile_of(number)}" for number in NUMBERS
    )
    sender.close()


def refusal(number, act=1, purpose=0, channel=0):
    """Return the fact that a customer's ledger has a new entry; act 1 asks not to be disturbed, 4 withdraws."""
    return customer_events_pb2.ConsentChanged(
        lines=[
            customer_events_pb2.ConsentChanged.Line(
                customer=f"customers/{number}",
                consent=f"consents/{uuid7()}",
                act=act,
                purpose=purpose,
                channel=channel,
            )
        ]
    )


async def test_who_refused_since_planning_is_left_out_late(town, folder):
    """Refusals for the purpose and channel count, others and lifted ones do not; who moved away is left out too."""
    batch = await going_out(town, *NUMBERS[:6], purpose=CARE)
    await tell(town, refusal("01"))
    await tell(town, refusal("02", purpose=MARKETING))
    await tell(town, refusal("03", channel=2))
    await tell(town, refusal("04", purpose=CARE))
    await tell(town, refusal("04", act=2))
    await tell(town, refusal("05", act=4, purpose=CARE))
    moved = customer_events_pb2.CustomerMoved(from_branch_id=101, to_branch_id=102)
    moved.lines.add(customer="customers/06", move_version=1)
    await tell(town, moved)
    sender = await Sender(town, folder, clock=lambda: NOON).open()
    await town.messaging.sql("UPDATE parameters SET value = value")
    await messages.set_parameter(town, "sms_hours", '{"from": 0, "to": 24}')
    await sender.send()
    done = await get(town, batch)
    people = (await recipients(town, batch)).recipients

    assert {one.dest[-2:] for one in sender.gateway.submitted} == {"02", "03", "04"}
    assert counts(done) == await counted(town, batch) == (3, 0, 3, 0, 0, 0, 0, 0)
    assert {
        one.customer[-2:]: pb.ExclusionReason.Name(one.exclusion_reason)[17:]
        for one in people
        if one.exclusion_reason
    } == {"01": "DO_NOT_DISTURB", "05": "CONSENT_WITHDRAWN", "06": "NOT_OWNED"}
    assert sum(one.count for one in done.exclusions) == 3
    sender.close()


async def test_a_refusal_under_way_and_a_pause_hold_within_a_round(town, folder):
    """With a window of two and a silent centre, the round that follows stops the rest."""
    batch = await going_out(town, *NUMBERS[:6])
    sender = await Sender(town, folder, window=2, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    await tell(town, refusal("03", purpose=1))
    await sender.station.beat()
    sender.gateway.answer()
    while len(sender.gateway.submitted) < 4:
        await asyncio.sleep(0.01)
    await change(town, "Pause", batch)
    await sender.station.beat()
    sender.gateway.answer()
    await task
    paused = await get(town, batch)
    await change(town, "Resume", batch)
    sender.gateway.silent = False
    await sender.send()
    done = await get(town, batch)

    assert [one.dest[-2:] for one in sender.gateway.submitted] == [
        "01",
        "02",
        "04",
        "05",
        "06",
    ]
    assert counts(paused) == (1, 1, 4, 0, 0, 0, 0, 0)
    assert done.state == pb.BATCH_STATE_FINISHED
    assert counts(done) == (1, 0, 5, 0, 0, 0, 0, 0)
    sender.close()


async def test_marketing_waits_for_the_day_and_stops_at_its_end_cap_too(town, folder):
    """Outside the hours only service notices go out; a second batch finds the week's cap reached."""
    await consent(town, "01", "02")
    await messages.set_parameter(town, "sms_hours", '{"from": 0, "to": 24}')
    first = await going_out(town, "01", "02", purpose=MARKETING)
    second = await going_out(town, "01", "02", purpose=MARKETING)
    await messages.set_parameter(town, "sms_hours", '{"from": 0, "to": 0}')
    notice = await going_out(town, "03")
    sender = await Sender(town, folder).open()
    await sender.send()
    at_night = [counts(await get(town, one)) for one in (first, second, notice)]
    await messages.set_parameter(town, "sms_hours", '{"from": 0, "to": 24}')
    await sender.send()
    by_day = [counts(await get(town, one)) for one in (first, second)]
    late = await get(town, second)

    assert at_night == [
        (0, 2, 0, 0, 0, 0, 0, 0),
        (0, 2, 0, 0, 0, 0, 0, 0),
        (0, 0, 1, 0, 0, 0, 0, 0),
    ]
    assert by_day == [(0, 0, 2, 0, 0, 0, 0, 0), (2, 0, 0, 0, 0, 0, 0, 0)]
    assert [one.reason for one in late.exclusions] == [pb.EXCLUSION_REASON_CAP_REACHED]
    sender.close()


async def unknown_batch(town, folder, **more):
    """Return a batch of four of which two were lost with the link, and its sender."""
    batch = await going_out(town, "01", "02", "03", "04", **more)
    sender = await Sender(town, folder, window=2, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    sender.gateway.lose_link("cut")
    await task
    sender.gateway.bind_again()
    sender.gateway.silent = False
    return batch, sender


async def test_the_fence_settles_by_receipt_or_sends_again(town, folder):
    """Of two unknown messages one has a receipt and was accepted, the other is sent again once none can come."""
    batch, sender = await unknown_batch(town, folder)
    lost = await get(town, batch)
    await sender.send()
    waiting = await get(town, batch)
    one = sender.gateway.submitted[0]
    sender.gateway.taken["x1"] = one
    sender.gateway.report("x1")
    await sender.station.take_receipts(sender.link)
    sender.station._patience = Patience(timedelta(), 0)
    await sender.station.sort_receipts(sender.link)
    early = await sender.station.sort_receipts(sender.link)
    half = await get(town, batch)
    await town.messaging.sql(
        "UPDATE unknowns SET fence_time = fence_time - interval '4 hours'"
    )
    await sender.station.sort_receipts(sender.link)
    again = await get(town, batch)
    await sender.send()
    done = await get(town, batch)
    told = await contacts(town)

    assert counts(lost) == (0, 2, 0, 0, 0, 2, 0, 0)
    assert counts(waiting) == (0, 0, 2, 0, 0, 2, 0, 0)
    assert waiting.state == pb.BATCH_STATE_SENDING
    assert early == 0
    assert counts(half) == (0, 0, 2, 1, 0, 1, 0, 0)
    assert counts(again) == (0, 1, 2, 1, 0, 0, 0, 0)
    assert done.state == pb.BATCH_STATE_FINISHED
    assert counts(done) == await counted(town, batch) == (0, 0, 3, 1, 0, 0, 0, 0)
    assert told == Counter(f"customers/{number}" for number in NUMBERS[:4])
    sender.close()


async def test_at_most_once_leaves_unknown_and_at_least_once_repeats(town, folder):
    """The policy decides: unknown for good, or sent again at once."""
    most, sender = await unknown_batch(
        town, folder, unknown_policy=pb.UNKNOWN_POLICY_AT_MOST_ONCE
    )
    await sender.send()
    sender.close()
    least, other = await unknown_batch(
        town, folder, unknown_policy=pb.UNKNOWN_POLICY_AT_LEAST_ONCE
    )
    await other.send()
    ends = [await get(town, one) for one in (most, least)]

    assert [one.state for one in ends] == [pb.BATCH_STATE_FINISHED] * 2
    assert [counts(one) for one in ends] == [
        (0, 0, 2, 0, 0, 2, 0, 0),
        (0, 0, 4, 0, 0, 0, 0, 0),
    ]
    assert len(other.gateway.submitted) == 6
    other.close()


async def test_a_machine_started_anew_counts_a_chunk_as_unknown(town, folder):
    """After a power cut the record cannot be relied on; a lease of a machine that never comes back is taken over."""
    batch = await going_out(town, "01", "02")
    sender = await Sender(town, folder, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while not sender.gateway.submitted:
        await asyncio.sleep(0.01)
    held = await get(town, batch)
    await town.messaging.sql("UPDATE chunks SET boot = 'another'")
    await sender.station.recover(sender.desk.seat)
    after = await get(town, batch)
    sender.gateway.answer()
    await task
    late = await get(town, batch)

    assert counts(held) == (0, 0, 0, 0, 0, 0, 0, 2)
    assert counts(after) == (0, 0, 0, 0, 0, 2, 0, 0)
    assert counts(late) == (0, 0, 2, 0, 0, 0, 0, 0)
    sender.close()


async def test_a_lease_that_nobody_renews_is_taken_over(town, folder):
    """Fifteen minutes without a sign, and another worker counts the chunk's messages as unknown."""
    batch = await going_out(town, "01", "02")
    await town.messaging.sql(
        "UPDATE chunks SET state = 1, worker = 'gone', boot = 'gone', lease_time = $1",
        town.messaging.frame.clock() - timedelta(minutes=16),
    )
    sender = await Sender(town, folder).open()

    assert counts(await get(town, batch)) == (0, 0, 0, 0, 0, 2, 0, 0)
    sender.close()


# a process that is really killed

PEOPLE = 2000
PLANNER = Caller("staff/teller", frozenset({1}), 2, 101, (101,))
RATE = 1000


async def large_batch(town):
    """Return the name of a batch of 2,000 people that is being sent, planned without asking for them one by one."""
    template = await approved(town, name="大批")
    frame = town.messaging.frame
    asked = plans.Asked(
        template_id=UUID(template.name.partition("/")[2]),
        groups=(),
        schedule_time=None,
        gateway="",
        unknown_policy=1,
    )
    ready = await plans.prepare(frame.uow, PLANNER, asked=asked)
    people = [
        Person(f"{n:05}", f"139{n:05}789", f"李{n:05}", 1, "teller")
        for n in range(PEOPLE)
    ]
    draft = await plans.draft(
        frame.uow,
        PLANNER,
        frame.vault,
        batch_id=uuid7(),
        asked=asked,
        ready=ready,
        crowd=plans.Crowd(people, "营业部", {}),
    )
    await plans.write(frame.bulk, PLANNER, asked=asked, ready=ready, draft=draft)
    seen = changes.Seen(draft.batch_id, 1, draft.digest)
    await changes.confirm(frame.uow, PLANNER, seen=seen)
    row = await town.messaging.sql("SELECT version FROM batches")
    if row[0]["version"] == 2:
        seen = changes.Seen(draft.batch_id, 2, draft.digest)
        manager = Caller("staff/manager", frozenset({1}), 2, 101, (101,))
        await changes.approve(frame.uow, manager, seen=seen)
    return pb.Batch(name=f"batches/{draft.batch_id}")


@pytest.fixture
def centre(tmp_path, secrets_dir):
    """A centre in a process of its own that writes down what it takes, and reports half a second later."""
    password = secrets_dir / "smsc-password"
    password.write_text("trial")
    record = tmp_path / "taken.jsonl"
    process = subprocess.Popen(
        [
            *(sys.executable, "deploy/smsc.py", "--port", "0", "--print-port"),
            *("--delay", "0.5", "--record", str(record)),
        ],
        cwd=ROOT,
        env={**os.environ, "GUANHU_SECRETS_DIR": str(secrets_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    port = int(process.stdout.readline())
    yield messages.SimpleNamespace(port=port, record=record)
    process.terminate()
    process.wait()
    process.stdout.close()


def environment(town, centre, tmp_path):
    """Return the environment of a worker that sends through *centre*."""
    own, shared = (
        town.messaging.frame.settings.own,
        town.messaging.frame.settings.shared,
    )
    gateway = {
        "name": "demo",
        "address": f"127.0.0.1:{centre.port}",
        "system_id": "guanhu",
        "window": 50,
        "rate": RATE,
        "validity_seconds": 2,
        "final_receipt_after": 2,
    }
    told = {key: value for key, value in os.environ.items() if "GUANHU" not in key}
    return {
        **told,
        "PYTHONPATH": ".:protos",
        "GUANHU_STATE": str(tmp_path / "state"),
        "GUANHU_SECRETS_DIR": str(shared.secrets_dir),
        "GUANHU_DEMONSTRATION": "true",
        "GUANHU_MESSAGING_DSN": own.dsn,
        "GUANHU_MESSAGING_BULK_DSN": own.bulk_dsn,
        "GUANHU_MESSAGING_GATEWAYS": json.dumps([gateway]),
        "GUANHU_MESSAGING_RECEIPT_GRACE": "2",
        "GUANHU_MESSAGING_FENCE_STEADY": "1",
        **{
            f"GUANHU_{name}_ADDRESS": address
            for name, address in (
                ("ALLOCATION", town.allocation.address),
                ("CUSTOMER", town.customer.address),
                ("ENGAGEMENT", f"127.0.0.1:{free_port()}"),
            )
        },
    }


def worker(told, log):
    """Start the service's worker as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "services.messaging", "work"],
        cwd=ROOT,
        env=told,
        stdout=log,
        stderr=log,
    )


def taken(centre):
    """Return how often the centre took a message to each number."""
    if not centre.record.exists():
        return Counter()
    lines = centre.record.read_text(encoding="utf-8").splitlines()
    return Counter(json.loads(line)["number"] for line in lines)


async def until(condition, seconds=60):
    """Wait until *condition* holds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to that")


async def test_a_killed_sender_doubles_nothing_and_loses_nobody(
    bank, town, centre, tmp_path
):
    """Killed three times in the middle of 2,000 messages; every snapshot sums to the total, each number got one."""
    await messages.with_tokens(bank, town)
    batch = await large_batch(town)
    told = environment(town, centre, tmp_path)
    sums, ambiguous = set(), []
    with (tmp_path / "worker.log").open("wb") as log:
        for share in (0.15, 0.4, 0.7):
            process = worker(told, log)
            await until(
                lambda share=share: sum(taken(centre).values()) > PEOPLE * share
            )
            process.send_signal(signal.SIGKILL)
            process.wait()
            sums.add(sum(counts(await get(town, batch))))
        process = worker(told, log)
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            now = await get(town, batch)
            sums.add(sum(counts(now)))
            ambiguous.append(now.unknown_count)
            if now.delivered_count == PEOPLE:
                break
            await asyncio.sleep(0.2)
        process.terminate()
        process.wait()
    done = await get(town, batch)

    assert taken(centre) == Counter(f"86139{n:05}789" for n in range(PEOPLE))
    assert sums == {PEOPLE}
    assert done.state == pb.BATCH_STATE_FINISHED
    assert counts(done) == (0, 0, 0, PEOPLE, 0, 0, 0, 0)
    assert max(ambiguous) <= 50 * 3
    assert set((await contacts(town)).values()) == {1}
    assert sum((await contacts(town)).values()) == PEOPLE
    assert receipts.PAGE >= PEOPLE
    assert service_caller("messaging").everywhere
