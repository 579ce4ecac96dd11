"""Record contacts: one call writes log, plan, reminders and opportunity, and sends the sheet on its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.clock import day_of
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Invalid, Unready
from services.chassis.move import Movable
from services.engagement.contact_plan.actions import carry_out
from services.engagement.contact_plan.rules import ItemState
from services.engagement.contact_plan.tables import ContactPlanItem
from services.engagement.opportunity import actions as opportunities
from services.engagement.opportunity.actions import Finding, Step
from services.engagement.opportunity.queries import shown as shown_opportunity
from services.engagement.opportunity.tables import Opportunity
from services.engagement.portfolio.actions import Contacted, homes_of, learn_contacts
from services.engagement.portfolio.queries import customer
from services.engagement.reminder import actions as reminders
from services.engagement.reminder.rules import State as ReminderState
from services.engagement.work_log import events, rules
from services.engagement.work_log.tables import WorkLog

BATCHED = """
    INSERT INTO work_logs (branch_id, work_log_id, number, staff, kind, contact_time, channel, result, event_type,
                           content, late, batch_id, create_time)
    SELECT $1, line.work_log_id, line.number, $2, 2, line.contact_time, 1, 6, $3, $4, false, $5, $6
    FROM unnest($7::uuid[], $8::text[], $9::timestamptz[]) AS line (work_log_id, number, contact_time)
    ON CONFLICT (branch_id, batch_id, number) WHERE batch_id IS NOT NULL DO NOTHING
    RETURNING work_log_id, number, staff, contact_time, channel, result, event_type, batch_id"""

MOVABLES = (Movable("work_logs", "number"),)
"""The log is the customer's history: all of it goes along."""


@dataclass(frozen=True, slots=True)
class Contact:
    """
    One contact as its maker tells it.

    ``next_contact_on`` is what the sheet says about the next contact, where ``planned`` says that it was written.
    """

    number: str
    contact_time: datetime
    channel: int
    result: int
    event_type: int
    content: str
    plan_id: UUID | None = None
    reminders: Sequence[UUID] = ()
    finding: Finding | None = None
    step: Step | None = None
    planned: bool = False
    next_contact_on: date | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one call wrote."""

    work_log: WorkLog
    item: ContactPlanItem | None
    opportunity: Any
    settled: Sequence[UUID]


async def record(
    uow: UnitOfWork, caller: Caller, *, contact: Contact, note: Any
) -> Recorded:
    """
    Record one contact of the caller with a customer in sight, and carry *note* to the customer service.

    Everything here is one transaction; the note is an errand of it, repeated until it holds.
    Refuses NOT_FOUND, CONTACT_IN_FUTURE, CONTACT_TOO_OLD, CUSTOMER_NOT_PLANNED, CUSTOMER_DIFFERS, and what opening or
    advancing an opportunity refuses. Source: handbook, one contact updates log, opportunity and sheet.
    """
    async with uow(caller) as work:
        found = await customer(work, contact.number)
        days = await work.parameter("late_entry_days", found.branch_id)
        fault = rules.time_fault(contact.contact_time, work.now, days)
        if fault:
            raise Invalid(fault, days=days)
        if contact.next_contact_on and contact.next_contact_on < work.today:
            raise Invalid("DAY_PAST", field="next_contact_on")
        opportunity = await _move_opportunity(work, found.branch_id, contact)
        entry = _entry(work, found.branch_id, contact, opportunity)
        item = await _carry_out(work, entry, contact)
        work.add(entry)
        settled = await _settle(work, entry, item, contact)
        await learn_contacts(work, entry.branch_id, [_learned(contact)])
        work.errand(
            "/guanhu.customer.v1.CustomerService/NoteContacts",
            note(found.branch_id, caller.key),
            branch_id=entry.branch_id,
        )
        fact = events.contacts_recorded([entry])
        work.publish(fact, branch_id=entry.branch_id)
        work.note(f"workLogs/{entry.work_log_id}", branch_id=entry.branch_id)
        shown = opportunity and await shown_opportunity(
            work, opportunity.opportunity_id
        )
        return Recorded(entry, item, shown, settled)


async def _move_opportunity(
    work: Work, branch_id: int, contact: Contact
) -> Opportunity | None:
    if contact.finding is not None:
        if contact.finding.number != contact.number:
            raise Invalid("CUSTOMER_DIFFERS", resource="opportunity")
        return await opportunities.open_one(work, branch_id, contact.finding)
    if contact.step is None:
        return None
    row = await opportunities.held(work, contact.step)
    if row.number != contact.number:
        raise Invalid("CUSTOMER_DIFFERS", resource="opportunity")
    return await opportunities.advance_one(work, contact.step)


def _entry(
    work: Work, branch_id: int, contact: Contact, opportunity: Opportunity | None
) -> WorkLog:
    return WorkLog(
        branch_id=branch_id,
        work_log_id=uuid7(),
        number=contact.number,
        staff=work.caller.key,
        kind=rules.Kind.SINGLE,
        contact_time=contact.contact_time,
        channel=contact.channel,
        result=contact.result,
        event_type=contact.event_type,
        content=contact.content,
        late=day_of(contact.contact_time) < work.today,
        opportunity_id=opportunity.opportunity_id if opportunity else None,
        create_time=work.now,
    )


async def _carry_out(
    work: Work, entry: WorkLog, contact: Contact
) -> ContactPlanItem | None:
    item = await carry_out(
        work,
        entry.branch_id,
        number=contact.number,
        day=day_of(contact.contact_time),
        plan_id=contact.plan_id,
        result=contact.result,
        work_log_id=entry.work_log_id,
    )
    entry.plan_id = item.plan_id if item else None
    return item


async def _settle(
    work: Work, entry: WorkLog, item: ContactPlanItem | None, contact: Contact
) -> list[UUID]:
    """Settle the reminders that are named, and those of the item when the customer was reached; return them."""
    done = item is not None and item.state == ItemState.DONE
    wanted = {*contact.reminders, *(item.reminders if item and done else ())}
    rows = await reminders.mark(
        work, entry.branch_id, sorted(wanted), state=ReminderState.DONE
    )
    if any(row.number != contact.number for row in rows):
        raise Invalid("CUSTOMER_DIFFERS", resource="reminder")
    settled = {row.reminder_id for row in rows}
    if not settled.issuperset(contact.reminders):
        raise Unready("REMINDER_SETTLED")
    return sorted(settled)


def _learned(contact: Contact) -> Contacted:
    return Contacted(
        contact.number, contact.contact_time, contact.planned, contact.next_contact_on
    )


@dataclass(frozen=True, slots=True)
class BatchContacts:
    """Customers of one branch whom a batch reached: number and moment."""

    branch_id: int
    batch_id: UUID
    staff: str
    template: str
    event_type: int
    contacts: Sequence[tuple[str, datetime]]


async def record_batch(
    uow: UnitOfWork, caller: Caller, *, batch: BatchContacts
) -> tuple[int, int]:
    """
    Record whom a batch reached, each in the branch where they are now; the caller must see the whole bank.

    Returns how many entries were written, and how many were there already.
    """
    written = 0
    async with uow(caller) as work:
        numbers = {number for number, _ in batch.contacts}
        homes = await homes_of(work, batch.branch_id, numbers)
        for home in sorted(set(homes.values())):
            contacts = [one for one in batch.contacts if homes[one[0]] == home]
            rows = await _record_in(work, home, batch, contacts)
            written += len(rows)
        where = f"batches/{batch.batch_id}"
        work.note(where, branch_id=batch.branch_id, recorded=written)
    return written, len(batch.contacts) - written


async def _record_in(
    work: Work,
    branch_id: int,
    batch: BatchContacts,
    contacts: Sequence[tuple[str, datetime]],
) -> list[Any]:
    """Record whom a batch reached in one branch; return the entries that are new."""
    rows = await work.run(
        BATCHED,
        branch_id,
        batch.staff,
        batch.event_type,
        batch.template,
        batch.batch_id,
        work.now,
        [uuid7() for _ in contacts],
        [number for number, _ in contacts],
        [moment for _, moment in contacts],
    )
    learned = [Contacted(row.number, row.contact_time) for row in rows]
    await learn_contacts(work, branch_id, learned)
    if rows:
        work.publish(events.contacts_recorded(rows), branch_id=branch_id)
    return rows
