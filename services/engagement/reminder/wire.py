"""Reminders between the contract's messages and values."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from guanhu.engagement.v1 import reminder_pb2 as pb

from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import (
    date_from,
    date_to,
    money_to,
    time_to,
    version_from,
)
from services.engagement.reminder.queries import Filters


def reminder_to(row: Any) -> pb.Reminder:
    """Return one row with its owner as the contract's reminder."""
    message = pb.Reminder(
        name=name_of("reminders", row.reminder_id),
        branch=name_of("branches", row.branch_id),
        customer=name_of("customers", row.number),
        owner=name_of("staff", row.owner),
        category=row.category,
        kind=row.kind,
        event_type=row.event_type,
        fact_date=date_to(row.fact_date),
        show_date=date_to(row.show_date),
        end_date=date_to(row.end_date),
        holding=name_of("holdings", row.holding),
        product=name_of("products", row.product),
        state=row.state,
        dismiss_reason=row.dismiss_reason,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )
    if row.amount is not None:
        message.amount.CopyFrom(money_to(row.amount, row.currency))
    return message


def filters_from(
    request: pb.ListRemindersRequest,
) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        number=optional_key("customers", request.customer),
        category=request.category,
        kind=request.kind,
        state=request.state,
        day=date_from(request.day, "day"),
    )


def counted_from(request: pb.CountRemindersRequest, today: date) -> Filters:
    """Return what a count is narrowed to; its day is today unless it says another."""
    return Filters(
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        day=date_from(request.day, "day") or today,
    )


def counts_to(
    kinds: Sequence[Any], customers: Sequence[Any]
) -> pb.CountRemindersResponse:
    """Return counts by kind and by customer as the contract's answer."""
    answer = pb.CountRemindersResponse
    return answer(
        kinds=[
            answer.KindCount(category=row.category, kind=row.kind, count=row.count)
            for row in kinds
        ],
        customers=[
            answer.CustomerCount(
                customer=name_of("customers", row.number), count=row.count
            )
            for row in customers
        ],
        total_count=sum(row.count for row in kinds),
    )


def dismiss_from(request: pb.DismissReminderRequest) -> dict[str, Any]:
    """Return what a dismissal asks for."""
    return {
        "reminder_id": UUID(key_of("reminders", request.name)),
        "version": version_from(request.etag),
        "reason": request.reason,
    }
