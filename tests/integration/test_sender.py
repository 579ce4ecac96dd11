"""Sending: nobody gets a message twice and nobody is lost, whatever dies; refusals and pauses hold to the last."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any
from guanhu.customer.v1 import customer_events_pb2
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import messaging_events_pb2 as facts
from uuid_utils.compat import uuid7

from services.messaging.delivery.actions import lane
from services.messaging.delivery.actions.lane import Lane
from services.messaging.delivery.actions.presence import Presence
from services.messaging.delivery.rules import Tenure, hour_fits
from tests import messages
from tests.messages import (
    CARE,
    MARKETING,
    Sender,
    change,
    consent,
    contacts,
    counted,
    counts,
    get,
    going_out,
    recipients,
    tell,
)

ROOT = Path(__file__).parents[2]
NUMBERS = [f"{number:02}" for number in range(1, 13)]
DAY, NIGHT = '{"from": 0, "to": 24}', '{"from": 0, "to": 0}'
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


async def published(town, kind):
    """Return the facts of one kind that messaging published, in their order."""
    rows = await town.messaging.sql("SELECT fact FROM outbox ORDER BY sequence")
    packed = [Any.FromString(row["fact"]) for row in rows]
    return [kind.FromString(one.value) for one in packed if one.Is(kind.DESCRIPTOR)]


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
    names = [name for one in settled for line in one.lines for name in line.customers]
    assert Counter(names) == told
    assert {line.state for one in settled for line in one.lines} == {
        pb.RECIPIENT_STATE_SENT
    }
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
    await messages.set_parameter(town, "sms_hours", DAY)
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


async def test_what_stops_a_chunk_while_refusals_are_read_stops_it(
    town, folder, monkeypatch
):
    """A pause, or a lost lease, that is found out while the lane looks for refusals: it writes nothing more."""
    batch = await going_out(town, *NUMBERS[:6])
    sender = await Sender(town, folder, window=2, silent=True).open()
    looks, goes, refusals = asyncio.Event(), asyncio.Event(), lane.lease.refusals

    async def slowly(*told):
        looks.set()
        await goes.wait()
        return await refusals(*told)

    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(lane.lease, "refusals", slowly)
    await looks.wait()
    await change(town, "Pause", batch)
    await sender.station.beat()
    sender.gateway.answer()
    goes.set()
    await asyncio.wait([task], timeout=5)

    assert len(sender.gateway.submitted) == 2
    assert task.done()
    sender.close()


async def test_answers_that_come_one_by_one_are_gathered(town, folder, monkeypatch):
    """While less than a quarter of the window is free more answers are waited for, but one alone is enough in time."""
    monkeypatch.setattr(lane, "GATHER_SECONDS", 0.2)
    await going_out(town, *NUMBERS[:12])
    sender = await Sender(town, folder, window=8, silent=True).open()
    bursts, submit = [], sender.gateway.submit

    def noted(batch):
        bursts.append(len(batch))
        submit(batch)

    async def written(count):
        while len(sender.gateway.submitted) < count:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(sender.gateway, "submit", noted)
    task = asyncio.create_task(sender.lane.step())
    await written(8)
    sender.gateway.answer([1])
    await written(9)
    for token in (2, 3, 4):
        sender.gateway.answer([token])
        await asyncio.sleep(0.001)
    await written(12)
    sender.gateway.answer()
    await task

    assert bursts == [8, 1, 3]
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
    await messages.set_parameter(town, "sms_hours", DAY)
    first = await going_out(town, "01", "02", purpose=MARKETING)
    second = await going_out(town, "01", "02", purpose=MARKETING)
    await messages.set_parameter(town, "sms_hours", NIGHT)
    notice = await going_out(town, "03")
    sender = await Sender(town, folder).open()
    await sender.send()
    at_night = [counts(await get(town, one)) for one in (first, second, notice)]
    await messages.set_parameter(town, "sms_hours", DAY)
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


async def test_the_end_of_the_hours_stops_a_batch_under_way_until_morning(town, folder):
    """What is left in the evening stays; next morning it goes on, without who refused overnight."""
    await messages.set_parameter(town, "sms_hours", DAY)
    await consent(town, *NUMBERS[:6])
    batch = await going_out(town, *NUMBERS[:6], purpose=MARKETING)
    sender = await Sender(town, folder, window=2, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    await messages.set_parameter(town, "sms_hours", NIGHT)
    await sender.station.beat()
    sender.gateway.answer()
    sender.gateway.silent = False
    await task
    more = await sender.send()
    evening = await get(town, batch)
    await tell(town, refusal("03", purpose=MARKETING))
    await messages.set_parameter(town, "sms_hours", DAY)
    await sender.send()
    morning = await get(town, batch)

    assert (more, counts(evening)) == (0, (0, 4, 2, 0, 0, 0, 0, 0))
    assert evening.state == pb.BATCH_STATE_SENDING
    assert morning.state == pb.BATCH_STATE_FINISHED
    assert counts(morning) == await counted(town, batch) == (1, 0, 5, 0, 0, 0, 0, 0)
    assert [one.dest[-2:] for one in sender.gateway.submitted] == [
        "01",
        "02",
        "04",
        "05",
        "06",
    ]
    sender.close()


def test_the_hours_end_with_the_last_second_before():
    """A second before eight in the evening still fits, and eight itself does not; eight in the morning does."""
    times = [(19, 59, 59), (20, 0, 0), (7, 59, 59), (8, 0, 0)]
    local = [datetime(2026, 11, 23, *time, tzinfo=UTC) for time in times]

    assert [hour_fits(one, (8, 20)) for one in local] == [True, False, False, True]


async def leased_to_another(town, *numbers):
    """Return a batch whose chunk a worker holds that is not here."""
    batch = await going_out(town, *numbers)
    await town.messaging.sql(
        "UPDATE chunks SET state = 1, worker = 'gone', boot = 'gone', lease_time = $1",
        town.messaging.frame.clock() - timedelta(days=1),
    )
    return batch


async def test_a_lease_that_stands_still_is_taken_over(town, folder):
    """It is watched, not dated: however old it is, it must not move while somebody looks; then all are unknown."""
    batch = await leased_to_another(town, "01", "02")
    sender = await Sender(town, folder, tenure=Tenure(1)).open()
    await sender.station.watch()
    first = await get(town, batch)
    await town.messaging.sql("UPDATE chunks SET lease_time = now()")
    await asyncio.sleep(0.6)
    await sender.station.watch()
    renewed = await get(town, batch)
    await asyncio.sleep(0.6)
    await sender.station.watch()

    assert counts(first) == counts(renewed) == (0, 0, 0, 0, 0, 0, 0, 2)
    assert counts(await get(town, batch)) == (0, 0, 0, 0, 0, 2, 0, 0)
    sender.close()


async def test_a_lease_of_a_worker_whose_lock_is_held_lasts_longer(town, folder):
    """While its connection lives a worker keeps its chunk; once the lock is free, half the time is enough."""
    batch = await leased_to_another(town, "01", "02")
    sender = await Sender(town, folder, tenure=Tenure(1)).open()
    presence = Presence(town.messaging.frame.settings.own.dsn)
    await presence.hold("gone")
    await sender.station.watch()
    await asyncio.sleep(0.6)
    await sender.station.watch()
    held = await get(town, batch)
    presence.end()
    while counts(await get(town, batch)) == counts(held):
        await sender.station.watch()
        await asyncio.sleep(0.05)

    assert counts(held) == (0, 0, 0, 0, 0, 0, 0, 2)
    assert counts(await get(town, batch)) == (0, 0, 0, 0, 0, 2, 0, 0)
    sender.close()


async def test_a_worker_that_cannot_renew_its_lease_writes_nothing(town, folder):
    """Without news from the store it stops before anybody may take over, and goes on with the next round."""
    await going_out(town, *NUMBERS[:4])
    sender = await Sender(town, folder, window=2, silent=True, tenure=Tenure(1)).open()
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.4)
    sender.gateway.answer()
    await asyncio.sleep(0.5)
    stopped = len(sender.gateway.submitted)
    sender.gateway.silent = False
    await sender.station.beat()
    await task

    assert stopped == 2
    assert len(sender.gateway.submitted) == 4
    sender.close()


class Deaf:
    """The store behind a line that breaks once, after the commit and before its answer."""

    def __init__(self, uow):
        self._uow, self.broken = uow, False

    @asynccontextmanager
    async def __call__(self, caller):
        """Open a unit of work whose end is not heard of, once it is to be so."""
        async with self._uow(caller) as work:
            yield work
        if self.broken:
            self.broken = False
            raise ConnectionResetError

    def __getattr__(self, name):
        """Leave everything else as it is."""
        return getattr(self._uow, name)


async def test_a_chunk_whose_end_was_not_confirmed_is_in_one_lane_only(town, folder):
    """Its end was committed, so another lane finds it waiting; it leaves it to the first, and nobody gets two."""
    batch = await going_out(town, *NUMBERS[:4])
    sender = await Sender(town, folder, window=2, silent=True).open()
    sender.desk.uow = store = Deaf(sender.desk.uow)
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    store.broken = True
    [run] = sender.desk.runs
    run.stopped = True
    sender.gateway.answer()
    with pytest.raises(ConnectionResetError):
        await task
    waiting = await get(town, batch)
    sender.gateway.silent = False
    other = Lane(sender.desk, sender.link)
    found = await other.step()
    await sender.send()

    assert counts(waiting) == (0, 2, 2, 0, 0, 0, 0, 0)
    assert found == 0
    assert counts(await get(town, batch)) == (0, 0, 4, 0, 0, 0, 0, 0)
    assert [one.dest[-2:] for one in sender.gateway.submitted] == NUMBERS[:4]
    sender.close()


async def test_workers_that_live_share_the_rate(town, folder):
    """Two locks, half the rate each; when one is free again the other has all of it."""
    sender = await Sender(town, folder, rate=1000).open()
    dsn = town.messaging.frame.settings.own.dsn
    presences = [Presence(dsn), Presence(dsn)]
    for number, presence in enumerate(presences):
        await presence.hold(f"worker {number}")
    await sender.station.watch()
    two = sender.link._pace._ceiling
    presences[0].end()
    while sender.link._pace._ceiling == two:
        await sender.station.watch()
    one = sender.link._pace._ceiling
    presences[1].end()

    assert (two, one) == (500, 1000)
    sender.close()
