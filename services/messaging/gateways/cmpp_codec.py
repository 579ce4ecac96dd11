"""
CMPP 2.0 and 3.0 on the wire: the octets of the few messages that a sender of short messages needs.

Source: China Mobile Peer to Peer, the interface protocol of the internet short message gateway (ISMG), V2.0 and
V3.0; sections 7 (2.0) and 8 (3.0). Both count octets alike: numbers big-endian, texts filled up with zeros.
"""

import hashlib
import re
import struct
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from services.messaging.gateways import ReceiptState, Verdict

HEADER = struct.Struct(">III")
"""Total_Length, Command_Id, Sequence_Id."""

LONGEST = 1 << 13
"""No message is longer: one hundred numbers of 32 octets and a text of 255 stay below it."""

LAST_SEQUENCE = 0x7FFFFFFF

CHINA = timezone(timedelta(hours=8))
"""What the protocol's moments are told in."""

# Command_Id
CONNECT, CONNECT_RESP = 0x1, 0x80000001
TERMINATE, TERMINATE_RESP = 0x2, 0x80000002
SUBMIT, SUBMIT_RESP = 0x4, 0x80000004
DELIVER, DELIVER_RESP = 0x5, 0x80000005
ACTIVE_TEST, ACTIVE_TEST_RESP = 0x8, 0x80000008

OK = 0
MALFORMED = 1
"""Result of a delivery that nobody can read: the structure of the message is wrong."""

STATUS = {
    0: "connected",
    1: "structure wrong",
    2: "source address unknown",
    3: "authentication failed",
    4: "version too high",
}
"""What a gateway says to a connection; from 5 on it is the gateway's own business."""

HOPELESS = frozenset((2, 3, 4))
"""Refusals of a connection that trying again does not cure, and that may lock the account."""

RESULT = {
    0: "taken",
    1: "structure wrong",
    2: "command wrong",
    3: "sequence number used twice",
    4: "length wrong",
    5: "fee code wrong",
    6: "too long",
    7: "service code wrong",
    8: "too fast",
    9: "number not served here",
    10: "access number wrong",
    11: "message source wrong",
    12: "number to be charged wrong",
    13: "destination wrong",
}
"""What a gateway says to a submission; 2.0 leaves 9 and more to the gateway."""

VERDICTS: dict[int, Verdict] = {0: "accepted", 8: "throttled"}
"""Verdicts by result; any other is a rejection, because a wrong repetition costs more than a failure."""

STATES: dict[str, ReceiptState] = {
    "DELIVRD": "delivered",
    "EXPIRED": "expired",
    "DELETED": "failed",
    "UNDELIV": "failed",
    "ACCEPTD": "enroute",  # centres differ in whether it is final, so it settles nothing
    "UNKNOWN": "unknown",
    "REJECTD": "failed",
}

ELEMENT = re.compile(r"([A-Z])([A-Z]):")
"""Stat of a message that an element of the network stopped: which element, and how."""

NO_ANSWER = frozenset("AC")
"""The element gave no answer (A), or no receipt came back from it (C): the message may have arrived."""

UCS2, ASCII, GBK = 8, 0, 15

PYTHON_CODING = {ASCII: 1}
"""Msg_Fmt where it is not SMPP's data_coding of the same number: 0 is ASCII here, and 1 there."""


class Form(NamedTuple):
    """
    How one version counts octets.

    Args:
        version: As CONNECT says it.
        status: Octets of a status or result.
        number: Octets of a terminal's number.
        kinds: Whether each terminal's number is followed by its kind.
        tail: Octets after a message's content: Reserve in 2.0, LinkID in 3.0.

    """

    version: int
    status: int
    number: int
    kinds: bool
    tail: int


CMPP2 = Form(0x20, 1, 21, kinds=False, tail=8)
CMPP3 = Form(0x30, 4, 32, kinds=True, tail=20)


class MalformedPdu(Exception):
    """The body of a message is not what its command promises."""


class Deliver(NamedTuple):
    """What the gateway delivers: a receipt or a customer's message."""

    msg_id: bytes
    source: str
    dest: str
    joined: bool
    msg_fmt: int
    receipt: bool
    content: bytes


class Report(NamedTuple):
    """What a receipt says: the gateway's number of the message, the state, the word for it, whom it was sent to."""

    msg_id: str
    state: ReceiptState
    stat: str
    dest: str


def pdu(command: int, sequence: int, body: bytes = b"") -> bytes:
    """Return one whole message."""
    return HEADER.pack(HEADER.size + len(body), command, sequence) + body


def octets(text: str, size: int) -> bytes:
    """Return *text* filled up to *size* octets; raises ValueError if it is longer or not plain ASCII."""
    data = text.encode("ascii")
    if len(data) > size or 0 in data:
        raise ValueError(f"a field of more than {size} octets, or with a zero in it")
    return data.ljust(size, b"\0")


def text_of(data: bytes) -> str:
    """Return what an octet string holds, without what fills it up."""
    return data.split(b"\0", 1)[0].decode("latin-1").strip()


def connect_body(form: Form, sp_id: str, secret: str, moment: datetime) -> bytes:
    """
    Return the body of CONNECT.

    Args:
        form: The version.
        sp_id: What the gateway knows us by; at most 6 octets.
        secret: What it shares with us; it is not sent.
        moment: Now; said in China's time.

    """
    stamp = f"{moment.astimezone(CHINA):%m%d%H%M%S}"
    source = octets(sp_id, 6)
    proof = _digest(sp_id.encode() + bytes(9) + secret.encode() + stamp.encode())
    return source + proof + struct.pack(">BI", form.version, int(stamp))


def _digest(data: bytes) -> bytes:
    # MD5 is what the protocol prescribes; the bank's own links add TLS or a leased line
    return hashlib.md5(data, usedforsecurity=False).digest()


def read_connect_resp(body: bytes) -> tuple[int, bytes, bytes]:
    """Return the status, its octets and the gateway's proof, for either version; raises MalformedPdu."""
    if len(body) not in (CMPP2.status + 17, CMPP3.status + 17):
        raise MalformedPdu("CONNECT_RESP has a length of no version")
    status, proof = body[:-17], body[-17:-1]
    return int.from_bytes(status), status, proof


def gateways_proof(status: bytes, ours: bytes, secret: str) -> bytes:
    """Return what a gateway that knows *secret* answers to *ours*, the AuthenticatorSource of CONNECT."""
    return _digest(status + ours + secret.encode())


def absolute_time(moment: datetime | None) -> bytes:
    """
    Return *moment* as SMPP 3.3 writes it, 17 octets; all zeros for None.

    It is said in China's time with its offset of 32 quarters of an hour, so that a gateway that overlooks the offset
    reads the same moment.
    """
    return bytes(17) if moment is None else _second(int(moment.timestamp()))


@lru_cache(maxsize=64)
def _second(moment: int) -> bytes:
    """Return a second since the epoch as text; messages of one moment end in the same."""
    return f"{datetime.fromtimestamp(moment, CHINA):%y%m%d%H%M%S}032+\0".encode()


class Submitter:
    """Writes bodies of SUBMIT for one gateway; what is the same in all of them is put together once."""

    def __init__(self, form: Form, sp_id: str, service_id: str) -> None:
        """Raise ValueError when *sp_id* is longer than 6 octets, or *service_id* than 10."""
        self._form = form
        payer = bytes(form.number) + (b"\0" if form.kinds else b"")
        # Fee_UserType 2: the sender pays; no number is charged
        self._service = octets(service_id, 10) + b"\2" + payer
        # FeeType 01: free of charge for the receiver
        self._fee = octets(sp_id, 6) + b"01" + b"000000"

    def body(
        self,
        source: str,
        dest: str,
        content: bytes,
        *,
        msg_fmt: int,
        place: tuple[int, int] = (1, 1),
        receipt: bool,
        validity: datetime | None,
    ) -> bytes:
        """
        Return the body of SUBMIT to one number.

        Args:
            source: Access number with extension, at most 21 octets.
            dest: The customer's number as the gateway wants it.
            content: At most 160 octets of ASCII, or 140 of anything else, header included.
            msg_fmt: How the content reads.
            place: Pk_number and Pk_total; the content of one of several begins with the header that joins them.
            receipt: Whether a status report is asked for.
            validity: When the gateway gives up; None for its own default.

        Raises:
            ValueError: A number is too long, or not plain ASCII.

        """
        form, (number, total) = self._form, place
        return b"".join(
            (
                bytes(8),
                bytes((total, number, receipt, 0)),
                self._service,
                bytes((0, total > 1, msg_fmt)),
                self._fee,
                absolute_time(validity),
                bytes(17),
                octets(source, 21),
                b"\1",
                octets(dest, form.number),
                b"\0" if form.kinds else b"",
                bytes((len(content),)),
                content,
                bytes(form.tail),
            )
        )


def result_of(body: bytes) -> int:
    """Return the result of a SUBMIT_RESP of either version; raises MalformedPdu."""
    if len(body) not in (8 + CMPP2.status, 8 + CMPP3.status):
        raise MalformedPdu("SUBMIT_RESP has a length of no version")
    return int.from_bytes(body[8:])


def message_id_of(body: bytes) -> str:
    """Return the gateway's number of the message from the body of SUBMIT_RESP."""
    return body[:8].hex()


def deliver_resp_body(form: Form, msg_id: bytes, result: int) -> bytes:
    """Return the body of DELIVER_RESP."""
    return msg_id + result.to_bytes(form.status)


def read_deliver(form: Form, body: bytes) -> Deliver:
    """Return what the body of DELIVER holds; raises MalformedPdu."""
    source = 8 + 21 + 10 + 3
    flags = source + form.number + form.kinds
    content = flags + 2
    if len(body) < content or len(body) < content + body[flags + 1]:
        raise MalformedPdu("DELIVER is cut off")
    return Deliver(
        msg_id=body[:8],
        source=text_of(body[source : source + form.number]),
        dest=text_of(body[8:29]),
        joined=bool(body[40]),
        msg_fmt=body[41],
        receipt=body[flags] == 1,
        content=body[content : content + body[flags + 1]],
    )


def read_report(form: Form, content: bytes) -> Report:
    """Return what a status report says; raises MalformedPdu."""
    if len(content) < 8 + 7 + 10 + 10 + form.number:
        raise MalformedPdu("a status report is cut off")
    stat = text_of(content[8:15])
    return Report(
        msg_id=content[:8].hex(),
        state=state_of(stat),
        stat=stat,
        dest=text_of(content[35 : 35 + form.number]),
    )


def state_of(stat: str) -> ReceiptState:
    """Return what Stat means; a word that no version knows is unknown, unless an element of the network refused."""
    word = stat.upper()
    if word in STATES:
        return STATES[word]
    found = ELEMENT.match(word)
    return "failed" if found and found[2] not in NO_ANSWER else "unknown"


def international(number: str) -> str:
    """Return a terminal's *number* with its country, whichever way the gateway wrote it."""
    bare = number.removeprefix("+").removeprefix("00")
    return f"86{bare}" if re.fullmatch(r"1\d{10}", bare) else bare


def national(number: str) -> str:
    """Return *number* without China's country code; another country's stays as it is."""
    return number[2:] if len(number) == 13 and number.startswith("861") else number
