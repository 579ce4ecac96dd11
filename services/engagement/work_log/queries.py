"""Reads of the work log."""

from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select

from services.chassis.caller import Caller
from services.chassis.clock import HOME_ZONE
from services.chassis.paging import Listing
from services.engagement.portfolio.queries import joined, visible
from services.engagement.portfolio.tables import Portfolio
from services.engagement.work_log.tables import WorkLog

LISTING = Listing(
    orders={"contact_time": WorkLog.contact_time},
    default="contact_time desc",
    unique=(WorkLog.branch_id, WorkLog.work_log_id),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing; days are the home zone's, both inclusive."""

    query: str = ""
    branch_id: int = 0
    number: str = ""
    staff: str = ""
    kind: int = 0
    from_date: date | None = None
    to_date: date | None = None


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list of contacts with customers in the caller's sight."""
    columns = WorkLog.__table__.columns
    statement = select(*columns).join_from(WorkLog, Portfolio, joined(WorkLog))
    statement = statement.where(visible(WorkLog, caller))
    for column, value in (
        (WorkLog.branch_id, filters.branch_id),
        (WorkLog.number, filters.number),
        (WorkLog.staff, filters.staff),
        (WorkLog.kind, filters.kind),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        statement = statement.where(
            WorkLog.number.startswith(filters.query, autoescape=True)
        )
    zone = ZoneInfo(HOME_ZONE)
    if filters.from_date:
        start = datetime.combine(filters.from_date, time.min, zone)
        statement = statement.where(WorkLog.contact_time >= start)
    if filters.to_date:
        end = datetime.combine(filters.to_date, time.max, zone)
        statement = statement.where(WorkLog.contact_time <= end)
    return statement
