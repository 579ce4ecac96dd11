"""What the services know of one customer beyond the record itself."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import grpc
from google.type import date_pb2
from guanhu.customer.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    overview_pb2,
    overview_pb2_grpc,
    position_pb2,
    position_pb2_grpc,
)
from guanhu.engagement.v1 import (
    opportunity_pb2,
    opportunity_pb2_grpc,
    reminder_pb2,
    reminder_pb2_grpc,
    work_log_pb2,
    work_log_pb2_grpc,
)
from guanhu.messaging.v1 import batch_pb2, batch_pb2_grpc
from markupsafe import Markup

from admin import charts, formats, sayings
from admin.channels import Channels
from admin.rights import may
from admin.sources import Gathering, Source

BELOW = 20
"""Reminders, opportunities, contacts and consents that a customer's page shows of each."""

MESSAGES = 5
"""Batch messages whose fate is asked for: one call for each batch."""

PERIODS = 60
"""More ten-day periods than thirteen months have."""

RECIPIENTS = "guanhu.messaging.v1.SmsBatchService.ListRecipients"


def thirteen_months_ago(today: date) -> date_pb2.Date:
    """Return the first day of the month thirteen months before *today*, so that a year can be compared."""
    months = today.year * 12 + today.month - 1 - 13
    return date_pb2.Date(year=months // 12, month=months % 12 + 1, day=1)


SOURCES: Mapping[str, Source] = {
    "overview": Source(
        "customer",
        "guanhu.customer.v1.OverviewService.GetCustomerOverview",
        overview_pb2_grpc.OverviewServiceStub,
        lambda customer: overview_pb2.GetCustomerOverviewRequest(name=customer),
    ),
    "positions": Source(
        "customer",
        "guanhu.customer.v1.PositionService.ListPositions",
        position_pb2_grpc.PositionServiceStub,
        lambda customer: position_pb2.ListPositionsRequest(
            customer=customer,
            grain=position_pb2.POSITION_GRAIN_TEN_DAY,
            from_date=thirteen_months_ago(formats.today()),
            page_size=PERIODS,
        ),
    ),
    "consents": Source(
        "customer",
        "guanhu.customer.v1.ConsentService.ListConsents",
        consent_pb2_grpc.ConsentServiceStub,
        lambda customer: consent_pb2.ListConsentsRequest(
            customer=customer, page_size=BELOW
        ),
    ),
    "reminders": Source(
        "engagement",
        "guanhu.engagement.v1.ReminderService.ListReminders",
        reminder_pb2_grpc.ReminderServiceStub,
        lambda customer: reminder_pb2.ListRemindersRequest(
            customer=customer, page_size=BELOW
        ),
    ),
    "opportunities": Source(
        "engagement",
        "guanhu.engagement.v1.OpportunityService.ListOpportunities",
        opportunity_pb2_grpc.OpportunityServiceStub,
        lambda customer: opportunity_pb2.ListOpportunitiesRequest(
            customer=customer, page_size=BELOW
        ),
    ),
    "work_logs": Source(
        "engagement",
        "guanhu.engagement.v1.WorkLogService.ListWorkLogs",
        work_log_pb2_grpc.WorkLogServiceStub,
        lambda customer: work_log_pb2.ListWorkLogsRequest(
            customer=customer,
            kind=work_log_pb2.WORK_LOG_KIND_SINGLE,
            page_size=BELOW,
        ),
    ),
    "messages": Source(
        "engagement",
        "guanhu.engagement.v1.WorkLogService.ListWorkLogs",
        work_log_pb2_grpc.WorkLogServiceStub,
        lambda customer: work_log_pb2.ListWorkLogsRequest(
            customer=customer,
            kind=work_log_pb2.WORK_LOG_KIND_BATCH,
            page_size=MESSAGES,
        ),
    ),
}
"""Every part of the page. Lists are the answer's field of the same name, messages those of work_logs."""


class Portrait:
    """Gathers the parts of a customer's page."""

    def __init__(self, channels: Channels) -> None:
        """Ask over *channels*."""
        self._parts = Gathering(channels, SOURCES)
        self._batches = channels.stub("messaging", batch_pb2_grpc.SmsBatchServiceStub)

    def of(self, customer: str) -> dict[str, Any]:
        """Return the parts of *customer* by name: not there when not allowed, None when the service is away."""
        found = self._parts.about(customer)
        for key, answer in found.items():
            rows = "work_logs" if key == "messages" else key
            if answer is not None and key != "overview":
                found[key] = getattr(answer, rows)
        if found.get("messages"):
            found["messages"] = self._fates(customer, found["messages"])
        return found

    def _fates(self, customer: str, logs: Any) -> list[tuple[Any, Any]]:
        """Return each message with what became of it, as far as messaging tells."""
        asked = may(RECIPIENTS)
        told: list[tuple[Any, Any]] = []
        for log in logs:
            fate = None
            if asked:
                request = batch_pb2.ListRecipientsRequest(
                    batch=log.batch, query=customer.partition("/")[2], page_size=BELOW
                )
                try:
                    rows = self._batches.ListRecipients(request).recipients
                    fate = next((one for one in rows if one.customer == customer), None)
                except grpc.RpcError as error:
                    asked = error.code() not in sayings.AWAY
            told.append((log, fate))
        return told


def assets_chart(positions: Any, title: str) -> Markup:
    """Return the financial assets of *positions*, newest first as listed, as a line; empty for fewer than two."""
    rows = list(reversed(positions or ()))
    if len(rows) < 2:
        return Markup("")
    days = [formats.day_of(row.snapshot_date) for row in rows]
    return charts.area(
        [formats.cents_of(row.financial_assets) for row in rows],
        [day.isoformat() if day else "" for day in days],
        title=title,
        write=formats.short_amount,
    )
