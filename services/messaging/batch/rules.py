"""Who of a batch gets which text, who is left out and why, and which state follows which."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum

from services.messaging.gateways.encoding import billed_segments
from services.messaging.template.rules import (
    FIELDS,
    Amount,
    Compiled,
    Purpose,
    Value,
    title_of,
    value_of,
)


class State(IntEnum):
    """How far a batch has come, with the contract's numbers."""

    PLANNED = 1
    AWAITING_APPROVAL = 2
    SCHEDULED = 3
    SENDING = 4
    PAUSED = 5
    FINISHED = 6
    CANCELLED = 7
    REJECTED = 8


STOPPED = frozenset({State.CANCELLED, State.REJECTED})
ENDED = STOPPED | {State.FINISHED}


class RecipientState(IntEnum):
    """Where one recipient stands, with the contract's numbers."""

    EXCLUDED = 1
    WAITING = 2
    SUBMITTING = 3
    SENT = 4
    DELIVERED = 5
    FAILED = 6
    UNKNOWN = 7
    CANCELLED = 8


class Exclusion(IntEnum):
    """
    Why a person is left out, with the contract's numbers: the first that holds, in this order.

    The order is that of the lines, as in the contract, and not that of the numbers. Source: order of the checks of
    one recipient, in the rules on commercial messages.
    """

    NO_MOBILE = 1
    INVALID_MOBILE = 2
    DO_NOT_DISTURB = 3
    CONSENT_MISSING = 4
    CONSENT_WITHDRAWN = 5
    REFUSED_BEFORE = 11
    SAME_NUMBER = 6
    NOT_OWNED = 7
    OTHER_WISHES = 12
    CAP_REACHED = 8
    FIELD_MISSING = 9
    TOO_LONG = 10


RANK: Mapping[int, int] = {reason: place for place, reason in enumerate(Exclusion)}
"""The place of each reason among those that are looked at."""


class UnknownPolicy(IntEnum):
    """What happens to messages of which nobody knows whether they were accepted, with the contract's numbers."""

    FENCE = 1
    AT_MOST_ONCE = 2
    AT_LEAST_ONCE = 3


class ChunkState(IntEnum):
    """Whether a chunk waits, is in a worker's hands, or has nothing left to hand over."""

    WAITING = 0
    LEASED = 1
    DONE = 2


STEPS = 50
LEAST_CHUNK, MOST_CHUNK = 100, 2000
"""
Messages of one chunk: a batch comes to its end in so many steps, as what is settled is stored chunk by chunk; but none
is smaller than the usual window, and none so large that much is in doubt when a machine is lost.
"""

SAMPLES = 5
MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
"""Mobile numbers of the mainland (source: the ministry's numbering plan)."""

MONTH, WEEK = timedelta(days=30), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Maturity:
    """What of a customer's own matures next."""

    product: str
    day: date | None
    amount: Amount


@dataclass(frozen=True, slots=True)
class Person:
    """
    One member of the groups, as the customer service tells.

    ``reason`` is what stands against a message by the customer's number and consents, 0 when nothing does;
    ``maturity`` is None when nothing matures, or the text does not speak of it.
    """

    number: str
    mobile: str
    display_name: str
    gender: int
    owner: str
    reason: int = 0
    tier: int = 0
    maturity: Maturity | None = None


TIERS = {1: "普通", 2: "金卡", 3: "白金卡", 4: "钻石卡", 5: "私人银行"}
"""What tiers are called in messages, by the number of the customer service's contract."""


@dataclass(frozen=True, slots=True)
class Measure:
    """
    What the lines of a batch depend on besides its people.

    ``sender`` is set where only customers of the sender's own may be written to; ``refused`` are mobiles whose
    holders refused by an answer; ``capped`` are customers who had enough; ``owners`` are names of staff by key.
    """

    text: Compiled
    branch_name: str
    segment_limit: int
    sender: str = ""
    refused: Collection[str] = frozenset()
    capped: Collection[str] = frozenset()
    owners: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One person of a planned batch; text and segments are empty for who is left out."""

    ordinal: int
    person: Person
    mobile: str
    reason: int
    text: str = ""
    segments: int = 0
    chunk: int = 0


def mobile_of(text: str) -> str:
    """Return the eleven digits of a mobile number as it was written down; empty when it cannot be one."""
    found = MOBILE.fullmatch(re.sub(r"[\s\-()]", "", text))
    return found[1] if found else ""


SOURCES: Mapping[str, Callable[[Person, Measure], Value]] = {
    "customer_name": lambda person, _: person.display_name,
    "customer_title": lambda person, _: title_of(person.display_name, person.gender),
    "customer_number": lambda person, _: person.number,
    "tier_name": lambda person, _: TIERS.get(person.tier),
    "branch_name": lambda _, measure: measure.branch_name,
    "owner_name": lambda person, measure: measure.owners.get(person.owner),
    "maturity_product": lambda person, _: (
        person.maturity.product if person.maturity else None
    ),
    "maturity_date": lambda person, _: person.maturity.day if person.maturity else None,
    "maturity_amount": lambda person, _: (
        person.maturity.amount if person.maturity else None
    ),
}
"""Where the value of each field of the catalogue comes from."""


def values_of(person: Person, measure: Measure) -> dict[str, str]:
    """Return the values of the text's fields for *person*; empty where there is none, or it cannot be shown."""
    return {
        name: value_of(SOURCES[name](person, measure), FIELDS[name])
        for name in measure.text.fields
    }


def written(person: Person, measure: Measure) -> tuple[int, str, int]:
    """Return (reason, text, segments) of one person, looked at alone; the reason is 0 when a message may go out."""
    if reason := left_out(person, measure):
        return reason, "", 0
    values = values_of(person, measure)
    if not all(values.values()):
        return Exclusion.FIELD_MISSING, "", 0
    text = measure.text.render(values)
    segments = billed_segments(text)
    if segments > measure.segment_limit:
        return Exclusion.TOO_LONG, "", 0
    return 0, text, segments


def left_out(person: Person, measure: Measure) -> int:
    """Return why *person* is left out whatever the text, 0 when nothing is against a message."""
    if not person.mobile:
        return Exclusion.NO_MOBILE
    owned = person.owner == measure.sender or not measure.sender
    mobile = mobile_of(person.mobile)
    against = (
        Exclusion.INVALID_MOBILE if not mobile else 0,
        person.reason,
        Exclusion.REFUSED_BEFORE if mobile in measure.refused else 0,
        0 if owned else Exclusion.NOT_OWNED,
        Exclusion.CAP_REACHED if person.number in measure.capped else 0,
    )
    found = [Exclusion(reason) for reason in against if reason]
    return min(found, key=RANK.__getitem__, default=0)


def lines_of(people: Iterable[Person], measure: Measure) -> list[Line]:
    """
    Return one line per person, ascending by customer number: one message per person and per number.

    Of several people with the same number the first who may be written to gets the message.
    """
    ordered = sorted({one.number: one for one in people}.values(), key=_number)
    found = [(person, *written(person, measure)) for person in ordered]
    size = chunk_size(len(found))
    holders: dict[str, str] = {}
    for person, reason, _, _ in found:
        if not reason:
            holders.setdefault(mobile_of(person.mobile), person.number)
    lines, messages = [], 0
    for ordinal, (person, reason, text, segments) in enumerate(found, 1):
        mobile = mobile_of(person.mobile)
        held = holders.get(mobile, person.number) != person.number
        if held and (not reason or RANK[reason] > RANK[Exclusion.SAME_NUMBER]):
            lines.append(Line(ordinal, person, mobile, Exclusion.SAME_NUMBER))
        elif reason:
            lines.append(Line(ordinal, person, mobile, reason))
        else:
            messages += 1
            chunk = (messages - 1) // size + 1
            lines.append(Line(ordinal, person, mobile, 0, text, segments, chunk))
    return lines


def chunk_size(people: int) -> int:
    """Return how many messages a chunk of a batch to so many *people* holds."""
    return min(MOST_CHUNK, max(LEAST_CHUNK, -(-people // STEPS)))


def _number(person: Person) -> str:
    return person.number


def exclusions_of(lines: Iterable[Line]) -> list[int]:
    """Return how many are left out for each reason, by the reasons' numbers from 1."""
    counts = Counter(line.reason for line in lines)
    return [counts[number] for number in range(1, len(Exclusion) + 1)]


def samples_of(lines: Iterable[Line]) -> list[int]:
    """Return the ordinals of the longest messages, the longest first."""
    sent = [line for line in lines if not line.reason]
    longest = sorted(sent, key=lambda line: (-len(line.text), line.ordinal))
    return [line.ordinal for line in longest[:SAMPLES]]


def ordinary_of(lines: Iterable[Line]) -> list[int]:
    """Return the ordinals of messages spread evenly over a batch, ascending, none of them among the longest shown."""
    found = list(lines)
    longest = set(samples_of(found))
    rest = [
        line.ordinal
        for line in found
        if not line.reason and line.ordinal not in longest
    ]
    count = min(SAMPLES, len(rest))
    return [rest[len(rest) * place // count] for place in range(count)]


def segment_counts_of(lines: Iterable[Line]) -> list[int]:
    """Return how many messages are billed as 1, 2, 3... segments."""
    counts = Counter(line.segments for line in lines if not line.reason)
    return [counts[number] for number in range(1, max(counts, default=0) + 1)]


def first_moment(local: datetime, hours: tuple[int, int]) -> datetime:
    """Return the first moment, from *local* on, that lies between the first and last of *hours* of a day."""
    begin, end = hours
    if local.hour >= end:
        local += timedelta(days=1)
    elif local.hour >= begin:
        return local
    return local.replace(hour=begin, minute=0, second=0, microsecond=0)


def hours_of(purpose: int, hours: Mapping[str, int]) -> tuple[int, int]:
    """Return the hours of the day at which messages for *purpose* go out: all of them for service notices."""
    return (0, 24) if purpose == Purpose.SERVICE else (hours["from"], hours["to"])


def digest_of(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """
    Return the digest of everything that matters about a batch, in hexadecimal.

    *head* is template, schedule and gateway; *rows* are recipients and exclusions in their order.
    """
    found = hashlib.sha256()
    for part in (head, *rows):
        found.update("\x1f".join(map(str, part)).encode())
        found.update(b"\x1e")
    return found.hexdigest()


def schedule_unfit(moment: datetime | None, now: datetime, days: int) -> bool:
    """Say whether *moment* lies in the past, or more than *days* ahead; None means at once, which always fits."""
    return moment is not None and not now <= moment <= now + timedelta(days=days)


def needs_second_person(purpose: int, messages: int, size: int) -> bool:
    """Say whether a batch needs a second person: marketing always, others above *size* messages."""
    return purpose == Purpose.MARKETING or messages > size


def outdated(planned: datetime, now: datetime, hours: int) -> bool:
    """Say whether a plan is too old to be confirmed."""
    return now - planned > timedelta(hours=hours)


def due_state(schedule_time: datetime | None, now: datetime) -> State:
    """Return the state of a batch that may go out: being sent, or waiting for its time."""
    waits = schedule_time is not None and schedule_time > now
    return State.SCHEDULED if waits else State.SENDING


@dataclass(frozen=True, slots=True)
class Counts:
    """What the chunks of a batch come to; delivered and undelivered are parts of sent."""

    size: int = 0
    excluded: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    delivered: int = 0
    undelivered: int = 0
    submitting: int = 0

    @property
    def open(self) -> int:
        """Return how many were neither handed over nor left out."""
        settled = self.excluded + self.sent + self.failed + self.unknown
        return self.size - settled - self.submitting


def tally(state: int, excluded: int, counts: Counts) -> dict[RecipientState, int]:
    """Return how many people stand in each state; they sum to how many were looked at."""
    stopped = state in STOPPED
    return {
        RecipientState.EXCLUDED: excluded + counts.excluded,
        RecipientState.WAITING: 0 if stopped else counts.open,
        RecipientState.SUBMITTING: counts.submitting,
        RecipientState.SENT: counts.sent - counts.delivered - counts.undelivered,
        RecipientState.DELIVERED: counts.delivered,
        RecipientState.FAILED: counts.failed + counts.undelivered,
        RecipientState.UNKNOWN: counts.unknown,
        RecipientState.CANCELLED: counts.open if stopped else 0,
    }
