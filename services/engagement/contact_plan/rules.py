"""Whom a plan holds and why, how it moves, and what a contact makes of its items."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum

from services.engagement.reminder.rules import Category, EventType


class PlanState(IntEnum):
    """How far a plan has come, with the contract's numbers."""

    DRAFT = 1
    SUBMITTED = 2
    RETURNED = 3
    APPROVED = 4
    CLOSED = 5


class ItemState(IntEnum):
    """What became of one customer of a plan, with the contract's numbers."""

    PLANNED = 1
    DONE = 2
    NO_ANSWER = 3
    POSTPONED = 4
    CANCELLED = 5
    MISSED = 6


class Cause(IntEnum):
    """Why a customer is in a plan, with the contract's numbers."""

    REMINDER = 1
    NEXT_CONTACT = 2
    OPPORTUNITY = 3
    CARRIED_OVER = 4
    LONG_SILENCE = 5
    BY_HAND = 6


class Result(IntEnum):
    """What came of a contact, with the numbers of customer's contract."""

    REACHED = 1
    NO_ANSWER = 2
    POSTPONED = 3
    DECLINED = 4
    WRONG_NUMBER = 5
    SENT = 6


CHANGEABLE = frozenset({PlanState.DRAFT, PlanState.RETURNED})
"""States in which the owner may change a plan and submit it."""

DAYS_AHEAD = 7
"""How far ahead a plan can be made (source: own proposal; the handbook plans the day itself)."""

CALL = 2
"""The channel of a contact unless another is said: by telephone (customer's contract)."""

TITLES = {
    PlanState.DRAFT: "draft",
    PlanState.SUBMITTED: "submitted",
    PlanState.RETURNED: "returned",
    PlanState.APPROVED: "approved",
    PlanState.CLOSED: "closed",
}
"""How a refusal names a state."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A customer whom the owner may plan, with what speaks for it.

    ``reminders`` are identifiers, the most urgent first; ``category`` is that of the most urgent, 0 without one.
    ``silent_days`` counts from the last contact; None when there never was one. Assets are minor units.
    """

    number: str
    tier: int = 0
    financial_assets: int = 0
    silent_days: int | None = None
    reminders: Sequence[str] = ()
    reminder_kinds: Sequence[int] = ()
    event_types: Sequence[int] = ()
    category: int = 0
    contact_due: bool = False
    opportunity_due: bool = False
    carried_over: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A customer chosen for a plan, with the causes in the contract's order."""

    candidate: Candidate
    causes: tuple[Cause, ...]

    @property
    def event_types(self) -> list[int]:
        """Return the types of contact events: the reminders', or OTHER when there are none."""
        return sorted(set(self.candidate.event_types)) or [int(EventType.OTHER)]


def causes_of(candidate: Candidate) -> tuple[Cause, ...]:
    """Return what calls for contacting *candidate* on the day; empty when nothing does but long silence."""
    told = (
        (Cause.REMINDER, bool(candidate.reminders)),
        (Cause.NEXT_CONTACT, candidate.contact_due),
        (Cause.OPPORTUNITY, candidate.opportunity_due),
        (Cause.CARRIED_OVER, candidate.carried_over),
    )
    return tuple(cause for cause, holds in told if holds)


def urgency(candidate: Candidate) -> tuple[int, int, int, int, str]:
    """
    Return the key by which called-for customers are ordered.

    Risk before opportunity before what was promised (next contact, follow-up, carried over) before information;
    then the more valuable first, then by number, so that the same day gives the same plan.
    Source: handbook, plans follow reminders and contact events; order is an own proposal.
    """
    promised = (
        candidate.contact_due or candidate.opportunity_due or candidate.carried_over
    )
    pressing = candidate.category in (Category.RISK, Category.OPPORTUNITY)
    rank = candidate.category if pressing else 3 if promised else 4
    return (
        rank,
        -candidate.tier,
        -candidate.financial_assets,
        -len(candidate.reminders),
        candidate.number,
    )


def silence(candidate: Candidate) -> tuple[int, int, int, str]:
    """Return the key by which the others are ordered: those never contacted, then the longest silent, then by value."""
    days = 10**6 if candidate.silent_days is None else candidate.silent_days
    return -days, -candidate.tier, -candidate.financial_assets, candidate.number


def draft(candidates: Sequence[Candidate], *, least: int, most: int) -> list[Chosen]:
    """
    Return whom a plan holds, the most urgent first: up to *most* called for, filled up to *least* by long silence.

    Source: handbook, at least twenty customers a day.
    """
    called = sorted((one for one in candidates if causes_of(one)), key=urgency)[:most]
    chosen = [Chosen(one, causes_of(one)) for one in called]
    room = max(0, least - len(chosen))
    others = sorted((one for one in candidates if not causes_of(one)), key=silence)
    return chosen + [Chosen(one, (Cause.LONG_SILENCE,)) for one in others[:room]]


def silent_days(last_contact: datetime | None, day: date) -> int | None:
    """Return how many days before *day* the last contact took place; None when there was none."""
    return (day - last_contact.date()).days if last_contact else None


def item_state(result: int) -> ItemState:
    """Return what a contact with *result* makes of its plan's item."""
    if result == Result.POSTPONED:
        return ItemState.POSTPONED
    if result in (Result.NO_ANSWER, Result.WRONG_NUMBER):
        return ItemState.NO_ANSWER
    return ItemState.DONE


def may_plan(day: date, today: date) -> bool:
    """Say whether a plan can be made *today* for *day*."""
    return today <= day <= today + timedelta(days=DAYS_AHEAD)
