"""What this noun publishes: registered, changed, moved, contacted. Never a personal field."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from guanhu.customer.v1 import customer_events_pb2 as pb
from guanhu.customer.v1 import customer_pb2

from services.chassis.names import name_of
from services.chassis.wiretypes import date_to, time_to
from services.customer.customer import rules

CHUNK = 1000
"""Lines of one event at most."""

Change = pb.CustomersChanged.Change


def chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Return *rows* in pieces that fit an event each."""
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def facts_of(row: Any) -> dict[str, Any]:
    """Return the facts about a customer that lines of several events share."""
    return {
        "customer": name_of("customers", row.number),
        "tier": row.tier,
        "customer_type": row.customer_type,
        "source": row.source,
        "card_category": row.card_category,
        "financial_assets_minor": row.financial_assets,
        "currency": row.currency,
    }


def knowledge_of(row: Any) -> pb.SheetKnowledge:
    """Return what the sheet of a row tells, without telling it."""
    return pb.SheetKnowledge(
        occupation_known=bool(row.occupation),
        household_finances_known=bool(row.household_finances),
        preferences_known=bool(row.preferences),
        appointment_habit=row.appointment_habit,
        completeness_percent=rules.completeness(
            {name: getattr(row, name) for name in rules.SHEET}
        ),
    )


def customers_registered(
    rows: Sequence[Any], snapshot_date: date
) -> list[pb.CustomersRegistered]:
    """Return the events of customers that are new in one branch."""
    return [
        pb.CustomersRegistered(
            snapshot_date=date_to(snapshot_date),
            lines=[
                pb.CustomersRegistered.Line(
                    **facts_of(row), owner_known=bool(row.owner)
                )
                for row in piece
            ],
        )
        for piece in chunks(rows)
    ]


def customers_changed(
    rows: Sequence[Any],
    changes: Mapping[str, Sequence[str]],
    snapshot_date: date | None = None,
) -> list[pb.CustomersChanged]:
    """
    Return the events of customers of one branch whose facts changed.

    Args:
        rows: Customers as now; ``previous_tier`` and ``previous_customer_type`` where a snapshot knows them.
        changes: Names of ``Change`` without prefix, by customer number.
        snapshot_date: The day of the snapshot that changed them; None when staff did.

    """
    return [
        pb.CustomersChanged(
            snapshot_date=date_to(snapshot_date),
            lines=[_changed(row, changes[row.number]) for row in piece],
        )
        for piece in chunks(rows)
    ]


def _changed(row: Any, changes: Sequence[str]) -> pb.CustomersChanged.Line:
    return pb.CustomersChanged.Line(
        **facts_of(row),
        changes=[f"CHANGE_{change}" for change in changes],
        previous_tier=getattr(row, "previous_tier", row.tier),
        previous_customer_type=getattr(
            row, "previous_customer_type", row.customer_type
        ),
        next_contact_on=date_to(row.next_contact_on),
        knowledge=knowledge_of(row),
        risk_level=row.risk_level,
        risk_expiry_date=date_to(row.risk_expiry_date),
    )


def customers_moved(
    rows: Sequence[Any], source: int, target: int
) -> list[pb.CustomerMoved]:
    """Return the events of customers who moved from branch *source* to *target*; both branches publish them."""
    return [
        pb.CustomerMoved(
            from_branch_id=source,
            to_branch_id=target,
            lines=[
                pb.CustomerMoved.Line(**facts_of(row), move_version=row.move_version)
                for row in piece
            ],
        )
        for piece in chunks(rows)
    ]


def contacts_noted(written: Sequence[tuple[Any, Any]]) -> list[pb.ContactsNoted]:
    """Return the events of contacts noted in one branch: pairs of the customer as now and the note."""
    return [
        pb.ContactsNoted(
            lines=[
                pb.ContactsNoted.Line(
                    customer=name_of("customers", row.number),
                    contact=_contact(note),
                    last_contact_time=time_to(row.last_contact_time),
                    next_contact_on=date_to(row.next_contact_on),
                    knowledge=knowledge_of(row),
                )
                for row, note in piece
            ]
        )
        for piece in chunks(written)
    ]


def _contact(note: Any) -> customer_pb2.Contact | None:
    if note.contact_time is None:
        return None
    return customer_pb2.Contact(
        contact_time=time_to(note.contact_time),
        channel=note.channel,
        result=note.result,
        staff=name_of("staff", note.staff),
    )
