"""What is decided at the last moment: who refused since, whether the hour fits, and what an answer means."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
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


TRIES = 3
"""How often a message is handed over when the centre has passing trouble."""

COUNTRY = "86"


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one message: the slot's state, and what the centre said where it said something."""

    ordinal: int
    state: Slot
    code: int = 0
    gateway_message: str = ""
    moment: float = 0.0


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


def taken(verdict: str, tries: int) -> Slot:
    """Return what a centre's *verdict* makes of a message that was handed over *tries* times."""
    if verdict == "temporary" and tries >= TRIES:
        return Slot.FAILED
    return {
        "accepted": Slot.ACCEPTED,
        "rejected": Slot.FAILED,
        "throttled": Slot.NOT_TAKEN,
        "temporary": Slot.NOT_TAKEN,
    }.get(verdict, Slot.AMBIGUOUS)


def ambiguous(answer: Answer) -> bool:
    """Say whether a message may have been accepted without anybody knowing."""
    return answer.state in (Slot.SENT, Slot.AMBIGUOUS)


def stays_unknown(answer: Answer, policy: int) -> bool:
    """Say whether a message counts as unknown, rather than as waiting to be handed over again."""
    return ambiguous(answer) and policy != UnknownPolicy.AT_LEAST_ONCE


OUTCOMES = {
    Slot.ACCEPTED: RecipientState.SENT,
    Slot.FAILED: RecipientState.FAILED,
    Slot.EXCLUDED: RecipientState.EXCLUDED,
}
"""Slots that are settled for good, and where their recipients stand."""

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
    return (ordinal & 0xFFFF).to_bytes(2) + batch_id.bytes + ordinal.to_bytes(4)


def is_of(reference: bytes, batch_id: UUID, ordinal: int) -> bool:
    """Say whether an echoed *reference* fits a message; one that is not echoed fits every one."""
    return reference_of(batch_id, ordinal).startswith(reference)


def receipt_key(*values: str) -> UUID:
    """Return the identifier of a receipt with these values: one told twice has the same."""
    return UUID(bytes=hashlib.sha256("\x1f".join(values).encode()).digest()[:16])
