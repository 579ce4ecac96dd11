"""Keep the copy: where customers are, what is known of them, who looks after them, when they were last contacted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.chassis.db import Work
from services.chassis.move import refuse_unseen

HOMES = """
    SELECT id AS number, branch_id FROM directory WHERE kind = 'customers' AND id = ANY ($1::text[])
    ORDER BY id FOR {lock}"""
"""The one row per customer of the whole bank: whoever holds it decides where the customer is."""

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
                                next_contact_on, last_contact_time, update_time, told_owner, told_branch)
    SELECT $1::integer, number, CASE WHEN $7::integer = $1::integer THEN owner ELSE '' END, mode, version, 0, 0, NULL,
        NULL, $2, owner, $7::integer
    FROM unnest($3::text[], $4::text[], $5::smallint[], $6::bigint[]) AS line (number, owner, mode, version)
    ON CONFLICT (branch_id, number) DO UPDATE
    SET owner = excluded.owner, told_owner = excluded.told_owner, told_branch = excluded.told_branch,
        maintenance_mode = excluded.maintenance_mode,
        ownership_version = excluded.ownership_version, update_time = excluded.update_time
    WHERE p.ownership_version < excluded.ownership_version
    RETURNING number"""
CONTACTED = """
    UPDATE portfolio AS p
    SET last_contact_time = greatest(p.last_contact_time, line.contact_time),
        next_contact_on = CASE WHEN $7 THEN coalesce(p.next_contact_on, line.next_on)
            WHEN line.planned THEN line.next_on ELSE p.next_contact_on END, update_time = $2
    FROM unnest($3::text[], $4::timestamptz[], $5::boolean[], $6::date[])
        AS line (number, contact_time, planned, next_on)
    WHERE p.branch_id = $1 AND p.number = line.number"""
COUNTED = """
    SELECT number, move_version FROM portfolio WHERE branch_id = $1 AND number = ANY ($2::text[])
    ORDER BY number FOR UPDATE"""
ARRIVED = """
    UPDATE portfolio AS p
    SET owner = CASE WHEN p.told_branch = $1 THEN p.told_owner ELSE '' END, move_version = line.move_version,
        update_time = $2
    FROM unnest($3::text[], $4::bigint[]) AS line (number, move_version)
    WHERE p.branch_id = $1 AND p.number = line.number
    RETURNING p.number, p.owner, p.ownership_version"""


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


async def homes_of(
    work: Work, branch_id: int, numbers: Collection[str]
) -> dict[str, int]:
    """
    Return the branch where each customer is; those not known before are in *branch_id* from now on.

    Until the end of the transaction nobody moves them.
    """
    await work.run(LISTED, branch_id, list(numbers))
    rows = await work.run(HOMES.format(lock="SHARE"), list(numbers))
    return {row.number: int(row.branch_id) for row in rows}


async def learn_facts(
    work: Work, branch_id: int, lines: Sequence[Facts], *, planned: bool
) -> None:
    """Write what is known of customers of one branch, their next contacts where those are *planned* facts too."""
    await work.run(
        TIERED,
        branch_id,
        work.now,
        [line.number for line in lines],
        [line.tier for line in lines],
        [line.financial_assets for line in lines],
        [line.next_contact_on for line in lines],
        planned,
    )


async def learn_owners(
    work: Work, branch_id: int, lines: Sequence[Owned], told_branch: int
) -> frozenset[str]:
    """Write who was told to look after customers of one branch, in *told_branch*; return for whom that was news."""
    numbers = [line.number for line in lines]
    rows = await work.run(
        OWNED,
        branch_id,
        work.now,
        numbers,
        [line.owner for line in lines],
        [line.maintenance_mode for line in lines],
        [line.version for line in lines],
        told_branch,
    )
    return frozenset(row.number for row in rows)


async def learn_contacts(
    work: Work, branch_id: int, lines: Sequence[Contacted], *, late: bool = False
) -> None:
    """
    Write the newest contacts, and the next ones where planned, of customers of one branch, each once.

    What comes *late*, from a branch that they have left, plans the next contact only where none is planned.
    """
    await work.run(
        CONTACTED,
        branch_id,
        work.now,
        [line.number for line in lines],
        [line.contact_time for line in lines],
        [line.planned for line in lines],
        [line.next_contact_on for line in lines],
        late,
    )


async def news_of_moves(
    work: Work, source: int, target: int, counts: Mapping[str, int]
) -> dict[str, int]:
    """
    Return those whose move from *source* to *target* is news, by its count, with the branch where they are now.

    Nobody else moves or writes about them until the end. Raises ElsewhereError where a branch is not in scope.
    """
    refuse_unseen(work, {source, target})
    await work.run(LISTED, target, list(counts))
    rows = await work.run(HOMES.format(lock="UPDATE"), list(counts))
    homes = {row.number: int(row.branch_id) for row in rows}
    refuse_unseen(work, homes.values())
    known = {}
    for home in sorted(set(homes.values())):
        for row in await work.run(COUNTED, home, list(counts)):
            known[row.number] = row.move_version
    return {
        number: home
        for number, home in homes.items()
        if counts[number] > known.get(number, 0)
    }


async def arrive(
    work: Work, target: int, lines: Sequence[Facts], counts: Mapping[str, int]
) -> dict[str, int]:
    """
    Write what is known of customers whose rows have come to *target*; nobody of another branch looks after them.

    Returns those whom somebody of *target* was told to look after already, with allocation's count.
    """
    await learn_facts(work, target, lines, planned=False)
    numbers = [line.number for line in lines]
    versions = [counts[number] for number in numbers]
    rows = await work.run(ARRIVED, target, work.now, numbers, versions)
    return {row.number: row.ownership_version for row in rows if row.owner}
