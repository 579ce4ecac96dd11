"""What is decided at the last moment: who refused since, whether the hour fits, and what an answer means."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import compress
from typing import NamedTuple
from uuid import UUID

from services.messaging.batch.rules import Exclusion, RecipientState, UnknownPolicy
from services.messaging.template.rules import Purpose


class About(IntEnum):
    """What a mark of a customer is about: being disturbed, consent, or belonging to the branch."""

    DISTURB = 1
    CONSENT = 2
    BRANCH = 3


class Act(IntEnum):
    """What an entry of a customer's ledger records, with the contract's numbers."""

    DO_NOT_DISTURB_SET = 1
    DO_NOT_DISTURB_LIFTED = 2
    GRANTED = 3
    WITHDRAWN = 4


LEFT, CAME = 1, 0
"""Acts about the branch."""

SMS = 1
"""The channel of messages, with the contract's number."""


class Slot(IntEnum):
    """What is known of one message of a flight."""

    UNTOUCHED = 0
    SENT = 1
    ACCEPTED = 2
    FAILED = 3
    NOT_TAKEN = 4
    AMBIGUOUS = 5
    EXCLUDED = 6


REFUSED = {
    "rejected": Slot.FAILED,
    "throttled": Slot.NOT_TAKEN,
    "temporary": Slot.NOT_TAKEN,
}
"""What is known of a message that was not accepted, by the centre's verdict; any other verdict leaves it ambiguous."""

TRIES = 3
"""How often a message is handed over when the centre has passing trouble."""

COUNTRY = "86"


@dataclass(frozen=True, slots=True)
class Tenure:
    """
    How long a lease holds without being renewed, in seconds; workers renew theirs twice a second.

    ``silent``: a worker that could not renew it for so long writes nothing until it can. ``free``: one whose lock
    is free, so that its connection is gone, loses it. ``held``: one whose lock is held loses it too.
    Between the first and the second lies the time that a message already written may take to the centre.
    """

    seconds: float = 10.0

    @property
    def silent(self) -> float:
        """Return after how long a worker stops writing."""
        return 0.3 * self.seconds

    @property
    def free(self) -> float:
        """Return after how long a worker without a connection loses its lease."""
        return 0.5 * self.seconds

    @property
    def held(self) -> float:
        """Return after how long any worker loses its lease."""
        return 6 * self.seconds


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest act of one customer about one thing, channel and purpose; 0 stands for every one."""

    about: int
    act: int
    channel: int
    purpose: int
    place: str

    def covers(self, channel: int, purpose: int) -> bool:
        """Say whether the mark is about *channel* and *purpose*, or about more."""
        return self.channel in (0, channel) and self.purpose in (0, purpose)


class Answers(NamedTuple):
    """
    What is known of messages, a column each: a thousand are told at a time.

    Args:
        ordinals: Which messages.
        states: What is known of each, as ``Slot`` numbers it.
        codes: What the centre's status was, or why a message was left out.
        messages: The centre's own numbers, empty where it gave none.
        moments: When it answered, in seconds since 1970; 0 where nobody knows.

    """

    ordinals: Sequence[int]
    states: Sequence[int]
    codes: Sequence[int]
    messages: Sequence[str]
    moments: Sequence[float]

    def some(self, chosen: Sequence[bool]) -> "Answers":
        """Return those at *chosen* places."""
        return Answers(
            list(compress(self.ordinals, chosen)),
            list(compress(self.states, chosen)),
            list(compress(self.codes, chosen)),
            list(compress(self.messages, chosen)),
            list(compress(self.moments, chosen)),
        )

    @property
    def ambiguous(self) -> list[int]:
        """Return the ordinals of messages that may have been accepted without anybody knowing."""
        if UNSURE.isdisjoint(self.states):
            return []
        pairs = zip(self.ordinals, self.states, strict=True)
        return [ordinal for ordinal, state in pairs if state in UNSURE]


NOTHING_KNOWN = Answers((), (), (), (), ())


def nobody_knows(ordinals: Sequence[int]) -> Answers:
    """Return that nothing is known of messages that may have been handed over."""
    n = len(ordinals)
    return Answers(ordinals, [Slot.AMBIGUOUS] * n, [0] * n, [""] * n, [0.0] * n)


def about(act: int) -> About:
    """Return what an act of the ledger is about."""
    return About.DISTURB if act <= Act.DO_NOT_DISTURB_LIFTED else About.CONSENT


def late_reason(marks: Iterable[Mark], purpose: int) -> int:
    """
    Return why a message for *purpose* must not go out after all, 0 when it may.

    A request not to be disturbed holds until a later act of at least its width lifts it; a consent withdrawn for
    every purpose is one for those that need consent.
    """
    ordered = sorted(marks, key=lambda mark: mark.place)
    refusals: list[Mark] = []
    consent = 0
    for mark in ordered:
        if mark.about == About.BRANCH and mark.act == LEFT:
            return Exclusion.NOT_OWNED
        if mark.about == About.DISTURB:
            refusals = [
                one for one in refusals if not mark.covers(one.channel, one.purpose)
            ]
            if mark.act == Act.DO_NOT_DISTURB_SET:
                refusals.append(mark)
        matters = mark.purpose or purpose == Purpose.MARKETING
        if mark.about == About.CONSENT and mark.covers(SMS, purpose) and matters:
            consent = mark.act
    if any(one.covers(SMS, purpose) for one in refusals):
        return Exclusion.DO_NOT_DISTURB
    return Exclusion.CONSENT_WITHDRAWN if consent == Act.WITHDRAWN else 0


def hour_fits(local: datetime, hours: tuple[int, int]) -> bool:
    """Say whether messages other than service notices may go out at *local* time, between the first and last hour."""
    return hours[0] <= local.hour < hours[1]


def refused(verdict: str, tries: int) -> Slot:
    """Return what a *verdict* other than accepted makes of a message that was handed over *tries* times."""
    if verdict == "temporary" and tries >= TRIES:
        return Slot.FAILED
    return REFUSED.get(verdict, Slot.AMBIGUOUS)


UNSURE = frozenset((Slot.SENT, Slot.AMBIGUOUS))
"""Slots of messages that may have been accepted without anybody knowing."""


def stays_unknown(policy: int) -> bool:
    """Say whether a message of which nobody knows counts as unknown, rather than as waiting to be handed over again."""
    return policy != UnknownPolicy.AT_LEAST_ONCE


OUTCOMES: Mapping[int, RecipientState] = {
    Slot.ACCEPTED: RecipientState.SENT,
    Slot.FAILED: RecipientState.FAILED,
    Slot.EXCLUDED: RecipientState.EXCLUDED,
}
"""Slots that are settled for good, and where their recipients stand."""


def outcome_of(state: int, code: int) -> tuple[int, int, str]:
    """Return state, reason and code of the outcome of a settled slot."""
    reason = code if state == Slot.EXCLUDED else 0
    return OUTCOMES[state], reason, str(code) if state == Slot.FAILED else ""


def certain(known: Answers) -> Answers:
    """Return those of *known* that are settled for good."""
    return known.some([state in OUTCOMES for state in known.states])


def outcomes(known: Answers) -> Iterator[tuple[tuple[int, int, str], Answers]]:
    """Yield the outcomes among what is *known*, each with the messages it is the outcome of."""
    kinds = list(zip(known.states, known.codes, strict=True))
    alike: dict[tuple[int, int, str], set[tuple[int, int]]] = {}
    for kind in dict.fromkeys(kinds):
        if kind[0] in OUTCOMES:
            alike.setdefault(outcome_of(*kind), set()).add(kind)
    for outcome, same in alike.items():
        chosen = [kind in same for kind in kinds]
        yield outcome, known if all(chosen) else known.some(chosen)


RECEIPTS = {
    "delivered": RecipientState.DELIVERED,
    "failed": RecipientState.FAILED,
    "expired": RecipientState.FAILED,
}
"""Receipts that say something about the handset; the others leave a message as sent."""


def source_of(access: str, batch_id: UUID) -> str:
    """Return the access number with the batch's extension, which carriers echo in receipts and replies."""
    return f"{access}{batch_id.int % 100:02d}"


def reference_of(batch_id: UUID, ordinal: int) -> bytes:
    """Return our reference of a message; centres that echo two bytes only echo the end of the ordinal."""
    return references(batch_id)(ordinal)


def references(batch_id: UUID) -> Callable[[int], bytes]:
    """Return what makes our references of the messages of one batch."""
    middle = batch_id.bytes

    def reference(ordinal: int) -> bytes:
        return (ordinal & 0xFFFF).to_bytes(2) + middle + ordinal.to_bytes(4)

    return reference


def is_of(reference: bytes, batch_id: UUID, ordinal: int) -> bool:
    """Say whether an echoed *reference* fits a message; one that is not echoed fits every one."""
    return reference_of(batch_id, ordinal).startswith(reference)


def receipt_key(*values: str) -> UUID:
    """Return the identifier of a receipt with these values: one told twice has the same."""
    return UUID(bytes=hashlib.sha256("\x1f".join(values).encode()).digest()[:16])


class DoubtCause(IntEnum):
    """Why nobody knows about a message, with the contract's numbers."""

    NO_ANSWER = 1
    RECORD_LOST = 2


class DoubtCourse(IntEnum):
    """What becomes of a message of which nobody knows, with the contract's numbers."""

    AWAITS_RECEIPT = 1
    GOES_AGAIN = 2
    STAYS = 3
    ASKED = 4


def course_of(
    policy: int,
    *,
    stopped: bool,
    fence: datetime,
    now: datetime,
    hears: bool = True,
    can_query: bool = False,
) -> int:
    """
    Return what becomes of a message of which nobody knows, until *fence* and after; *stopped*: its batch ended.

    Where nobody *hears* receipts nothing is ever learnt; where the centre can be asked, it is, before anything is sent.
    """
    if not hears:
        return DoubtCourse.STAYS
    if now < fence:
        return DoubtCourse.AWAITS_RECEIPT
    if stopped or policy == UnknownPolicy.AT_MOST_ONCE:
        return DoubtCourse.STAYS
    return DoubtCourse.ASKED if can_query else DoubtCourse.GOES_AGAIN


class Failure(IntEnum):
    """What the code of a failure means, with the contract's numbers."""

    OTHER = 1
    NUMBER_VOID = 2
    NUMBER_SUSPENDED = 3
    HANDSET_AWAY = 4
    HANDSET_FULL = 5
    BLOCKED = 6
    TEXT_REFUSED = 7
    NUMBER_UNFIT = 8
    NOT_ALLOWED = 9
    LIMIT_REACHED = 10
    NETWORK_TROUBLE = 11
    EXPIRED = 12
    MALFORMED = 13


SMPP_ANSWERS = {
    Failure.MALFORMED: (0x01, 0x02, 0x03, 0x06, 0x43, 0x61, 0x62, 0xC0, 0xC3, 0xC4),
    Failure.NOT_ALLOWED: (0x04, 0x0A, 0x0D, 0x0E, 0x15, 0x48, 0x49, 0x53),
    Failure.NETWORK_TROUBLE: (0x08, 0x14, 0x45, 0x64, 0x65, 0xFE, 0xFF),
    Failure.NUMBER_UNFIT: (0x0B, 0x50, 0x51),
    Failure.LIMIT_REACHED: (0x58,),
    Failure.TEXT_REFUSED: (0x66,),
}
"""Answers to submit_sm (source: SMPP 3.4, section 5.1.3)."""

CMPP_ANSWERS = {
    Failure.MALFORMED: (1, 2, 3, 4, 6),
    Failure.NOT_ALLOWED: (5, 7, 10, 11, 12),
    Failure.LIMIT_REACHED: (8,),
    Failure.NUMBER_UNFIT: (9, 13),
}
"""Results of CMPP_SUBMIT (source: CMPP 3.0, section 8.4.3.2)."""

ANSWERS = {1: SMPP_ANSWERS, 2: CMPP_ANSWERS, 3: CMPP_ANSWERS}
"""By the contract's number of the protocol."""

RECEIPT_CODES = {
    Failure.NUMBER_VOID: "MK:0001 MI:0073 MI:0210 CB:0001 CB:0053 DB:0101",
    Failure.NUMBER_SUSPENDED: "MK:0005 MK:0013 MI:0019 MI:0051 CB:0005 DB:0102",
    Failure.HANDSET_AWAY: "MK:0010 MK:0023 MI:0024 MI:0042 MI:0076 MI:0082",
    Failure.HANDSET_FULL: "MI:0099 MI:0208",
    Failure.BLOCKED: "MBBLACK DBBLACK DB:0144 HD:0001 MA:0001",
    Failure.TEXT_REFUSED: "MK:0014 MK:0115 MA:0002",
    Failure.LIMIT_REACHED: "DB:0142 MK:1041 MI:0079 MI:0061 MI:0062",
    Failure.NETWORK_TROUBLE: "IB:0008 CA:0051 CA:0052 CA:0054 DA:0054 MA:0051 MA:0054",
    Failure.EXPIRED: "EXPIRED MI:NNNN TIMEOUT",
}
"""Codes in receipts as mainland carriers give them (source: status tables that China Mobile's gateways publish)."""


def _turned(table: Mapping[Failure, Iterable[object]]) -> dict[str, Failure]:
    return {str(code): cause for cause, codes in table.items() for code in codes}


BY_ANSWER = {protocol: _turned(table) for protocol, table in ANSWERS.items()}
BY_RECEIPT = _turned({cause: text.split() for cause, text in RECEIPT_CODES.items()})


def failure_of(protocol: int, answer: str, receipt: str) -> Failure:
    """Return what a failure means: by the centre's code in its *answer* where there is one, else by its receipt's."""
    if answer:
        return BY_ANSWER.get(protocol, {}).get(answer, Failure.OTHER)
    return BY_RECEIPT.get(receipt.upper(), Failure.OTHER)
