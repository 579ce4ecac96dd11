"""Messages between the contract's messages and values."""

from datetime import datetime
from typing import Any
from uuid import UUID

from guanhu.messaging.v1 import delivery_pb2 as pb

from services.chassis.errors import Invalid
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.vault import Vault
from services.chassis.wiretypes import time_from, time_to
from services.messaging.batch.actions.letters import open_one
from services.messaging.batch.rules import RecipientState
from services.messaging.delivery.queries import MessageFilters
from services.messaging.delivery.rules import course_of, failure_of


def place_from(name: str) -> tuple[UUID, int]:
    """Return the batch and the place in the name of a message."""
    batch_id, _, ordinal = key_of("messages", name).partition(".")
    return UUID(batch_id), int(ordinal)


def _batch_from(name: str) -> UUID | None:
    return UUID(key_of("batches", name)) if name else None


def filters_from(request: pb.ListMessagesRequest) -> MessageFilters:
    """Return the filters of a list of messages; refuse PERIOD_REVERSED."""
    start, end = time_from(request.start_time), time_from(request.end_time)
    if start and end and end < start:
        raise Invalid("PERIOD_REVERSED")
    return MessageFilters(
        query=request.query,
        branch_id=request.branch_id,
        batch_id=_batch_from(request.batch),
        number=optional_key("customers", request.customer),
        sender=optional_key("staff", request.sender),
        state=request.state,
        reason=request.exclusion_reason,
        start=start,
        end=end,
    )


def unknown_filters_from(request: pb.ListUnknownRequest) -> MessageFilters:
    """Return the filters of a list of messages of which nobody knows."""
    return MessageFilters(
        query=request.query,
        branch_id=request.branch_id,
        batch_id=_batch_from(request.batch),
        state=RecipientState.UNKNOWN,
    )


def export_filters_from(request: pb.ExportMessagesRequest) -> MessageFilters:
    """Return the filters of an export."""
    return MessageFilters(
        query=request.query,
        batch_id=_batch_from(request.batch),
        state=request.state,
        reason=request.exclusion_reason,
    )


def message_to(row: Any, now: datetime) -> pb.Message:
    """Return one message as things stand *now*, the mobile as its mask, without its text."""
    failed = row.state == RecipientState.FAILED
    answer, receipt = row.failure_code or "", row.code or ""
    return pb.Message(
        name=name_of("messages", f"{row.batch_id}.{row.ordinal}"),
        batch=name_of("batches", row.batch_id),
        branch=name_of("branches", row.branch_id),
        template_display_name=row.template_display_name,
        purpose=row.purpose,
        sender=name_of("staff", row.sender),
        customer=name_of("customers", row.number),
        customer_display_name=row.display_name,
        mobile=row.mobile_mask,
        state=row.state,
        exclusion_reason=row.reason,
        segments=row.segments,
        gateway=name_of("gateways", row.gateway),
        gateway_message=row.gateway_message,
        failure_code=(answer or receipt) if failed else "",
        failure_cause=failure_of(row.protocol, answer, receipt) if failed else 0,  # type: ignore[arg-type]
        attempt_count=row.attempts,
        create_time=time_to(row.create_time),
        settle_time=time_to(row.settle_time),
        receipt_time=time_to(row.receipt_time),
        doubt=doubt_to(row, now),
    )


def doubt_to(row: Any, now: datetime) -> pb.Doubt | None:
    """Return why nobody knows about a message and what becomes of it; None where somebody does."""
    if row.state != RecipientState.UNKNOWN:
        return None
    course = course_of(
        row.unknown_policy,
        stopped=row.stopped,
        fence=row.fence_time,
        now=now,
        hears=row.hears_receipts is not False,
        can_query=bool(row.can_query),
    )
    return pb.Doubt(
        start_time=time_to(row.sent_time),
        cause=row.cause,
        unknown_policy=row.unknown_policy,
        fence_time=time_to(row.fence_time),
        course=course,  # type: ignore[arg-type]
    )


def whole_message_to(row: Any, now: datetime, vault: Vault) -> pb.Message:
    """Return one message with its text."""
    found = message_to(row, now)
    if row.message is not None:
        _, found.text = open_one(vault, row.batch_id, row.ordinal, row.message)
    return found
