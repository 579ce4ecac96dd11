"""
Texts as the air carries them: alphabets, segments, and the headers that join the parts of a long message.

Sources: 3GPP TS 23.038 (alphabets), 3GPP TS 23.040 section 9.2.3.24 (user data header).
Mainland operators bill every text, also a purely Latin one, as one message up to 70 characters and by 67
characters beyond; that is why counting for the bill and counting for the air are two functions.
"""

from codecs import utf_16_be_encode
from typing import NamedTuple

from services.messaging.gateways import Encoding

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet in the order of its septets; 0x1B is the escape to the extension."""

EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
"""Characters behind the escape: two septets each."""

ESCAPE = 0x1B

SEPTETS = {
    **{char: bytes((code,)) for code, char in enumerate(BASIC) if code != ESCAPE},
    **{char: bytes((ESCAPE, code)) for char, code in EXTENSION.items()},
}
EXTENDED = {code: char for char, code in EXTENSION.items()}

ALPHABET = frozenset(SEPTETS)

SINGLE = {"gsm7": 160, "ucs2": 70}
"""Units (septets, 16-bit units) of a message that stands alone."""

JOINED = {"gsm7": 153, "ucs2": 67}
"""Units of one part of a longer message: the six octets of the header are taken off."""

MOST_PARTS = 255

MOST_PAYLOAD = 0xFFFF

LAST_BMP = "\uffff"
"""Characters beyond it take two 16-bit units, a pair that must not be parted."""


class Count(NamedTuple):
    """How a text travels: its encoding, its length in that encoding's units, and the messages it takes."""

    encoding: Encoding
    units: int
    segments: int


class Concatenation(NamedTuple):
    """What a part says about itself: which message, of how many parts, which one (from 1)."""

    reference: int
    total: int
    number: int


def billed_segments(text: str) -> int:
    """Return how many messages mainland operators bill for *text*: 70 characters, beyond that 67 each."""
    units = ucs2_units(text)
    if units <= SINGLE["ucs2"]:
        return 1
    if units == len(text):  # no pair in it, so no part can be cut short
        return -(-units // JOINED["ucs2"])
    return len(split(text, "ucs2"))


def count(text: str) -> Count:
    """Return how *text* travels abroad: in the default alphabet where it fits, else in UCS-2."""
    encoding: Encoding = "gsm7" if ALPHABET.issuperset(text) else "ucs2"
    units = sum(_width(char, encoding) for char in text)
    if units <= SINGLE[encoding]:
        return Count(encoding, units, 1)
    return Count(encoding, units, len(split(text, encoding)))


def ucs2_units(text: str) -> int:
    """Return the length of *text* in 16-bit units; raises UnicodeEncodeError for half a pair."""
    return len(text.encode("utf-16-be")) // 2


def _width(char: str, encoding: Encoding) -> int:
    if encoding == "gsm7":
        return len(SEPTETS[char])
    return 2 if char > LAST_BMP else 1


def split(text: str, encoding: Encoding) -> list[str]:
    """Cut *text* into the fewest parts of a joined message; no escape pair and no surrogate pair is parted."""
    parts, start, used = [], 0, 0
    limit = JOINED[encoding]
    for place, char in enumerate(text):
        width = _width(char, encoding)
        if used + width > limit:
            parts.append(text[start:place])
            start, used = place, 0
        used += width
    parts.append(text[start:])
    return parts


def encode(text: str, encoding: Encoding) -> bytes:
    """Return *text* in octets, a septet to an octet; raises ValueError when it does not fit the encoding."""
    if encoding == "ucs2":
        # as str.encode does, which looks its codec up each time
        return utf_16_be_encode(text)[0]
    try:
        return b"".join([SEPTETS[char] for char in text])
    except KeyError as fault:
        raise ValueError("a character outside the default alphabet") from fault


def decode_gsm7(data: bytes) -> str:
    """
    Return the text of *data*, a septet to an octet; what is no septet reads as the replacement character.

    An unknown code behind the escape reads as the default alphabet's character (TS 23.038 section 6.2.1.1).
    """
    text, escaped = [], False
    for code in data:
        if code == ESCAPE:
            escaped = True
            continue
        plain = BASIC[code] if code < len(BASIC) else "\ufffd"
        text.append(EXTENDED.get(code, plain) if escaped else plain)
        escaped = False
    return "".join(text)


CODECS = {1: "ascii", 3: "latin-1", 8: "utf-16-be", 15: "gbk"}
"""Data codings of SMPP by their Python codec; 15 is what mainland centres use for GBK."""


def decode(data: bytes, data_coding: int) -> str:
    """Return the text of *data*; what cannot be read becomes the replacement character, never an exception."""
    codec = CODECS.get(data_coding)
    return data.decode(codec, "replace") if codec else decode_gsm7(data)


def is_long(data: bytes, encoding: Encoding) -> bool:
    """Say whether *data*, as ``encode`` made it, is too long for a message that stands alone."""
    return len(data) > SINGLE[encoding] * (2 if encoding == "ucs2" else 1)


def joined_parts(text: str, encoding: Encoding, *, reference: int) -> list[bytes]:
    """
    Return the parts of a long message, each behind the header that joins them again.

    Args:
        text: The whole text.
        encoding: How it travels.
        reference: 0 to 255, the same in all parts; differs from the last message to the same number.

    Raises:
        ValueError: It would take more than 255 parts, or does not fit the encoding.

    """
    pieces = split(text, encoding)
    if len(pieces) > MOST_PARTS:
        raise ValueError("a text of more than 255 parts")
    return [
        bytes((5, 0, 3, reference, len(pieces), number)) + encode(piece, encoding)
        for number, piece in enumerate(pieces, 1)
    ]


def read_header(data: bytes) -> tuple[Concatenation | None, bytes]:
    """
    Return what the user data header at the start of *data* says about joining, and the text's octets.

    A header that contradicts itself is taken for no header: its octets are dropped, the text is kept.
    """
    if not data:
        return None, data
    end = min(1 + data[0], len(data))
    header, body, place = data[1:end], data[end:], 0
    while place + 2 <= len(header):
        kind, length = header[place], header[place + 1]
        value = header[place + 2 : place + 2 + length]
        if (kind, length, len(value)) in {(0, 3, 3), (8, 4, 4)}:
            found = Concatenation(int.from_bytes(value[:-2]), value[-2], value[-1])
            return (found if 1 <= found.number <= found.total else None), body
        place += 2 + length
    return None, body
