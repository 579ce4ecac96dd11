"""What an SMPP centre is like, and how messages are written for it: in one PDU, or in parts."""

import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from services.messaging.gateways import Outgoing, SubmitResult, Verdict, encoding
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.smpp_session import Timers


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppSettings:
    """
    How to reach one centre, and its peculiarities.

    Args:
        host, port: Where it listens.
        system_id, password, system_type: What it knows us by; at most 15, 8 and 12 octets.
        bind: Which way messages flow on this connection.
        tls: Encryption with the authorities and certificates it carries; None for none.
        window: Most unanswered submissions the centre allows.
        timers: How long to wait for what.
        back_off: First and longest pause in seconds between two attempts to connect.
        source_kind, dest_kind: Kinds of the access number and of customers' numbers.
        long_messages: payload sends a long text as one PDU, parts sends one PDU a part.
        verdicts: The centre's own status codes, where they differ from the specification's.
        hold_seconds: How long the parts of a customer's message wait for one another.
        final_receipt_after: Seconds after its validity by which a message's final receipt has come.

    """

    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    bind: Literal["transceiver", "transmitter", "receiver"] = "transceiver"
    tls: ssl.SSLContext | None = None
    window: int = 100
    timers: Timers = field(default_factory=Timers)
    back_off: tuple[float, float] = (0.5, 30)
    source_kind: codec.Address = codec.NETWORK_SPECIFIC
    dest_kind: codec.Address = codec.INTERNATIONAL
    long_messages: Literal["payload", "parts"] = "payload"
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    hold_seconds: float = 5
    final_receipt_after: float = 3600


def in_words(code: int) -> str:
    """Return the name of a status."""
    return codec.STATUS.get(code, f"status 0x{code:08x}")


class Whole:
    """A long message that travels in parts: how many answers are missing, and what came so far."""

    def __init__(self, token: int, parts: int) -> None:
        """Wait for the answers to all *parts*."""
        self.token = token
        self.parts = self.left = parts
        self.tries = 0
        self.faults: list[tuple[Verdict, int]] = []
        self.last_id: str | None = None

    def result(self) -> SubmitResult:
        """Return what became of the message as a whole; some parts taken and some not is a failure."""
        if not self.faults:
            return SubmitResult(self.token, "accepted", self.last_id, codec.OK, "")
        taken = self.parts - len(self.faults)
        verdicts = dict(self.faults)
        verdict, code = self.faults[0]
        if "ambiguous" in verdicts:
            verdict, code = "ambiguous", verdicts["ambiguous"]
        elif taken:
            verdict = "rejected"
        reason = f"{in_words(code)}: {taken} of {self.parts} parts taken"
        return SubmitResult(self.token, verdict, None, code, reason)


class Part(NamedTuple):
    """One PDU of a long message."""

    whole: Whole
    body: bytes
    last: bool


Entry = int | Part
"""What waits for an answer: the token of a message in one PDU, or a part of one in several."""


class Writer:
    """Turns messages into bodies of submit_sm, as one centre wants them."""

    def __init__(self, settings: SmppSettings) -> None:
        """Write for the centre of *settings*."""
        self._settings = settings
        self._reference = random.randrange(256)  # noqa: S311 - a start, not a secret

    def entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        """Return what to write for *message*; raises ValueError when it cannot be written."""
        data = encoding.encode(message.text, message.encoding)
        long = encoding.is_long(data, message.encoding)
        if len(data) > encoding.MOST_PAYLOAD:
            raise ValueError("a text longer than any payload")
        if not long or self._settings.long_messages == "payload":
            return [(message.token, self._body(message, data, long=long, receipt=True))]
        self._reference = (self._reference + 1) % 256
        pieces = encoding.joined_parts(
            message.text, message.encoding, reference=self._reference
        )
        whole = Whole(message.token, len(pieces))
        bodies = [self._body(message, piece, joined=True) for piece in pieces[:-1]]
        # one receipt a message: the last part's, whose number the core is told
        bodies.append(self._body(message, pieces[-1], joined=True, receipt=True))
        return [(Part(whole, body, body is bodies[-1]), body) for body in bodies]

    def _body(
        self,
        message: Outgoing,
        payload: bytes,
        *,
        joined: bool = False,
        long: bool = False,
        receipt: bool = False,
    ) -> bytes:
        settings = self._settings
        start = codec.addresses(
            message.source,
            message.dest,
            source_kind=settings.source_kind,
            dest_kind=settings.dest_kind,
        )
        return codec.submit_body(
            start,
            payload,
            joined=joined,
            long=long,
            data_coding=codec.DATA_CODING[message.encoding],
            receipt=receipt and message.want_receipt,
            validity=message.valid_until,
            reference=message.client_ref[:2],
        )
