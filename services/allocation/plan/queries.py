"""Reads of plans and their customers: one, pages, and whom a plan may give away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from services.allocation.plan.rules import Parameters
from services.allocation.plan.tables import AssignmentPlan, PlanItem
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing

LISTED = tuple(
    column for column in AssignmentPlan.__table__.columns if column.name != "loads"
)
LISTING = Listing(
    orders={
        "create_time": AssignmentPlan.create_time,
        "apply_time": func.coalesce(AssignmentPlan.apply_time, func.to_timestamp(0)),
    },
    default="create_time desc",
    unique=(AssignmentPlan.branch_id, AssignmentPlan.plan_id),
)
ITEMS = Listing(
    orders={"rank": PlanItem.rank, "financial_assets": PlanItem.financial_assets},
    default="rank",
    unique=(PlanItem.branch_id, PlanItem.number),
)

FITTING = """
    FROM ownerships
    WHERE branch_id = $1 AND state <> 3 AND state = ANY ($2::smallint[])
        AND ($3::smallint[] = '{}' OR tier = ANY ($3::smallint[]))"""
COUNTED = f"SELECT count(*) AS customers {FITTING}"
FOUND = f"""
    SELECT number, tier, financial_assets, currency, owner, state, version, customer_type, source {FITTING}"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of plans is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    state: int = 0
    principle: int = 0


@dataclass(frozen=True, slots=True)
class ItemFilters:
    """What a list of a plan's customers is narrowed to; unset fields narrow nothing."""

    query: str = ""
    proposed_owner: str = ""
    assigned: bool | None = None
    edited: bool = False
    outcome: int = 0


def listed(work: Work, filters: Filters) -> Select[Any]:
    """Return the statement of a list of plans."""
    statement = select(*LISTED).where(within(AssignmentPlan.branch_id, work.caller))
    for column, value in (
        (AssignmentPlan.branch_id, filters.branch_id),
        (AssignmentPlan.state, filters.state),
        (AssignmentPlan.principle, filters.principle),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        found = AssignmentPlan.display_name.contains(filters.query, autoescape=True)
        statement = statement.where(found)
    return statement


async def plan(work: Work, plan_id: UUID, *, lock: bool = False) -> AssignmentPlan:
    """Return one plan in the caller's sight, locked where it is to change; refuse NOT_FOUND otherwise."""
    branch_id = await work.locate("plans", str(plan_id), "分配方案")
    key = (AssignmentPlan.branch_id == branch_id) & (AssignmentPlan.plan_id == plan_id)
    sight = within(AssignmentPlan.branch_id, work.caller)
    statement = select(AssignmentPlan).where(key & sight)
    found = await work.session.execute(
        statement.with_for_update() if lock else statement
    )
    row: AssignmentPlan | None = found.scalar_one_or_none()
    if row is None:
        raise NotFound("assignment plan", "分配方案")
    return row


def _of(found: AssignmentPlan) -> Any:
    return (PlanItem.branch_id == found.branch_id) & (PlanItem.plan_id == found.plan_id)


def items(found: AssignmentPlan, filters: ItemFilters) -> Select[Any]:
    """Return the statement of a list of the customers of a plan that its reader was seen to see."""
    statement = select(*PlanItem.__table__.columns).where(_of(found))
    if filters.query:
        statement = statement.where(
            PlanItem.number.startswith(filters.query, autoescape=True)
        )
    if filters.proposed_owner:
        statement = statement.where(PlanItem.proposed_owner == filters.proposed_owner)
    if filters.assigned is not None:
        statement = statement.where((PlanItem.proposed_owner != "") == filters.assigned)
    if filters.edited:
        statement = statement.where(PlanItem.edited)
    if filters.outcome:
        statement = statement.where(PlanItem.outcome == filters.outcome)
    return statement


async def item(work: Work, found: AssignmentPlan, number: str) -> PlanItem:
    """Return the row to change of one customer of a plan; refuse NOT_FOUND otherwise."""
    rows = await work.session.execute(
        select(PlanItem).where(_of(found) & (PlanItem.number == number))
    )
    row: PlanItem | None = rows.scalar_one_or_none()
    if row is None:
        raise NotFound("plan item", "分配明细")
    return row


async def to_give(work: Work, found: AssignmentPlan) -> Sequence[Any]:
    """Return the customers of a plan who are to get an owner, by number."""
    statement = items(found, ItemFilters(assigned=True)).order_by(PlanItem.number)
    return (await work.execute(statement)).all()


async def with_outcome(
    work: Work, found: AssignmentPlan, outcome: int
) -> Sequence[Any]:
    """Return the customers of a plan of whom *outcome* became, by number."""
    statement = items(found, ItemFilters(outcome=outcome)).order_by(PlanItem.number)
    return (await work.execute(statement)).all()


def _fitting(parameters: Parameters) -> tuple[object, ...]:
    return (
        parameters.branch_id,
        [int(state) for state in parameters.states],
        list(parameters.tiers),
    )


async def count_fitting(work: Work, parameters: Parameters) -> int:
    """Return how many customers of the branch fit a plan's parameters."""
    rows = await work.run(COUNTED, *_fitting(parameters))
    return int(rows[0].customers)


async def fitting(work: Work, parameters: Parameters) -> list[Any]:
    """Return the customers of the branch who fit a plan's parameters, as they are now, in no order."""
    return await work.run(FOUND, *_fitting(parameters))
