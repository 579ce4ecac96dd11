"""Who looks after whom: the queue, giving and taking back in batches, capacity, history and explanation."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest_asyncio
from guanhu.allocation.v1 import allocation_events_pb2 as facts
from guanhu.allocation.v1 import ownership_pb2 as pb
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import customer_events_pb2 as customer
from guanhu.customer.v1 import customer_pb2
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE
from services.allocation.reactions import REACTIONS
from services.chassis.caller import service_caller
from services.chassis.wiretypes import time_to
from tests.builders import a_branch, a_member_of_staff, put, request_id
from tests.refusals import refused

GOLD = 15_000_000


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with two branches, staff of several posts, and customers who wait."""
    running = await bank.serve(SERVICE)
    await put(
        running,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        a_branch(102, parent_branch_id=100),
        a_member_of_staff("keeper", capacity=3),
        a_member_of_staff("other_keeper"),
        a_member_of_staff("teller", posts=["OPEN_COUNTER_TELLER"]),
        a_member_of_staff("lobby", posts=["LOBBY_MANAGER"]),
        a_member_of_staff("manager", posts=["BRANCH_MANAGER"]),
        a_member_of_staff("elsewhere", branch_id=102),
        a_member_of_staff("gone", state="LEFT"),
    )
    lines = [(str(place), place % 4 + 1, GOLD * place) for place in range(1, 9)]
    await register(running, *lines)
    await register(running, ("91", 2, GOLD), branch=102)
    yield running
    await running.stop()


async def tell(served, fact, branch=101):
    """Let the service react to one fact, as its follower would."""
    caller = service_caller("allocation").in_branch(branch)
    async with served.frame.uow(caller) as work:
        await REACTIONS["customer"][type(fact)](
            work, fact, SimpleNamespace(branch_id=branch)
        )


async def register(served, *lines, branch=101, kind=customer.CustomersRegistered):
    """Make customers known: number, tier, assets in cents."""
    await tell(
        served,
        kind(
            lines=[
                kind.Line(
                    customer=f"customers/{number}",
                    tier=tier,
                    customer_type=3,
                    source=1,
                    financial_assets_minor=assets,
                    currency="CNY",
                )
                for number, tier, assets in lines
            ]
        ),
        branch,
    )


def stub(served, who="manager"):
    """Return the stub of somebody."""
    return served.as_(who)(OwnershipServiceStub)


def seen(*numbers, owner=""):
    """Return customers as their caller saw them."""
    expected = f"staff/{owner}" if owner else ""
    return [
        pb.SeenCustomer(customer=f"customers/{number}", expected_owner=expected)
        for number in numbers
    ]


async def assign(served, *numbers, owner="keeper", mode=1, who="manager", **more):
    """Assign customers."""
    return await stub(served, who).AssignCustomers(
        pb.AssignCustomersRequest(
            **{
                "customers": seen(*numbers),
                "owner": f"staff/{owner}",
                "mode": mode,
                "request_id": request_id(),
                **more,
            }
        )
    )


async def transfer(served, *numbers, owner, of="keeper", **more):
    """Transfer customers."""
    return await stub(served).TransferCustomers(
        pb.TransferCustomersRequest(
            **{
                "customers": seen(*numbers, owner=of),
                "owner": f"staff/{owner}",
                "reason": "休产假移交",
                "request_id": request_id(),
                **more,
            }
        )
    )


async def recall(served, *numbers, of="keeper", cause=pb.RECALL_CAUSE_POOR_EFFECT):
    """Take customers back."""
    return await stub(served).RecallCustomers(
        pb.RecallCustomersRequest(
            customers=seen(*numbers, owner=of),
            cause=cause,
            reason="维护效果不佳",
            request_id=request_id(),
        )
    )


async def hold(served, *numbers, owner="", **more):
    """Hold customers under the manager."""
    return await stub(served).HoldCustomers(
        pb.HoldCustomersRequest(
            customers=seen(*numbers),
            owner=f"staff/{owner}" if owner else "",
            request_id=request_id(),
            **more,
        )
    )


async def got(served, number, who="manager"):
    """Return one ownership."""
    return await stub(served, who).GetOwnership(
        pb.GetOwnershipRequest(name=f"ownerships/{number}")
    )


async def queue(served, who="manager", **filters):
    """Return the queue of those without an owner."""
    return await stub(served, who).ListUnassigned(pb.ListUnassignedRequest(**filters))


async def told(served, kind, branch=101):
    """Return the facts of one kind that were published in a branch."""
    feed = served.as_("services/engagement")(FeedServiceStub)
    events = await feed.ListEvents(
        events_pb2.ListEventsRequest(branch_id=branch, page_size=100)
    )
    found = []
    for event in events.events:
        message = kind()
        if event.fact.Unpack(message):
            found.append(message)
    return found


async def test_the_queue_shows_the_most_valuable_first(served):
    """Customers wait by tier, then assets; a manager sees own branches only, and pages hold each once."""
    whole = await queue(served)
    expected = sorted(
        range(1, 9), key=lambda place: (place % 4, GOLD * place), reverse=True
    )
    seen_names, token = [], ""
    while True:
        page = await queue(served, page_size=3, page_token=token)
        seen_names += [one.customer for one in page.ownerships]
        token = page.next_page_token
        if not token:
            break
    far = await queue(served, "far_manager")
    upper = await queue(served, "upper_manager")
    diamonds = await queue(served, tier=customer_pb2.TIER_DIAMOND)
    keeper = await refused(queue(served, "keeper"))

    assert [one.customer for one in whole.ownerships] == [
        f"customers/{place}" for place in expected
    ]
    assert seen_names == [one.customer for one in whole.ownerships]
    assert (whole.total_size, far.total_size, upper.total_size) == (8, 0, 9)
    assert [one.customer for one in diamonds.ownerships] == [
        "customers/7",
        "customers/3",
    ]
    assert keeper == ("PERMISSION_DENIED", "ROLE_MISSING")


async def test_customers_are_given_to_an_owner_and_everybody_is_told(served):
    """One call assigns a batch once: states, history, the event, and one errand for who may see them."""
    request = pb.AssignCustomersRequest(
        customers=seen("1", "2"),
        owner="staff/keeper",
        mode=1,
        reason="按价值指派",
        request_id=request_id(),
    )
    first = await stub(served).AssignCustomers(request)
    again = await stub(served).AssignCustomers(request)
    one = await got(served, "1")
    errands = await served.sql("SELECT method, request FROM errands")
    sent = customer_pb2.SetAccessRequest.FromString(errands[0]["request"])
    events = await told(served, facts.CustomersAssigned)
    mine = await stub(served, "keeper").ListOwnerships(pb.ListOwnershipsRequest())
    hidden = await refused(got(served, "1", "other_keeper"))

    assert first == again
    assert (first.assigned_count, len(first.skipped)) == (2, 0)
    load = first.load
    assert (load.count_before, load.count_after, load.capacity) == (0, 2, 3)
    assert load.financial_assets_after.units == GOLD * 3 // 100
    assert not load.over_capacity
    assert (one.owner, one.state, one.mode, one.version) == ("staff/keeper", 3, 1, 2)
    assert (one.principle, one.reason) == (1, "按价值指派")
    assert one.HasField("cultivation_end_date")
    assert len(errands) == 1
    assert [(line.customer, line.owner, line.version) for line in sent.accesses] == [
        ("customers/1", "staff/keeper", 2),
        ("customers/2", "staff/keeper", 2),
    ]
    assert [len(event.lines) for event in events] == [2]
    assert events[0].actor == "staff/manager"
    assert {row.customer for row in mine.ownerships} == {"customers/1", "customers/2"}
    assert hidden == ("NOT_FOUND", "NOT_FOUND")


async def test_whoever_changed_meanwhile_is_skipped_and_named(served):
    """A batch leaves who changed, is unknown, or is active already, and does the rest; all or nothing does nothing."""
    await assign(served, "1")
    customers = [
        *seen("1", owner="keeper"),
        *seen("2", owner="keeper"),
        *seen("3"),
        *seen("404"),
    ]
    whole = await refused(
        assign(served, customers=customers, owner="other_keeper", all_or_nothing=True)
    )
    part = await assign(served, customers=customers, owner="other_keeper")
    twice = await refused(assign(served, "4", "4"))

    assert whole == ("FAILED_PRECONDITION", "OWNERS_CHANGED")
    assert part.assigned_count == 1
    assert [(one.customer, one.reason, one.current_owner) for one in part.skipped] == [
        ("customers/1", pb.SKIP_REASON_STATE_UNFIT, "staff/keeper"),
        ("customers/2", pb.SKIP_REASON_OWNER_CHANGED, ""),
        ("customers/404", pb.SKIP_REASON_NOT_FOUND, ""),
    ]
    assert twice == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_only_fit_owners_of_the_branch_are_given_customers(served):
    """Posts, branch and state of the owner decide; who left or works elsewhere is refused by reason."""
    cases = {
        "lobby": ("INVALID_ARGUMENT", "OWNER_POST_MISSING"),
        "gone": ("NOT_FOUND", "NOT_FOUND"),
        "nobody": ("NOT_FOUND", "NOT_FOUND"),
    }
    got_cases = {
        owner: await refused(assign(served, "1", owner=owner)) for owner in cases
    }
    professional = await refused(assign(served, "1", owner="teller", mode=1))
    upper = await refused(assign(served, "1", owner="elsewhere", who="upper_manager"))
    several = await refused(assign(served, "1", "91", who="upper_manager"))
    foreign = await assign(served, "91")
    batch = await assign(served, "1", owner="teller", mode=2)

    assert got_cases == cases
    assert professional == ("INVALID_ARGUMENT", "MODE_NOT_FOR_OWNER")
    assert upper == ("INVALID_ARGUMENT", "OWNER_OF_OTHER_BRANCH")
    assert several == ("INVALID_ARGUMENT", "BATCH_OF_SEVERAL_BRANCHES")
    assert [one.reason for one in foreign.skipped] == [pb.SKIP_REASON_NOT_FOUND]
    assert batch.assigned_count == 1


async def test_customers_are_transferred_recalled_and_their_history_kept(served):
    """Each change adds one entry, newest first, and the explanation tells the last one in both languages."""
    await assign(served, "1")
    await transfer(served, "1", owner="other_keeper")
    same = await transfer(served, "1", owner="other_keeper", of="other_keeper")
    free = await transfer(served, "2", owner="keeper", of="")
    taken = await recall(served, "1", of="other_keeper")
    history = await stub(served).ListOwnershipHistory(
        pb.ListOwnershipHistoryRequest(ownership="ownerships/1")
    )
    why = await stub(served).ExplainOwnership(
        pb.ExplainOwnershipRequest(name="ownerships/1")
    )
    one = await got(served, "1")
    recalled = await told(served, facts.CustomersRecalled)
    waiting = await queue(served, state=pb.OWNERSHIP_STATE_RECALLED)

    assert [row.reason for row in same.skipped] == [pb.SKIP_REASON_NOTHING_TO_DO]
    assert [row.reason for row in free.skipped] == [pb.SKIP_REASON_STATE_UNFIT]
    assert [(load.owner, load.count_before) for load in taken.loads] == [
        ("staff/other_keeper", 1)
    ]
    acts = [
        (row.act, row.owner_before, row.owner_after)
        for row in history.ownership_changes
    ]
    assert acts == [
        (pb.OWNERSHIP_ACT_RECALLED, "staff/other_keeper", ""),
        (pb.OWNERSHIP_ACT_TRANSFERRED, "staff/keeper", "staff/other_keeper"),
        (pb.OWNERSHIP_ACT_ASSIGNED, "", "staff/keeper"),
        (pb.OWNERSHIP_ACT_REGISTERED, "", ""),
    ]
    assert (one.state, one.owner, one.previous_owner) == (4, "", "staff/other_keeper")
    assert "staff/manager" in why.sentence
    assert "收回" in why.sentence_zh
    assert {part.key for part in why.inputs} >= {"tier", "financial_assets"}
    assert [line.cause for fact in recalled for line in fact.lines] == [
        pb.RECALL_CAUSE_POOR_EFFECT
    ]
    assert [row.customer for row in waiting.ownerships] == ["customers/1"]


async def test_cultivation_keeps_the_unfamiliar(served):
    """Within cultivation a customer is not taken back as unfamiliar, but for other causes."""
    await assign(served, "1")
    kept = await recall(served, "1", cause=pb.RECALL_CAUSE_UNFAMILIAR)
    taken = await recall(served, "1", cause=pb.RECALL_CAUSE_LATE_MAINTENANCE)

    assert [one.reason for one in kept.skipped] == [pb.SKIP_REASON_CULTIVATING]
    assert taken.recalled_count == 1


async def test_the_undecided_are_held_under_the_manager(served):
    """Held customers are pending, can be given away from there, and only a manager holds."""
    held = await hold(served, "1", "2")
    again = await hold(served, customers_of := "3")
    lobby = await refused(hold(served, "4", owner="lobby"))
    given = await assign(served, customers=seen("1", owner="manager"))
    pending = await queue(served, state=pb.OWNERSHIP_STATE_PENDING)
    errands = await served.sql("SELECT request FROM errands ORDER BY errand_id")
    first = customer_pb2.SetAccessRequest.FromString(errands[0]["request"])

    assert (held.owner, held.held_count) == ("staff/manager", 2)
    assert (customers_of, again.held_count) == ("3", 1)
    assert lobby == ("INVALID_ARGUMENT", "HOLDER_NOT_MANAGER")
    assert given.assigned_count == 1
    assert sorted(row.customer for row in pending.ownerships) == [
        "customers/2",
        "customers/3",
    ]
    assert {line.owner for line in first.accesses} == {""}


async def test_capacity_is_warned_about_or_forbidden(served):
    """Above capacity is a warning by default; where the branch forbids it, it is refused and nothing is done."""
    await assign(served, "1", "2")
    over = await assign(served, "3", "4")
    operator = served.as_("operator")(ParameterServiceStub)
    await operator.SetParameter(
        parameter_pb2.SetParameterRequest(
            name="parameters/capacity_policy",
            branch_id=101,
            value_json='"FORBID"',
            request_id=request_id(),
        )
    )
    refusal = await refused(assign(served, "5"))
    fine = await assign(served, "5", owner="other_keeper")

    assert over.load.over_capacity
    assert refusal == ("RESOURCE_EXHAUSTED", "CAPACITY_EXCEEDED")
    assert fine.assigned_count == 1


async def test_capacity_cannot_be_passed_by_two_at_once(served):
    """Of eight calls at the same moment with room for three, three get through."""
    operator = served.as_("operator")(ParameterServiceStub)
    await operator.SetParameter(
        parameter_pb2.SetParameterRequest(
            name="parameters/capacity_policy",
            value_json='"FORBID"',
            request_id=request_id(),
        )
    )
    answers = await asyncio.gather(
        *(assign(served, str(place)) for place in range(1, 9)),
        return_exceptions=True,
    )
    done = [one for one in answers if not isinstance(one, BaseException)]
    owned = await served.sql("SELECT count(*) FROM ownerships WHERE owner = 'keeper'")

    assert len(done) == 3
    assert owned[0]["count"] == 3


async def test_facts_follow_the_customer_service(served):
    """What changed about a customer is taken up, who is known already is not entered twice, contacts only move on."""
    await assign(served, "1")
    await register(served, ("1", 5, 7 * GOLD), kind=customer.CustomersChanged)
    now = served.frame.clock()
    for ago in (1, 5):
        noted = customer.ContactsNoted()
        noted.lines.add(
            customer="customers/1",
            last_contact_time=time_to(now - timedelta(days=ago)),
        )
        await tell(served, noted)
    one = await got(served, "1")
    rows = await served.sql(
        "SELECT last_contact_time FROM ownerships WHERE number = '1'"
    )
    history = await served.sql("SELECT 1 FROM ownership_changes WHERE number = '1'")

    assert (one.tier, one.financial_assets.units) == (5, 7 * GOLD // 100)
    assert (one.owner, one.version) == ("staff/keeper", 2)
    assert rows[0]["last_contact_time"] == now - timedelta(days=1)
    assert len(history) == 2
