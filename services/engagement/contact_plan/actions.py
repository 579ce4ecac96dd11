"""Commands on contact plans: draft, change, submit, review, carry out, close."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.clock import local_time
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Denied, Invalid, Stale, Unready
from services.engagement.contact_plan import events, queries, rules
from services.engagement.contact_plan.rules import Cause, Chosen, ItemState, PlanState
from services.engagement.contact_plan.tables import ContactPlan, ContactPlanItem
from services.engagement.portfolio.queries import customer
from services.engagement.reminder.actions import mark
from services.engagement.reminder.rules import State as ReminderState

DRAFT_TASK = "draft_plans"
CLOSE_TASK = "close_plans"

PLANS = """
    SELECT p.plan_id, p.owner, p.state, count(i.number) AS places,
           count(i.number) FILTER (WHERE i.state <> 5) AS present
    FROM contact_plans AS p
    LEFT JOIN contact_plan_items AS i ON i.branch_id = p.branch_id AND i.plan_id = p.plan_id
    WHERE p.branch_id = $1 AND p.plan_date = $2 AND ($3 = '' OR p.owner = $3)
    GROUP BY p.plan_id, p.owner, p.state"""
LAST_PLACE = "SELECT coalesce(max(place), 0) AS place FROM contact_plan_items WHERE branch_id = $1 AND plan_id = $2"
TOUCHED = """
    UPDATE contact_plans SET version = version + 1, update_time = $3
    WHERE branch_id = $1 AND plan_id = ANY ($2::uuid[])"""
CLOSED = """
    UPDATE contact_plans SET state = 5, version = version + 1, update_time = $3
    WHERE branch_id = $1 AND plan_date < $2 AND state <> 5 RETURNING plan_id"""
MISSED = """
    UPDATE contact_plan_items SET state = 6, update_time = $3
    WHERE branch_id = $1 AND plan_id = ANY ($2::uuid[]) AND state = 1 RETURNING reminders"""

LET_GO = """
    UPDATE contact_plan_items AS i
    SET state = 5, execution_note = left(concat_ws('；', $3::text, nullif(i.execution_note, '')), 200), update_time = $4
    FROM contact_plans AS p
    WHERE i.branch_id = $1 AND i.number = ANY ($2::text[]) AND i.state = 1 AND p.branch_id = $1
        AND p.plan_id = i.plan_id AND p.state <> 5
    RETURNING i.plan_id, i.reminders"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A plan as somebody read it at *version*."""

    plan_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Addition:
    """Customers to put into a plan behind the *places* it has."""

    plan_id: UUID
    places: int
    chosen: Sequence[Chosen]


async def draft_plans(work: Work, branch_id: int, day: date) -> None:
    """Draft the plans of *day* of every owner in a branch, or add to drafts what has come since."""
    await _draft(work, branch_id, day)


async def draft(uow: UnitOfWork, caller: Caller, *, day: date | None) -> Any:
    """
    Draft the caller's own plan of *day* (today when None), or add to it what has come since.

    Refuses PLAN_DATE_UNFIT, NOBODY_TO_PLAN and CONTACT_PLAN_STATE_UNFIT.
    """
    async with uow(caller) as work:
        day = day or work.today
        if not rules.may_plan(day, work.today):
            raise Invalid("PLAN_DATE_UNFIT", days=rules.DAYS_AHEAD)
        branch_id = caller.branch_id
        existing = await work.run(PLANS, branch_id, day, caller.key)
        if existing and existing[0].state not in rules.CHANGEABLE:
            raise _unfit(existing[0].state)
        plans = await _draft(work, branch_id, day, caller.key)
        if caller.key not in plans:
            raise Unready("NOBODY_TO_PLAN")
        work.note(f"contactPlans/{plans[caller.key]}", branch_id=branch_id, day=day)
        return await queries.shown(work, plans[caller.key])


def _unfit(state: int) -> Unready:
    return Unready("CONTACT_PLAN_STATE_UNFIT", state=rules.TITLES[PlanState(state)])


async def _draft(
    work: Work, branch_id: int, day: date, owner: str = ""
) -> dict[str, UUID]:
    """Draft for every owner, or for one; return the plans of the day by owner."""
    least = await work.parameter("daily_contact_minimum", branch_id)
    most = await work.parameter("daily_contact_most", branch_id)
    sizes = await queries.portfolio_sizes(work, branch_id, owner)
    found = await queries.candidates(work, branch_id, day, owner)
    existing = {row.owner: row for row in await work.run(PLANS, branch_id, day, owner)}
    plans = {name: row.plan_id for name, row in existing.items()}
    fresh = {name: uuid7() for name in sizes if name not in existing}
    await _insert_plans(work, branch_id, day, fresh, sizes, least)
    additions: list[Addition] = []
    for name, candidates in found.items():
        row = existing.get(name)
        if row is not None and row.state not in rules.CHANGEABLE:
            continue
        present, places = (row.present, row.places) if row else (0, 0)
        chosen = rules.draft(candidates, least=least - present, most=most)
        if chosen:
            plan_id = fresh.get(name) or plans[name]
            additions.append(Addition(plan_id, places, chosen))
    await _insert_items(work, branch_id, additions)
    return {**plans, **fresh}


async def _insert_plans(
    work: Work,
    branch_id: int,
    day: date,
    fresh: dict[str, UUID],
    sizes: dict[str, int],
    least: int,
) -> None:
    rows = [
        {
            "branch_id": branch_id,
            "plan_id": plan_id,
            "owner": owner,
            "plan_date": day,
            "state": PlanState.DRAFT,
            "minimum_count": min(least, sizes[owner]),
            "review_remark": "",
            "reviewer": "",
            "late": False,
            "create_time": work.now,
            "update_time": work.now,
            "version": 1,
        }
        for owner, plan_id in fresh.items()
    ]
    if rows:
        await work.execute(insert(ContactPlan), rows)
    for plan_id in fresh.values():
        await work.register("contactPlans", plan_id, branch_id)


async def _insert_items(
    work: Work, branch_id: int, additions: Sequence[Addition]
) -> None:
    """Put the chosen into their plans, behind what is there, and mark their reminders planned."""
    rows: list[dict[str, Any]] = [
        {
            "branch_id": branch_id,
            "plan_id": addition.plan_id,
            "number": one.candidate.number,
            "place": place,
            "state": ItemState.PLANNED,
            "causes": [int(cause) for cause in one.causes],
            "event_types": one.event_types,
            "reminders": list(one.candidate.reminders),
            "reminder_kinds": sorted(one.candidate.reminder_kinds),
            "execution_note": "",
            "channel": rules.CALL,
            "update_time": work.now,
        }
        for addition in additions
        for place, one in enumerate(addition.chosen, addition.places + 1)
    ]
    if not rows:
        return
    statement = insert(ContactPlanItem)
    await work.execute(statement.on_conflict_do_nothing(), rows)
    plans = [addition.plan_id for addition in additions]
    await work.run(TOUCHED, branch_id, plans, work.now)
    planned = [reminder for row in rows for reminder in row["reminders"]]
    await mark(
        work,
        branch_id,
        planned,
        state=ReminderState.PLANNED,
        only=(ReminderState.OPEN,),
    )


async def _held(
    work: Work, seen: Seen, *states: PlanState, owner_only: bool = False
) -> ContactPlan:
    """Return the plan as its caller read it; refuses NOT_FOUND, CHANGED_MEANWHILE, and what does not fit."""
    row = await queries.held(work, seen.plan_id)
    if owner_only and row.owner != work.caller.key:
        raise Denied("CONTACT_PLAN_OF_OTHER")
    if row.state not in states:
        raise _unfit(row.state)
    if row.version != seen.version:
        raise Stale("CHANGED_MEANWHILE")
    row.update_time = work.now
    work.note(f"contactPlans/{row.plan_id}", branch_id=row.branch_id, before=row.state)
    return row


async def _item(work: Work, plan: ContactPlan, number: str) -> ContactPlanItem | None:
    where = (
        (ContactPlanItem.branch_id == plan.branch_id)
        & (ContactPlanItem.plan_id == plan.plan_id)
        & (ContactPlanItem.number == number)
    )
    found = await work.session.execute(select(ContactPlanItem).where(where))
    return found.scalar_one_or_none()


async def add_item(
    uow: UnitOfWork,
    caller: Caller,
    *,
    seen: Seen,
    number: str,
    event_type: int,
    execution_note: str,
    channel: int,
) -> Any:
    """
    Put a customer of the owner into a plan that can still change.

    Refuses NOT_FOUND, CONTACT_PLAN_OF_OTHER, CONTACT_PLAN_STATE_UNFIT, CHANGED_MEANWHILE, CUSTOMER_NOT_OWNED and
    CUSTOMER_PLANNED.
    """
    async with uow(caller) as work:
        plan = await _held(work, seen, *rules.CHANGEABLE, owner_only=True)
        found = await customer(work, number)
        if found.owner != plan.owner or found.branch_id != plan.branch_id:
            raise Unready("CUSTOMER_NOT_OWNED")
        item = await _item(work, plan, number)
        if item is not None and item.state != ItemState.CANCELLED:
            raise Unready("CUSTOMER_PLANNED")
        if item is None:
            item = ContactPlanItem(
                branch_id=plan.branch_id,
                plan_id=plan.plan_id,
                number=number,
                reminders=[],
                reminder_kinds=[],
                place=await _next_place(work, plan),
            )
            work.add(item)
        item.state, item.causes = ItemState.PLANNED, [int(Cause.BY_HAND)]
        item.event_types, item.execution_note = [event_type], execution_note
        item.channel, item.update_time = channel or rules.CALL, work.now
        return await queries.shown(work, plan.plan_id)


async def _next_place(work: Work, plan: ContactPlan) -> int:
    rows = await work.run(LAST_PLACE, plan.branch_id, plan.plan_id)
    return int(rows[0].place) + 1


async def remove_item(
    uow: UnitOfWork, caller: Caller, *, seen: Seen, number: str
) -> Any:
    """
    Take a customer out of a plan that can still change; its reminders call for a contact again.

    Refuses NOT_FOUND, CONTACT_PLAN_OF_OTHER, CONTACT_PLAN_STATE_UNFIT, CHANGED_MEANWHILE and CUSTOMER_NOT_PLANNED.
    """
    async with uow(caller) as work:
        plan = await _held(work, seen, *rules.CHANGEABLE, owner_only=True)
        item = await _item(work, plan, number)
        if item is None or item.state == ItemState.CANCELLED:
            raise Unready("CUSTOMER_NOT_PLANNED")
        item.state, item.update_time = ItemState.CANCELLED, work.now
        await _reopen(work, plan.branch_id, item.reminders)
        return await queries.shown(work, plan.plan_id)


async def _reopen(work: Work, branch_id: int, reminders: Sequence[UUID]) -> None:
    await mark(
        work,
        branch_id,
        reminders,
        state=ReminderState.OPEN,
        only=(ReminderState.PLANNED,),
    )


async def submit(uow: UnitOfWork, caller: Caller, *, seen: Seen) -> Any:
    """
    Submit a plan for review; late when it is first submitted after opening on its day.

    Refuses NOT_FOUND, CONTACT_PLAN_OF_OTHER, CONTACT_PLAN_STATE_UNFIT, CHANGED_MEANWHILE and CONTACT_PLAN_TOO_SMALL.
    """
    async with uow(caller) as work:
        plan = await _held(work, seen, *rules.CHANGEABLE, owner_only=True)
        row, _ = await queries.shown(work, plan.plan_id)
        if row.item_count < plan.minimum_count:
            counts = {"count": row.item_count, "minimum": plan.minimum_count}
            raise Unready("CONTACT_PLAN_TOO_SMALL", **counts)
        opening = await work.parameter("opening_hour", plan.branch_id)
        if plan.submit_time is None:
            after = local_time(work.now).hour >= opening
            plan.late = work.today > plan.plan_date or (
                work.today == plan.plan_date and after
            )
        plan.state, plan.submit_time = PlanState.SUBMITTED, work.now
        return await queries.shown(work, plan.plan_id)


async def review(
    uow: UnitOfWork, caller: Caller, *, seen: Seen, state: PlanState, remark: str
) -> Any:
    """
    Approve or return a submitted plan, by somebody else than its owner.

    Refuses NOT_FOUND, CONTACT_PLAN_STATE_UNFIT, CHANGED_MEANWHILE and REVIEWER_IS_OWNER.
    """
    async with uow(caller) as work:
        plan = await _held(work, seen, PlanState.SUBMITTED)
        if plan.owner == caller.key:
            raise Denied("REVIEWER_IS_OWNER")
        plan.state, plan.review_remark = state, remark
        plan.reviewer, plan.review_time = caller.key, work.now
        shown = await queries.shown(work, plan.plan_id)
        if state is PlanState.APPROVED:
            work.publish(events.approved(shown[0]), branch_id=plan.branch_id)
        return shown


async def carry_out(
    work: Work,
    branch_id: int,
    *,
    number: str,
    day: date,
    plan_id: UUID | None,
    result: int,
    work_log_id: UUID,
) -> ContactPlanItem | None:
    """
    Write what a contact of the caller on *day* made of its plan's item, and return it; None when no plan holds it.

    Refuses CUSTOMER_NOT_PLANNED when the plan that is named does not hold the customer, or is closed.
    """
    where = (
        (ContactPlan.branch_id == branch_id)
        & (ContactPlan.owner == work.caller.key)
        & (ContactPlan.state != PlanState.CLOSED)
        & (ContactPlanItem.number == number)
        & (ContactPlanItem.state != ItemState.CANCELLED)
    )
    named = ContactPlan.plan_id == plan_id if plan_id else ContactPlan.plan_date == day
    tied = (ContactPlan.branch_id == ContactPlanItem.branch_id) & (
        ContactPlan.plan_id == ContactPlanItem.plan_id
    )
    statement = select(ContactPlanItem).join_from(ContactPlanItem, ContactPlan, tied)
    found = await work.session.execute(
        statement.where(where & named).with_for_update(of=ContactPlanItem)
    )
    item = found.scalar_one_or_none()
    if item is None:
        if plan_id:
            raise Unready("CUSTOMER_NOT_PLANNED")
        return None
    item.state, item.work_log_id = rules.item_state(result), work_log_id
    item.update_time = work.now
    await work.run(TOUCHED, branch_id, [item.plan_id], work.now)
    return item


async def close_plans(work: Work, branch_id: int, day: date) -> None:
    """Close the plans of one branch from before *day*: who was not contacted is missed, and reminders open again."""
    plans = [row.plan_id for row in await work.run(CLOSED, branch_id, day, work.now)]
    missed = await work.run(MISSED, branch_id, plans, work.now)
    reminders = [reminder for row in missed for reminder in row.reminders]
    await _reopen(work, branch_id, reminders)


async def let_go(
    work: Work, branch_id: int, numbers: Sequence[str], reason: str
) -> None:
    """Take customers out of the plans of one branch that are still open; their reminders call for a contact again."""
    rows = await work.run(LET_GO, branch_id, list(numbers), reason, work.now)
    await work.run(TOUCHED, branch_id, [row.plan_id for row in rows], work.now)
    await _reopen(work, branch_id, [one for row in rows for one in row.reminders])
