"""Gateways between the contract's messages and values."""

from datetime import datetime
from typing import Any

from guanhu.messaging.v1 import gateway_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.messaging.gateway.queries import Figures, Shown
from services.messaging.gateway.rules import LinkState, connected


def gateway_to(shown: Shown, now: datetime) -> pb.Gateway:
    """Return one gateway as things stand *now*."""
    row = shown.row
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
        links=map(link_to, shown.links),
        refused=any(link.state == LinkState.REFUSED for link in shown.links),
        hour_figures=figures_to(shown.hour),
        day_figures=figures_to(shown.day),
    )


def link_to(row: Any) -> pb.GatewayLink:
    """Return what one worker told about its link."""
    return pb.GatewayLink(
        worker=row.worker,
        state=row.state,
        reason=row.reason,
        unanswered_count=row.unanswered,
        current_rate=row.sent_per_second,
        allowed_rate=row.allowed_per_second,
        accepted_count=row.accepted_count,
        rejected_count=row.rejected_count,
        throttled_count=row.throttled_count,
        temporary_count=row.temporary_count,
        ambiguous_count=row.ambiguous_count,
        report_time=time_to(row.report_time),
    )


def figures_to(figures: Figures) -> pb.GatewayFigures:
    """Return what became of messages."""
    return pb.GatewayFigures(
        accepted_count=figures.accepted,
        delivered_count=figures.delivered,
        failed_count=figures.failed,
        unknown_count=figures.unknown,
    )
