"""Who may be given whom: states, skips, modes by post, capacity."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import IntEnum


class State(IntEnum):
    """Where an ownership stands, with the contract's numbers."""

    UNASSIGNED = 1
    PENDING = 2
    ACTIVE = 3
    RECALLED = 4


class Mode(IntEnum):
    """How an owner looks after a customer, with the numbers of customer's contract."""

    PROFESSIONAL = 1
    BATCH = 2


class Principle(IntEnum):
    """The principle by which an owner is chosen, with the contract's numbers."""

    BY_HAND = 1
    FAMILIAR_ADOPTION = 2
    VALUE_FIRST = 3


class Act(IntEnum):
    """What is done to an ownership, with the contract's numbers."""

    REGISTERED = 1
    ASSIGNED = 2
    HELD = 3
    TRANSFERRED = 4
    RECALLED = 5
    MOVED = 6
    RESTORED = 7


class Cause(IntEnum):
    """Why customers are taken back, with the contract's numbers."""

    LATE_MAINTENANCE = 1
    POOR_EFFECT = 2
    UNFAMILIAR = 3
    OWNER_CHANGES = 4
    CUSTOMER_MOVED = 5
    PLAN_UNDONE = 6
    OTHER = 7


class Skip(IntEnum):
    """Why a batch leaves a customer as they were, with the contract's numbers."""

    NOT_FOUND = 1
    OWNER_CHANGED = 2
    STATE_UNFIT = 3
    NOTHING_TO_DO = 4
    CULTIVATING = 5


MANAGED = 1
"""The relation of a customer with an owner, by the contract's number; signing is another noun."""

POSTS = {
    Mode.PROFESSIONAL: frozenset({"CUSTOMER_MANAGER", "BRANCH_MANAGER"}),
    Mode.BATCH: frozenset({"OPEN_COUNTER_TELLER", "CUSTOMER_MANAGER"}),
}
"""Posts that may look after customers in each mode (source: handbook, professional and batch maintenance)."""

FREE = frozenset({State.UNASSIGNED, State.PENDING, State.RECALLED})
"""States without an active owner."""

RULE_VERSION = 1
"""Counts up when a rule of this module decides otherwise than before."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an act makes of an ownership."""

    act: Act
    owner: str = ""
    mode: int = 0
    cause: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What deciding needs to know of an ownership."""

    state: int
    owner: str
    mode: int
    cultivation_end_date: date | None = None


def skip_of(
    found: Standing | None, expected_owner: str, wanted: Wanted, today: date
) -> Skip | None:
    """Return why *wanted* is not done to a customer whom the caller saw with *expected_owner*; None when it is."""
    if found is None:
        return Skip.NOT_FOUND
    if found.owner != expected_owner:
        return Skip.OWNER_CHANGED
    if wanted.act in (Act.ASSIGNED, Act.HELD):
        return _skip_free(found, wanted)
    return _skip_active(found, wanted, today)


def _skip_free(found: Standing, wanted: Wanted) -> Skip | None:
    """Return why somebody who should have no active owner is left as they are."""
    if found.state not in FREE:
        return Skip.STATE_UNFIT
    held = found.state == State.PENDING and found.owner == wanted.owner
    return Skip.NOTHING_TO_DO if wanted.act is Act.HELD and held else None


def _skip_active(found: Standing, wanted: Wanted, today: date) -> Skip | None:
    """Return why somebody who should have an active owner is left as they are."""
    if found.state != State.ACTIVE:
        return Skip.STATE_UNFIT
    if wanted.act is Act.TRANSFERRED:
        kept = found.owner == wanted.owner and wanted.mode in (0, found.mode)
        return Skip.NOTHING_TO_DO if kept else None
    end = found.cultivation_end_date
    cultivating = end is not None and end >= today
    return (
        Skip.CULTIVATING if wanted.cause == Cause.UNFAMILIAR and cultivating else None
    )


def state_after(wanted: Wanted) -> State:
    """Return the state that an act leads to."""
    return {Act.HELD: State.PENDING, Act.RECALLED: State.RECALLED}.get(
        wanted.act, State.ACTIVE
    )


def post_fault(posts: Collection[str], mode: int) -> str:
    """Return the reason why somebody with *posts* cannot look after customers in *mode*; empty when they can."""
    held = set(posts)
    if not held & frozenset().union(*POSTS.values()):
        return "OWNER_POST_MISSING"
    return "" if held & POSTS[Mode(mode)] else "MODE_NOT_FOR_OWNER"


def over_capacity(count: int, capacity: int) -> bool:
    """Say whether *count* customers are more than *capacity* allows; 0 means no limit is set."""
    return 0 < capacity < count


def months_on(day: date, months: int) -> date:
    """Return the same day *months* later, or the last of that month when it has no such day."""
    year, month = divmod(day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(day.year + year, month + 1, last)
        except ValueError:
            continue
    raise AssertionError(day)
