"""What a ledger says: what is refused, what is allowed, and when somebody may be reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum


class Act(IntEnum):
    """What an entry records, with the contract's numbers."""

    DO_NOT_DISTURB_SET = 1
    DO_NOT_DISTURB_LIFTED = 2
    GRANTED = 3
    WITHDRAWN = 4


class Purpose(IntEnum):
    """What customers are contacted for, with the contract's numbers; 0 stands for every one."""

    SERVICE = 1
    CARE = 2
    MARKETING = 3


class Channel(IntEnum):
    """Ways to reach a customer, with the contract's numbers; 0 stands for every one."""

    SMS = 1
    CALL = 2
    VISIT = 3
    ON_SITE = 4
    MESSENGER = 5
    EMAIL = 6
    PUSH = 7


class Reason(IntEnum):
    """What stands against reaching a customer, with the contract's numbers."""

    CUSTOMER_UNKNOWN = 1
    ADDRESS_MISSING = 2
    ADDRESS_INVALID = 3
    DO_NOT_DISTURB = 4
    CONSENT_WITHDRAWN = 5
    CONSENT_MISSING = 6
    OUTSIDE_HOURS = 7
    OUTSIDE_PREFERRED_TIME = 8
    TOO_SOON = 9
    ONLY_ON_REQUEST = 10


class Frequency(IntEnum):
    """How often a customer wishes to be contacted at most, with the contract's numbers; 0 stands for none said."""

    DAILY = 1
    WEEKLY = 2
    MONTHLY = 3
    QUARTERLY = 4
    ON_REQUEST = 5


DAYS_BETWEEN = {
    Frequency.DAILY: 1,
    Frequency.WEEKLY: 7,
    Frequency.MONTHLY: 30,
    Frequency.QUARTERLY: 90,
}
"""Days from one contact to the next (source: own proposal, after the preferences that other banks keep)."""

PARTS = {
    1: (False, 0, 12),
    2: (False, 12, 18),
    3: (False, 18, 24),
    4: (True, 0, 12),
    5: (True, 12, 18),
    6: (True, 18, 24),
}
"""Parts of the week by the contract's numbers: whether on the weekend, from which hour, and before which."""

WHOLE_DAY = (0, 24)

REFUSALS = frozenset({Act.DO_NOT_DISTURB_SET, Act.DO_NOT_DISTURB_LIFTED})
"""Acts about not being disturbed; the others are about consent, and the two do not replace each other."""

NEEDS_CONSENT = frozenset({Purpose.MARKETING})
"""Purposes for which silence is no consent (source: rules on commercial messages)."""

NUMBERED = frozenset({Channel.SMS, Channel.CALL})
"""Channels that need a mobile number."""

HOURLY = frozenset({Channel.SMS, Channel.CALL, Channel.PUSH, Channel.MESSENGER})
"""Channels that disturb at night."""

WEEK = 8
"""Days in which every part of a week comes once whole, today's rest included."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a ledger; channel or purpose 0 stands for every one."""

    act: int
    channel: int
    purpose: int

    def covers(self, channel: int, purpose: int) -> bool:
        """Say whether the entry is about *channel* and *purpose*, or about more."""
        return self.channel in (0, channel) and self.purpose in (0, purpose)


def refusals_in_force(entries: Sequence[Entry]) -> list[Entry]:
    """Return the requests not to be disturbed that no later entry of at least their width lifted; oldest first."""
    found: list[Entry] = []
    for entry in entries:
        if entry.act in REFUSALS:
            found = [one for one in found if not entry.covers(one.channel, one.purpose)]
        if entry.act == Act.DO_NOT_DISTURB_SET:
            found.append(entry)
    return found


def refused(entries: Sequence[Entry], channel: int, purpose: int) -> bool:
    """Say whether the customer asked not to be disturbed on *channel* for *purpose*."""
    return any(one.covers(channel, purpose) for one in refusals_in_force(entries))


def consent_fault(
    entries: Sequence[Entry], channel: int, purpose: int
) -> Reason | None:
    """
    Return what is wrong with consent for *channel* and *purpose*; None when nothing is.

    A withdrawal for every purpose is one for those that need consent: the others were never a matter of it.
    """
    needed = purpose in NEEDS_CONSENT
    newest = None
    for entry in entries:
        about = entry.act in (Act.GRANTED, Act.WITHDRAWN)
        if about and entry.covers(channel, purpose) and (entry.purpose or needed):
            newest = entry
    if newest is None:
        return Reason.CONSENT_MISSING if needed else None
    return Reason.CONSENT_WITHDRAWN if newest.act == Act.WITHDRAWN else None


def address_fault(channel: int, mobile_mask: str) -> Reason | None:
    """Return what is wrong with a customer's number for *channel*, told from its mask; None when nothing is."""
    if channel == Channel.EMAIL:
        return Reason.ADDRESS_MISSING
    if channel not in NUMBERED:
        return None
    if not mobile_mask:
        return Reason.ADDRESS_MISSING
    valid = (
        len(mobile_mask) == 11 and mobile_mask[0] == "1" and mobile_mask[1] in "3456789"
    )
    return None if valid else Reason.ADDRESS_INVALID


@dataclass(frozen=True, slots=True)
class Wishes:
    """When a customer wishes to be contacted, by the contract's numbers, and when that last happened (local)."""

    preferred_time: int = 0
    frequency: int = 0
    last_contact: datetime | None = None

    def due(self) -> date | None:
        """Return the first day on which the frequency allows a contact; None when any day does."""
        days = DAYS_BETWEEN.get(Frequency(self.frequency)) if self.frequency else None
        if days is None or self.last_contact is None:
            return None
        return self.last_contact.date() + timedelta(days=days)


NOTHING_WISHED = Wishes()


@dataclass(frozen=True, slots=True)
class Times:
    """Which moments are right: hours of the day, part of the week (0 for any), and the first day (None for any)."""

    hours: tuple[int, int]
    part: int
    due: date | None

    def wished(self, day: date) -> tuple[int, int]:
        """Return from which hour and before which *day* lies in the part of the week; (0, 0) when it does not."""
        if not self.part:
            return WHOLE_DAY
        weekend, first, last = PARTS[self.part]
        return (first, last) if (day.weekday() >= 5) == weekend else (0, 0)

    def fault(self, moment: datetime) -> Reason | None:
        """Return the first thing that makes *moment* (local) a wrong one; None when it is right."""
        if not self.hours[0] <= moment.hour < self.hours[1]:
            return Reason.OUTSIDE_HOURS
        first, last = self.wished(moment.date())
        if not first <= moment.hour < last:
            return Reason.OUTSIDE_PREFERRED_TIME
        return Reason.TOO_SOON if self.due and moment.date() < self.due else None

    def next_right(self, moment: datetime) -> datetime | None:
        """Return the first right moment after *moment* (local), which is a wrong one; None when none ever comes."""
        start = max(moment.date(), self.due or moment.date())
        for day in (start + timedelta(days=number) for number in range(WEEK)):
            first, last = self.wished(day)
            first, last = max(first, self.hours[0]), min(last, self.hours[1])
            later = day > moment.date() or moment.hour < first
            if first < last and later:
                return datetime.combine(day, time(first), moment.tzinfo)
        return None


def times_of(
    channel: int, purpose: int, wishes: Wishes, hours: tuple[int, int]
) -> Times:
    """Return which moments are right for *purpose* on *channel*; the customer's own business waits for none."""
    if purpose == Purpose.SERVICE:
        return Times(WHOLE_DAY, 0, None)
    held = hours if channel in HOURLY else WHOLE_DAY
    if channel == Channel.ON_SITE:
        return Times(held, 0, None)
    return Times(held, wishes.preferred_time, wishes.due())


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one customer may be reached: the first thing against it, and when it may be tried."""

    reason: Reason | None = None
    next_time: datetime | None = None


def lasting_fault(
    entries: Sequence[Entry],
    *,
    channel: int,
    purpose: int,
    mobile_mask: str,
    wishes: Wishes,
) -> Reason | None:
    """Return the first thing against reaching a customer that no time cures; None when there is none."""
    if fault := address_fault(channel, mobile_mask):
        return fault
    if refused(entries, channel, purpose):
        return Reason.DO_NOT_DISTURB
    if fault := consent_fault(entries, channel, purpose):
        return fault
    on_request = wishes.frequency == Frequency.ON_REQUEST
    wished = purpose != Purpose.SERVICE and channel != Channel.ON_SITE
    return Reason.ONLY_ON_REQUEST if on_request and wished else None


def reach(
    entries: Sequence[Entry],
    *,
    channel: int,
    purpose: int,
    mobile_mask: str,
    moment: datetime,
    hours: tuple[int, int],
    wishes: Wishes = NOTHING_WISHED,
) -> Reach:
    """
    Return whether a customer with this ledger and these wishes may be reached at *moment* (local).

    What no time cures comes first; after it hours, preferred time and frequency, with the first moment that is right
    by all three. *hours* are the first and the last (exclusive) of a day.
    Source: own proposal, messages between nine and twenty o'clock.
    """
    fault = lasting_fault(
        entries,
        channel=channel,
        purpose=purpose,
        mobile_mask=mobile_mask,
        wishes=wishes,
    )
    if fault is not None:
        return Reach(fault)
    times = times_of(channel, purpose, wishes, hours)
    fault = times.fault(moment)
    return Reach() if fault is None else Reach(fault, times.next_right(moment))


def evidence_fault(
    act: Act, *, kind: int, text_version: str, moment: datetime | None, now: datetime
) -> tuple[str, str]:
    """Return (reason, what is missing) of evidence that does not do; empty texts when it does."""
    if act in (Act.DO_NOT_DISTURB_LIFTED, Act.GRANTED) and not kind:
        return "EVIDENCE_REQUIRED", "evidence.kind"
    if act is Act.GRANTED and not text_version:
        return "EVIDENCE_REQUIRED", "evidence.text_version"
    if moment is not None and moment > now:
        return "EVIDENCE_IN_FUTURE", "evidence.evidence_time"
    return "", ""


def entries_of(rows: Iterable[tuple[int, int, int]]) -> list[Entry]:
    """Return entries from (act, channel, purpose)."""
    return [Entry(*row) for row in rows]
