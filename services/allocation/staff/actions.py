"""Commands on staff: take somebody on, change what they are, say whether they are on the floor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select

from services.allocation.branch.tables import Branch
from services.allocation.staff import events, queries, rules
from services.allocation.staff.tables import Staff
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    NotFound,
    Stale,
    Unready,
)
from services.chassis.move import Movable, move

MOVABLES = (Movable("staff", "staff_id"),)


class Logins(Protocol):
    """What staff need of the noun that signs them in, which stands above this one."""

    async def open(
        self, work: Work, *, operator_no: str, staff_id: str, password: str
    ) -> bool:
        """Make a log-in; return False when the operator number is taken."""
        ...

    async def rename(self, work: Work, *, staff_id: str, operator_no: str) -> bool:
        """Give a log-in another number; return False when that is taken."""
        ...

    async def revoke(self, work: Work, staff_id: str) -> None:
        """Make every token of somebody worthless."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to take on."""

    staff_id: str
    branch_id: int
    display_name: str
    operator_no: str
    posts: list[str]
    specialities: list[str]
    capacity: int


async def create(
    uow: UnitOfWork, caller: Caller, logins: Logins, *, person: Person, password: str
) -> Any:
    """
    Take somebody on, with a log-in of their own.

    Refuses STAFF_EXISTS, OPERATOR_NO_TAKEN, POST_NOT_FOR_STAFF and BRANCH_FOR_STAFF_MISSING.
    """
    async with uow(caller) as work:
        await _check(work, person.branch_id, person.posts)
        known = select(Staff.staff_id).where(Staff.staff_id == person.staff_id)
        if (await work.execute(known)).first() is not None:
            raise AlreadyExists("STAFF_EXISTS", staff=person.staff_id)
        row = Staff(
            branch_id=person.branch_id,
            staff_id=person.staff_id,
            display_name=person.display_name,
            operator_no=person.operator_no,
            posts=person.posts,
            specialities=person.specialities,
            capacity=person.capacity,
            present=False,
            state=rules.state_of(person.posts),
            create_time=work.now,
            update_time=work.now,
        )
        work.add(row)
        await work.register("staff", person.staff_id, person.branch_id)
        opened = await logins.open(
            work,
            operator_no=person.operator_no,
            staff_id=person.staff_id,
            password=password,
        )
        if not opened:
            raise AlreadyExists("OPERATOR_NO_TAKEN", operator_no=person.operator_no)
        await work.session.flush()
        _tell(work, row, previous_branch=0, previous_posts=[])
        return await queries.shown(work, person.staff_id)


async def _check(work: Work, branch_id: int, posts: list[str]) -> None:
    program = rules.program_among(posts)
    if program:
        raise Invalid("POST_NOT_FOR_STAFF", post=program)
    branch = await work.find(Branch, branch_id)
    if branch is None or branch.state != "OPEN":
        raise Invalid("BRANCH_FOR_STAFF_MISSING", branch=branch_id)


def _tell(
    work: Work, row: Staff, *, previous_branch: int, previous_posts: list[str]
) -> None:
    """Publish how somebody is now, in their branch and in the one they left, and note it."""
    fact = events.staff_changed(
        row, previous_branch=previous_branch, previous_posts=previous_posts
    )
    for branch_id in sorted({row.branch_id, previous_branch} - {0}):
        work.publish(fact, branch_id=branch_id)
        work.note(
            f"staff/{row.staff_id}",
            branch_id=branch_id,
            posts=row.posts,
            previous_posts=previous_posts,
        )


async def held(work: Work, staff_id: str) -> Staff:
    """Return the row to change of one member of staff; refuse NOT_FOUND outside the caller's scope."""
    shown = await queries.shown(work, staff_id)
    return await work.get(Staff, shown.branch_id, staff_id, title_zh="员工")


async def update(
    uow: UnitOfWork,
    caller: Caller,
    logins: Logins,
    *,
    staff_id: str,
    version: int,
    fields: Mapping[str, Any],
) -> Any:
    """
    Change what somebody is; new posts or another branch end their tokens within five seconds.

    *uow* is of the bulk role: whoever changes branch is moved there. Refuses NOT_FOUND, CHANGED_MEANWHILE,
    POST_NOT_FOR_STAFF, BRANCH_FOR_STAFF_MISSING, STAFF_STILL_OWNS and OPERATOR_NO_TAKEN.
    """
    async with uow(caller) as work:
        row = await held(work, staff_id)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        before, posts = row.branch_id, list(row.posts)
        target = fields.get("branch_id", before)
        await _check(work, target, fields.get("posts", posts))
        await _still_owns(work, row, fields)
        for name, value in fields.items():
            if name != "branch_id":
                setattr(row, name, value)
        row.state, row.update_time = rules.state_of(row.posts), work.now
        await work.session.flush()
        if "operator_no" in fields and not await logins.rename(
            work, staff_id=staff_id, operator_no=row.operator_no
        ):
            raise AlreadyExists("OPERATOR_NO_TAKEN", operator_no=row.operator_no)
        if target != before:
            row = await _move(work, row, target)
        if target != before or row.posts != posts:
            await logins.revoke(work, staff_id)
        _tell(work, row, previous_branch=before, previous_posts=posts)
        return await queries.shown(work, staff_id)


async def _still_owns(work: Work, row: Staff, fields: Mapping[str, Any]) -> None:
    """Refuse STAFF_STILL_OWNS when the change would leave customers with somebody who may not look after them."""
    leaves = fields.get("branch_id", row.branch_id) != row.branch_id
    loses = rules.must_give_back(row.posts, fields.get("posts", row.posts))
    if leaves or loses:
        count = (await queries.shown(work, row.staff_id)).owned_count
        if count:
            raise Unready("STAFF_STILL_OWNS", staff=row.staff_id, count=count)


async def _move(work: Work, row: Staff, target: int) -> Staff:
    source, staff_id = row.branch_id, row.staff_id
    work.session.expunge(row)
    await move(
        work, MOVABLES, kind="staff", keys=[staff_id], source=source, target=target
    )
    return await work.get(Staff, target, staff_id, title_zh="员工")


async def set_presence(
    uow: UnitOfWork, caller: Caller, *, staff_id: str, present: bool
) -> Any:
    """
    Say whether somebody is on the floor: everybody for themselves, supervisors for their branch.

    Refuses NOT_FOUND and PRESENCE_OF_OTHERS.
    """
    async with uow(caller) as work:
        row = await held(work, staff_id)
        mine = await queries.shown(work, caller.key) if staff_id != caller.key else None
        if mine is not None and not rules.SUPERVISING & set(mine.posts):
            raise Denied("PRESENCE_OF_OTHERS")
        if row.state != "ACTIVE":
            raise NotFound("staff", "员工")
        row.present, row.update_time = present, work.now
        work.note(f"staff/{staff_id}", branch_id=row.branch_id, present=present)
        await work.session.flush()
        return await queries.shown(work, staff_id)
