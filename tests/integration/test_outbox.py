"""Events out and in: nothing skipped, nothing doubled, nothing out of order within a branch."""

import asyncio
import random
from collections import Counter

import pytest
import pytest_asyncio
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub
from guanhu.parameter.v1 import parameter_pb2

from services.allocation.__main__ import SERVICE
from services.chassis import feed
from services.chassis.caller import service_caller
from services.chassis.feed import Follower
from tests.builders import request_id
from tests.refusals import refused

BRANCHES = (100, 101, 102)
CALLER = service_caller("allocation")


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A service that both publishes and follows: the frame is the same on both sides."""
    running = await bank.serve(SERVICE)
    await running.sql(
        "CREATE TABLE seen (branch_id int, sequence bigint, who text, fact text)"
    )
    await running.sql("GRANT ALL ON seen TO guanhu_allocation")
    yield running
    await running.stop()


def fact(text):
    """Return a message to publish: any will do."""
    return parameter_pb2.Parameter(name=text)


async def publish(served, branch, *texts, wait=0.0):
    """Publish facts of one branch in one transaction that stays open for a while."""
    async with served.frame.uow(CALLER.in_branch(branch)) as work:
        work.publish(*(fact(text) for text in texts), branch_id=branch)
        await asyncio.sleep(wait)


def follower(served, who, react=None):
    """Return a follower that writes down what it sees, in the transaction that moves its position."""

    async def note(work, found, event):
        if react is not None:
            await react(work, found, event)
        await work.run(
            "INSERT INTO seen VALUES ($1, $2, $3, $4)",
            event.branch_id,
            event.sequence,
            who,
            found.name,
        )

    return Follower(
        source="allocation",
        stub=served.as_("services/allocation")(FeedServiceStub),
        uow=served.frame.uow,
        caller=CALLER,
        reactions={parameter_pb2.Parameter: note},
    )


async def test_eight_writers_and_two_followers_lose_and_double_nothing(served):
    """While eight writers commit late and at random, two followers that share the branches see every event once."""
    random.seed(7)
    running = True
    written = Counter()

    async def write(number):
        for turn in range(40):
            branch = random.choice(BRANCHES)
            texts = [f"{number}-{turn}-{part}" for part in range(random.randint(1, 3))]
            await publish(served, branch, *texts, wait=random.random() * 0.01)
            written.update({(branch, text) for text in texts})

    async def follow(one):
        while running:
            await one.step()
            await asyncio.sleep(0.001)

    followers = [
        asyncio.create_task(follow(follower(served, who))) for who in ("a", "b")
    ]
    await asyncio.gather(*(write(number) for number in range(8)))
    last = follower(served, "last")
    running = False
    await asyncio.gather(*followers)
    while await last.step():
        pass
    rows = await served.sql("SELECT branch_id, sequence, who, fact FROM seen")
    seen = Counter((row["branch_id"], row["fact"]) for row in rows)

    assert seen == written
    assert {row["who"] for row in rows} >= {"a", "b"}
    for branch in BRANCHES:
        numbers = sorted(row["sequence"] for row in rows if row["branch_id"] == branch)
        assert numbers == list(range(1, len(numbers) + 1))


async def test_numbers_appear_in_the_order_of_commits(served):
    """A transaction that publishes first and commits last is numbered last: nothing appears behind a reader's back."""
    slow = asyncio.create_task(publish(served, 101, "slow", wait=0.2))
    await asyncio.sleep(0.05)
    await publish(served, 101, "fast")
    stub = served.as_("services/customer")(FeedServiceStub)
    early = await stub.ListEvents(events_pb2.ListEventsRequest(branch_id=101))
    await slow
    late = await stub.ListEvents(
        events_pb2.ListEventsRequest(
            branch_id=101, after_sequence=early.events[-1].sequence
        )
    )

    assert [name_of(event) for event in early.events] == ["fast"]
    assert [name_of(event) for event in late.events] == ["slow"]


def name_of(event):
    """Return the text of an event's fact."""
    found = parameter_pb2.Parameter()
    event.fact.Unpack(found)
    return found.name


async def test_a_rolled_back_effect_takes_its_event_along(served):
    """When the transaction fails after publishing, there is no event and no gap in the numbers."""
    await publish(served, 101, "before")
    with pytest.raises(ZeroDivisionError):
        async with served.frame.uow(CALLER.in_branch(101)) as work:
            work.publish(fact("never"), branch_id=101)
            raise ZeroDivisionError
    await publish(served, 101, "after")
    rows = await served.sql(
        "SELECT sequence FROM outbox WHERE branch_id = 101 ORDER BY 1"
    )

    assert [row["sequence"] for row in rows] == [1, 2]


async def test_a_poison_event_is_parked_and_its_branch_goes_on(served):
    """An event that fails five times is parked with the kind of its cause; the ones behind it are handled."""
    sick = True

    async def react(work, found, event):
        if found.name == "poison" and sick:
            raise ValueError("mobile 13800138000")

    one = follower(served, "a", react)
    await publish(served, 101, "good", "poison", "better")
    await publish(served, 102, "elsewhere")
    for _ in range(feed.TRIES + 1):
        await one.step()
    rows = await served.sql("SELECT fact FROM seen ORDER BY branch_id, sequence")
    operator = served.as_("operator")(FeedServiceStub)
    parked = (await operator.ListParked(events_pb2.ListParkedRequest())).parked_events

    assert [row["fact"] for row in rows] == ["good", "better", "elsewhere"]
    assert [
        (one.source, one.event.sequence, one.cause, one.tries) for one in parked
    ] == [("allocation", 2, "ValueError", feed.TRIES)]
    await redrive(operator)
    await one.step()
    again = (await operator.ListParked(events_pb2.ListParkedRequest())).parked_events
    assert [one.tries for one in again] == [feed.TRIES + 1]
    sick = False
    await redrive(operator)
    await one.step()
    assert not (await operator.ListParked(events_pb2.ListParkedRequest())).parked_events
    rows = await served.sql("SELECT fact FROM seen WHERE fact = 'poison'")
    assert len(rows) == 1


async def redrive(operator):
    """Ask for parked events to be handled again."""
    request = events_pb2.RedriveEventsRequest(
        source="allocation", request_id=request_id()
    )
    assert (await operator.RedriveEvents(request)).redriven_count == 1


async def test_a_branch_manager_cannot_redrive(served):
    """Sending events through again is the operator's right alone."""
    request = events_pb2.RedriveEventsRequest(
        source="allocation", request_id=request_id()
    )
    stub = served.as_("manager")(FeedServiceStub)

    assert await refused(stub.RedriveEvents(request)) == (
        "PERMISSION_DENIED",
        "ROLE_MISSING",
    )


async def test_a_crash_between_effect_and_position_repeats_nothing(served):
    """Effect and position are one transaction: when it is lost, both are, and the next round does the work once."""
    await publish(served, 101, "once")
    one = follower(served, "a")
    crash = True
    handle = one._handle

    async def cut(branch_id, position, events, others):
        if crash:
            async with served.frame.uow(CALLER.in_branch(branch_id)) as work:
                await work.run("INSERT INTO seen VALUES (101, 1, 'cut', 'once')")
                raise ConnectionResetError
        return await handle(branch_id, position, events, others)

    one._handle = cut
    await one.step()
    crash = False
    await one.step()
    rows = await served.sql("SELECT who FROM seen")

    assert [row["who"] for row in rows] == ["a"]


async def test_heads_stream_wakes_when_something_is_published(served):
    """A follower that streams heads hears of a new event well before the next poll."""
    stub = served.as_("services/customer")(FeedServiceStub)
    stream = stub.FollowHeads(events_pb2.FollowHeadsRequest())
    await asyncio.sleep(0.2)
    started = asyncio.get_running_loop().time()
    await publish(served, 102, "news")
    first = await stream.read()
    taken = asyncio.get_running_loop().time() - started
    stream.cancel()

    assert [(head.branch_id, head.last_sequence) for head in first.heads] == [(102, 1)]
    assert taken < 0.9
