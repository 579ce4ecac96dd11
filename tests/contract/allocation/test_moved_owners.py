"""Customers who move to another branch: their ownership and its history follow, and nobody of the old branch owns."""

import asyncio
import contextlib
import random

import grpc
import pytest
import pytest_asyncio
from guanhu.allocation.v1 import allocation_events_pb2 as facts
from guanhu.allocation.v1 import ownership_pb2 as pb
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import customer_events_pb2 as customer
from guanhu.customer.v1 import customer_pb2
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from services.allocation.__main__ import SERVICE
from services.allocation.reactions import REACTIONS
from services.chassis.wiretypes import time_to
from tests.builders import NOW, a_branch, a_member_of_staff, put, request_id
from tests.feeds import Reader

BRANCHES = (100, 101, 102)
ACTIVE, RECALLED, UNASSIGNED = 3, 4, 1


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with three branches, each with a manager and two owners."""
    running = await bank.serve(SERVICE)
    await put(
        running,
        *(a_branch(number) for number in BRANCHES),
        *(
            a_member_of_staff(f"{post}{number}", branch_id=number)
            for number in BRANCHES
            for post in ("a", "b")
        ),
        *(
            a_member_of_staff(f"m{number}", number, posts=["BRANCH_MANAGER"])
            for number in BRANCHES
        ),
    )
    yield running
    await running.stop()


def registered(*numbers):
    """Return the fact that customers became known."""
    kind = customer.CustomersRegistered
    return kind(lines=[line_of(kind, number) for number in numbers])


def line_of(kind, number, tier=2, assets=15_000_000, **more):
    """Return a line of an event about one customer."""
    return kind.Line(
        customer=f"customers/{number}",
        tier=tier,
        customer_type=3,
        source=1,
        financial_assets_minor=assets,
        currency="CNY",
        **more,
    )


def moved(number, source, target, count, **more):
    """Return the fact that somebody moved for the *count*-th time."""
    kind = customer.CustomerMoved
    line = line_of(kind, number, move_version=count, **more)
    return kind(from_branch_id=source, to_branch_id=target, lines=[line])


def stub(served):
    """Return the stub of the manager above all three branches."""
    return served.as_("upper_manager")(OwnershipServiceStub)


async def assign(served, number, owner):
    """Give a customer without an active owner to somebody of the customer's branch."""
    answer = await stub(served).AssignCustomers(
        pb.AssignCustomersRequest(
            customers=[pb.SeenCustomer(customer=f"customers/{number}")],
            owner=f"staff/{owner}",
            mode=1,
            request_id=request_id(),
        )
    )
    assert answer.assigned_count == 1


async def standing(served):
    """Return (branch, owner, state, moves) of every customer; a customer in two branches is shown in both."""
    rows = await served.sql(
        "SELECT number, branch_id, owner, state, move_version FROM ownerships"
    )
    found = {}
    for row in rows:
        found.setdefault(row["number"], []).append(tuple(row.values())[1:])
    return found


async def places(served, number):
    """Return every branch in which anything of a customer lies."""
    rows = await served.sql(
        "SELECT branch_id FROM ownerships WHERE number = $1 UNION SELECT branch_id FROM ownership_changes"
        " WHERE number = $1 UNION SELECT branch_id FROM directory WHERE kind = 'customers' AND id = $1",
        number,
    )
    return {row["branch_id"] for row in rows}


async def told(served, kind, branch):
    """Return the lines of every event of *kind* in a branch."""
    request = events_pb2.ListEventsRequest(branch_id=branch, page_size=1000)
    answer = await served.as_("services/engagement")(FeedServiceStub).ListEvents(
        request
    )
    found = []
    for event in answer.events:
        message = kind()
        if event.fact.Unpack(message):
            found += list(message.lines)
    return found


@pytest.mark.parametrize("first", [101, 102])
async def test_a_customer_who_moves_is_taken_back_whichever_branch_tells_it_first(
    served, first
):
    """Rows and history lie in the new branch, the old owner has nobody, and both are told: event, access, history."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    await reader.read()
    await assign(served, "1", "a101")
    fact = moved("1", 101, 102, 1, tier=4, assets=400_000_000)
    reader.publish(fact, first)
    await reader.read()
    early = await standing(served)
    reader.publish(fact, ({101, 102} - {first}).pop())
    await reader.read()

    assert await standing(served) == early == {"1": [(102, "", RECALLED, 1)]}
    assert await places(served, "1") == {102}
    lines = await told(served, facts.CustomersRecalled, 102)
    assert [
        (line.customer, line.previous_owner, line.state, line.version, line.cause)
        for line in lines
    ] == [
        ("customers/1", "staff/a101", RECALLED, 3, pb.RECALL_CAUSE_CUSTOMER_MOVED),
    ]
    errands = await served.sql(
        "SELECT branch_id, request FROM errands ORDER BY create_time"
    )
    access = customer_pb2.SetAccessRequest.FromString(errands[-1]["request"])
    assert (errands[-1]["branch_id"], access.branch_id) == (102, 102)
    assert [(one.customer, one.owner, one.version) for one in access.accesses] == [
        ("customers/1", "", 3)
    ]
    audited = await served.sql(
        "SELECT branch_id, actor, method, resources FROM audit_records WHERE actor = 'services/allocation'"
        " ORDER BY branch_id"
    )
    assert [tuple(row.values()) for row in audited] == [
        (
            branch,
            "services/allocation",
            "guanhu.customer.v1.CustomerMoved",
            f"branches/{branch}",
        )
        for branch in (101, 102)
    ]
    shown = await stub(served).GetOwnership(pb.GetOwnershipRequest(name="ownerships/1"))
    assert (shown.tier, shown.financial_assets.units) == (4, 4_000_000)
    history = await served.sql(
        "SELECT act, branch_before, branch_after, owner_before, owner_after, recall_cause"
        " FROM ownership_changes WHERE number = '1' ORDER BY version"
    )
    assert [tuple(row.values()) for row in history] == [
        (1, 101, 101, "", "", 0),
        (2, 101, 101, "", "a101", 0),
        (6, 101, 102, "a101", "", 5),
    ]


async def test_nobody_is_taken_back_from_nobody(served):
    """A customer who waits for an owner goes on waiting in the new branch; there is no event and no errand."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    reader.publish(moved("1", 101, 102, 1), 101, 102)
    await reader.read()

    assert await standing(served) == {"1": [(102, "", UNASSIGNED, 1)]}
    assert not await told(served, facts.CustomersRecalled, 102)
    assert not await served.sql("SELECT 1 FROM errands")


async def test_a_move_of_somebody_not_met_makes_them_known(served):
    """The new branch tells of the move before the old one tells who it is: the customer waits in the new branch."""
    reader = Reader(served, REACTIONS)
    fact = moved("1", 101, 102, 1)
    reader.publish(fact, 102)
    await reader.read()
    reader.publish(registered("1"), 101)
    reader.publish(fact, 101)
    await reader.read()

    assert await standing(served) == {"1": [(102, "", UNASSIGNED, 1)]}
    assert await places(served, "1") == {102}


async def test_a_move_that_was_parked_is_sent_through_again(served):
    """Redriven, a parked move works as if it had just been told, in all the branches that it needs."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    await reader.read()
    event = events_pb2.Event(branch_id=102, sequence=9)
    event.fact.Pack(moved("1", 101, 102, 1))
    await served.sql(
        "INSERT INTO parked_events (branch_id, source, sequence, event, cause, tries, park_time, redrive)"
        " VALUES (102, 'customer', 9, $1, 'OSError', 5, $2, true)",
        event.SerializeToString(),
        NOW,
    )
    await reader.step()
    rows = await served.sql("SELECT done_time, cause FROM parked_events")

    assert rows[0]["done_time"] is not None
    assert await standing(served) == {"1": [(102, "", UNASSIGNED, 1)]}


async def test_a_contact_told_late_by_the_old_branch_reaches_the_customer(served):
    """What the old branch noted before the move counts, though it is read after the move."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    await reader.read()
    reader.publish(moved("1", 101, 102, 1), 102)
    await reader.read()
    kind = customer.ContactsNoted
    line = kind.Line(customer="customers/1", last_contact_time=time_to(NOW))
    reader.publish(kind(lines=[line]), 101)
    await reader.read()
    rows = await served.sql("SELECT branch_id, last_contact_time FROM ownerships")

    assert [tuple(row.values()) for row in rows] == [(102, NOW)]


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_telling_leads_to_the_same_end(served, seed):
    """
    Random lives of customers: moves, moves back, and assignments between.

    Each branch tells in its order, the branches among each other in any; a plain walk through the lives says where
    everybody must be, with whom, and how.
    """
    rolls = random.Random(seed)
    reader = Reader(served, REACTIONS)
    numbers = [str(10 * seed + place) for place in range(1, 6)]
    lives = {}
    for number in numbers:
        home = rolls.choice(BRANCHES)
        reader.publish(registered(number), home)
        lives[number] = (home, "", UNASSIGNED, 0)
    for _ in range(4):
        for number in rolls.choices(numbers, k=4):
            home, owner, state, count = lives[number]
            target = rolls.choice([one for one in BRANCHES if one != home])
            reader.publish(
                moved(number, home, target, count + 1),
                *rolls.sample((home, target), 2),
            )
            state = RECALLED if state == ACTIVE else state
            lives[number] = (target, "", state, count + 1)
        await reader.read(rolls)
        for number in rolls.sample(numbers, 2):
            home, owner, state, count = lives[number]
            if state != ACTIVE:
                owner = rolls.choice((f"a{home}", f"b{home}"))
                await assign(served, number, owner)
                lives[number] = (home, owner, ACTIVE, count)

    assert await standing(served) == {number: [life] for number, life in lives.items()}
    for number, (home, *_) in lives.items():
        assert await places(served, number) == {home}
    versions = await served.sql(
        "SELECT o.number, o.version, count(*) AS kept FROM ownerships o JOIN ownership_changes c"
        " ON c.branch_id = o.branch_id AND c.number = o.number GROUP BY 1, 2"
    )
    assert all(row["version"] == row["kept"] for row in versions)


async def test_moves_and_assignments_at_once_leave_one_row(served):
    """While two workers follow and a manager gives, everybody ends in one branch, with an owner of it or none."""
    rolls = random.Random(11)
    numbers = [str(place) for place in range(1, 13)]
    reader = Reader(served, REACTIONS)
    reader.publish(registered(*numbers), 101)
    await reader.read()
    for number in numbers:
        reader.publish(moved(number, 101, 102, 1), 101, 102)
        reader.publish(moved(number, 102, 100, 2), 102, 100)
        reader.publish(customer.CustomersChanged(lines=[]), 101)
    for feed in reader.feeds.values():
        feed.show_all()

    async def give():
        for number in rolls.sample(numbers * 6, 72):
            branch = rolls.choice(BRANCHES)
            request = pb.AssignCustomersRequest(
                customers=[pb.SeenCustomer(customer=f"customers/{number}")],
                owner=f"staff/a{branch}",
                mode=1,
                request_id=request_id(),
            )
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stub(served).AssignCustomers(request)

    other = Reader(served, REACTIONS, reader.feeds)
    steps = [one.step() for one in (reader, other) for _ in range(3)]
    await asyncio.gather(give(), *steps)
    await reader.read()
    found = await standing(served)

    assert found.keys() == set(numbers)
    for number, ends in found.items():
        assert [(branch, count) for branch, _, _, count in ends] == [(100, 2)]
        assert ends[0][1] in ("", "a100")
        assert await places(served, number) == {100}
