"""Commands on opportunities: open, update, advance, win, lose; and let the unfollowed go stale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Invalid, Stale, Unready
from services.chassis.move import Movable, move
from services.engagement.opportunity import events, queries, rules
from services.engagement.opportunity.rules import Source, Stage
from services.engagement.opportunity.tables import Opportunity
from services.engagement.portfolio.queries import customer

STALE_TASK = "stale_opportunities"

STALED = """
    UPDATE opportunities SET stale = true, version = version + 1, update_time = $3
    WHERE branch_id = $1 AND validity_date < $2 AND stage < 10 AND NOT stale"""


OF_CUSTOMERS = "SELECT opportunity_id FROM opportunities WHERE branch_id = $1 AND number = ANY ($2::text[])"

MOVABLES = (Movable("opportunities", "opportunity_id"),)


@dataclass(frozen=True, slots=True)
class Finding:
    """An opportunity as somebody found it; the amount is in minor units."""

    number: str
    opportunity_class: int
    lead: str
    target_product: str = ""
    source: int = Source.OWNER
    reminder_id: UUID | None = None
    currency: str = "CNY"
    expected_amount: int | None = None
    expected_date: date | None = None
    follow_up_date: date | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A move of one opportunity, by somebody who read it at *version*."""

    opportunity_id: UUID
    version: int
    stage: int = 0
    feedback: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


async def open_one(work: Work, branch_id: int, finding: Finding) -> Opportunity:
    """
    Open an opportunity of a customer of *branch_id* whom the caller was seen to see.

    Refuses TARGET_PRODUCT_UNFIT and DAY_PAST.
    """
    fault = rules.product_fault(finding.opportunity_class, finding.target_product)
    if fault:
        raise Invalid(fault)
    _refuse_past(
        work,
        expected_date=finding.expected_date,
        follow_up_date=finding.follow_up_date,
    )
    days = await work.parameter("opportunity_validity_days", branch_id)
    row = Opportunity(
        branch_id=branch_id,
        opportunity_id=uuid7(),
        number=finding.number,
        opportunity_class=finding.opportunity_class,
        stage=Stage.LEAD,
        target_product=finding.target_product,
        lead=finding.lead,
        feedback="",
        source=finding.source or Source.OWNER,
        reminder_id=finding.reminder_id,
        currency=finding.currency,
        expected_amount=finding.expected_amount,
        expected_date=finding.expected_date,
        follow_up_date=finding.follow_up_date,
        validity_date=rules.valid_until(work.today, days),
        stale=False,
        loss_reason=0,
        loss_remark="",
        find_date=work.today,
        finder=work.caller.subject,
        create_time=work.now,
        update_time=work.now,
    )
    work.add(row)
    await work.register("opportunities", row.opportunity_id, branch_id)
    work.publish(events.opened(row), branch_id=branch_id)
    _note(work, row, stage_after=row.stage)
    return row


def _refuse_past(work: Work, **days: date | None) -> None:
    for name, day in days.items():
        if day is not None and day < work.today:
            raise Invalid("DAY_PAST", field=name)


def _note(work: Work, row: Opportunity, **detail: object) -> None:
    work.note(f"opportunities/{row.opportunity_id}", branch_id=row.branch_id, **detail)


async def create(uow: UnitOfWork, caller: Caller, *, finding: Finding) -> Any:
    """Open an opportunity of a customer in the caller's sight; refuses NOT_FOUND and what open_one refuses."""
    async with uow(caller) as work:
        found = await customer(work, finding.number)
        row = await open_one(work, found.branch_id, finding)
        return await queries.shown(work, row.opportunity_id)


async def held(work: Work, step: Step) -> Opportunity:
    """Return the row of *step*, as its caller read it; refuses NOT_FOUND and CHANGED_MEANWHILE."""
    row = await queries.held(work, step.opportunity_id)
    if row.version != step.version:
        raise Stale("CHANGED_MEANWHILE")
    return row


async def update(uow: UnitOfWork, caller: Caller, *, step: Step) -> Any:
    """
    Write what is known about an open opportunity.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, OPPORTUNITY_CLOSED, TARGET_PRODUCT_UNFIT and DAY_PAST.
    """
    async with uow(caller) as work:
        row = await held(work, step)
        if not rules.is_open(row.stage):
            raise Unready("OPPORTUNITY_CLOSED")
        product = step.fields.get("target_product", row.target_product)
        fault = rules.product_fault(row.opportunity_class, product)
        if fault:
            raise Invalid(fault)
        days = ("expected_date", "follow_up_date")
        _refuse_past(work, **{name: step.fields.get(name) for name in days})
        for name, value in step.fields.items():
            setattr(row, name, value)
        row.update_time = work.now
        _note(work, row, fields=sorted(step.fields))
        return await queries.shown(work, row.opportunity_id)


async def advance_one(work: Work, step: Step) -> Opportunity:
    """
    Move an open opportunity to a later stage and make it valid anew.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, OPPORTUNITY_CLOSED, STAGE_NOT_LATER and FEEDBACK_REQUIRED.
    """
    row = await held(work, step)
    fault = rules.advance_fault(row.stage, step.stage, step.feedback)
    if fault:
        raise (Invalid if fault == "FEEDBACK_REQUIRED" else Unready)(fault)
    _note(work, row, stage_before=row.stage, stage_after=step.stage)
    days = await work.parameter("opportunity_validity_days", row.branch_id)
    row.stage, row.stale = step.stage, False
    row.feedback = step.feedback or row.feedback
    row.validity_date = rules.valid_until(work.today, days)
    row.update_time = work.now
    return row


async def advance(uow: UnitOfWork, caller: Caller, *, step: Step) -> Any:
    """Move an open opportunity to a later stage; refuses what advance_one refuses."""
    async with uow(caller) as work:
        row = await advance_one(work, step)
        return await queries.shown(work, row.opportunity_id)


async def win(
    uow: UnitOfWork, caller: Caller, *, step: Step, amount: int | None, currency: str
) -> Any:
    """
    End an open opportunity as won with *amount* in minor units.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, OPPORTUNITY_CLOSED and WON_AMOUNT_UNFIT.
    """
    async with uow(caller) as work:
        row = await held(work, step)
        fault = rules.win_fault(row.stage, row.opportunity_class, amount)
        if fault:
            raise (Invalid if fault == "WON_AMOUNT_UNFIT" else Unready)(fault)
        row.won_amount, row.currency = amount, currency or row.currency
        return await _close(work, row, Stage.WON)


async def lose(
    uow: UnitOfWork, caller: Caller, *, step: Step, reason: int, remark: str
) -> Any:
    """
    End an open opportunity as lost.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, OPPORTUNITY_CLOSED and LOSS_REMARK_REQUIRED.
    """
    async with uow(caller) as work:
        row = await held(work, step)
        fault = rules.loss_fault(row.stage, reason, remark)
        if fault:
            raise (Invalid if fault == "LOSS_REMARK_REQUIRED" else Unready)(fault)
        row.loss_reason, row.loss_remark = reason, remark
        return await _close(work, row, Stage.LOST)


async def _close(work: Work, row: Opportunity, stage: Stage) -> Any:
    _note(work, row, stage_before=row.stage, stage_after=stage)
    row.stage, row.stale = stage, False
    row.close_time = row.update_time = work.now
    fact = events.won if stage is Stage.WON else events.lost
    work.publish(fact(row, work.caller.subject), branch_id=row.branch_id)
    return await queries.shown(work, row.opportunity_id)


async def let_go_stale(work: Work, branch_id: int, day: date) -> None:
    """Mark open opportunities of one branch whose validity has passed by *day*."""
    await work.run(STALED, branch_id, day, work.now)


async def take_along(
    work: Work, numbers: Sequence[str], source: int, target: int
) -> None:
    """Move the opportunities of customers, open and closed, from *source* to *target* with them."""
    rows = await work.run(OF_CUSTOMERS, source, list(numbers))
    keys = [str(row.opportunity_id) for row in rows]
    await move(
        work, MOVABLES, kind="opportunities", keys=keys, source=source, target=target
    )
