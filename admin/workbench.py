"""What waits for the person today, gathered from every service that their posts open."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from google.type import date_pb2
from guanhu.allocation.v1 import ownership_pb2, ownership_pb2_grpc
from guanhu.customer.v1 import overview_pb2, overview_pb2_grpc
from guanhu.engagement.v1 import (
    contact_plan_pb2,
    contact_plan_pb2_grpc,
    opportunity_pb2,
    opportunity_pb2_grpc,
    reminder_pb2,
    reminder_pb2_grpc,
)
from guanhu.messaging.v1 import (
    batch_pb2,
    batch_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    inbound_pb2,
    inbound_pb2_grpc,
)

from admin.formats import today
from admin.rights import Person
from admin.sources import Source

OWNERS = 500
"""Contact plans of one day that the table of owners is made of; a branch has fewer owners."""

SHOWN = 20
"""Most batches and gateways that are looked at; the pages behind have all."""

ENGAGEMENT = "guanhu.engagement.v1"

DRAFTS = f"{ENGAGEMENT}.ContactPlanService.DraftPlan"
REVIEWS = f"{ENGAGEMENT}.ContactPlanService.ApprovePlan"
APPROVES = "guanhu.messaging.v1.SmsBatchService.ApproveBatch"
"""What a person does about what is counted: who may not do it is not told how much of it waits."""


def _today(day: date) -> date_pb2.Date:
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


SOURCES: Mapping[str, Source] = {
    "unassigned": Source(
        "allocation",
        "guanhu.allocation.v1.OwnershipService.ListUnassigned",
        ownership_pb2_grpc.OwnershipServiceStub,
        lambda _: ownership_pb2.ListUnassignedRequest(page_size=1),
    ),
    "plans": Source(
        "engagement",
        f"{ENGAGEMENT}.ContactPlanService.ListContactPlans",
        contact_plan_pb2_grpc.ContactPlanServiceStub,
        lambda _: contact_plan_pb2.ListContactPlansRequest(
            plan_date=_today(today()), page_size=OWNERS
        ),
    ),
    "late": Source(
        "engagement",
        f"{ENGAGEMENT}.OpportunityService.ListOpportunities",
        opportunity_pb2_grpc.OpportunityServiceStub,
        lambda _: opportunity_pb2.ListOpportunitiesRequest(stale=True, page_size=1),
    ),
    "reminders": Source(
        "engagement",
        f"{ENGAGEMENT}.ReminderService.CountReminders",
        reminder_pb2_grpc.ReminderServiceStub,
        lambda _: reminder_pb2.CountRemindersRequest(),
    ),
    "batches": Source(
        "messaging",
        "guanhu.messaging.v1.SmsBatchService.ListBatches",
        batch_pb2_grpc.SmsBatchServiceStub,
        lambda _: batch_pb2.ListBatchesRequest(
            state=batch_pb2.BATCH_STATE_AWAITING_APPROVAL, page_size=SHOWN
        ),
    ),
    "gateways": Source(
        "messaging",
        "guanhu.messaging.v1.GatewayService.ListGateways",
        gateway_pb2_grpc.GatewayServiceStub,
        lambda _: gateway_pb2.ListGatewaysRequest(page_size=SHOWN),
    ),
    "replies": Source(
        "messaging",
        "guanhu.messaging.v1.InboundService.ListInbound",
        inbound_pb2_grpc.InboundServiceStub,
        lambda _: inbound_pb2.ListInboundRequest(
            state=inbound_pb2.INBOUND_STATE_OPEN, page_size=1
        ),
    ),
    "owners": Source(
        "customer",
        "guanhu.customer.v1.OverviewService.AggregateCustomers",
        overview_pb2_grpc.OverviewServiceStub,
        lambda _: overview_pb2.AggregateCustomersRequest(
            by=overview_pb2.AGGREGATE_BY_OWNER
        ),
    ),
}
"""Every part of the first page."""


class Progress(NamedTuple):
    """One owner's day: customers and assets (None where not told), the plan of today (None when there is none)."""

    owner: str
    aggregate: Any
    plan: Any


def progress(parts: Mapping[str, Any]) -> list[Progress]:
    """Return one line per owner who has customers or a plan today, those who have most still to do first."""
    aggregates = {
        one.owner: one for one in _rows(parts.get("owners"), "aggregates") if one.owner
    }
    plans = {one.owner: one for one in _rows(parts.get("plans"), "contact_plans")}
    lines = [
        Progress(owner, aggregates.get(owner), plans.get(owner))
        for owner in {*aggregates, *plans}
    ]
    return sorted(lines, key=_still_to_do)


def _still_to_do(line: Progress) -> tuple[int, str]:
    left = line.plan.item_count - line.plan.done_count if line.plan else 0
    return -left, line.owner


def _rows(answer: Any, name: str) -> Iterable[Any]:
    return () if answer is None else getattr(answer, name)


def waiting_for_review(parts: Mapping[str, Any]) -> int | None:
    """Return how many of today's plans wait for review; None when that cannot be told."""
    answer = parts.get("plans")
    if answer is None:
        return None
    submitted = contact_plan_pb2.CONTACT_PLAN_STATE_SUBMITTED
    return sum(plan.state == submitted for plan in answer.contact_plans)


def own_plan(parts: Mapping[str, Any], person: Person | None) -> Any:
    """Return the person's own plan of today, None when there is none or it cannot be told."""
    staff = person.staff if person else ""
    plans = _rows(parts.get("plans"), "contact_plans")
    return next((plan for plan in plans if plan.owner == staff), None)


def by_category(reminders: Any) -> list[tuple[int, int, list[Any]]]:
    """Return categories in their order, each with its count and its kinds, the most frequent first."""
    found: dict[int, list[Any]] = {}
    for kind in reminders.kinds:
        found.setdefault(kind.category, []).append(kind)
    return [
        (
            category,
            sum(one.count for one in kinds),
            sorted(kinds, key=lambda one: -one.count),
        )
        for category, kinds in sorted(found.items())
    ]
