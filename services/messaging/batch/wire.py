"""Batches and recipients between the contract's messages and values."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from guanhu.messaging.v1 import batch_pb2 as pb

from services.chassis.names import key_of, name_of, optional_key
from services.chassis.vault import Vault
from services.chassis.wiretypes import money_to, time_from, time_to, version_from
from services.messaging.batch.actions.change import Seen
from services.messaging.batch.actions.letters import open_one
from services.messaging.batch.actions.plan import Asked
from services.messaging.batch.queries import (
    Filters,
    RecipientFilters,
    Shown,
    Window,
)
from services.messaging.batch.rules import Exclusion, RecipientState, tally


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a batch."""
    return UUID(key_of("batches", name))


def asked_from(request: pb.PlanBatchRequest) -> Asked:
    """Return the batch that is asked for."""
    return Asked(
        template_id=UUID(key_of("templates", request.template)),
        groups=tuple(UUID(key_of("groups", name)) for name in request.groups),
        schedule_time=time_from(request.schedule_time),
        gateway=optional_key("gateways", request.gateway),
        unknown_policy=request.unknown_policy,
    )


def seen_from(request: Any) -> Seen:
    """Return which batch, as it was seen, a request is about."""
    return Seen(
        batch_id=id_from(request.name),
        version=version_from(request.etag),
        digest=getattr(request, "digest", None),
    )


def filters_from(request: pb.ListBatchesRequest) -> Filters:
    """Return the filters of a list of batches."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        sender=optional_key("staff", request.sender),
        state=request.state,
    )


def recipient_filters_from(request: pb.ListRecipientsRequest) -> RecipientFilters:
    """Return the filters of a list of recipients."""
    return RecipientFilters(request.query, request.state, request.exclusion_reason)


def batch_to(shown: Shown, vault: Vault) -> pb.Batch:
    """Return a batch as it stands; its samples are opened where it has any."""
    row = shown.row
    stand = tally(row.state, row.excluded_count, shown.counts)
    found = pb.Batch(
        name=name_of("batches", row.batch_id),
        branch=name_of("branches", row.branch_id),
        sender=name_of("staff", row.sender),
        template=name_of("templates", row.template_id),
        template_display_name=row.template_display_name,
        purpose=row.purpose,
        groups=[name_of("groups", one) for one in row.groups],
        gateway=name_of("gateways", row.gateway),
        state=row.state,
        schedule_time=time_to(row.schedule_time),
        unknown_policy=row.unknown_policy,
        digest=row.digest,
        total_count=row.total_count,
        segment_count=row.segment_count,
        approver=name_of("staff", row.approver),
        review_remark=row.review_remark,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
        finish_time=time_to(row.finish_time),
        samples=[sample_to(row.batch_id, one, vault) for one in shown.samples],
        ordinary_samples=[
            sample_to(row.batch_id, one, vault) for one in shown.ordinary
        ],
        cost=money_to(row.cost),
        segment_counts=segment_counts_to(row.segment_counts),
        send_window=window_to(shown.window),
    )
    for state in RecipientState:
        setattr(found, f"{state.name.lower()}_count", stand[state])
    for reason, count in exclusions_of(shown).items():
        found.exclusions.add(reason=reason, count=count)  # type: ignore[arg-type]
    return found


def exclusions_of(shown: Shown) -> dict[Exclusion, int]:
    """Return how many were left out for each reason, at planning and since; reasons without one are left out."""
    planned = dict(enumerate(shown.row.exclusions, 1))
    counts = {
        reason: planned.get(reason, 0) + shown.late.get(reason, 0)
        for reason in Exclusion
    }
    return {reason: count for reason, count in counts.items() if count}


def segment_counts_to(counts: Sequence[int]) -> Iterable[pb.Batch.SegmentCount]:
    """Yield how many messages are billed as each number of segments, from 1."""
    for number, count in enumerate(counts, 1):
        if count:
            yield pb.Batch.SegmentCount(segments=number, count=count)


def window_to(window: Window | None) -> pb.Batch.SendWindow | None:
    """Return when a batch goes out; None stays unset."""
    if window is None:
        return None
    begin, end = window.hours
    start = time_to(window.moment)
    return pb.Batch.SendWindow(start_time=start, from_hour=begin, to_hour=end)


def sample_to(batch_id: UUID, sample: Any, vault: Vault) -> pb.Batch.Sample:
    """Return one message as it would go out."""
    _, text = open_one(vault, batch_id, sample.ordinal, sample.message)
    return pb.Batch.Sample(
        customer=name_of("customers", sample.number),
        text=text,
        segments=sample.segments,
    )


def recipient_to(row: Any) -> pb.Recipient:
    """Return one person of a batch, the mobile as its mask."""
    return pb.Recipient(
        batch=name_of("batches", row.batch_id),
        ordinal=row.ordinal,
        customer=name_of("customers", row.number),
        customer_display_name=row.display_name,
        mobile=row.mobile_mask,
        state=row.state,
        exclusion_reason=row.reason,
        segments=row.segments,
        gateway_message=row.gateway_message,
        failure_code=row.failure_code or row.code
        if row.state == RecipientState.FAILED
        else "",
        settle_time=time_to(row.settle_time),
        receipt_time=time_to(row.receipt_time),
    )
