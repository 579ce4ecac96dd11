"""Keep the copy: facts of customers, who looks after them, and when they were last contacted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.chassis.db import Work

LISTED = """
    INSERT INTO directory (kind, id, branch_id)
    SELECT 'customers', number, $1 FROM unnest($2::text[]) AS line (number)
    ON CONFLICT (kind, id) DO NOTHING"""
TIERED = """
    INSERT INTO portfolio AS p (branch_id, number, owner, maintenance_mode, ownership_version, tier, financial_assets,
                                next_contact_on, last_contact_time, update_time)
    SELECT $1, number, '', 0, 0, tier, assets, planned, NULL, $2
    FROM unnest($3::text[], $4::smallint[], $5::bigint[], $6::date[]) AS line (number, tier, assets, planned)
    ON CONFLICT (branch_id, number) DO UPDATE
    SET tier = excluded.tier, financial_assets = excluded.financial_assets,
        next_contact_on = CASE WHEN $7 THEN excluded.next_contact_on ELSE p.next_contact_on END,
        update_time = excluded.update_time"""
OWNED = """
    INSERT INTO portfolio AS p (branch_id, number, owner, maintenance_mode, ownership_version, tier, financial_assets,
                                next_contact_on, last_contact_time, update_time)
    SELECT $1, number, owner, mode, version, 0, 0, NULL, NULL, $2
    FROM unnest($3::text[], $4::text[], $5::smallint[], $6::bigint[]) AS line (number, owner, mode, version)
    ON CONFLICT (branch_id, number) DO UPDATE
    SET owner = excluded.owner, maintenance_mode = excluded.maintenance_mode,
        ownership_version = excluded.ownership_version, update_time = excluded.update_time
    WHERE p.ownership_version < excluded.ownership_version
    RETURNING number"""
CONTACTED = """
    UPDATE portfolio AS p
    SET last_contact_time = greatest(p.last_contact_time, line.contact_time),
        next_contact_on = CASE WHEN line.planned THEN line.next_on ELSE p.next_contact_on END, update_time = $2
    FROM unnest($3::text[], $4::timestamptz[], $5::boolean[], $6::date[])
        AS line (number, contact_time, planned, next_on)
    WHERE p.branch_id = $1 AND p.number = line.number"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a portfolio needs to know of a customer; assets in minor units."""

    number: str
    tier: int
    financial_assets: int
    next_contact_on: date | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """Who looks after a customer now, by allocation's count; ``owner`` is empty when nobody does."""

    number: str
    owner: str
    maintenance_mode: int
    version: int


@dataclass(frozen=True, slots=True)
class Contacted:
    """A contact; ``next_contact_on`` holds only where ``planned`` says that the sheet was written."""

    number: str
    contact_time: datetime | None
    planned: bool = False
    next_contact_on: date | None = None


async def learn_facts(
    work: Work, branch_id: int, lines: Sequence[Facts], *, planned: bool
) -> None:
    """Write what is known of customers of one branch, their next contacts where those are *planned* facts too."""
    numbers = [line.number for line in lines]
    await work.run(LISTED, branch_id, numbers)
    await work.run(
        TIERED,
        branch_id,
        work.now,
        numbers,
        [line.tier for line in lines],
        [line.financial_assets for line in lines],
        [line.next_contact_on for line in lines],
        planned,
    )


async def learn_owners(
    work: Work, branch_id: int, lines: Sequence[Owned]
) -> frozenset[str]:
    """Write who looks after customers of one branch; return those for whom that was news."""
    numbers = [line.number for line in lines]
    await work.run(LISTED, branch_id, numbers)
    rows = await work.run(
        OWNED,
        branch_id,
        work.now,
        numbers,
        [line.owner for line in lines],
        [line.maintenance_mode for line in lines],
        [line.version for line in lines],
    )
    return frozenset(row.number for row in rows)


async def learn_contacts(
    work: Work, branch_id: int, lines: Sequence[Contacted]
) -> None:
    """Write the newest contacts, and the next ones where planned, of customers of one branch, each once."""
    await work.run(
        CONTACTED,
        branch_id,
        work.now,
        [line.number for line in lines],
        [line.contact_time for line in lines],
        [line.planned for line in lines],
        [line.next_contact_on for line in lines],
    )
