"""Reads of reminders: pages, and counts of a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.engagement.portfolio.queries import joined, visible
from services.engagement.portfolio.tables import Portfolio
from services.engagement.reminder.rules import State
from services.engagement.reminder.tables import Reminder

LISTING = Listing(
    orders={
        "fact_date": Reminder.fact_date,
        "amount": func.coalesce(Reminder.amount, 0),
        "create_time": Reminder.create_time,
    },
    default="fact_date desc",
    unique=(Reminder.branch_id, Reminder.reminder_id),
)

BUSIEST = 100
"""Customers that a count names at most."""

SHOWN = (*Reminder.__table__.columns, Portfolio.owner)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    owner: str = ""
    number: str = ""
    category: int = 0
    kind: int = 0
    state: int = 0
    day: date | None = None


def directly_managed(caller: Caller, *columns: Any) -> Select[Any]:
    """
    Return a select over reminders of customers in the caller's sight that somebody looks after.

    Source: handbook, reminders are for directly managed customers only.
    """
    statement = select(*columns).join_from(Reminder, Portfolio, joined(Reminder))
    return statement.where(visible(Reminder, caller) & (Portfolio.owner != ""))


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = directly_managed(caller, *SHOWN)
    for column, value in (
        (Reminder.branch_id, filters.branch_id),
        (Portfolio.owner, filters.owner),
        (Reminder.number, filters.number),
        (Reminder.category, filters.category),
        (Reminder.kind, filters.kind),
        (Reminder.state, filters.state),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        statement = statement.where(
            Reminder.number.startswith(filters.query, autoescape=True)
        )
    return statement.where(shown_on(filters.day)) if filters.day else statement


def shown_on(day: date) -> Any:
    """Return the predicate of reminders that are shown on *day*."""
    return (Reminder.show_date <= day) & (Reminder.end_date >= day)


def open_on(caller: Caller, filters: Filters, *columns: Any) -> Select[Any]:
    """Return a select over the reminders that call for something on the filters' day."""
    statement = directly_managed(caller, *columns).where(
        shown_on(filters.day or date.min) & (Reminder.state == State.OPEN)
    )
    if filters.branch_id:
        statement = statement.where(Reminder.branch_id == filters.branch_id)
    if filters.owner:
        statement = statement.where(Portfolio.owner == filters.owner)
    return statement


async def counts(
    work: Work, filters: Filters
) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Return (category, kind, count) by kind, and (number, count) of the busiest customers."""
    count = func.count().label("count")
    kind = (Reminder.category, Reminder.kind)
    kinds = open_on(work.caller, filters, *kind, count).group_by(*kind).order_by(*kind)
    customers = (
        open_on(work.caller, filters, Reminder.number, count)
        .group_by(Reminder.branch_id, Reminder.number)
        .order_by(count.desc(), Reminder.number)
        .limit(BUSIEST)
    )
    return (await work.execute(kinds)).all(), (await work.execute(customers)).all()


async def reminder(work: Work, reminder_id: UUID) -> Any:
    """Return the row to change of one reminder in the caller's sight; refuse NOT_FOUND otherwise."""
    statement = directly_managed(work.caller, Reminder).where(
        (Reminder.reminder_id == reminder_id) & within(Reminder.branch_id, work.caller)
    )
    row = (await work.session.execute(statement)).scalar_one_or_none()
    if row is None:
        raise NotFound("reminder", "提醒")
    return row


async def shown(work: Work, branch_id: int, reminder_id: UUID) -> Any:
    """Return one reminder as lists show it."""
    key = (Reminder.branch_id == branch_id) & (Reminder.reminder_id == reminder_id)
    return (await work.execute(directly_managed(work.caller, *SHOWN).where(key))).one()
