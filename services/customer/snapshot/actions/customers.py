"""
Lines of customers into the store: those that moved first, then those that are new or changed.

Sealing costs more than all the rest, so a digest of the personal fields tells which lines need it: an unchanged
customer is neither sealed nor written.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from services.chassis.db import Work
from services.chassis.move import Movable, move
from services.chassis.vault import Vault, mask_value
from services.chassis.wiretypes import day_from
from services.customer.customer import events
from services.customer.customer.actions import PLACES
from services.customer.customer.rules import mobile_in
from services.customer.snapshot.actions.lines import Batch, Outcome, judged, stage
from services.customer.snapshot.rules import customer_faults

MOVABLES = (
    Movable("customers", "number"),
    Movable("customer_readers", "number"),
    Movable("positions", "number"),
    Movable("holdings", "number"),
    Movable("movements", "number"),
    Movable("consents", "number"),
)
"""What goes with a customer who moves; groups belong to the branch and are left."""

MASK_MOBILE, MASK_ID_NUMBER, MASK_ADDRESS = 1, 2, 3

COLUMNS = (
    "branch_id integer, number text, display_name text, gender smallint, birth_date date, "
    "card_category smallint, source smallint, risk_level smallint, risk_expiry_date date, open_date date, digest bytea"
)
SEALED = (
    "number text, mobile bytea, mobile_mask text, mobile_index bytea, mobile_suffix bytea, id_number bytea, "
    "id_number_mask text, id_number_index bytea, home_address bytea, home_address_mask text"
)

WHERE_ARE_THEY = """
    SELECT s.number, d.branch_id AS source, s.branch_id AS target FROM staged_customers s
    JOIN directory d ON d.kind = 'customers' AND d.id = s.number WHERE d.branch_id <> s.branch_id ORDER BY 2, 3, 1"""
UNSEALED = """
    SELECT s.number, c.number IS NULL AS fresh FROM staged_customers s
    LEFT JOIN customers c ON c.branch_id = s.branch_id AND c.number = s.number
    WHERE c.number IS NULL OR c.personal_digest <> s.digest"""
ENTERED = """
    INSERT INTO directory (kind, id, branch_id) SELECT 'customers', number, branch_id FROM staged_customers
    ON CONFLICT DO NOTHING"""

PLAIN = (
    "display_name",
    "gender",
    "birth_date",
    "card_category",
    "risk_level",
    "risk_expiry_date",
    "open_date",
)
PERSONAL = tuple(column.split()[0] for column in SEALED.split(", "))[1:]

FACTS = (
    "c.branch_id, c.number, c.tier, c.customer_type, c.source, c.card_category, c.financial_assets, c.currency, "
    "c.owner, c.occupation, c.household_finances, c.preferences, c.appointment_habit, c.preferred_channel, "
    "c.preferred_time, c.contact_frequency, c.employer, c.family_notes, c.next_contact_on, c.risk_level, "
    "c.risk_expiry_date, c.move_version"
)
"""What the events say about a customer."""

UPSERT = f"""
    INSERT INTO customers AS c (
        branch_id, number, {", ".join(PLAIN)}, {", ".join(PERSONAL)}, personal_digest, source, tier, customer_type,
        owner, maintenance_mode, access_version, currency, financial_assets, aum, deposits, occupation,
        household_finances, preferences, appointment_habit, preferred_channel, preferred_time, contact_frequency,
        employer, family_notes, last_contact_channel, last_contact_result, last_contact_staff, move_version,
        do_not_disturb, create_time, update_time, version)
    SELECT s.branch_id, s.number, {", ".join(f"s.{name}" for name in PLAIN)},
        {", ".join(f"CASE WHEN p.number IS NULL THEN o.{name} ELSE p.{name} END" for name in PERSONAL)},
        s.digest, s.source, 1, 1, '', 0, 0, 'CNY', 0, 0, 0,
        '', '', '', 0, 0, 0, 0, '', '', 0, 0, '', 0, false, $1, $1, 1
    FROM staged_customers s
    LEFT JOIN staged_personal p ON p.number = s.number
    LEFT JOIN customers o ON o.branch_id = s.branch_id AND o.number = s.number
    ON CONFLICT (branch_id, number) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in (*PLAIN, *PERSONAL, "personal_digest", "update_time"))},
        version = c.version + 1
    WHERE ({", ".join(f"c.{name}" for name in (*PLAIN, "personal_digest"))})
        IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in (*PLAIN, "personal_digest"))})
    RETURNING {FACTS}"""

MOVED = f"""
    UPDATE customers AS c SET version = version + 1, move_version = move_version + 1
    WHERE branch_id = $1 AND number = ANY ($2) RETURNING {FACTS}"""


async def store_customers(
    work: Work, vault: Vault, batch: Batch, *, branches: frozenset[int], day: date
) -> Outcome:
    """Store customers that are new or changed, move those of another branch, and publish what happened."""
    outcome = Outcome()
    good = judged(
        batch, "number", lambda line: customer_faults(line, branches), outcome
    )
    lines = {line.number: line for _, line in good}
    await stage(
        work,
        "staged_customers",
        COLUMNS,
        [staged(vault, line) for line in lines.values()],
    )
    await _move(work)
    unsealed = await work.run(UNSEALED)
    personal = [sealed(vault, lines[row.number]) for row in unsealed]
    await stage(work, "staged_personal", SEALED, personal)
    await work.run(ENTERED)
    written = await work.run(UPSERT, work.now)
    outcome.stored = len(written)
    outcome.unchanged = len(good) - len(written)
    _publish(work, written, {row.number for row in unsealed if row.fresh}, day)
    return outcome


def staged(vault: Vault, line: Any) -> Sequence[Any]:
    """Return a line as its staged row, with the digest of its personal fields."""
    text = f"{line.mobile}\x1f{line.id_number}\x1f{line.home_address}"
    return (
        line.branch_id,
        line.number,
        line.display_name,
        line.gender,
        day_from(line.birth_day),
        line.card_category,
        line.source,
        line.risk_level,
        day_from(line.risk_expiry_day),
        day_from(line.open_day),
        vault.digest(text, "customers"),
    )


def sealed(vault: Vault, line: Any) -> Sequence[Any]:
    """Return the personal fields of a line sealed, masked and indexed."""
    number, mobile = line.number, mobile_in(line.mobile) or line.mobile
    identity, address = line.id_number.upper(), line.home_address
    return (
        number,
        vault.seal(mobile, PLACES["mobile"].format(number)) if mobile else None,
        mask_value(mobile, MASK_MOBILE),
        vault.index(mobile, "customers.mobile") if mobile else None,
        vault.suffix(mobile, "customers.mobile") if mobile else None,
        vault.seal(identity, PLACES["id_number"].format(number)) if identity else None,
        mask_value(identity, MASK_ID_NUMBER),
        vault.index(identity, "customers.id_number") if identity else None,
        vault.seal(address, PLACES["home_address"].format(number)) if address else None,
        mask_value(address, MASK_ADDRESS),
    )


async def _move(work: Work) -> None:
    """Move customers whose line names another branch than the one they are in."""
    ways: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in await work.run(WHERE_ARE_THEY):
        ways[row.source, row.target].append(row.number)
    for (source, target), numbers in ways.items():
        await move(
            work, MOVABLES, kind="customers", keys=numbers, source=source, target=target
        )
        rows = await work.run(MOVED, target, numbers)
        for branch_id in (source, target):
            work.publish(
                *events.customers_moved(rows, source, target), branch_id=branch_id
            )
            work.note(f"branches/{branch_id}", branch_id=branch_id, moved=len(numbers))


def _publish(work: Work, written: Iterable[Any], fresh: set[str], day: date) -> None:
    registered: dict[int, list[Any]] = defaultdict(list)
    changed: dict[int, list[Any]] = defaultdict(list)
    for row in written:
        (registered if row.number in fresh else changed)[row.branch_id].append(row)
    for branch_id, rows in registered.items():
        work.publish(*events.customers_registered(rows, day), branch_id=branch_id)
    for branch_id, rows in changed.items():
        what = {row.number: ("CARD_CATEGORY", "RISK_LEVEL") for row in rows}
        work.publish(*events.customers_changed(rows, what, day), branch_id=branch_id)
