"""What a ledger says: what is refused, what is allowed, and when somebody may be reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
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
    """What stands against reaching a customer, with the contract's numbers, in the order they are looked at."""

    CUSTOMER_UNKNOWN = 1
    ADDRESS_MISSING = 2
    ADDRESS_INVALID = 3
    DO_NOT_DISTURB = 4
    CONSENT_WITHDRAWN = 5
    CONSENT_MISSING = 6
    OUTSIDE_HOURS = 7


REFUSALS = frozenset({Act.DO_NOT_DISTURB_SET, Act.DO_NOT_DISTURB_LIFTED})
"""Acts about not being disturbed; the others are about consent, and the two do not replace each other."""

NEEDS_CONSENT = frozenset({Purpose.MARKETING})
"""Purposes for which silence is no consent (source: rules on commercial messages)."""

NUMBERED = frozenset({Channel.SMS, Channel.CALL})
"""Channels that need a mobile number."""

HOURLY = frozenset({Channel.SMS, Channel.CALL, Channel.PUSH, Channel.MESSENGER})
"""Channels that disturb at night."""


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


def next_hour(moment: datetime, hours: tuple[int, int]) -> datetime | None:
    """
    Return when contacting is allowed next, None when it is at *moment* (local); *hours* are the first and the last.

    Source: own proposal, messages between nine and twenty o'clock.
    """
    if hours[0] <= moment.hour < hours[1]:
        return None
    day = moment.date() + timedelta(days=moment.hour >= hours[1])
    return datetime.combine(day, time(hours[0]), moment.tzinfo)


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one customer may be reached: the first thing against it, and when it may be tried."""

    reason: Reason | None = None
    next_time: datetime | None = None


def reach(
    entries: Sequence[Entry],
    *,
    channel: int,
    purpose: int,
    mobile_mask: str,
    moment: datetime,
    hours: tuple[int, int],
) -> Reach:
    """Return whether a customer with this ledger may be reached at *moment* (local)."""
    fault = address_fault(channel, mobile_mask)
    if fault is None and refused(entries, channel, purpose):
        fault = Reason.DO_NOT_DISTURB
    fault = fault or consent_fault(entries, channel, purpose)
    if fault is not None:
        return Reach(fault)
    later = next_hour(moment, hours)
    if later and channel in HOURLY and purpose != Purpose.SERVICE:
        return Reach(Reason.OUTSIDE_HOURS, later)
    return Reach()


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
