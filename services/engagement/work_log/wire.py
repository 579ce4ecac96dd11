"""Contacts between the contract's messages and values."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from guanhu.customer.v1 import customer_pb2
from guanhu.engagement.v1 import work_log_pb2 as pb

from services.chassis.db import chosen
from services.chassis.errors import Invalid
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import date_from, time_from, time_to
from services.engagement.contact_plan.wire import id_from as plan_id_from
from services.engagement.contact_plan.wire import item_to
from services.engagement.opportunity.wire import (
    advance_from,
    finding_from,
    opportunity_to,
)
from services.engagement.work_log.actions import BatchContacts, Contact, Recorded
from services.engagement.work_log.queries import Filters

PLANNED = "next_contact_on"
"""The path of the sheet that plans take up."""

SHEET = tuple(
    field.name
    for field in customer_pb2.ProfileSheet.DESCRIPTOR.fields
    if field.name not in ("groomed_date", "completeness_percent")
)
"""Paths of the sheet that a contact can write; checked here, since the customer service gets them by errand."""

MOST_CONTACTS = 1000
"""Customers of a batch that one request may hold."""


def contact_from(request: pb.RecordContactRequest) -> Contact:
    """Return the contact that a request tells."""
    number = key_of("customers", request.customer)
    told = request.contact
    opened = request.HasField("new_opportunity")
    moved = request.HasField("advance")
    sheet = request.profile_sheet
    chosen(dict.fromkeys(SHEET), request.sheet_mask.paths)
    return Contact(
        number=number,
        contact_time=_moment(told),
        channel=told.channel,
        result=told.result,
        event_type=request.event_type,
        content=request.content,
        plan_id=plan_id_from(request.contact_plan) if request.contact_plan else None,
        reminders=[UUID(key_of("reminders", one)) for one in request.reminders],
        finding=finding_from(request.new_opportunity, number) if opened else None,
        step=advance_from(request.advance, request.advance.opportunity)
        if moved
        else None,
        planned=PLANNED in request.sheet_mask.paths,
        next_contact_on=date_from(sheet.next_contact_on, PLANNED),
    )


def _moment(told: Any) -> datetime:
    moment = time_from(told.contact_time)
    if moment is None:
        fields = {"contact_time": "required"}
        raise Invalid("FIELD_INVALID", fields=fields, count=1, named="contact_time")
    return moment


def note_from(
    request: pb.RecordContactRequest,
) -> Callable[[int, str], customer_pb2.NoteContactsRequest]:
    """Return what makes the customer service's note of a contact, once branch and staff are known."""

    def note(branch_id: int, staff: str) -> customer_pb2.NoteContactsRequest:
        message = customer_pb2.NoteContactsRequest(branch_id=branch_id)
        line = message.notes.add(customer=request.customer)
        line.contact.CopyFrom(request.contact)
        line.contact.staff = name_of("staff", staff)
        line.profile_sheet.CopyFrom(request.profile_sheet)
        line.sheet_mask.CopyFrom(request.sheet_mask)
        return message

    return note


def recorded_to(found: Recorded) -> pb.RecordContactResponse:
    """Return what was written as the contract's answer."""
    return pb.RecordContactResponse(
        work_log=work_log_to(found.work_log),
        item=item_to(found.item) if found.item else None,
        opportunity=opportunity_to(found.opportunity) if found.opportunity else None,
        settled_reminders=[name_of("reminders", one) for one in found.settled],
    )


def work_log_to(row: Any) -> pb.WorkLog:
    """Return one row as the contract's entry."""
    return pb.WorkLog(
        name=name_of("workLogs", row.work_log_id),
        branch=name_of("branches", row.branch_id),
        customer=name_of("customers", row.number),
        staff=name_of("staff", row.staff),
        kind=row.kind,
        contact_time=time_to(row.contact_time),
        channel=row.channel,
        result=row.result,
        event_type=row.event_type,
        content=row.content,
        late=row.late,
        contact_plan=name_of("contactPlans", row.plan_id),
        opportunity=name_of("opportunities", row.opportunity_id),
        batch=name_of("batches", row.batch_id),
        create_time=time_to(row.create_time),
    )


def batch_from(request: pb.RecordBatchContactsRequest) -> BatchContacts:
    """Return whom a batch reached; refuse FIELD_INVALID for more customers than one request may hold."""
    if sum(len(one.customers) for one in request.contacts) > MOST_CONTACTS:
        problem = f"more than {MOST_CONTACTS} customers"
        raise Invalid(
            "FIELD_INVALID", fields={"contacts": problem}, count=1, named="contacts"
        )
    return BatchContacts(
        branch_id=request.branch_id,
        batch_id=UUID(key_of("batches", request.batch)),
        staff=key_of("staff", request.staff),
        template=request.template_display_name,
        event_type=request.event_type,
        contacts=[
            (key_of("customers", customer), moment)
            for one in request.contacts
            for moment in [_moment(one)]
            for customer in one.customers
        ],
    )


def filters_from(request: pb.ListWorkLogsRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        number=optional_key("customers", request.customer),
        staff=optional_key("staff", request.staff),
        kind=request.kind,
        from_date=date_from(request.from_date, "from_date"),
        to_date=date_from(request.to_date, "to_date"),
    )
