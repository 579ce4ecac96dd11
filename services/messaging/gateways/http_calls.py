"""
What every HTTP aggregator has in common: settings, calls, what their answers mean, and what a dialect of one promises.

An aggregator keeps templates of its own and takes values for their variables. Our texts are rendered already, so the
aggregator's template is one variable that holds the whole text after the signature.
"""

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.messaging.gateways import (
    Outgoing,
    ReceiptState,
    SubmitResult,
    Verdict,
    encoding,
)

VARIABLE = "content"
"""The name of the one variable in the aggregator's template, where variables have names."""

MAINLAND = "86"

SIGNED = re.compile(r"【([^【】]{1,32})】(.+)", re.DOTALL)
NUMBER = re.compile(r"(?:\+|00)?([0-9]{5,20})")
MAINLAND_MOBILE = re.compile(r"1[0-9]{10}")
PUSH_SECRET = re.compile(r"[A-Za-z0-9_-]{20,128}")
CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

MOST_ITEMS = 5000
"""Reports or replies that are read out of one body; more is no aggregator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """
    How long to wait for what, in seconds.

    Args:
        connect: For a connection.
        answer: For an answer once there is a connection.
        probe: Between two looks whether the link still holds.
        hold: For the core to make pushed receipts durable, before the aggregator is told to bring them again.

    """

    connect: float = 5
    answer: float = 15
    probe: float = 30
    hold: float = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """
    When the aggregator is asked about a message whose receipt was not pushed.

    Args:
        after: Seconds after submission; the pause doubles with every time nothing final is known.
        until: Seconds after which nobody asks any more.
        rate: Most questions a second.

    """

    after: float = 300
    until: float = 172_800
    rate: float = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlace:
    """
    Where the aggregator brings receipts and replies; *secret* stands in the path and proves that it is the one.

    Raises ValueError for a secret that could be guessed, or that has no place in a path.
    """

    host: str
    port: int
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a poor secret."""
        if not PUSH_SECRET.fullmatch(self.secret):
            raise ValueError("a secret of pushes has 20 to 128 letters and digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """
    How to reach one aggregator, and what was agreed with it.

    Args:
        host, port: Where its interface is.
        tls: Encryption; None for none.
        dialect: Whose shape the interface has.
        key_id, secret: The access key.
        template: The aggregator's number of the template that is one variable.
        app_id: The application, where the aggregator has them.
        region: Where the interface is, in the aggregator's words.
        access: The access number; what a message's source has more is its extension.
        references: Whether every message is a call of its own, so that its reference is echoed.
        window: Most messages without an answer.
        connections: Most calls at a time.
        push: Where receipts and replies are brought; None where they are not.
        timers: How long to wait for what.
        asking: When to ask for receipts that were not brought.
        back_off: First and longest pause in seconds between two tries to reach the aggregator.
        final_receipt_after: Seconds after its validity by which a message's final receipt has come.

    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    dialect: Literal["aliyun", "tencent"]
    key_id: str
    secret: str = field(repr=False)
    template: str
    app_id: str = ""
    region: str = ""
    access: str = ""
    references: bool = True
    window: int = 100
    connections: int = 16
    push: PushPlace | None = None
    timers: Timers = field(default_factory=Timers)
    asking: Asking = field(default_factory=Asking)
    back_off: tuple[float, float] = (0.5, 30)
    final_receipt_after: float = 3600


class Call(NamedTuple):
    """One call that hands messages over: what is called, with which fields, and for which messages."""

    action: str
    fields: Mapping[str, Any]
    messages: tuple[Outgoing, ...]


class Request(NamedTuple):
    """A signed request."""

    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What an answer says: one result a message, and an alarm where a person must see to it."""

    results: Sequence[SubmitResult]
    alarm: str = ""


class Standing(NamedTuple):
    """What a look at the link found."""

    state: Literal["good", "away", "refused"]
    why: str = ""


class Report(NamedTuple):
    """A receipt as an aggregator tells it; *echoed* is our reference in hexadecimal, empty where it is not echoed."""

    gateway_id: str | None
    dest: str
    echoed: str
    state: ReceiptState
    code: str


class Reply(NamedTuple):
    """A customer's message as an aggregator tells it; *extension* is what follows the access number."""

    source: str
    extension: str
    text: str


class Found(NamedTuple):
    """What a question found, and whether that is all there is about the number in the time that was asked about."""

    reports: Sequence[Report]
    whole: bool


class Unreadable(Exception):
    """A body that is nothing an aggregator would bring."""


class Dialect(Protocol):
    """How one aggregator is spoken to; it signs and reads, and does not touch the network."""

    thanks: Mapping[str, Any]
    """What a push is answered once it is durable."""

    echoes: bool
    """Whether every receipt carries our reference: one without is another system's."""

    remembers: timedelta
    """For how long the aggregator answers questions about a message."""

    by_day: bool
    """Whether a question is about one day, rather than about all time since."""

    def calls(self, batch: Sequence[Outgoing]) -> tuple[list[Call], list[SubmitResult]]:
        """Return the calls that hand *batch* over, and refusals of what cannot be handed over at all."""

    def request(self, action: str, fields: Mapping[str, Any]) -> Request:
        """Return the signed request of a call that leaves now."""

    def answer(self, call: Call, status: int, body: bytes) -> Answer:
        """Return what an answer says about each message of *call*; never raises."""

    def probe(self) -> tuple[str, Mapping[str, Any]]:
        """Return a harmless call that tells whether the link and the access key are good."""

    def standing(self, status: int, body: bytes) -> Standing:
        """Return what the answer to the probe says."""

    def question(
        self, dest: str, gateway_id: str | None, day: str, since: float
    ) -> tuple[str, Mapping[str, Any]]:
        """Return a call that asks for receipts of a number; *day* as yyyymmdd, *since* in seconds of the epoch."""

    def found(self, gateway_id: str | None, status: int, body: bytes) -> Found:
        """Return what the answer to a question tells; raises Unreadable."""

    def reports(self, body: bytes) -> tuple[list[Report], int]:
        """Return pushed receipts, and how many entries nobody can read; raises Unreadable."""

    def replies(self, body: bytes) -> tuple[list[Reply], int]:
        """Return pushed replies, and how many entries nobody can read; raises Unreadable."""


Meaning = Verdict | Literal["hopeless"]
"""What a code means; hopeless is not taken, and no other message will be either until a person has seen to it."""


class Fault(NamedTuple):
    """A code of an aggregator: our number for it, and what it means."""

    number: int
    meaning: Meaning


def fault_of(code: str, faults: Mapping[str, Fault]) -> Fault:
    """Return what *code* means; a family (what stands before a dot) speaks for members that are not listed."""
    while code:
        if found := faults.get(code):
            return found
        code = code.rpartition(".")[0]
    return Fault(0, "ambiguous")


def refused(token: int, code: str, fault: Fault) -> SubmitResult:
    """Return the result of a message that was answered with *code*; the aggregator's own words are not repeated."""
    verdict: Verdict = "temporary" if fault.meaning == "hopeless" else fault.meaning
    return SubmitResult(token, verdict, None, fault.number, in_words(code))


def in_words(code: str) -> str:
    """Return *code* if it is one; anything else may hold what must not be repeated."""
    return code if CODE.fullmatch(code) else "an unreadable code"


def unread(call: Call, status: int) -> Answer:
    """Return what an answer without a readable body says: nobody knows, unless the status says too fast."""
    verdict: Verdict = "throttled" if status == 429 else "ambiguous"
    reason = f"no readable answer: HTTP {status}"
    return Answer(
        [
            SubmitResult(one.token, verdict, None, status, reason)
            for one in call.messages
        ]
    )


def fit_of(
    batch: Sequence[Outgoing],
) -> tuple[list[Outgoing], list[SubmitResult]]:
    """Return what of *batch* can be handed over, and refusals of the rest: no signature, or not of its encoding."""
    fit: list[Outgoing] = []
    unfit: list[SubmitResult] = []
    for one in batch:
        try:
            encoding.encode(one.text, one.encoding)
            signed_text(one.text)
        except ValueError as fault:  # its text may hold ours
            reason = f"cannot be handed over: {type(fault).__name__}"
            unfit.append(SubmitResult(one.token, "rejected", None, 0, reason))
        else:
            fit.append(one)
    return fit, unfit


class Unsigned(ValueError):
    """A text that does not begin with a signature, which aggregators want by itself."""


def signed_text(text: str) -> tuple[str, str]:
    """Return the signature at the head of *text* without brackets, and what follows; raises Unsigned."""
    found = SIGNED.fullmatch(text)
    if found is None:
        raise Unsigned
    return found[1], found[2]


def national(dest: str) -> str:
    """Return a number as mainland aggregators want it: without 86 where it is a mainland mobile."""
    rest = dest.removeprefix(MAINLAND)
    return rest if MAINLAND_MOBILE.fullmatch(rest) else dest


def e164(number: str) -> str | None:
    """Return *number* in E.164 digits; a bare mainland mobile gets its 86. None when it is no number."""
    found = NUMBER.fullmatch(number)
    if found is None:
        return None
    digits = found[1]
    return MAINLAND + digits if MAINLAND_MOBILE.fullmatch(digits) else digits


def state_of(*, delivered: bool, code: str) -> ReceiptState:
    """Return what a receipt says."""
    if delivered:
        return "delivered"
    return "expired" if code == "EXPIRED" else "failed"


def parted(batch: Sequence[Outgoing], most: int) -> list[list[Outgoing]]:
    """Return *batch* in groups of at most *most*; no number twice in one, lest its receipts be taken for each other."""
    groups: list[list[Outgoing]] = []
    numbers: list[set[str]] = []
    for message in batch:
        for group, taken in zip(groups, numbers, strict=True):
            if len(group) < most and message.dest not in taken:
                break
        else:
            group, taken = [], set()
            groups.append(group)
            numbers.append(taken)
        group.append(message)
        taken.add(message.dest)
    return groups


Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")

ENTRIES = TypeAdapter(list[dict[str, Any]])


def read(model: type[Model], body: bytes) -> Model | None:
    """Return *body* as *model*, types as they are written; None when it is anything else."""
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError:
        return None


def entries(body: bytes) -> list[dict[str, Any]]:
    """Return the objects of a pushed list; raises Unreadable."""
    try:
        found = ENTRIES.validate_json(body, strict=True)
    except ValidationError:
        raise Unreadable from None  # its text would hold what was pushed
    if len(found) > MOST_ITEMS:
        raise Unreadable
    return found


def readable(
    items: Sequence[dict[str, Any]],
    model: type[Model],
    turn: Callable[[Model], Item | None],
) -> tuple[list[Item], int]:
    """Return what *turn* makes of the *items* that are a *model*, and how many nobody can read."""
    found: list[Item] = []
    for item in items:
        try:
            turned = turn(model.model_validate(item, strict=True))
        except ValidationError:
            continue
        if turned is not None:
            found.append(turned)
    return found, len(items) - len(found)
