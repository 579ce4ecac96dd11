"""What a CMPP gateway is like, and how messages are written for it: in one SUBMIT, or in parts."""

import random
from dataclasses import dataclass, field

from services.messaging.gateways import Outgoing, encoding
from services.messaging.gateways import cmpp_codec as codec
from services.messaging.gateways.parts import Entry, entries_of
from services.messaging.gateways.stream_session import StreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CmppSettings(StreamSettings):
    """
    How to reach one gateway, and its peculiarities.

    Args:
        form: The version it speaks.
        sp_id, secret: What it knows us by; the first at most 6 octets.
        service_id: The service code it gave us, at most 10 octets; it may want none.
        country_code: Whether it wants customers' numbers with 86 before them.

    """

    form: codec.Form
    sp_id: str
    secret: str = field(repr=False)
    service_id: str = ""
    country_code: bool = False


def in_words(result: int) -> str:
    """Return what a result means."""
    return codec.RESULT.get(result, f"result {result}")


class Writer:
    """Turns messages into bodies of SUBMIT, as one gateway wants them."""

    def __init__(self, settings: CmppSettings) -> None:
        """Write for the gateway of *settings*; raises ValueError when they do not fit the protocol's fields."""
        self._submitter = codec.Submitter(
            settings.form, settings.sp_id, settings.service_id
        )
        self._country_code = settings.country_code
        self._reference = random.randrange(256)  # noqa: S311 - a start, not a secret

    def entries(self, message: Outgoing) -> list[tuple[Entry, bytes]]:
        """
        Return what to write for *message*; raises ValueError when it cannot be written.

        The protocol has no code for the default alphabet: a short text of plain ASCII travels as that, any other in
        UCS-2, whatever the message asks for.
        """
        if message.encoding == "gsm7":
            septets = encoding.encode(message.text, "gsm7")
            if message.text.isascii() and not encoding.is_long(septets, "gsm7"):
                body = self._body(message, message.text.encode("ascii"), codec.ASCII)
                return entries_of(message.token, [body])
        data = encoding.encode(message.text, "ucs2")
        pieces = [data]
        if encoding.is_long(data, "ucs2"):
            self._reference = (self._reference + 1) % 256
            pieces = encoding.joined_parts(
                message.text, "ucs2", reference=self._reference
            )
        bodies = [
            self._body(message, piece, codec.UCS2, (number, len(pieces)))
            for number, piece in enumerate(pieces, 1)
        ]
        return entries_of(message.token, bodies)

    def _body(
        self,
        message: Outgoing,
        content: bytes,
        msg_fmt: int,
        place: tuple[int, int] = (1, 1),
    ) -> bytes:
        dest = message.dest
        return self._submitter.body(
            message.source,
            dest if self._country_code else codec.national(dest),
            content,
            msg_fmt=msg_fmt,
            place=place,
            receipt=message.want_receipt,
            validity=message.valid_until,
        )
