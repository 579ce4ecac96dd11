"""Messages of customers between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.messaging.v1 import inbound_pb2 as pb

from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import time_to, version_from
from services.messaging.inbound.actions.change import Seen
from services.messaging.inbound.queries import Filters


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a message."""
    return UUID(key_of("inbounds", name))


def seen_from(request: Any) -> Seen:
    """Return which message, as it was seen, a request is about."""
    return Seen(id_from(request.name), version_from(request.etag))


def filters_from(request: pb.ListInboundRequest) -> Filters:
    """Return the filters of a list."""
    batch = optional_key("batches", request.batch)
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        assignee=optional_key("staff", request.assignee),
        state=request.state,
        kind=request.kind,
        batch_id=UUID(batch) if batch else None,
        customer=optional_key("customers", request.customer),
    )


def inbound_to(row: Any, text: str = "") -> pb.Inbound:
    """Return one message, its mobile as the mask; *text* where it is shown."""
    return pb.Inbound(
        name=name_of("inbounds", row.inbound_id),
        branch=name_of("branches", row.branch_id),
        customer=name_of("customers", row.number),
        customer_display_name=row.display_name,
        mobile=row.mobile_mask,
        text=text,
        kind=row.kind,
        state=row.state,
        batch=name_of("batches", row.batch_id),
        template_display_name=row.template_display_name,
        assignee=name_of("staff", row.assignee),
        close_remark=row.close_remark,
        closer=name_of("staff", row.closer),
        confirmation_state=row.confirmation,
        gateway=name_of("gateways", row.gateway),
        whole=row.whole,
        etag=str(row.version),
        receive_time=time_to(row.receive_time),
        update_time=time_to(row.update_time),
        close_time=time_to(row.close_time),
    )
