"""
The outside world of messaging: what a driver of one SMS protocol promises, and the values it trades in.

The core owns the send loop, the record of what is on the wire, pacing and the decision to send again.
A driver only encodes, writes and reports; it knows no batch, no customer and no database.

The promises every driver keeps:

- the window is never exceeded, and ``submit`` never waits;
- each submitted token comes back exactly once: in ``submitted`` or in ``link_lost``;
- nothing heard from the centre is acknowledged before the core calls ``ack``;
- a message refused for speed is reported as throttled, never as accepted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

Encoding = Literal["gsm7", "ucs2"]
"""How the text of a message is put into octets."""

Verdict = Literal["accepted", "rejected", "throttled", "temporary", "ambiguous"]
"""
What became of a submission.

accepted: the centre has it. rejected: it will never take it. throttled: not taken, sent too fast.
temporary: not taken, may be tried again. ambiguous: nobody knows; a receipt may tell, a plain repetition
may reach the customer twice.
"""

ReceiptState = Literal["delivered", "failed", "expired", "unknown", "enroute"]
"""What a receipt says; every state but enroute is final."""

LinkState = Literal["connecting", "bound", "refused", "stopping", "stopped"]
"""refused is the alarm: the centre turned the credentials away, and the driver does not try again by itself."""


class Outgoing(NamedTuple):
    """
    One message to send; a long text is still one.

    Args:
        token: The core's own mark, opaque to the driver, unique among what is unanswered.
        dest: Mobile number in E.164 digits, without plus sign.
        source: Access number with its extension, digits.
        text: The rendered text.
        encoding: How to encode it; a text that does not fit the encoding is reported as rejected.
        client_ref: The core's reference, at least two bytes; the driver sends its first ``Capabilities.ref_size``.
        segments: Messages it travels as; what pacing counts.
        want_receipt: Whether the centre is asked for the final receipt.
        valid_until: When the centre is to give up; aware; None leaves it to the centre.

    """

    token: int
    dest: str
    source: str
    text: str
    encoding: Encoding
    client_ref: bytes
    segments: int = 1
    want_receipt: bool = True
    valid_until: datetime | None = None


class SubmitResult(NamedTuple):
    """
    The answer to one submission.

    Args:
        token: Whose answer it is.
        verdict: What became of it.
        gateway_id: The centre's own number of the message, where it gave one.
        code: The protocol's status, 0 when there is none.
        reason: The status in words, free of personal values.

    """

    token: int
    verdict: Verdict
    gateway_id: str | None
    code: int
    reason: str


class Receipt(NamedTuple):
    """
    What the centre reports about a message it took earlier.

    Args:
        gateway_id: The centre's number of the message, where it is told.
        dest: The customer's number.
        source: The access number with extension the message was sent from.
        client_ref: The start of the core's reference, where the centre echoes it.
        state: What happened.
        code: The network's own code, empty when none is told.
        heard_at: When the driver heard it, aware.
        ack: Pass it to ``ack`` once the receipt is durable.

    """

    gateway_id: str | None
    dest: str
    source: str
    client_ref: bytes | None
    state: ReceiptState
    code: str
    heard_at: datetime
    ack: object


class Inbound(NamedTuple):
    """
    A message from a customer, put together from its parts.

    Args:
        source: The customer's number.
        dest: The access number with extension it was sent to.
        text: The text.
        heard_at: When the driver heard the last part, aware.
        ack: Pass it to ``ack`` once the message is durable.
        whole: False when parts stayed away and this is what came of it.

    """

    source: str
    dest: str
    text: str
    heard_at: datetime
    ack: object
    whole: bool = True


class Question(NamedTuple):
    """
    What a centre is asked about a message of unknown fate.

    Args:
        dest: The customer's number.
        source: The access number with extension it was sent from.
        client_ref: The core's reference.
        since: It was not handed over before; aware.
        until: It was not handed over after; aware.
        gateway_id: The centre's number of the message, where it is known.

    """

    dest: str
    source: str
    client_ref: bytes
    since: datetime
    until: datetime
    gateway_id: str | None = None


Finding = Receipt | Literal["absent"] | None
"""
What a centre says to a question.

A receipt: it took the message; one whose state is enroute says no more than that. absent: it answered, as a whole and
for certain, that there is no such message. None: it did not say, whatever the cause.
"""


class Capabilities(NamedTuple):
    """
    What one configured driver can do.

    Args:
        window: Most messages that may be unanswered at a time.
        sends: Whether it submits.
        receipts: Whether it hears receipts; where it does not, a message of unknown fate stays so.
        inbound: Whether it hears customers.
        ref_size: How many bytes of ``client_ref`` travel and come back in receipts; 0 for none.
        final_receipt_after: Seconds after ``valid_until`` by which a final receipt is certain to have come.
        can_query: Whether it can be asked about a message: its receipts may be lost while nobody listens, and it alone
            knows whether a message of unknown fate may be handed over again.

    """

    window: int
    sends: bool
    receipts: bool
    inbound: bool
    ref_size: int
    final_receipt_after: float
    can_query: bool = False


class Health(NamedTuple):
    """The driver's own account: the link, why it is so, the unanswered, and counts since the start."""

    state: LinkState
    reason: str
    unanswered: int
    counts: Mapping[str, int]


class NoRoom(Exception):
    """More was submitted than ``room()`` allows; nothing of it was written."""


class GatewayEnded(Exception):
    """The gateway was refused or stopped: it will take no more messages."""


class GatewayEvents(Protocol):
    """
    What the core listens to, called on the event loop; it must not block.

    What ``receipt`` or ``inbound`` does not take, because it raises, stays unacknowledged and comes again, and the
    link goes on. The others may not raise: the link is dropped then.
    """

    def accepted(self, tokens: Sequence[int], numbers: Sequence[str | None]) -> None:
        """Take that the centre took messages, with its own numbers of them: all such answers that were read together."""

    def submitted(self, results: Sequence[SubmitResult]) -> None:
        """Take answers to submissions one by one, whatever they say, all that were read together."""

    def receipt(self, receipt: Receipt) -> None:
        """Take a receipt; acknowledge it with ``ack`` once it is durable."""

    def inbound(self, message: Inbound) -> None:
        """Take a customer's message; acknowledge it with ``ack`` once it is durable."""

    def link_lost(self, unanswered: Sequence[int], why: str) -> None:
        """Take every token that will not be answered any more."""

    def link_changed(self, state: LinkState, why: str) -> None:
        """Take note of the link's new state; ``refused`` needs a person."""


class SmsGateway(Protocol):
    """One configured connection to one SMS centre."""

    @property
    def caps(self) -> Capabilities:
        """Return what this driver can do."""

    async def start(self, events: GatewayEvents) -> None:
        """Begin connecting and return at once; the link's state comes as events."""

    def room(self) -> int:
        """Return how many messages may be submitted now; 0 while there is no link."""

    async def wait_room(self) -> None:
        """Return when there is room; raises GatewayEnded when there never will be."""

    def submit(self, batch: Sequence[Outgoing]) -> None:
        """Write *batch*, no longer than ``room()``; raises NoRoom and writes nothing if it is longer."""

    def ack(self, acks: Sequence[object]) -> None:
        """Acknowledge receipts and messages that are durable now; those of a lost link are passed over."""

    async def query(self, question: Question) -> Finding:
        """
        Return what the centre says about a message that was not answered; never raises for the centre's sake.

        Asking takes nothing away and is slow on purpose. A driver that cannot ask says nothing.
        """

    async def health(self) -> Health:
        """Return the driver's own account."""

    async def stop(self, drain_seconds: float) -> None:
        """Take no more, wait up to *drain_seconds* for answers, part from the centre, report the rest as lost."""
