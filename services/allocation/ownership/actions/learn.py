"""Take up what the customer service tells: who became known, what changed, when they were contacted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.allocation.ownership.actions.write import KEPT
from services.allocation.ownership.rules import Act
from services.chassis.db import Work
from services.chassis.move import refuse_unseen

REGISTERED = """
    INSERT INTO ownerships AS o (branch_id, number, owner, previous_owner, relation, mode, state, state_time, principle,
        reason, tier, customer_type, source, financial_assets, currency, version, create_time, update_time)
    SELECT $1, line.number, '', '', 0, 0, 1, $2, 0, '', line.tier, line.kind, line.source, line.assets, line.currency,
        1, $2, $2
    FROM unnest($3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::text[])
        AS line (number, tier, kind, source, assets, currency)
    ON CONFLICT (branch_id, number) DO UPDATE
    SET tier = excluded.tier, customer_type = excluded.customer_type, source = excluded.source,
        financial_assets = excluded.financial_assets, currency = excluded.currency, update_time = excluded.update_time
    RETURNING number, version, (create_time = $2 AND version = 1) AS fresh"""
LISTED = """
    INSERT INTO directory (kind, id, branch_id)
    SELECT 'customers', number, $1 FROM unnest($2::text[]) AS line (number) ON CONFLICT (kind, id) DO NOTHING"""
HOMES = """
    SELECT id AS number, branch_id FROM directory WHERE kind = 'customers' AND id = ANY ($1::text[])
    ORDER BY id FOR SHARE"""
CONTACTED = """
    UPDATE ownerships AS o SET last_contact_time = greatest(o.last_contact_time, line.moment)
    FROM unnest($2::text[], $3::timestamptz[]) AS line (number, moment)
    WHERE o.branch_id = $1 AND o.number = line.number"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the customer service tells of a customer; assets in minor units."""

    number: str
    tier: int
    customer_type: int
    source: int
    financial_assets: int
    currency: str


def columns_of(facts: Sequence[Facts]) -> list[list[Any]]:
    """Return *facts* column by column, as REGISTERED takes them."""
    return [
        [one.number for one in facts],
        [one.tier for one in facts],
        [one.customer_type for one in facts],
        [one.source for one in facts],
        [one.financial_assets for one in facts],
        [one.currency for one in facts],
    ]


async def learn_facts(work: Work, branch_id: int, facts: Sequence[Facts]) -> None:
    """
    Take up what is known of customers; the new ones wait for an owner from now on.

    Whoever has moved on is passed over: their move told what is known of them since.
    """
    numbers = [one.number for one in facts]
    await work.run(LISTED, branch_id, numbers)
    homes = await homes_of(work, numbers)
    facts = [one for one in facts if homes[one.number] == branch_id]
    rows = await work.run(REGISTERED, branch_id, work.now, *columns_of(facts))
    await keep_registered(work, branch_id, [row.number for row in rows if row.fresh])


async def homes_of(work: Work, numbers: Sequence[str]) -> dict[str, int]:
    """Return the branches where customers are; until the end of the transaction nobody moves them."""
    rows = await work.run(HOMES, list(numbers))
    return {row.number: int(row.branch_id) for row in rows}


async def keep_registered(work: Work, branch_id: int, numbers: Sequence[str]) -> None:
    """Enter in their histories that customers became known."""
    count, none = len(numbers), [0] * len(numbers)
    empty = [""] * count
    acts, first = [int(Act.REGISTERED)] * count, [1] * count
    columns = [list(numbers), first, acts, empty, empty, none, first, none, none]
    columns += [none, none, empty, ["{}"] * count]
    await work.run(KEPT, branch_id, work.now, work.caller.subject, None, *columns)


async def learn_contacts(
    work: Work, branch_id: int, contacts: Mapping[str, datetime]
) -> None:
    """Take up when customers were last contacted, wherever they are now; raises ElsewhereError."""
    homes = await homes_of(work, list(contacts))
    refuse_unseen(work, {branch_id, *homes.values()})
    for home in sorted(set(homes.values())):
        numbers = [number for number in contacts if homes.get(number) == home]
        await work.run(CONTACTED, home, numbers, [contacts[one] for one in numbers])
