"""Give customers to owners and take them back: batches of one branch, each one transaction, decided under lock."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.allocation.ownership import queries, rules
from services.allocation.ownership.actions.write import Change, write
from services.allocation.ownership.queries import Load
from services.allocation.ownership.rules import Act, Cause, Principle, Skip, Wanted
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Exhausted, Invalid, NotFound, Unready


@dataclass(frozen=True, slots=True)
class Skipped:
    """A customer whom a batch left as they were."""

    number: str
    reason: Skip
    current_owner: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch did: how many it changed, whom it skipped, and loads before and after by owner."""

    changed: int
    skipped: Sequence[Skipped]
    owner: str = ""
    before: Sequence[Load] = ()
    after: Sequence[Load] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Customers with the owners that the caller saw, and what is wanted of them."""

    expected: Mapping[str, str]
    reason: str = ""
    all_or_nothing: bool = False


def inputs_of(row: Any) -> dict[str, Any]:
    """Return what a decision by hand looked at, for its explanation."""
    names = ("tier", "financial_assets", "state", "owner")
    return {name: getattr(row, name) for name in names}


async def decide(
    work: Work,
    branch_id: int | None,
    batch: Batch,
    want: Callable[[Any], Wanted],
    cultivation: date | None = None,
) -> tuple[list[Change], list[Skipped]]:
    """
    Lock the customers of a batch and tell changes from those to skip; *want* says what is wanted of each.

    Refuses OWNERS_CHANGED when all or nothing was asked for and somebody would be skipped.
    """
    rows = (
        await queries.locked(work, branch_id, list(batch.expected)) if branch_id else {}
    )
    changes, skipped = [], []
    for number, expected in batch.expected.items():
        row = rows.get(number)
        wanted = want(row)
        skip = rules.skip_of(row, expected, wanted, work.today)
        if row is None or skip is not None:
            owner = row.owner if row else ""
            skipped.append(Skipped(number, skip or Skip.NOT_FOUND, owner))
        else:
            changes.append(_by_hand(row, wanted, batch.reason, cultivation))
    if skipped and batch.all_or_nothing:
        raise Unready("OWNERS_CHANGED", count=len(skipped))
    return changes, skipped


def _by_hand(row: Any, wanted: Wanted, reason: str, cultivation: date | None) -> Change:
    """Return a change that a person decided; a transfer keeps principle and cultivation, a recall ends both."""
    principle, until = int(Principle.BY_HAND), row.cultivation_end_date
    if wanted.act is Act.TRANSFERRED:
        principle = row.principle
    elif wanted.act is Act.RECALLED:
        principle, until = 0, None
    elif wanted.act is Act.ASSIGNED:
        until = cultivation
    return Change(row, wanted, principle, reason, until, inputs=inputs_of(row))


async def capacity_forbids(work: Work, branch_id: int) -> bool:
    """Say whether the branch forbids more customers than somebody can look after well, or only warns."""
    return bool(await work.parameter("capacity_policy", branch_id) == "FORBID")


async def guard_capacity(
    work: Work, branch_id: int, asked: Iterable[tuple[Load, int]]
) -> None:
    """
    Refuse CAPACITY_EXCEEDED where the branch forbids more than can be looked after well.

    *asked* are owners' loads with how many customers more they would get.
    """
    if not await capacity_forbids(work, branch_id):
        return
    for load, more in asked:
        if not rules.over_capacity(load.count + more, load.capacity):
            continue
        raise Exhausted(
            "CAPACITY_EXCEEDED",
            owner=load.owner,
            owned=load.count,
            capacity=load.capacity,
            asked=more,
        )


def check_posts(posts: Collection[str], owner: str, mode: int) -> None:
    """Refuse OWNER_POST_MISSING and MODE_NOT_FOR_OWNER; a *mode* of 0 says that customers keep theirs."""
    fault = rules.post_fault(posts, mode or rules.Mode.PROFESSIONAL)
    if fault and (mode or fault == "OWNER_POST_MISSING"):
        title = rules.Mode(mode).name if mode else ""
        raise Invalid(fault, owner=owner, mode=title)


async def cultivation_end(work: Work, branch_id: int) -> date:
    """Return the last day of cultivation of customers who are given to an owner today."""
    months = await work.parameter("cultivation_months", branch_id)
    return rules.months_on(work.today, months)


def _note(work: Work, branch_id: int, changes: Sequence[Change], reason: str) -> None:
    for one in changes:
        work.note(f"ownerships/{one.before.number}", branch_id=branch_id)
    if changes:
        owners = sorted({one.before.owner for one in changes})
        after = sorted({one.wanted.owner for one in changes})
        work.note(
            "ownerships", branch_id=branch_id, before=owners, after=after, reason=reason
        )


async def assign(
    uow: UnitOfWork, caller: Caller, *, batch: Batch, owner: str, mode: int
) -> Outcome:
    """
    Give customers without an active owner to *owner*.

    Refuses NOT_FOUND (of the owner), OWNER_OF_OTHER_BRANCH, OWNER_POST_MISSING, MODE_NOT_FOR_OWNER,
    BATCH_OF_SEVERAL_BRANCHES, CAPACITY_EXCEEDED and OWNERS_CHANGED.
    Source: handbook, assignment by the branch manager; an owner is not given more than can be looked after well.
    """
    return await _give(uow, caller, batch, owner, Act.ASSIGNED, mode)


async def transfer(
    uow: UnitOfWork, caller: Caller, *, batch: Batch, owner: str, mode: int
) -> Outcome:
    """Give customers from their owners to another one, in *mode*, or as before when it is 0; refuses as assign."""
    return await _give(uow, caller, batch, owner, Act.TRANSFERRED, mode)


async def _give(
    uow: UnitOfWork, caller: Caller, batch: Batch, owner: str, act: Act, mode: int
) -> Outcome:
    async with uow(caller) as work:
        branch_id = await queries.branch_of(work, list(batch.expected))
        found = await queries.owner_of_branch(work, owner, branch_id)
        check_posts(found.posts, owner, mode)
        changes, skipped = await decide(
            work,
            branch_id,
            batch,
            lambda row: Wanted(act, owner, mode),
            await cultivation_end(work, found.branch_id),
        )
        owners = [owner, *sorted({one.before.owner for one in changes} - {owner, ""})]
        if act is Act.ASSIGNED:
            owners = [owner]
        before = await queries.loads(work, found.branch_id, owners)
        gained = sum(
            one.before.owner != owner or one.before.state != rules.State.ACTIVE
            for one in changes
        )
        await guard_capacity(work, found.branch_id, [(before[0], gained)])
        await write(work, found.branch_id, changes)
        _note(work, found.branch_id, changes, batch.reason)
        after = await queries.loads(work, found.branch_id, owners)
    return Outcome(len(changes), skipped, owner, before, after)


async def hold(uow: UnitOfWork, caller: Caller, *, batch: Batch, owner: str) -> Outcome:
    """
    Hold customers without an active owner under the branch manager; an empty *owner* means the caller, or the first.

    Refuses NOT_FOUND, OWNER_OF_OTHER_BRANCH, HOLDER_NOT_MANAGER, BRANCH_WITHOUT_MANAGER and OWNERS_CHANGED.
    """
    async with uow(caller) as work:
        branch_id = await queries.branch_of(work, list(batch.expected))
        if branch_id is None:
            raise NotFound("customer", "客户")
        if not owner:
            at_home = caller.branch_id == branch_id
            manager = at_home and await _is_manager(work, caller.key, branch_id)
            owner = (
                caller.key if manager else await queries.first_manager(work, branch_id)
            )
        elif not await _is_manager(work, owner, branch_id):
            raise Invalid("HOLDER_NOT_MANAGER", owner=owner, branch=branch_id)
        changes, skipped = await decide(
            work, branch_id, batch, lambda row: Wanted(Act.HELD, owner)
        )
        await write(work, branch_id, changes)
        _note(work, branch_id, changes, batch.reason)
    return Outcome(len(changes), skipped, owner)


async def _is_manager(work: Work, staff_id: str, branch_id: int) -> bool:
    found = await queries.owner_of_branch(work, staff_id, branch_id)
    return "BRANCH_MANAGER" in found.posts


async def recall(
    uow: UnitOfWork, caller: Caller, *, batch: Batch, cause: Cause
) -> Outcome:
    """
    Take customers back from their owners.

    Refuses BATCH_OF_SEVERAL_BRANCHES and OWNERS_CHANGED. Source: handbook, late or poor maintenance is taken back.
    """
    async with uow(caller) as work:
        branch_id = await queries.branch_of(work, list(batch.expected))
        changes, skipped = await decide(
            work, branch_id, batch, lambda row: Wanted(Act.RECALLED, cause=cause)
        )
        owners = sorted({one.before.owner for one in changes})
        if branch_id is None:
            return Outcome(0, skipped)
        before = await queries.loads(work, branch_id, owners)
        await write(work, branch_id, changes)
        _note(work, branch_id, changes, batch.reason)
        after = await queries.loads(work, branch_id, owners)
    return Outcome(len(changes), skipped, "", before, after)
