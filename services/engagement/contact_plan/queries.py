"""Reads of contact plans: one with its items, pages, and the customers whom owners of a branch may plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, literal, select

from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.engagement.contact_plan.rules import Candidate, ItemState, silent_days
from services.engagement.contact_plan.tables import ContactPlan, ContactPlanItem


def counting(*states: ItemState) -> Any:
    """Return the number of a plan's items in one of *states*, by the key that plan and items share."""
    return (
        select(func.count())
        .where(
            (ContactPlanItem.branch_id == ContactPlan.branch_id)
            & (ContactPlanItem.plan_id == ContactPlan.plan_id)
            & ContactPlanItem.state.in_([int(state) for state in states])
        )
        .scalar_subquery()
    )


SHOWN = (
    *ContactPlan.__table__.columns,
    counting(*(set(ItemState) - {ItemState.CANCELLED})).label("item_count"),
    counting(ItemState.DONE).label("done_count"),
)

LISTING = Listing(
    orders={
        "plan_date": ContactPlan.plan_date,
        "owner": ContactPlan.owner,
        "submit_time": func.coalesce(ContactPlan.submit_time, func.to_timestamp(0)),
    },
    default="plan_date desc",
    unique=(ContactPlan.branch_id, ContactPlan.plan_id),
)

CANDIDATES = """
    SELECT p.owner, p.number, p.tier, p.financial_assets, p.last_contact_time,
           coalesce(p.next_contact_on <= $2, false) AS contact_due, o.number IS NOT NULL AS opportunity_due,
           coalesce(c.state IN (3, 4, 6), false) AS carried_over, coalesce(r.category, 0) AS category,
           r.reminders, r.kinds, r.event_types
    FROM portfolio AS p
    LEFT JOIN (
        SELECT number, min(category) AS category,
               array_agg(reminder_id ORDER BY category, kind, reminder_id) AS reminders,
               array_agg(DISTINCT kind) AS kinds, array_agg(DISTINCT event_type) AS event_types
        FROM reminders
        WHERE branch_id = $1 AND state = 1 AND show_date <= $2 AND end_date >= $2
        GROUP BY number) AS r ON r.number = p.number
    LEFT JOIN (
        SELECT DISTINCT number FROM opportunities
        WHERE branch_id = $1 AND stage < 10 AND follow_up_date <= $2) AS o ON o.number = p.number
    LEFT JOIN (
        SELECT DISTINCT ON (i.number) i.number, i.state
        FROM contact_plans AS q
        JOIN contact_plan_items AS i ON i.branch_id = q.branch_id AND i.plan_id = q.plan_id
        WHERE q.branch_id = $1 AND q.plan_date >= $2::date - 7 AND q.plan_date < $2
        ORDER BY i.number, q.plan_date DESC) AS c ON c.number = p.number
    WHERE p.branch_id = $1 AND p.maintenance_mode = 1 AND p.owner <> '' AND ($3 = '' OR p.owner = $3)
      AND NOT EXISTS (
        SELECT FROM contact_plans AS t
        JOIN contact_plan_items AS j ON j.branch_id = t.branch_id AND j.plan_id = t.plan_id
        WHERE t.branch_id = $1 AND t.owner = p.owner AND t.plan_date = $2 AND j.number = p.number)
    ORDER BY p.owner, p.number"""
"""What speaks for every directly managed customer of a branch that is not in the day's plan yet, in one read."""

PORTFOLIOS = """
    SELECT owner, count(*) AS customers FROM portfolio
    WHERE branch_id = $1 AND maintenance_mode = 1 AND owner <> '' AND ($2 = '' OR owner = $2) GROUP BY owner"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    branch_id: int = 0
    owner: str = ""
    plan_date: date | None = None
    state: int = 0


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over plans in the caller's sight: the branches', or only its own."""
    own = ContactPlan.owner == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    return select(*columns).where(within(ContactPlan.branch_id, caller) & own)


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *SHOWN)
    for column, value in (
        (ContactPlan.branch_id, filters.branch_id),
        (ContactPlan.owner, filters.owner),
        (ContactPlan.plan_date, filters.plan_date),
        (ContactPlan.state, filters.state),
    ):
        if value:
            statement = statement.where(column == value)
    return statement


async def _one(work: Work, plan_id: UUID, *columns: Any) -> Any:
    branch_id = await work.locate("contactPlans", str(plan_id), "联络计划")
    key = (ContactPlan.branch_id == branch_id) & (ContactPlan.plan_id == plan_id)
    found = await work.session.execute(seen(work.caller, *columns).where(key))
    row = found.one_or_none()
    if row is None:
        raise NotFound("contact plan", "联络计划")
    return row


async def held(work: Work, plan_id: UUID) -> ContactPlan:
    """Return the row to change of one plan in the caller's sight; refuse NOT_FOUND otherwise."""
    row: ContactPlan = (await _one(work, plan_id, ContactPlan))[0]
    return row


async def shown(work: Work, plan_id: UUID) -> tuple[Any, Sequence[Row[Any]]]:
    """Return one plan as lists show it, and its items in order; refuse NOT_FOUND when it is not in sight."""
    await work.session.flush()
    row = await _one(work, plan_id, *SHOWN)
    items = (
        select(*ContactPlanItem.__table__.columns)
        .where(
            (ContactPlanItem.branch_id == row.branch_id)
            & (ContactPlanItem.plan_id == plan_id)
        )
        .order_by(ContactPlanItem.place, ContactPlanItem.number)
    )
    return row, (await work.execute(items)).all()


async def candidates(
    work: Work, branch_id: int, day: date, owner: str = ""
) -> dict[str, list[Candidate]]:
    """Return whom each owner of a branch, or one *owner*, may plan for *day* and has not planned yet."""
    found: dict[str, list[Candidate]] = {}
    for row in await work.run(CANDIDATES, branch_id, day, owner):
        one = Candidate(
            number=row.number,
            tier=row.tier,
            financial_assets=row.financial_assets,
            silent_days=silent_days(row.last_contact_time, day),
            reminders=row.reminders or (),
            reminder_kinds=row.kinds or (),
            event_types=row.event_types or (),
            category=row.category,
            contact_due=row.contact_due,
            opportunity_due=row.opportunity_due,
            carried_over=row.carried_over,
        )
        found.setdefault(row.owner, []).append(one)
    return found


async def portfolio_sizes(
    work: Work, branch_id: int, owner: str = ""
) -> dict[str, int]:
    """Return how many customers each owner of a branch, or one *owner*, looks after one to one."""
    rows = await work.run(PORTFOLIOS, branch_id, owner)
    return {row.owner: row.customers for row in rows}
