"""Refusals hold within a second while a batch is sent, and what nobody can know keeps messages back."""

import asyncio

import pytest_asyncio
from guanhu.customer.v1 import customer_events_pb2
from guanhu.events.v1 import events_pb2_grpc
from guanhu.messaging.v1 import batch_pb2
from uuid_utils.compat import uuid7

from services.chassis.caller import service_caller
from services.chassis.feed import Follower
from services.chassis.worker import repeat
from services.messaging.delivery.actions.news import FRESH_SECONDS, News, Sight
from services.messaging.reactions import REACTIONS
from tests import messages
from tests.fault import optout
from tests.feeds import TrialFeed
from tests.messages import CARE, Sender, a_group, approved, confirm, counts, get, plan

NUMBERS = [f"{number:02}" for number in range(1, 13)]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller, who may be greeted at any hour."""
    running = await messages.start(bank, NUMBERS)
    await messages.set_parameter(running, "sms_hours", '{"from": 0, "to": 24}')
    yield running
    await messages.stop(running)


def following(town, stub=None):
    """Return messaging's follower of the customer service."""
    frame = town.messaging.frame
    return Follower(
        source="customer",
        stub=stub or events_pb2_grpc.FeedServiceStub(frame.peers.channel("customer")),
        uow=frame.uow,
        bulk=frame.bulk,
        caller=service_caller("messaging"),
        reactions=REACTIONS["customer"],
    )


async def a_sender(town, folder, follower, **centre):
    """Return a sender that writes by what *follower* knows."""
    sender = Sender(town, folder, **centre)
    sender.desk.news = News(follower)
    return await sender.open()


async def greeting(town, *numbers):
    """Return a batch that is being sent."""
    template = await approved(town, purpose=CARE)
    group = await a_group(town, *numbers)
    return await confirm(town, await plan(town, template, group))


async def written(sender, count, seconds=10):
    """Wait until this many messages were written."""
    async with asyncio.timeout(seconds):
        while len(sender.gateway.submitted) < count:
            await asyncio.sleep(0.01)


async def test_a_follower_tells_when_it_had_everything(town):
    """What it was asked for counts only once all of it is in the store; a branch that stumbles keeps it back."""
    feed = TrialFeed()
    follower = following(town, feed)
    before = follower.heard
    await follower.step()
    idle = follower.heard
    unfit = customer_events_pb2.ConsentChanged.Line(
        customer="customers/01", consent=f"consents/{uuid7()}", act=99999
    )
    feed.publish(customer_events_pb2.ConsentChanged(lines=[unfit]), 101)
    feed.show_all()
    await follower.step()
    stumbling = follower.heard
    for _ in range(4):
        await follower.step()

    assert before < idle
    assert stumbling == idle
    assert follower.heard > idle


async def test_a_sender_waits_for_a_follower_that_has_not_asked_yet(town, tmp_path):
    """Nothing is written before the customer service was asked; then everything is."""
    follower = following(town)
    batch = await greeting(town, *NUMBERS[:4])
    sender = await a_sender(town, tmp_path / "flight", follower)
    task = asyncio.create_task(sender.lane.step())
    await asyncio.sleep(0.3)
    before = len(sender.gateway.submitted)
    asked = follower.woken.is_set()
    await follower.step()
    await task

    assert (before, asked) == (0, True)
    assert counts(await get(town, batch)) == (0, 0, 4, 0, 0, 0, 0, 0)
    sender.close()


async def test_a_flag_set_in_the_customer_service_holds_while_a_batch_is_sent(
    town, tmp_path
):
    """With a window of two and a slow centre, who is flagged meanwhile gets nothing, and nobody else is forgotten."""
    follower = following(town)
    looking = asyncio.create_task(repeat("feed", follower.step, follower.woken))
    batch = await greeting(town, *NUMBERS[:6])
    sender = await a_sender(town, tmp_path / "flight", follower, window=2, silent=True)
    task = asyncio.create_task(sender.lane.step())
    await written(sender, 2)
    await messages.refuse(town, "05")
    asked = follower.heard
    async with asyncio.timeout(10):
        while follower.heard <= asked + 0.01:
            follower.woken.set()
            await asyncio.sleep(0.01)
    await asyncio.sleep(FRESH_SECONDS)
    sender.gateway.silent = False
    sender.gateway.answer()
    await task
    looking.cancel()

    assert [one.dest[-2:] for one in sender.gateway.submitted] == [
        "01",
        "02",
        "03",
        "04",
        "06",
    ]
    assert counts(await get(town, batch)) == (1, 0, 5, 0, 0, 0, 0, 0)
    sender.close()


async def test_a_sender_stops_when_its_follower_dies_and_goes_on_with_the_next(
    town, tmp_path
):
    """A follower that ended asks nobody: what waits is kept back until one asks again."""
    follower = following(town)
    looking = asyncio.create_task(repeat("feed", follower.step, follower.woken))
    batch = await greeting(town, *NUMBERS[:6])
    sender = await a_sender(town, tmp_path / "flight", follower, window=2, silent=True)
    task = asyncio.create_task(sender.lane.step())
    await written(sender, 2)
    looking.cancel()
    await asyncio.sleep(FRESH_SECONDS + 0.1)
    sender.gateway.silent = False
    sender.gateway.answer()
    await asyncio.sleep(0.3)
    held = len(sender.gateway.submitted)
    await messages.refuse(town, "06")
    looking = asyncio.create_task(repeat("feed", follower.step, follower.woken))
    await task
    looking.cancel()

    assert held == 2
    assert len(sender.gateway.submitted) == 5
    assert counts(await get(town, batch)) == (1, 0, 5, 0, 0, 0, 0, 0)
    sender.close()


async def test_a_store_that_is_away_keeps_messages_back_without_losing_their_fate(
    town, tmp_path
):
    """While refusals cannot be read nothing is written; what was written keeps its answers, and the rest follows."""
    batch = await greeting(town, *NUMBERS[:6])
    sender = await Sender(town, tmp_path / "flight", window=2, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    await written(sender, 2)
    uow, sender.desk.uow = sender.desk.uow, None
    await asyncio.sleep(FRESH_SECONDS + 0.3)
    sender.gateway.silent = False
    sender.gateway.answer()
    await asyncio.sleep(0.3)
    held = len(sender.gateway.submitted)
    sender.desk.uow = uow
    await task
    done = await get(town, batch)

    assert held == 2
    assert done.state == batch_pb2.BATCH_STATE_FINISHED
    assert counts(done) == (0, 0, 6, 0, 0, 0, 0, 0)
    sender.close()


async def test_a_look_is_due_by_the_clock_and_by_every_asking():
    """The store is read again when the feed was asked, or after a fifth of a second; age counts from the asking."""
    follower = messages.SimpleNamespace(heard=0.0, woken=asyncio.Event())
    news = News(follower)
    now = asyncio.get_running_loop().time()
    follower.heard = now - 0.1
    first = news.sight()
    again = news.is_due(first)
    follower.heard = now
    asked = news.is_due(first)
    old = news.is_due(Sight(now - 0.3, now, now))

    assert (again, asked, old) == (False, True, True)
    assert news.is_fresh(Sight(now, now, now))
    assert not news.is_fresh(Sight(now, now - FRESH_SECONDS - 0.01, now))
    assert not news.is_fresh(Sight())


async def test_nobody_who_refused_is_written_to_a_second_later(bank, tmp_path):
    """A short form of the trial by fire: answers and flags under way, the customer service cut off, a sender killed."""
    (bank.secrets / "smsc-password").write_text("trial")
    found = await optout.try_it(bank, tmp_path, people=1200, rate=250)

    assert optout.good(found), found
    assert found["by_reply"] > 0
    assert found["by_flag"] > 0
