"""What this noun publishes: plans approved."""

from typing import Any

from guanhu.engagement.v1 import engagement_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import date_to


def approved(row: Any) -> pb.PlanApproved:
    """Return the event of a plan, as shown, that was approved."""
    return pb.PlanApproved(
        contact_plan=name_of("contactPlans", row.plan_id),
        owner=name_of("staff", row.owner),
        plan_date=date_to(row.plan_date),
        item_count=row.item_count,
        reviewer=name_of("staff", row.reviewer),
    )
