"""Customers, sheets and notes between the contract's messages and values."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.customer.v1 import customer_pb2 as pb

from services.chassis.db import chosen
from services.chassis.names import key_of, keys_of, name_of
from services.chassis.wiretypes import (
    date_from,
    date_to,
    money_to,
    time_from,
    time_to,
    version_from,
)
from services.customer.customer import rules
from services.customer.customer.actions import Access, ContactNote
from services.customer.customer.queries import Filters

FIELDS = {1: "mobile", 2: "id_number", 3: "home_address"}
"""Fields that can be revealed, by the contract's number."""


def customer_to(row: Any, today: Any) -> pb.Customer:
    """Return one row as the contract's customer, personal fields as their masks."""
    message = pb.Customer(
        name=name_of("customers", row.number),
        branch=name_of("branches", row.branch_id),
        display_name=row.display_name,
        gender=row.gender,
        birth_date=date_to(row.birth_date),
        mobile=row.mobile_mask,
        id_number=row.id_number_mask,
        home_address=row.home_address_mask,
        tier=row.tier,
        customer_type=row.customer_type,
        card_category=row.card_category,
        source=row.source,
        life_cycle_step=step_of(row, today),
        owner=name_of("staff", row.owner),
        maintenance_mode=row.maintenance_mode,
        holdings_count=row.holdings_count,
        profile_sheet=sheet_to(row),
        do_not_disturb=row.do_not_disturb,
        risk_level=row.risk_level,
        risk_expiry_date=date_to(row.risk_expiry_date),
        open_date=date_to(row.open_date),
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
        last_contact=contact_to(row),
    )
    _fill_figures(message, row, today)
    return message


def _fill_figures(message: pb.Customer, row: Any, today: Any) -> None:
    """Enter the figures of now and, where they are known, those of the ten-day period before."""
    for field in ("financial_assets", "aum", "deposits"):
        getattr(message, field).CopyFrom(money_to(getattr(row, field), row.currency))
        before = rules.previous_figure(
            now=getattr(row, field),
            previous=getattr(row, f"previous_{field}"),
            changed=row.snapshot_date,
            today=today,
        )
        if before is not None:
            getattr(message, f"previous_{field}").CopyFrom(
                money_to(before, row.currency)
            )


def step_of(row: Any, today: Any) -> Any:
    """Return the step of life that a row's figures tell."""
    standing = rules.Standing(
        row.customer_type, row.owner, row.last_contact_time is not None, row.open_date
    )
    return int(rules.step_of(standing, today))


def sheet_to(row: Any) -> pb.ProfileSheet:
    """Return the profile sheet of a row."""
    values = {name: getattr(row, name) for name in rules.SHEET}
    plain = {name: value for name, value in values.items() if name != "next_contact_on"}
    return pb.ProfileSheet(
        **plain,
        next_contact_on=date_to(row.next_contact_on),
        groomed_date=date_to(row.groomed_date),
        completeness_percent=rules.completeness(values),
    )


def contact_to(row: Any) -> pb.Contact | None:
    """Return the newest contact of a row, or None."""
    if row.last_contact_time is None:
        return None
    return pb.Contact(
        contact_time=time_to(row.last_contact_time),
        channel=row.last_contact_channel,
        result=row.last_contact_result,
        staff=name_of("staff", row.last_contact_staff),
    )


def sheet_from(sheet: pb.ProfileSheet, mask: FieldMask) -> dict[str, Any]:
    """Return the fields of *sheet* that *mask* names; refuse MASK_UNKNOWN for any other."""
    values: dict[str, Any] = {name: getattr(sheet, name) for name in rules.SHEET}
    values["next_contact_on"] = date_from(sheet.next_contact_on, "next_contact_on")
    return chosen(values, mask.paths)


def update_from(request: pb.UpdateCustomerRequest) -> dict[str, Any]:
    """Return what an update asks for."""
    return {
        "number": key_of("customers", request.customer.name),
        "version": version_from(request.customer.etag),
        "fields": sheet_from(request.customer.profile_sheet, request.update_mask),
    }


def filters_from(request: pb.ListCustomersRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        owner=key_of("staff", request.owner) if request.owner else "",
        tier=request.tier,
        customer_type=request.customer_type,
        source=request.source,
        next_contact_from=date_from(request.next_contact_from, "next_contact_from"),
        next_contact_to=date_from(request.next_contact_to, "next_contact_to"),
        not_contacted_days=request.not_contacted_days,
        unassigned=request.unassigned,
        do_not_disturb=request.do_not_disturb
        if request.HasField("do_not_disturb")
        else None,
        groomed_before=date_from(request.groomed_before, "groomed_before"),
    )


def accesses_from(request: pb.SetAccessRequest) -> list[Access]:
    """Return who may see whom; delegates and referral readers are one list of readers."""
    return [
        Access(
            number=key_of("customers", line.customer),
            owner=key_of("staff", line.owner) if line.owner else "",
            maintenance_mode=line.maintenance_mode,
            version=line.version,
            readers=_readers((*line.referral_readers, *line.delegates)),
        )
        for line in request.accesses
    ]


def _readers(grants: Iterable[pb.AccessGrant]) -> dict[str, datetime | None]:
    return {
        key_of("staff", grant.staff): time_from(grant.until_time) for grant in grants
    }


def notes_from(request: pb.NoteContactsRequest) -> list[ContactNote]:
    """Return contacts and what they taught."""
    return [
        ContactNote(
            number=key_of("customers", note.customer),
            contact_time=time_from(note.contact.contact_time),
            channel=note.contact.channel,
            result=note.contact.result,
            staff=key_of("staff", note.contact.staff) if note.contact.staff else "",
            sheet=sheet_from(note.profile_sheet, note.sheet_mask),
        )
        for note in request.notes
    ]


def batch_from(request: pb.BatchGetCustomersRequest) -> list[str]:
    """Return the numbers a batch asks for, in its order."""
    return keys_of("customers", list(request.names))


def unknown_to(numbers: Iterable[str]) -> list[str]:
    """Return numbers as resource names."""
    return [name_of("customers", number) for number in numbers]
