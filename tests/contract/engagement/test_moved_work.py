"""Customers who move to another branch: what is theirs follows them, what was their old owner's day is let go."""

import random
from datetime import timedelta

import pytest
import pytest_asyncio
from guanhu.allocation.v1 import allocation_events_pb2 as allocation
from guanhu.customer.v1 import customer_events_pb2 as customer
from guanhu.engagement.v1 import contact_plan_pb2, opportunity_pb2, reminder_pb2
from guanhu.engagement.v1.contact_plan_pb2_grpc import ContactPlanServiceStub
from guanhu.engagement.v1.opportunity_pb2_grpc import OpportunityServiceStub
from guanhu.engagement.v1.reminder_pb2_grpc import ReminderServiceStub
from guanhu.engagement.v1.work_log_pb2_grpc import WorkLogServiceStub

from services.chassis.wiretypes import time_to
from services.engagement.__main__ import SERVICE
from services.engagement.reactions import MOVED_AWAY, REACTIONS
from tests.builders import NOW, request_id
from tests.contract.engagement.test_work_log import a_contact
from tests.engagements import today, wire_day
from tests.feeds import Reader
from tests.refusals import refused

BRANCHES = (101, 102, 200)
TABLES = ("portfolio", "reminders", "opportunities", "work_logs")
OPEN, DONE, DISMISSED, TIDINGS = 1, 3, 4, 20


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """An engagement service that knows nobody yet."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


def registered(*numbers):
    """Return the fact that customers became known."""
    kind = customer.CustomersRegistered
    lines = [
        kind.Line(customer=f"customers/{number}", tier=2, currency="CNY")
        for number in numbers
    ]
    return kind(lines=lines)


def moved(number, source, target, count):
    """Return the fact that somebody moved for the *count*-th time, a diamond customer by then."""
    kind = customer.CustomerMoved
    line = kind.Line(
        customer=f"customers/{number}",
        move_version=count,
        tier=4,
        financial_assets_minor=400_000_000,
        currency="CNY",
    )
    return kind(from_branch_id=source, to_branch_id=target, lines=[line])


def assigned(number, owner, version):
    """Return the fact that somebody was given to *owner*."""
    kind = allocation.CustomersAssigned
    line = kind.Line(
        customer=f"customers/{number}",
        owner=f"staff/{owner}",
        mode=1,
        state=3,
        version=version,
    )
    return kind(lines=[line])


def recalled(number, version):
    """Return the fact that somebody was taken back."""
    kind = allocation.CustomersRecalled
    return kind(
        lines=[kind.Line(customer=f"customers/{number}", state=4, version=version)]
    )


def matures(served, number, holding):
    """Return the fact that a holding matures in some days."""
    now = today(served)
    kind = customer.HoldingsMaturing
    line = kind.Line(
        customer=f"customers/{number}",
        holding=f"holdings/{holding}",
        product="products/WM01",
        maturity_date=wire_day(now + timedelta(days=5)),
        amount_minor=5_000_000,
        currency="CNY",
    )
    return kind(detect_date=wire_day(now), lines=[line])


def noted(served, number, next_in):
    """Return the fact that somebody was contacted at NOW, and is to be contacted again in some days."""
    kind = customer.ContactsNoted
    line = kind.Line(
        customer=f"customers/{number}",
        last_contact_time=time_to(NOW),
        next_contact_on=wire_day(today(served) + timedelta(days=next_in)),
    )
    return kind(lines=[line])


async def places(served, number):
    """Return every branch in which anything of a customer lies."""
    parts = [f"SELECT branch_id FROM {table} WHERE number = $1" for table in TABLES]
    parts.append("SELECT branch_id FROM directory WHERE kind = 'customers' AND id = $1")
    parts.append(
        "SELECT d.branch_id FROM directory d JOIN opportunities o ON o.opportunity_id::text = d.id"
        " WHERE d.kind = 'opportunities' AND o.number = $1"
    )
    rows = await served.sql(" UNION ".join(parts), number)
    return {row["branch_id"] for row in rows}


async def a_life(served, reader):
    """Let customer 1 of branch 101 be owned, reminded of, found an opportunity, planned and contacted."""
    reader.publish(registered("1", "2"), 101)
    reader.publish(assigned("1", "keeper", 2), 101)
    reader.publish(assigned("2", "keeper", 2), 101)
    await reader.read()
    reader.publish(matures(served, "1", "H1"), 101)
    await reader.read()
    keeper = served.as_("keeper")
    await keeper(OpportunityServiceStub).CreateOpportunity(
        opportunity_pb2.CreateOpportunityRequest(
            opportunity=opportunity_pb2.Opportunity(
                customer="customers/1", opportunity_class=3, lead="想了解保险"
            ),
            request_id=request_id(),
        )
    )
    await keeper(WorkLogServiceStub).RecordContact(a_contact(served))
    return await keeper(ContactPlanServiceStub).DraftPlan(
        contact_plan_pb2.DraftPlanRequest(
            plan_date=wire_day(today(served) + timedelta(days=1)),
            request_id=request_id(),
        )
    )


@pytest.mark.parametrize("first", [101, 102])
async def test_what_is_the_customers_follows_and_the_old_owners_day_is_let_go(
    served, first
):
    """Portfolio, reminders, opportunities and log lie in the new branch; the open plan lets go and says why."""
    reader = Reader(served, REACTIONS)
    plan = await a_life(served, reader)
    assert {item.customer for item in plan.items} == {"customers/1", "customers/2"}
    fact = moved("1", 101, 102, 1)
    for branch in (first, ({101, 102} - {first}).pop()):
        reader.publish(fact, branch)
        await reader.read()
        assert await places(served, "1") == {102}

    audited = await served.sql(
        "SELECT branch_id, method FROM audit_records WHERE actor = 'services/engagement' ORDER BY branch_id"
    )
    assert [tuple(row.values()) for row in audited] == [
        (branch, "guanhu.customer.v1.CustomerMoved") for branch in (101, 102)
    ]
    counts = await served.sql(
        "SELECT (SELECT count(*) FROM opportunities WHERE branch_id = 102), "
        "(SELECT count(*) FROM work_logs WHERE branch_id = 102)"
    )
    assert tuple(counts[0].values()) == (1, 1)
    row = (await served.sql("SELECT * FROM portfolio WHERE number = '1'"))[0]
    assert (row["owner"], row["tier"], row["move_version"]) == ("", 4, 1)
    assert row["last_contact_time"] is not None
    reminders = await served.sql(
        "SELECT kind, state, dismiss_reason FROM reminders WHERE number = '1' ORDER BY kind"
    )
    assert [tuple(one.values()) for one in reminders] == [
        (11, OPEN, ""),
        (TIDINGS, DISMISSED, MOVED_AWAY),
    ]
    items = await served.sql(
        "SELECT number, branch_id, state, execution_note FROM contact_plan_items ORDER BY number"
    )
    assert [tuple(one.values()) for one in items] == [
        ("1", 101, 5, MOVED_AWAY),
        ("2", 101, 1, ""),
    ]
    contact = a_contact(served)
    stub = served.as_("keeper")(WorkLogServiceStub)
    assert (await refused(stub.RecordContact(contact)))[1] == "NOT_FOUND"


async def test_the_new_branch_works_on_with_what_came(served):
    """Whoever is given the customer there sees the reminder and the opportunity, by the names they had."""
    reader = Reader(served, REACTIONS)
    await a_life(served, reader)
    before = await served.as_("manager")(OpportunityServiceStub).ListOpportunities(
        opportunity_pb2.ListOpportunitiesRequest()
    )
    reader.publish(moved("1", 101, 200, 1), 101, 200)
    reader.publish(recalled("1", 3), 200)
    reader.publish(assigned("1", "far_manager", 4), 200)
    await reader.read()
    far = served.as_("far_manager")
    after = await far(OpportunityServiceStub).GetOpportunity(
        opportunity_pb2.GetOpportunityRequest(name=before.opportunities[0].name)
    )
    shown = await far(ReminderServiceStub).ListReminders(
        reminder_pb2.ListRemindersRequest()
    )

    assert (after.customer, after.lead) == ("customers/1", "想了解保险")
    assert {(one.customer, one.kind) for one in shown.reminders} == {
        ("customers/1", 11),
        ("customers/1", TIDINGS),
    }


async def test_what_the_old_branch_tells_late_reaches_the_customer(served):
    """A maturity and a contact that the old branch told before the move are not lost when they are read after it."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    await reader.read()
    reader.publish(moved("1", 101, 102, 1), 102)
    await reader.read()
    reader.publish(matures(served, "1", "H9"), 101)
    reader.publish(noted(served, "1", 3), 101)
    reader.publish(moved("1", 101, 102, 1), 101)
    await reader.read()
    row = (await served.sql("SELECT * FROM portfolio"))[0]
    reminders = await served.sql("SELECT branch_id, holding FROM reminders")

    assert await places(served, "1") == {102}
    assert (row["last_contact_time"], row["next_contact_on"]) == (
        NOW,
        today(served) + timedelta(days=3),
    )
    assert [tuple(one.values()) for one in reminders] == [(102, "H9")]


async def test_a_date_planned_in_the_new_branch_stands_against_a_late_one(served):
    """Where the new branch has planned the next contact, what the old one planned before comes too late."""
    reader = Reader(served, REACTIONS)
    reader.publish(registered("1"), 101)
    await reader.read()
    reader.publish(moved("1", 101, 102, 1), 102)
    reader.publish(noted(served, "1", 9), 102)
    await reader.read()
    reader.publish(noted(served, "1", 3), 101)
    await reader.read()
    row = (await served.sql("SELECT next_contact_on FROM portfolio"))[0]

    assert row["next_contact_on"] == today(served) + timedelta(days=9)


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_telling_leads_to_the_same_end(served, seed):
    """
    Random lives of customers, told by two services in several branches, each branch in its order, else in any.

    A plain walk through the lives says where everybody is, who looks after them, and how many holdings mature.
    """
    rolls = random.Random(seed)
    reader = Reader(served, REACTIONS)
    numbers = [str(10 * seed + place) for place in range(1, 5)]
    lives = {}
    for number in numbers:
        lives[number] = [rolls.choice(BRANCHES), "", 1, 0, 0]
        reader.publish(registered(number), lives[number][0])
    for turn in range(24):
        number = rolls.choice(numbers)
        life = lives[number]
        home, owner, version, count, holdings = life
        act = rolls.choice(("move", "assign", "recall", "mature"))
        if act == "move":
            target = rolls.choice([one for one in BRANCHES if one != home])
            fact = moved(number, home, target, count + 1)
            reader.publish(fact, *rolls.sample((home, target), 2))
            if owner:
                version += 1
                reader.publish(recalled(number, version), target)
            life[:] = [target, "", version, count + 1, holdings]
        elif act == "assign":
            owner = f"{rolls.choice('ab')}{home}"
            reader.publish(assigned(number, owner, version + 1), home)
            life[1:3] = [owner, version + 1]
        elif act == "recall" and owner:
            reader.publish(recalled(number, version + 1), home)
            life[1:3] = ["", version + 1]
        elif act == "mature":
            reader.publish(matures(served, number, f"H{turn}"), home)
            life[4] += 1
        if turn % 8 == 7:
            await reader.read(rolls)
    rows = await served.sql(
        "SELECT p.number, p.branch_id, p.owner, p.ownership_version, p.move_version, (SELECT count(*) FROM reminders r"
        " WHERE r.branch_id = p.branch_id AND r.number = p.number AND r.kind = 11 AND r.state = 1) FROM portfolio p"
    )
    got = sorted(list(row.values()) for row in rows)
    expected = sorted(
        [number, home, owner, version if version > 1 else 0, count, holdings]
        for number, (home, owner, version, count, holdings) in lives.items()
    )

    assert got == expected
    for number, (home, *_) in lives.items():
        assert await places(served, number) == {home}
