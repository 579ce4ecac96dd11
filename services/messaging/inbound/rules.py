"""What an answer means, whose it is, and when it is the same one told again."""

import hashlib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from services.messaging.delivery.rules import source_of
from services.messaging.template.rules import Purpose


class Kind(IntEnum):
    """What a message was taken for, with the contract's numbers."""

    REPLY = 1
    OPT_OUT = 2
    OPT_IN = 3


class State(IntEnum):
    """Whether somebody still has to deal with a message, with the contract's numbers."""

    OPEN = 1
    CLOSED = 2


class Confirmation(IntEnum):
    """What became of the confirmation of a message, with the contract's numbers; 0 where none is wanted."""

    NONE = 0
    WAITING = 1
    SUBMITTING = 2
    SENT = 3
    FAILED = 4
    UNKNOWN = 5


REPEATED = timedelta(minutes=5)
"""How long after a message the same one may be the centre telling it again, because it heard no acknowledgement."""


@dataclass(frozen=True, slots=True)
class Known:
    """
    One place where a number stands among the recipients of a batch.

    ``sent`` is false where nothing was to go out to it; ``moment`` is when the message was settled, or else when its
    batch was planned.
    """

    branch_id: int
    batch_id: UUID
    number: str
    display_name: str
    sender: str
    purpose: int
    template_display_name: str
    sent: bool
    moment: datetime


def folded(text: str) -> str:
    """Return *text* as words are compared: widths and cases made equal, unseen characters and outer space dropped."""
    plain = unicodedata.normalize("NFKC", text)
    seen = (
        char for char in plain if char.isspace() or unicodedata.category(char) != "Cf"
    )
    return "".join(seen).strip().strip("\0").casefold()


def kind_of(text: str, *, refusing: Iterable[str], allowing: Iterable[str]) -> Kind:
    """
    Return what *text* is taken for: a word of *refusing*, of *allowing*, or something a person has to read.

    Only the whole text counts: who writes "stop this bill" has not refused anything. A word of both refuses.
    """
    said = folded(text)
    if not said:
        return Kind.REPLY
    if said in map(folded, refusing):
        return Kind.OPT_OUT
    return Kind.OPT_IN if said in map(folded, allowing) else Kind.REPLY


def answered(known: Iterable[Known], *, dest: str, access: str) -> Known | None:
    """
    Return which message a text that was sent to *dest* answers; None when its sender was written to by nobody.

    The extension behind the *access* number names the batch, of those with the same two digits the newest; without
    one, or when it fits none, it is the newest message that went to the number.
    """
    sent = [one for one in known if one.sent]
    tied = [one for one in sent if dest == source_of(access, one.batch_id)]
    return max(tied or sent, key=lambda one: (one.moment, one.batch_id), default=None)


def purposes_of(
    kind: Kind, answer: Known | None, refused: Collection[int]
) -> list[int]:
    """
    Return the purposes that an opt-out refuses, or an opt-in allows again; *refused* are those refused by answers.

    Offers are always meant; greetings where one was answered. What is about the customer's own business still goes.
    """
    found = {int(Purpose.MARKETING)}
    if kind is Kind.OPT_OUT and answer is not None and answer.purpose == Purpose.CARE:
        found.add(int(Purpose.CARE))
    return sorted(found | set(refused) if kind is Kind.OPT_IN else found)


def told_before(kind: Kind, digest: bytes, recent: Sequence[bytes]) -> bool:
    """
    Say whether a message is one of the *recent* ones told again; these are digests, the newest first.

    Who refuses, allows and refuses again within minutes has refused: another message in between makes it a new one.
    But what allows is never taken for new where it may be an old one told again.
    """
    return (
        digest in recent if kind is Kind.OPT_IN else digest == next(iter(recent), None)
    )


def key_of(digest: bytes, before: bytes, moment: datetime) -> UUID:
    """
    Return the identifier of a message, the same for one that two workers hear at once.

    *before* is the digest of the number's message before it, if that was a moment ago.
    """
    turn = int(moment.timestamp() // REPEATED.total_seconds())
    values = digest + before + turn.to_bytes(8)
    return UUID(bytes=hashlib.sha256(values).digest()[:16])


def confirmed(verdict: str) -> Confirmation:
    """Return what a centre's *verdict* makes of a confirmation; what was not taken waits to be handed over again."""
    return {
        "accepted": Confirmation.SENT,
        "rejected": Confirmation.FAILED,
        "throttled": Confirmation.WAITING,
        "temporary": Confirmation.WAITING,
    }.get(verdict, Confirmation.UNKNOWN)
