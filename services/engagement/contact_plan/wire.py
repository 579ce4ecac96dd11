"""Contact plans between the contract's messages and values."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from guanhu.engagement.v1 import contact_plan_pb2 as pb

from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import date_from, date_to, time_to, version_from
from services.engagement.contact_plan.actions import Seen
from services.engagement.contact_plan.queries import Filters


def plan_to(row: Any, items: Sequence[Any] = ()) -> pb.ContactPlan:
    """Return one row, with its items where they are given, as the contract's plan."""
    return pb.ContactPlan(
        name=name_of("contactPlans", row.plan_id),
        branch=name_of("branches", row.branch_id),
        owner=name_of("staff", row.owner),
        plan_date=date_to(row.plan_date),
        state=row.state,
        item_count=row.item_count,
        done_count=row.done_count,
        minimum_count=row.minimum_count,
        items=map(item_to, items),
        review_remark=row.review_remark,
        reviewer=name_of("staff", row.reviewer),
        submit_time=time_to(row.submit_time),
        late=row.late,
        review_time=time_to(row.review_time),
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def item_to(row: Any) -> pb.ContactPlanItem:
    """Return one row as the contract's item."""
    return pb.ContactPlanItem(
        customer=name_of("customers", row.number),
        state=row.state,
        causes=row.causes,
        event_types=row.event_types,
        reminders=[name_of("reminders", one) for one in row.reminders],
        reminder_kinds=row.reminder_kinds,
        execution_note=row.execution_note,
        channel=row.channel,
        work_log=name_of("workLogs", row.work_log_id),
    )


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a plan."""
    return UUID(key_of("contactPlans", name))


def seen_from(request: Any) -> Seen:
    """Return which plan a request is about, as read when; refuses ETAG_REQUIRED."""
    return Seen(id_from(request.name), version_from(request.etag))


def filters_from(request: pb.ListContactPlansRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        plan_date=date_from(request.plan_date, "plan_date"),
        state=request.state,
    )


def item_from(request: pb.AddItemRequest) -> dict[str, Any]:
    """Return the item that a request adds."""
    return {
        "seen": seen_from(request),
        "number": key_of("customers", request.customer),
        "event_type": request.event_type,
        "execution_note": request.execution_note,
        "channel": request.channel,
    }
