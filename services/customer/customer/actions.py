"""Commands on customers: keep the sheet, reveal a field, learn who may see whom and what contacts taught."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import insert

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Exhausted, Invalid, NotFound, Stale, Unready
from services.chassis.vault import Vault
from services.customer.customer import events, queries
from services.customer.customer.tables import Customer, Reader, Reveal

PLACES = {
    "mobile": "customers.mobile|{}",
    "id_number": "customers.id_number|{}",
    "home_address": "customers.home_address|{}",
}
"""What each sealed field is bound to: its column and the customer number, never the branch."""


async def held(work: Work, number: str) -> Customer:
    """Return one customer's row for a change; refuse NOT_FOUND when it is not in the caller's sight."""
    branch_id = await work.locate("customers", number, "客户")
    where = (Customer.branch_id == branch_id) & (Customer.number == number)
    found = await work.session.execute(
        select(Customer).where(where & queries.visible(work.caller, work.now))
    )
    row = found.scalar_one_or_none()
    if row is None:
        raise NotFound("customer", "客户")
    return row


async def update_sheet(
    uow: UnitOfWork,
    caller: Caller,
    *,
    number: str,
    version: int,
    fields: Mapping[str, Any],
) -> Any:
    """
    Write *fields* of the profile sheet, if *version* is still current, and mark the sheet as gone through today.

    Refuses CHANGED_MEANWHILE, NEXT_CONTACT_PAST and NOT_FOUND.
    Source: handbook, monthly grooming of information.
    """
    async with uow(caller) as work:
        row = await held(work, number)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        if fields.get("next_contact_on") and fields["next_contact_on"] < work.today:
            raise Invalid("NEXT_CONTACT_PAST", today=work.today)
        changed = write_sheet(row, fields)
        row.groomed_date = work.today
        row.update_time = work.now
        await work.session.flush()
        work.note(
            f"customers/{number}", branch_id=row.branch_id, fields=sorted(changed)
        )
        if changed:
            facts = events.customers_changed([row], {number: ["PROFILE_SHEET"]})
            work.publish(*facts, branch_id=row.branch_id)
        return await queries.customer(work, number)


def write_sheet(row: Customer, fields: Mapping[str, Any]) -> list[str]:
    """Set *fields* of the sheet on *row*; return the names of those that really changed."""
    changed = [name for name, value in fields.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, fields[name])
    return changed


async def reveal(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    number: str,
    field_name: str,
    reason: str,
) -> tuple[str, int]:
    """
    Return the full value of one field, and how many more the caller may reveal today.

    Refuses NOT_FOUND, FIELD_EMPTY and REVEAL_QUOTA_SPENT. The reason is kept in the audit trail, in the
    transaction that counts the reveal; the value leaves only after its commit.
    """
    async with uow(caller) as work:
        row = await held(work, number)
        sealed = getattr(row, field_name)
        if sealed is None:
            raise Unready("FIELD_EMPTY", field=field_name)
        left = await _spend(
            work, caller, await work.parameter("reveal_quota", row.branch_id)
        )
        work.note(
            f"customers/{number}",
            branch_id=row.branch_id,
            field=field_name,
            reason=reason,
        )
    return vault.open(sealed, PLACES[field_name].format(number)), left


async def _spend(work: Work, caller: Caller, quota: int) -> int:
    statement = insert(Reveal).values(
        branch_id=caller.branch_id, staff=caller.key, day=work.today, used=1
    )
    counted = statement.on_conflict_do_update(
        index_elements=["branch_id", "staff", "day"], set_={"used": Reveal.used + 1}
    ).returning(Reveal.used)
    used = int((await work.execute(counted)).scalar_one())
    if used > quota:
        raise Exhausted("REVEAL_QUOTA_SPENT", limit=quota)
    return quota - used


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see one customer: owner, mode, and others until when."""

    number: str
    owner: str
    maintenance_mode: int
    version: int
    readers: Mapping[str, datetime | None] = field(default_factory=dict)


ACCESS = """
    UPDATE customers AS c
    SET owner = a.owner, maintenance_mode = a.mode, access_version = a.version, version = c.version + 1,
        update_time = $6
    FROM unnest($2::text[], $3::text[], $4::smallint[], $5::bigint[]) AS a (number, owner, mode, version)
    WHERE c.branch_id = $1 AND c.number = a.number AND c.access_version < a.version
    RETURNING c.number"""


async def set_access(
    uow: UnitOfWork, caller: Caller, *, branch_id: int, accesses: Sequence[Access]
) -> tuple[int, int, list[str]]:
    """Set who may see customers of one branch; return how many applied, how many were older, and who is unknown."""
    async with uow(caller) as work:
        columns = zip(
            *(
                (one.number, one.owner, one.maintenance_mode, one.version)
                for one in accesses
            ),
            strict=True,
        )
        rows = await work.run(
            ACCESS, branch_id, *(list(column) for column in columns), work.now
        )
        applied = {row["number"] for row in rows}
        await _set_readers(
            work, branch_id, [one for one in accesses if one.number in applied]
        )
        known = await _known(work, branch_id, [one.number for one in accesses])
        for number in applied:
            work.note(f"customers/{number}", branch_id=branch_id)
        unknown = [one.number for one in accesses if one.number not in known]
    return len(applied), len(accesses) - len(applied) - len(unknown), unknown


async def _set_readers(work: Work, branch_id: int, accesses: Sequence[Access]) -> None:
    """Write who else may see; readers of an older version fall away by their version."""
    rows = [
        {
            "branch_id": branch_id,
            "number": one.number,
            "staff": staff,
            "until_time": until,
            "access_version": one.version,
        }
        for one in accesses
        for staff, until in one.readers.items()
    ]
    if not rows:
        return
    statement = insert(Reader).values(rows)
    new = {name: statement.excluded[name] for name in ("until_time", "access_version")}
    await work.execute(
        statement.on_conflict_do_update(
            index_elements=["branch_id", "number", "staff"], set_=new
        )
    )


async def _known(work: Work, branch_id: int, numbers: Sequence[str]) -> set[str]:
    wanted = Customer.number == any_(literal(list(numbers), ARRAY(Text)))
    rows = await work.execute(
        select(Customer.number).where((Customer.branch_id == branch_id) & wanted)
    )
    return set(rows.scalars())


@dataclass(frozen=True, slots=True)
class ContactNote:
    """One contact and what it taught: new values of the sheet by field."""

    number: str
    contact_time: datetime | None = None
    channel: int = 0
    result: int = 0
    staff: str = ""
    sheet: Mapping[str, Any] = field(default_factory=dict)

    @property
    def next_contact_on(self) -> date | None:
        """Return the next planned contact, where the note says one."""
        return self.sheet.get("next_contact_on")


async def note_contacts(
    uow: UnitOfWork, caller: Caller, *, branch_id: int, notes: Sequence[ContactNote]
) -> tuple[int, list[str]]:
    """Write contacts and sheets of customers of one branch; return how many notes held, and who is unknown."""
    async with uow(caller) as work:
        numbers = sorted({note.number for note in notes})
        wanted = Customer.number == any_(literal(numbers, ARRAY(Text)))
        where = (Customer.branch_id == branch_id) & wanted
        ordered = (
            select(Customer).where(where).order_by(Customer.number).with_for_update()
        )
        found = (await work.session.execute(ordered)).scalars()
        rows = {row.number: row for row in found}
        written = [note for note in notes if note.number in rows]
        for note in written:
            _write_note(rows[note.number], note, work.now)
            work.note(f"customers/{note.number}", branch_id=branch_id)
        await work.session.flush()
        noted = [(rows[note.number], note) for note in written]
        work.publish(*events.contacts_noted(noted), branch_id=branch_id)
    return len(written), [note.number for note in notes if note.number not in rows]


def _write_note(row: Customer, note: ContactNote, now: datetime) -> None:
    """Write one note on its row; an older contact leaves the newest as it is."""
    write_sheet(row, note.sheet)
    if note.contact_time is not None and (
        row.last_contact_time is None or note.contact_time >= row.last_contact_time
    ):
        row.last_contact_time = note.contact_time
        row.last_contact_channel = note.channel
        row.last_contact_result = note.result
        row.last_contact_staff = note.staff
    row.update_time = now
