"""Messages of unknown fate whose receipts were dropped while nobody listened: nobody gets two, and nobody is lost."""

import asyncio
from collections import Counter
from datetime import timedelta

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import delivery_pb2

from services.chassis.clock import day_of
from services.messaging.gateways.file import FileGateway
from services.messaging.gateways.http import HttpGateway
from tests import messages
from tests.aggregator import (
    APP,
    KEY_ID,
    PUSH_SECRET,
    SECRET,
    TEMPLATE,
    AliyunCentre,
    TencentCentre,
)
from tests.contract.messaging.test_delivery import listed, unknown
from tests.file_rig import FileRig
from tests.http_rig import HttpRig, free_port
from tests.integration.test_driver_choice import sender_of
from tests.listening import until
from tests.messages import counted, counts, get, going_out, mobile_of
from tests.sms import Worker, environment

NUMBERS = [f"{number:02}" for number in range(1, 13)]
KINDS = [AliyunCentre, TencentCentre]
TAKEN, NEVER = NUMBERS[:6], NUMBERS[6:]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller."""
    running = await messages.start(bank, NUMBERS)
    yield running
    await messages.stop(running)


def takes(*numbers):
    """Return a judge that takes what goes to *numbers* and knows nothing of the rest."""
    dests = {f"86{mobile_of(number)}" for number in numbers}
    return lambda dest: "accepted" if dest in dests else "ambiguous"


def once(centre, *numbers):
    """Say whether each of *numbers* was taken exactly once, and nobody else."""
    wanted = Counter(f"86{mobile_of(number)}" for number in numbers)
    return Counter(one["dest"] for one in centre.taken) == wanted


async def dropped(centre):
    """Bring the receipts of everything that was taken to where nobody listens; return how often that failed."""
    failures = 0
    for one in centre.taken:
        centre.remembers[one["dest"]] = 3
        try:
            await centre.bring("reports", [centre.report(one)])
        except aiohttp.ClientError:
            failures += 1
    return failures


async def doubtful(town, rig, folder, *numbers, **more):
    """Return a batch to *numbers* of which nobody knows, half of it taken, and a fresh sender long after the fence."""
    batch = await going_out(town, *numbers, **more)
    before = HttpGateway(rig.settings())
    sender = await sender_of(town, folder, before)
    rig.centre.judge = takes(*numbers[: len(numbers) // 2])
    rig.centre.swallow = True
    await sender.send()
    await before.stop(1)
    sender.close()
    rig.centre.swallow = False
    rig.centre.judge = takes(*NUMBERS)
    await dropped(rig.centre)
    return batch, await fresh(town, rig, folder)


async def fresh(town, rig, folder):
    """Return another sender that hands over to the same aggregator."""
    return await sender_of(town, folder, HttpGateway(rig.settings()))


async def passed(town, hours=4):
    """Let the time of fences come and go."""
    await town.messaging.sql(
        f"UPDATE unknowns SET fence_time = fence_time - interval '{hours} hours'"
    )


async def rested(town):
    """Let the next question's time come."""
    await town.messaging.sql("UPDATE unknowns SET ask_time = now()")


async def leave(*senders):
    """End the senders."""
    for sender in senders:
        await sender.gateway.stop(1)
        sender.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_killed_worker_whose_receipts_were_dropped_costs_nobody_anything(
    bank, town, kind, tmp_path
):
    """Killed with twelve unanswered, of which the provider took six; when a worker is back, six get theirs, once."""
    centre = await kind().start()
    push = free_port()
    centre.push_url = f"http://127.0.0.1:{push}"
    gateway = {
        "protocol": "http",
        "dialect": centre.name,
        "address": f"127.0.0.1:{centre.port}",
        "system_id": KEY_ID,
        "template": TEMPLATE,
        "app_id": APP,
        "push_address": f"127.0.0.1:{push}",
    }
    await messages.with_tokens(bank, town)
    told = environment(town, centre.port, tmp_path, gateway=gateway)
    secrets = town.messaging.frame.settings.shared.secrets_dir
    (secrets / "smsc-password").write_text(SECRET)
    (secrets / "sms-push-password").write_text(PUSH_SECRET)
    batch = await going_out(town, *NUMBERS)
    centre.judge, centre.silent = takes(*TAKEN), True
    worker = Worker(told, tmp_path / "worker.log")
    await until(lambda: centre.under_way == len(NUMBERS), 60)
    worker.kill()
    centre.silent = False
    centre.answer()
    await until(lambda: not centre.under_way)
    lost = await dropped(centre)
    half = once(centre, *TAKEN)
    centre.judge = takes(*NUMBERS)
    worker = Worker(told, tmp_path / "worker.log")
    async with asyncio.timeout(90):
        while (done := await get(town, batch)).state != pb.BATCH_STATE_FINISHED:
            await asyncio.sleep(0.2)
    worker.stop()
    await centre.stop()

    assert (half, lost) == (True, 6)
    assert once(centre, *NUMBERS)
    assert counts(done) == await counted(town, batch) == (0, 0, 6, 6, 0, 0, 0, 0)
    assert centre.count(centre.question) >= 12


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_answered_stays_unknown_and_is_asked_later(
    town, kind, tmp_path
):
    """Before the fence nobody asks; garbage settles nothing; after the pause an answer does, and only then one goes."""
    rig = HttpRig(await kind().start(), references=True)
    batch, sender = await doubtful(town, rig, tmp_path / "flight", *NUMBERS[:4])
    asked = [await sender.station.ask(sender.link)]
    await passed(town)
    await sender.station.beat()
    courses = {one.doubt.course for one in (await unknown(town)).messages}
    rig.centre.instead = lambda action: (
        web.Response(text="<html>") if action == rig.centre.question else None
    )
    asked += [await sender.station.ask(sender.link) for _ in range(2)]
    await sender.station.sort_receipts(sender.link)
    await sender.send()
    unanswered = counts(await get(town, batch))
    rig.centre.instead = lambda action: None
    await rested(town)
    asked += [await sender.station.ask(sender.link) for _ in range(2)]
    answered = counts(await get(town, batch))
    await sender.send()
    done = await get(town, batch)
    pauses = await town.messaging.sql(
        "SELECT ask_count, ask_time > now() + interval '9 minutes' AS doubled FROM unknowns"
    )
    tries = Counter(
        one.attempt_count for one in (await listed(town, batch=batch.name)).messages
    )
    await leave(sender)
    await rig.close()

    assert asked == [0, 4, 0, 4, 0]
    assert courses == {delivery_pb2.DOUBT_COURSE_ASKED}
    assert unanswered == (0, 0, 0, 0, 0, 4, 0, 0)
    assert answered == (0, 2, 0, 2, 0, 0, 0, 0)
    assert counts(done) == await counted(town, batch) == (0, 0, 2, 2, 0, 0, 0, 0)
    assert once(rig.centre, *NUMBERS[:4])
    assert {tuple(row) for row in pauses} == {(2, True)}
    assert tries == {1: 2, 2: 2}


async def test_a_message_that_awaits_its_receipt_there_is_sent_and_not_repeated(
    town, tmp_path
):
    """The provider knows it and not yet what became of it: it was taken, which is what matters."""
    rig = HttpRig(await AliyunCentre().start(), references=True)
    batch, sender = await doubtful(town, rig, tmp_path / "flight", "01", "02")
    rig.centre.remembers.clear()
    await passed(town)
    await sender.station.ask(sender.link)
    await sender.send()
    done = await get(town, batch)
    await leave(sender)
    await rig.close()

    assert counts(done) == await counted(town, batch) == (0, 0, 2, 0, 0, 0, 0, 0)
    assert once(rig.centre, "01", "02")


async def test_a_record_that_is_found_days_later_is_asked_about_from_the_plan_on(
    town, tmp_path
):
    """The provider keeps messages by the day on which it took them, and not by that on which a doubt was entered."""
    rig = HttpRig(await AliyunCentre().start(), references=True)
    batch, sender = await doubtful(town, rig, tmp_path / "flight", "01", "02")
    await town.messaging.sql(
        "UPDATE batches SET create_time = create_time - interval '3 days'"
    )
    day = day_of(sender.desk.clock() - timedelta(days=2))
    for one in rig.centre.taken:
        one["day"] = f"{day:%Y%m%d}"
    await passed(town)
    await sender.station.ask(sender.link)
    await sender.send()
    done = await get(town, batch)
    await leave(sender)
    await rig.close()

    assert counts(done) == (0, 0, 1, 1, 0, 0, 0, 0)
    assert once(rig.centre, "01", "02")


async def test_two_workers_ask_about_different_messages(town, tmp_path):
    """Each is asked about once, and both together settle all."""
    rig = HttpRig(await TencentCentre().start(), references=True)
    batch, sender = await doubtful(town, rig, tmp_path / "flight", *NUMBERS)
    other = await fresh(town, rig, tmp_path / "other")
    await passed(town)
    asked = await asyncio.gather(
        *(one.station.ask(one.link) for one in (sender, other))
    )
    await asyncio.gather(sender.send(), other.send())
    done = await get(town, batch)
    await leave(sender, other)
    await rig.close()

    assert sum(asked) == rig.centre.count(rig.centre.question) == 12
    assert once(rig.centre, *NUMBERS)
    assert counts(done) == (0, 0, 6, 6, 0, 0, 0, 0)


async def test_a_batch_for_at_most_once_is_not_asked_about(town, tmp_path):
    """Nothing of it is sent again, whatever the answer."""
    rig = HttpRig(await TencentCentre().start(), references=True)
    batch, sender = await doubtful(
        town,
        rig,
        tmp_path / "flight",
        "01",
        "02",
        unknown_policy=pb.UNKNOWN_POLICY_AT_MOST_ONCE,
    )
    await passed(town)
    asked = await sender.station.ask(sender.link)
    done = await get(town, batch)
    await leave(sender)
    await rig.close()

    assert asked == 0
    assert counts(done) == (0, 0, 0, 0, 0, 2, 0, 0)


@pytest.mark.parametrize(
    ("policy", "lines"),
    [
        (pb.UNKNOWN_POLICY_FENCE, 2),
        (pb.UNKNOWN_POLICY_AT_MOST_ONCE, 2),
        (pb.UNKNOWN_POLICY_AT_LEAST_ONCE, 4),
    ],
)
async def test_a_gateway_without_receipts_repeats_only_for_at_least_once(
    town, tmp_path, policy, lines
):
    """No receipt proves nothing there: the messages stay unknown, the batch ends, and lists say that it stays so."""
    box = FileRig(tmp_path / "outbox")
    box.folder.mkdir(mode=0o700)
    batch = await going_out(town, "01", "02", unknown_policy=policy)
    gateway = FileGateway(box.settings(receipts=False))
    sender = await sender_of(town, tmp_path / "flight", gateway)
    await sender.station.beat()
    answers, take = [], sender.link.submitted
    sender.link.submitted = answers.extend
    sending = asyncio.create_task(sender.lane.step())
    await until(lambda: len(answers) == 2)
    sender.link.submitted = take
    sender.link.link_lost([one.token for one in answers], "cut")
    await sending
    await passed(town)
    await sender.station.sort_receipts(sender.link)
    asked = await sender.station.ask(sender.link)
    await sender.send()
    done = await get(town, batch)
    doubts = (await unknown(town)).messages
    await leave(sender)

    assert asked == 0
    assert done.state == pb.BATCH_STATE_FINISHED
    assert len(box.lines()) == lines
    assert done.unknown_count == len(doubts) == 4 - lines
    assert {one.doubt.course for one in doubts} <= {delivery_pb2.DOUBT_COURSE_STAYS}
