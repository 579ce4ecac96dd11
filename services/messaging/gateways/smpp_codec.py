"""
SMPP 3.4 on the wire: the octets of the few PDUs a sender of messages needs.

Source: SMPP Protocol Specification v3.4, issue 1.2; the section is named where a number comes from it.
"""

import re
import struct
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from services.messaging.gateways import ReceiptState, Verdict

HEADER = struct.Struct(">IIII")
"""command_length, command_id, command_status, sequence_number."""

LONGEST = 1 << 17
"""No PDU is longer: the largest payload is 64 KiB, and the rest is small."""

LONGEST_ANSWER = 256
"""Octets of an answer to a submission, with room for optional parameters; a longer one is read all the same."""

LAST_SEQUENCE = 0x7FFFFFFF

# command_id, section 5.1.2.1
NACK = 0x80000000
BINDS = {"receiver": 0x1, "transmitter": 0x2, "transceiver": 0x9}
SUBMIT, SUBMIT_RESP = 0x4, 0x80000004
DELIVER, DELIVER_RESP = 0x5, 0x80000005
UNBIND, UNBIND_RESP = 0x6, 0x80000006
ENQUIRE, ENQUIRE_RESP = 0x15, 0x80000015
ANSWER = 0x80000000
"""The bit by which an answer differs from its request."""

# tags of optional parameters, section 5.3.2
RECEIPTED_MESSAGE_ID = 0x001E
USER_MESSAGE_REFERENCE = 0x0204
NETWORK_ERROR_CODE = 0x0423
MESSAGE_PAYLOAD = 0x0424
MESSAGE_STATE = 0x0427

# command_status, section 5.1.3
OK = 0x0
INVALID_COMMAND = 0x3
REJECTED_BY_US = 0x65
"""ESME_RX_P_APPN: the centre need not try to deliver it again."""

STATUS = {
    0x00: "ESME_ROK",
    0x01: "ESME_RINVMSGLEN",
    0x02: "ESME_RINVCMDLEN",
    0x03: "ESME_RINVCMDID",
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x14: "ESME_RMSGQFUL",
    0x45: "ESME_RSUBMITFAIL",
    0x53: "ESME_RINVSYSTYP",
    0x58: "ESME_RTHROTTLED",
    0x61: "ESME_RINVSCHED",
    0x62: "ESME_RINVEXPIRY",
    0xFF: "ESME_RUNKNOWNERR",
}

VERDICTS: dict[int, Verdict] = {
    0x00: "accepted",
    0x14: "throttled",
    0x58: "throttled",
    0x04: "temporary",
    0x08: "temporary",
    0x45: "temporary",
}
"""Verdicts by status; any other status is a rejection, because a wrong repetition costs more than a failure."""

HOPELESS_BINDS = frozenset((0x0D, 0x0E, 0x0F, 0x53))
"""Refusals of a bind that trying again does not cure, and that may lock the account."""

# message_state, section 5.2.28, and its abbreviations in a receipt's text, appendix B
STATES: dict[int | str, ReceiptState] = {
    1: "enroute",
    2: "delivered",
    3: "expired",
    4: "failed",
    5: "failed",
    6: "enroute",  # accepted: centres differ in whether it is final, so it settles nothing
    7: "unknown",
    8: "failed",
    "ENROUTE": "enroute",
    "DELIVRD": "delivered",
    "EXPIRED": "expired",
    "DELETED": "failed",
    "UNDELIV": "failed",
    "ACCEPTD": "enroute",
    "UNKNOWN": "unknown",
    "REJECTD": "failed",
}

# esm_class, section 5.2.12
UDHI = 0x40
MESSAGE_TYPE = 0x3C
FINAL_RECEIPT = 0x04
INTERMEDIATE = 0x20

DATA_CODING = {"gsm7": 0, "ucs2": 8}


class MalformedPdu(Exception):
    """The body of a PDU is not what its command promises."""


class Address(NamedTuple):
    """Type of number and numbering plan, sections 5.2.5 and 5.2.6."""

    ton: int
    npi: int


NETWORK_SPECIFIC = Address(3, 0)
INTERNATIONAL = Address(1, 1)


class Deliver(NamedTuple):
    """What the centre delivers: a receipt or a customer's message."""

    source: str
    dest: str
    esm_class: int
    data_coding: int
    payload: bytes
    tags: dict[int, bytes]


class Report(NamedTuple):
    """What a receipt says: the centre's number of the message, our reference, the state, the network's code."""

    message_id: str | None
    reference: bytes | None
    state: ReceiptState
    code: str


def pdu(command: int, sequence: int, body: bytes = b"", *, status: int = OK) -> bytes:
    """Return one whole PDU."""
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


@lru_cache(maxsize=LONGEST_ANSWER)
def frames(length: int) -> struct.Struct:
    """Return what reads a PDU of *length* octets as its header and its body."""
    return struct.Struct(f"{HEADER.format}{length - HEADER.size}s")


def c_octets(text: str, most: int) -> bytes:
    """Return *text* as a C-octet string; raises ValueError if it is longer than *most* or not plain ASCII."""
    data = text.encode("ascii")
    if len(data) > most or 0 in data:
        raise ValueError(f"a field of more than {most} octets, or with a zero in it")
    return data + b"\0"


LONGEST_NUMBER = 20
"""Octets of an address, section 5.2.8."""

TAG = struct.Struct(">HH")


def tag(number: int, value: bytes) -> bytes:
    """Return one optional parameter, section 3.2.4.1."""
    return TAG.pack(number, len(value)) + value


def bind_body(system_id: str, password: str, system_type: str) -> bytes:
    """Return the body of any of the three binds, section 4.1; the address range is left to the centre."""
    return b"".join(
        (
            c_octets(system_id, 15),
            c_octets(password, 8),
            c_octets(system_type, 12),
            b"\x34\0\0\0",
        )
    )


def absolute_time(moment: datetime | None) -> bytes:
    """Return *moment* in UTC as an absolute time, section 7.1.1.1, a C-octet string; empty for None."""
    if moment is None:
        return b"\0"
    return f"{moment.astimezone(UTC):%y%m%d%H%M%S}000+\0".encode()


REFERENCED = TAG.pack(USER_MESSAGE_REFERENCE, 2)
"""What stands before the two octets of user_message_reference."""

OCTETS = [bytes((value,)) for value in range(256)]


class Form(NamedTuple):
    """
    How a payload travels.

    Args:
        joined: It begins with a user data header.
        long: As message_payload, which the centre cuts into parts, and not as short_message.
        receipt: A final receipt is asked for.

    """

    joined: bool
    long: bool
    receipt: bool


SHORT = Form(joined=False, long=False, receipt=True)
LONG = Form(joined=False, long=True, receipt=True)
PART = Form(joined=True, long=False, receipt=False)
LAST_PART = Form(joined=True, long=False, receipt=True)


def submit_body(
    start: bytes, number: bytes, middle: bytes, payload: bytes, reference: bytes
) -> bytes:
    """
    Return the body of submit_sm, section 4.4.1, with its payload as short_message.

    Args:
        start: What ``start`` returns.
        number: The customer's, as a C-octet string.
        middle: What ``middle`` returns.
        payload: The text's octets, at most 254.
        reference: The two octets of user_message_reference, or none.

    """
    length = OCTETS[len(payload)]
    if not reference:
        return b"".join((start, number, middle, length, payload))
    whole = (start, number, middle, length, payload, REFERENCED, reference)
    return b"".join(whole)


def long_body(
    start: bytes, number: bytes, middle: bytes, payload: bytes, reference: bytes
) -> bytes:
    """Return the same with its payload as message_payload, which the centre cuts into parts."""
    body = submit_body(start, number, middle, b"", reference)
    return body + tag(MESSAGE_PAYLOAD, payload)


def middle(form: Form, data_coding: int, validity: bytes) -> bytes:
    """
    Return what stands between a customer's number and the length of the text, the same in all that travel alike.

    Args:
        form: How the payload travels.
        data_coding: How it reads.
        validity: When the centre gives up, as ``absolute_time`` returns it.

    """
    # esm_class, protocol_id, priority_flag, an empty schedule_delivery_time
    before = bytes((UDHI if form.joined else 0, 0, 0, 0))
    # registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id
    return before + validity + bytes((form.receipt, 0, data_coding, 0))


@lru_cache(maxsize=256)
def start(source: str, source_kind: Address, dest_kind: Address) -> bytes:
    """
    Return the start of submit_sm, the same in all messages of a batch.

    It holds the default service type, the *source* address, and what stands before a customer's number.
    """
    return b"".join(
        (b"\0", bytes(source_kind), c_octets(source, LONGEST_NUMBER), bytes(dest_kind))
    )


def _c_octets_at(body: bytes, place: int) -> tuple[str, int]:
    end = body.index(0, place)
    return body[place:end].decode("latin-1"), end + 1


def tags_of(data: bytes) -> dict[int, bytes]:
    """Return the optional parameters in *data*; raises MalformedPdu if one is cut off."""
    found, place = {}, 0
    while place < len(data):
        if place + 4 > len(data):
            raise MalformedPdu("an optional parameter is cut off")
        number, length = struct.unpack_from(">HH", data, place)
        place += 4 + length
        if place > len(data):
            raise MalformedPdu("an optional parameter is cut off")
        found[number] = data[place - length : place]
    return found


def read_deliver(body: bytes) -> Deliver:
    """Return what the body of deliver_sm holds, section 4.6.1; raises MalformedPdu."""
    try:
        _, place = _c_octets_at(body, 0)
        source, place = _c_octets_at(body, place + 2)
        dest, place = _c_octets_at(body, place + 2)
        esm_class = body[place]
        _, place = _c_octets_at(body, place + 3)
        _, place = _c_octets_at(body, place)
        data_coding, length = body[place + 2], body[place + 4]
    except (IndexError, ValueError) as fault:
        raise MalformedPdu("deliver_sm is cut off") from fault
    end = place + 5 + length
    if end > len(body):
        raise MalformedPdu("the short message is cut off")
    tags = tags_of(body[end:])
    payload = body[place + 5 : end] or tags.get(MESSAGE_PAYLOAD, b"")
    return Deliver(source, dest, esm_class, data_coding, payload, tags)


RECEIPT_FIELD = re.compile(rb"\b(id|stat|err):(\S*)", re.IGNORECASE)


def read_report(message: Deliver) -> Report:
    """Return what a receipt says: its optional parameters where there are any, else its text (appendix B)."""
    text = {
        name.lower(): value.decode("latin-1")
        for name, value in reversed(RECEIPT_FIELD.findall(message.payload))
    }
    number = message.tags.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0")
    network = message.tags.get(NETWORK_ERROR_CODE)
    return Report(
        message_id=number.decode("latin-1") or text.get(b"id") or None,
        reference=message.tags.get(USER_MESSAGE_REFERENCE),
        state=_state(message, text.get(b"stat", "")),
        code=network.hex() if network else text.get(b"err", ""),
    )


def _state(message: Deliver, word: str) -> ReceiptState:
    if message.esm_class & MESSAGE_TYPE == INTERMEDIATE:
        return "enroute"
    tagged = message.tags.get(MESSAGE_STATE)
    return STATES.get(tagged[0] if tagged else word[:7].upper(), "unknown")


def is_receipt(message: Deliver) -> bool:
    """Say whether the centre reports about one of our messages, rather than passing on a customer's."""
    return message.esm_class & MESSAGE_TYPE in (FINAL_RECEIPT, INTERMEDIATE)


def message_id_of(body: bytes) -> str | None:
    """Return the centre's number of a message from the body of submit_sm_resp, None when there is none."""
    return body.partition(b"\0")[0].decode("latin-1") or None
