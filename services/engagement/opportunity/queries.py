"""Reads of opportunities: one, and pages."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from services.chassis.caller import Caller
from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.engagement.opportunity.rules import Stage
from services.engagement.opportunity.tables import Opportunity
from services.engagement.portfolio.queries import joined, visible
from services.engagement.portfolio.tables import Portfolio

SHOWN = (*Opportunity.__table__.columns, Portfolio.owner)

LISTING = Listing(
    orders={
        "find_date": Opportunity.find_date,
        "validity_date": Opportunity.validity_date,
        "expected_amount": func.coalesce(Opportunity.expected_amount, 0),
        "update_time": Opportunity.update_time,
    },
    default="update_time desc",
    unique=(Opportunity.branch_id, Opportunity.opportunity_id),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    owner: str = ""
    number: str = ""
    opportunity_class: int = 0
    stage: int = 0
    only_open: bool = False
    stale: bool = False
    found_from: date | None = None
    found_to: date | None = None


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over opportunities of customers in the caller's sight."""
    statement = select(*columns).join_from(Opportunity, Portfolio, joined(Opportunity))
    return statement.where(visible(Opportunity, caller))


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *SHOWN)
    for column, value in (
        (Opportunity.branch_id, filters.branch_id),
        (Portfolio.owner, filters.owner),
        (Opportunity.number, filters.number),
        (Opportunity.opportunity_class, filters.opportunity_class),
        (Opportunity.stage, filters.stage),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        statement = statement.where(
            Opportunity.number.startswith(filters.query, autoescape=True)
        )
    if filters.only_open:
        statement = statement.where(Opportunity.stage < Stage.WON)
    if filters.stale:
        statement = statement.where(Opportunity.stale)
    if filters.found_from:
        statement = statement.where(Opportunity.find_date >= filters.found_from)
    if filters.found_to:
        statement = statement.where(Opportunity.find_date <= filters.found_to)
    return statement


async def held(work: Work, opportunity_id: UUID) -> Opportunity:
    """Return the row to change of one opportunity in the caller's sight; refuse NOT_FOUND otherwise."""
    branch_id = await work.locate("opportunities", str(opportunity_id), "商机")
    key = (Opportunity.branch_id == branch_id) & (
        Opportunity.opportunity_id == opportunity_id
    )
    found = await work.session.execute(seen(work.caller, Opportunity).where(key))
    row = found.scalar_one_or_none()
    if row is None:
        raise NotFound("opportunity", "商机")
    return row


async def shown(work: Work, opportunity_id: UUID) -> Any:
    """Return one opportunity as lists show it; refuse NOT_FOUND when there is none in sight."""
    branch_id = await work.locate("opportunities", str(opportunity_id), "商机")
    key = (Opportunity.branch_id == branch_id) & (
        Opportunity.opportunity_id == opportunity_id
    )
    row = (await work.execute(seen(work.caller, *SHOWN).where(key))).one_or_none()
    if row is None:
        raise NotFound("opportunity", "商机")
    return row
