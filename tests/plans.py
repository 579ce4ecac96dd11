"""Assignment plans as tests ask for them, and what value first comes to by simple means."""

from fractions import Fraction
from types import SimpleNamespace

from guanhu.allocation.v1 import ownership_pb2, plan_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.allocation.v1.plan_pb2_grpc import AssignmentPlanServiceStub
from guanhu.customer.v1 import customer_events_pb2 as customer
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE
from services.allocation.reactions import REACTIONS
from services.chassis.caller import service_caller
from tests.builders import a_branch, a_member_of_staff, put, request_id

PEOPLE = {str(place): (place % 4 + 1, 15_000_000 * (place % 3)) for place in range(12)}
"""Twelve customers who wait: number to tier and assets in cents; some are alike in both."""

OWNERS = ("keeper", "manager", "other_keeper")
"""Who may own one to one in the branch, ascending."""


async def start(bank):
    """Serve allocation with two branches, staff of several posts, and customers who wait."""
    running = await bank.serve(SERVICE)
    await put(
        running,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        a_branch(102, parent_branch_id=100),
        a_member_of_staff("keeper", capacity=5),
        a_member_of_staff("other_keeper", capacity=0),
        a_member_of_staff("teller", posts=["OPEN_COUNTER_TELLER"]),
        a_member_of_staff("lobby", posts=["LOBBY_MANAGER"]),
        a_member_of_staff("manager", posts=["BRANCH_MANAGER"]),
        a_member_of_staff("elsewhere", branch_id=102),
        a_member_of_staff("gone", state="LEFT"),
    )
    await register(running, PEOPLE)
    await register(running, {"91": (2, 100)}, branch=102)
    return running


async def register(served, people, branch=101, kind=customer.CustomersRegistered):
    """Make customers known, or tell what changed about them."""
    fact = kind(
        lines=[
            kind.Line(
                customer=f"customers/{number}",
                tier=tier,
                customer_type=3,
                source=1,
                financial_assets_minor=assets,
                currency="CNY",
            )
            for number, (tier, assets) in people.items()
        ]
    )
    caller = service_caller("allocation").in_branch(branch)
    async with served.frame.uow(caller) as work:
        await REACTIONS["customer"][kind](work, fact, SimpleNamespace(branch_id=branch))


def plans(served, who="manager"):
    """Return the stub of somebody."""
    return served.as_(who)(AssignmentPlanServiceStub)


def asking(limit=2, branch=101, title="", **more):
    """Return the request for a plan."""
    if "owners" in more:
        more["owners"] = [f"staff/{one}" for one in more["owners"]]
    return plan_pb2.DraftPlanRequest(
        branch_id=branch,
        display_name=title,
        value_first=plan_pb2.ValueFirstParameters(limit_per_owner=limit, **more),
        request_id=request_id(),
    )


async def draft(served, who="manager", **more):
    """Draft a plan."""
    return await plans(served, who).DraftPlan(asking(**more))


async def items(served, plan, who="manager", **filters):
    """Return all customers of a plan, page by page."""
    found, token = [], ""
    while True:
        page = await plans(served, who).ListPlanItems(
            plan_pb2.ListPlanItemsRequest(
                plan=plan.name, page_size=5, page_token=token, **filters
            )
        )
        found += page.plan_items
        token = page.next_page_token
        if not token:
            assert page.total_size == len(found)
            return found


async def edit(served, plan, number, owner="", who="manager", **more):
    """Give one customer of a plan to somebody else."""
    return await plans(served, who).EditPlanItem(
        plan_pb2.EditPlanItemRequest(
            **{
                "name": f"planItems/{plan.name.partition('/')[2]}.{number}",
                "proposed_owner": f"staff/{owner}" if owner else "",
                "reason": "客户要求",
                "etag": plan.etag,
                "request_id": request_id(),
                **more,
            }
        )
    )


async def apply(served, plan, who="manager", **more):
    """Apply a plan."""
    return await plans(served, who).ApplyPlan(
        plan_pb2.ApplyPlanRequest(
            **{
                "name": plan.name,
                "etag": plan.etag,
                "request_id": request_id(),
                **more,
            }
        )
    )


async def undo(served, plan, who="manager", **more):
    """Undo a plan."""
    return await plans(served, who).UndoPlan(
        plan_pb2.UndoPlanRequest(
            **{
                "name": plan.name,
                "etag": plan.etag,
                "reason": "分配有误",
                "request_id": request_id(),
                **more,
            }
        )
    )


async def got(served, plan, who="manager"):
    """Return a plan as it is now."""
    return await plans(served, who).GetPlan(plan_pb2.GetPlanRequest(name=plan.name))


async def assign(served, *numbers, owner="keeper", mode=1, holder=""):
    """Assign customers by hand."""
    return await served.as_("manager")(OwnershipServiceStub).AssignCustomers(
        ownership_pb2.AssignCustomersRequest(
            customers=[
                ownership_pb2.SeenCustomer(
                    customer=f"customers/{number}", expected_owner=holder
                )
                for number in numbers
            ],
            owner=f"staff/{owner}",
            mode=mode,
            request_id=request_id(),
        )
    )


async def hold(served, *numbers):
    """Hold customers under the manager."""
    return await served.as_("manager")(OwnershipServiceStub).HoldCustomers(
        ownership_pb2.HoldCustomersRequest(
            customers=[
                ownership_pb2.SeenCustomer(customer=f"customers/{number}")
                for number in numbers
            ],
            request_id=request_id(),
        )
    )


async def recall(served, *numbers, owner="keeper"):
    """Take customers back."""
    return await served.as_("manager")(OwnershipServiceStub).RecallCustomers(
        ownership_pb2.RecallCustomersRequest(
            customers=[
                ownership_pb2.SeenCustomer(
                    customer=f"customers/{number}", expected_owner=f"staff/{owner}"
                )
                for number in numbers
            ],
            cause=ownership_pb2.RECALL_CAUSE_POOR_EFFECT,
            reason="维护效果不佳",
            request_id=request_id(),
        )
    )


async def owned(served):
    """Return who has whom: number to owner, state and mode, straight from the database."""
    rows = await served.sql("SELECT number, owner, state, mode FROM ownerships")
    return {row["number"]: (row["owner"], row["state"], row["mode"]) for row in rows}


async def set_parameter(served, key, value):
    """Set a parameter of branch 101."""
    await served.as_("operator")(ParameterServiceStub).SetParameter(
        parameter_pb2.SetParameterRequest(
            name=f"parameters/{key}",
            branch_id=101,
            value_json=value,
            request_id=request_id(),
        )
    )


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


def plain(people, limit, owners=OWNERS, counts=None, assets=None):
    """Return by simple means who gets whom, and what each owner has then: number to owner, key to count and assets."""
    counts = dict.fromkeys(owners, 0) | (counts or {})
    assets = dict.fromkeys(owners, 0) | (assets or {})
    start, found = dict(counts), {}
    by_number = sorted(people)
    by_assets = sorted(by_number, key=lambda one: people[one][1], reverse=True)
    for number in sorted(by_assets, key=lambda one: people[one][0], reverse=True):
        fit = [one for one in sorted(owners) if counts[one] - start[one] < limit]
        least = min((counts[one], assets[one], one) for one in fit) if fit else ("",)
        found[number] = least[-1]
        if fit:
            counts[least[-1]] += 1
            assets[least[-1]] += people[number][1]
    return found, counts, assets


def gini(values):
    """Return the share of all differences between owners in what one with everything would make, in thousandths."""
    gaps = sum(abs(one - other) for one in values for other in values)
    most = 2 * (len(values) - 1) * sum(values)
    return int(Fraction(1000 * gaps, most) + Fraction(1, 2)) if most else 0


def keys(found):
    """Return who is to get whom: number to owner."""
    return {
        one.customer.partition("/")[2]: one.proposed_owner.partition("/")[2]
        for one in found
    }
