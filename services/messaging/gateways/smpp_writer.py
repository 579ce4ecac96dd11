"""What an SMPP centre is like, and how messages are written for it: in one PDU, or in parts."""

import random
from dataclasses import dataclass, field
from typing import Literal

from services.messaging.gateways import Outgoing, encoding
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.parts import Entry, entries_of
from services.messaging.gateways.stream_session import StreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppSettings(StreamSettings):
    """
    How to reach one centre, and its peculiarities.

    Args:
        system_id, password, system_type: What it knows us by; at most 15, 8 and 12 octets.
        bind: Which way messages flow on this connection.
        source_kind, dest_kind: Kinds of the access number and of customers' numbers.
        long_messages: payload sends a long text as one PDU, parts sends one PDU a part.

    """

    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    bind: Literal["transceiver", "transmitter", "receiver"] = "transceiver"
    source_kind: codec.Address = codec.NETWORK_SPECIFIC
    dest_kind: codec.Address = codec.INTERNATIONAL
    long_messages: Literal["payload", "parts"] = "payload"


def in_words(code: int) -> str:
    """Return the name of a status."""
    return codec.STATUS.get(code, f"status 0x{code:08x}")


class Writer:
    """Turns messages into bodies of submit_sm, as one centre wants them."""

    def __init__(self, settings: SmppSettings) -> None:
        """Write for the centre of *settings*."""
        self._settings = settings
        self._reference = random.randrange(256)  # noqa: S311 - a start, not a secret
        self._alike: tuple[object, ...] = ()
        self._start = self._middle = b""

    def entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        """Return what to write for *message*; raises ValueError when it cannot be written."""
        data = encoding.encode(message.text, message.encoding)
        if not encoding.is_long(data, message.encoding):
            return [(message.token, self._body(message, data, codec.SHORT))]
        if len(data) > encoding.MOST_PAYLOAD:
            raise ValueError("a text longer than any payload")
        if self._settings.long_messages == "payload":
            return [(message.token, self._body(message, data, codec.LONG))]
        self._reference = (self._reference + 1) % 256
        pieces = encoding.joined_parts(
            message.text, message.encoding, reference=self._reference
        )
        bodies = [self._body(message, one, codec.PART) for one in pieces[:-1]]
        # one receipt a message: the last part's, whose number the core is told
        bodies.append(self._body(message, pieces[-1], codec.LAST_PART))
        return entries_of(message.token, bodies)

    def _body(self, message: Outgoing, payload: bytes, form: codec.Form) -> bytes:
        _, dest, source, _, encoding, reference, _, receipt, until = message
        # messages handed over together have all of this in common
        alike = (until, source, encoding, receipt, form)
        if alike != self._alike:
            self._learn(message, form)
            self._alike = alike
        write = codec.long_body if form.long else codec.submit_body
        number = codec.c_octets(dest, codec.LONGEST_NUMBER)
        return write(self._start, number, self._middle, payload, reference[:2])

    def _learn(self, message: Outgoing, form: codec.Form) -> None:
        """Work out what *message* has in common with those that are handed over with it."""
        kinds = self._settings.source_kind, self._settings.dest_kind
        self._start = codec.start(message.source, *kinds)
        self._middle = codec.middle(
            form if message.want_receipt else form._replace(receipt=False),
            codec.DATA_CODING[message.encoding],
            codec.absolute_time(message.valid_until),
        )
