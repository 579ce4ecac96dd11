"""Reads of ledgers: one customer's entries, and who may be reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, exists, func, or_, select
from sqlalchemy.orm import aliased

from services.chassis.db import Work
from services.chassis.paging import Listing
from services.customer.consent.rules import NEEDS_CONSENT, REFUSALS, Entry
from services.customer.consent.tables import Consent

LISTING = Listing(
    orders={"create_time": Consent.create_time},
    default="create_time desc",
    unique=(Consent.branch_id, Consent.consent_id),
)

LEDGERS = """
    SELECT c.number, c.mobile_mask, c.preferred_time, c.contact_frequency, c.last_contact_time,
           array_agg(l.act ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS acts,
           array_agg(l.channel ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS channels,
           array_agg(l.purpose ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS purposes
    FROM customers AS c
    LEFT JOIN consents AS l ON l.branch_id = c.branch_id AND l.number = c.number
    WHERE c.branch_id = $1 AND c.number = ANY ($2::text[]) AND ($3 = '' OR c.owner = $3 OR EXISTS (
        SELECT 1 FROM customer_readers AS r
        WHERE r.branch_id = c.branch_id AND r.number = c.number AND r.staff = $3
            AND r.access_version = c.access_version AND (r.until_time IS NULL OR r.until_time > $4)))
    GROUP BY c.branch_id, c.number"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a ledger is narrowed to; unset fields narrow nothing."""

    channel: int = 0
    purpose: int = 0
    in_force: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """What reaching one customer depends on."""

    mobile_mask: str
    entries: Sequence[Entry]
    preferred_time: int = 0
    frequency: int = 0
    last_contact_time: datetime | None = None


def replaced() -> Any:
    """
    Return the predicate of entries that a later one about the same, of at least their width, has replaced.

    Every purpose, in a withdrawal, is every one that needs consent: of those there is one, so the two are the same.
    """
    later = aliased(Consent)
    refusals = [int(act) for act in REFUSALS]
    [needing] = map(int, NEEDS_CONSENT)
    as_wide = case(
        (Consent.act.in_(refusals), later.purpose.in_([0, Consent.purpose])),
        else_=func.coalesce(func.nullif(later.purpose, 0), needing)
        == func.coalesce(func.nullif(Consent.purpose, 0), needing),
    )
    return exists().where(
        (later.branch_id == Consent.branch_id)
        & (later.number == Consent.number)
        & later.channel.in_([0, Consent.channel])
        & (later.act.in_(refusals) == Consent.act.in_(refusals))
        & as_wide
        & (later.consent_id > Consent.consent_id)
    )


def listed(customer: Any, filters: Filters) -> Select[Any]:
    """Return the statement of the ledger of *customer*, whom its reader was seen to see."""
    statement = select(
        *Consent.__table__.columns, (~replaced()).label("in_force")
    ).where(
        (Consent.branch_id == customer.branch_id) & (Consent.number == customer.number)
    )
    if filters.channel:
        about = or_(Consent.channel == filters.channel, Consent.channel == 0)
        statement = statement.where(about)
    if filters.purpose:
        about = or_(Consent.purpose == filters.purpose, Consent.purpose == 0)
        statement = statement.where(about)
    return statement.where(~replaced()) if filters.in_force else statement


async def entries(work: Work, branch_id: int, number: str) -> list[Entry]:
    """Return a customer's whole ledger, oldest first."""
    found = await ledgers(work, branch_id, [number])
    return list(found[number].entries)


async def ledgers(
    work: Work, branch_id: int, numbers: Sequence[str]
) -> dict[str, Ledger]:
    """Return what reaching customers of one branch depends on, in one read; those out of sight are left out."""
    own = work.caller.key if work.caller.own_only else ""
    rows = await work.run(LEDGERS, branch_id, list(numbers), own, work.now)
    return {
        row.number: Ledger(
            row.mobile_mask,
            [
                Entry(*line)
                for line in zip(
                    row.acts or (), row.channels or (), row.purposes or (), strict=True
                )
            ],
            row.preferred_time,
            row.contact_frequency,
            row.last_contact_time,
        )
        for row in rows
    }
