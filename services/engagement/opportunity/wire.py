"""Opportunities between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.engagement.v1 import opportunity_pb2 as pb

from services.chassis.db import chosen
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import (
    date_from,
    date_to,
    minor_from,
    money_to,
    time_to,
    version_from,
)
from services.engagement.opportunity.actions import Finding, Step
from services.engagement.opportunity.queries import Filters


def opportunity_to(row: Any) -> pb.Opportunity:
    """Return one row with its owner as the contract's opportunity."""
    message = pb.Opportunity(
        name=name_of("opportunities", row.opportunity_id),
        branch=name_of("branches", row.branch_id),
        customer=name_of("customers", row.number),
        owner=name_of("staff", row.owner),
        opportunity_class=row.opportunity_class,
        stage=row.stage,
        target_product=name_of("products", row.target_product),
        lead=row.lead,
        feedback=row.feedback,
        source=row.source,
        reminder=name_of("reminders", row.reminder_id),
        expected_date=date_to(row.expected_date),
        follow_up_date=date_to(row.follow_up_date),
        validity_date=date_to(row.validity_date),
        stale=row.stale,
        loss_reason=row.loss_reason,
        loss_remark=row.loss_remark,
        find_date=date_to(row.find_date),
        finder=row.finder,
        close_time=time_to(row.close_time),
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )
    for field in ("expected_amount", "won_amount"):
        amount = getattr(row, field)
        if amount is not None:
            getattr(message, field).CopyFrom(money_to(amount, row.currency))
    return message


def fields_from(message: pb.Opportunity) -> dict[str, Any]:
    """Return what callers may write of an opportunity, by column; an unset amount or day is none."""
    amount = message.expected_amount
    return {
        "lead": message.lead,
        "target_product": optional_key("products", message.target_product),
        "expected_amount": minor_from(amount)
        if message.HasField("expected_amount")
        else None,
        "expected_date": date_from(message.expected_date, "expected_date"),
        "follow_up_date": date_from(message.follow_up_date, "follow_up_date"),
    }


def finding_from(message: pb.Opportunity, number: str = "") -> Finding:
    """Return an opportunity as it was found, of customer *number* where the message names none."""
    reminder = optional_key("reminders", message.reminder)
    return Finding(
        number=optional_key("customers", message.customer) or number,
        opportunity_class=message.opportunity_class,
        source=message.source,
        reminder_id=UUID(reminder) if reminder else None,
        currency=message.expected_amount.currency_code or "CNY",
        **fields_from(message),
    )


def step_from(request: Any) -> Step:
    """Return the move that a request asks for: which opportunity, as read when."""
    return Step(
        opportunity_id=id_from(request.name), version=version_from(request.etag)
    )


def advance_from(request: Any, name: str) -> Step:
    """Return the move to a later stage of the opportunity called *name*."""
    return Step(
        opportunity_id=id_from(name),
        version=version_from(request.etag),
        stage=request.stage,
        feedback=request.feedback,
    )


def update_from(request: pb.UpdateOpportunityRequest) -> Step:
    """Return what an update asks for; refuses MASK_UNKNOWN."""
    message = request.opportunity
    fields = chosen(fields_from(message), request.update_mask.paths)
    if fields.get("expected_amount") is not None:
        fields["currency"] = message.expected_amount.currency_code or "CNY"
    return Step(
        opportunity_id=id_from(message.name),
        version=version_from(message.etag),
        fields=fields,
    )


def win_from(request: pb.WinOpportunityRequest) -> dict[str, Any]:
    """Return what a win asks for."""
    amount = request.won_amount
    return {
        "step": step_from(request),
        "amount": minor_from(amount) if request.HasField("won_amount") else None,
        "currency": amount.currency_code,
    }


def lose_from(request: pb.LoseOpportunityRequest) -> dict[str, Any]:
    """Return what a loss asks for."""
    return {
        "step": step_from(request),
        "reason": request.loss_reason,
        "remark": request.loss_remark,
    }


def id_from(name: str) -> UUID:
    """Return the identifier in the name of an opportunity."""
    return UUID(key_of("opportunities", name))


def filters_from(request: pb.ListOpportunitiesRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        number=optional_key("customers", request.customer),
        opportunity_class=request.opportunity_class,
        stage=request.stage,
        only_open=request.open,
        stale=request.stale,
        found_from=date_from(request.found_from_date, "found_from_date"),
        found_to=date_from(request.found_to_date, "found_to_date"),
    )
