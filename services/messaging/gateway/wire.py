"""Gateways between the contract's messages and values."""

from datetime import datetime
from typing import Any

from guanhu.messaging.v1 import gateway_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.messaging.gateway.rules import connected


def gateway_to(row: Any, now: datetime) -> pb.Gateway:
    """Return one row as the contract's gateway, as things stand *now*."""
    return pb.Gateway(
        name=name_of("gateways", row.gateway),
        display_name=row.display_name,
        protocol=row.protocol,
        state=row.state,
        connected=connected(row.bound_time, now),
        window=row.send_window,
        rate=row.rate,
        report_time=time_to(row.report_time),
        etag=str(row.version),
        update_time=time_to(row.update_time),
    )
