"""Reads of ledgers: one customer's entries, and who may be reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import aliased

from services.chassis.db import Work
from services.chassis.paging import Listing
from services.customer.consent.rules import Entry
from services.customer.consent.tables import Consent

LISTING = Listing(
    orders={"create_time": Consent.create_time},
    default="create_time desc",
    unique=(Consent.branch_id, Consent.consent_id),
)

LEDGERS = """
    SELECT c.number, c.mobile_mask, c.owner,
           array_agg(l.act ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS acts,
           array_agg(l.channel ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS channels,
           array_agg(l.purpose ORDER BY l.consent_id) FILTER (WHERE l.act IS NOT NULL) AS purposes
    FROM customers AS c
    LEFT JOIN consents AS l ON l.branch_id = c.branch_id AND l.number = c.number
    WHERE c.branch_id = $1 AND c.number = ANY ($2::text[]) AND ($3 = '' OR c.owner = $3)
    GROUP BY c.number, c.mobile_mask, c.owner"""


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


def replaced() -> Any:
    """Return the predicate of entries that a later one about the same channel and purpose has replaced."""
    later = aliased(Consent)
    about_refusal = Consent.act <= 2
    return exists().where(
        (later.branch_id == Consent.branch_id)
        & (later.number == Consent.number)
        & (later.channel == Consent.channel)
        & (later.purpose == Consent.purpose)
        & ((later.act <= 2) == about_refusal)
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
    rows = await work.run(LEDGERS, branch_id, list(numbers), own)
    return {
        row.number: Ledger(
            row.mobile_mask,
            [
                Entry(*line)
                for line in zip(
                    row.acts or (), row.channels or (), row.purposes or (), strict=True
                )
            ],
        )
        for row in rows
    }
