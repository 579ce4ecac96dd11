"""
A CMPP gateway in the test's own process, 2.0 and 3.0, written from the tables of the protocol.

It is the judge of the driver, so it shares no line with it: bodies are cut by tables of fields, a frame whose length
does not fit its table is an error, and each field that has one right value is looked at.
"""

import hashlib
import struct
from datetime import datetime, timedelta, timezone

from tests.centre import Centre, Submission

HEAD = struct.Struct(">III")
RESP = 0x80000000
CONNECT, TERMINATE, SUBMIT, DELIVER, ACTIVE_TEST = 1, 2, 4, 5, 8

STATUS_REPORTS = {"delivered": "DELIVRD", "failed": "MK:0012", "expired": "EXPIRED"}
RESULTS = {"accepted": 0, "rejected": 13, "throttled": 8, "temporary": 9}
CODINGS = {0: "ascii", 8: "utf-16-be", 15: "gbk"}
CHINA = timezone(timedelta(hours=8))

# name and octets of each field of SUBMIT before the destinations, section 7.4.3.1 of 2.0, 8.4.3.1 of 3.0
SUBMIT_2 = (
    *(("Msg_Id", 8), ("Pk_total", 1), ("Pk_number", 1), ("Registered_Delivery", 1)),
    *(("Msg_level", 1), ("Service_Id", 10), ("Fee_UserType", 1)),
    *(("Fee_terminal_Id", 21), ("TP_pId", 1), ("TP_udhi", 1), ("Msg_Fmt", 1)),
    *(("Msg_src", 6), ("FeeType", 2), ("FeeCode", 6), ("Valid_Time", 17)),
    *(("At_Time", 17), ("Src_Id", 21), ("DestUsr_tl", 1)),
)
SUBMIT_3 = (
    *(("Msg_Id", 8), ("Pk_total", 1), ("Pk_number", 1), ("Registered_Delivery", 1)),
    *(("Msg_level", 1), ("Service_Id", 10), ("Fee_UserType", 1)),
    *(("Fee_terminal_Id", 32), ("Fee_terminal_type", 1)),
    *(("TP_pId", 1), ("TP_udhi", 1), ("Msg_Fmt", 1)),
    *(("Msg_src", 6), ("FeeType", 2), ("FeeCode", 6), ("Valid_Time", 17)),
    *(("At_Time", 17), ("Src_Id", 21), ("DestUsr_tl", 1)),
)


def cut(table, body):
    """Return the fields of *table* at the start of *body*, and what follows them; one octet reads as a number."""
    found, at = {}, 0
    for name, size in table:
        value = body[at : at + size]
        assert len(value) == size, name
        found[name] = value[0] if size == 1 else value
        at += size
    return found, body[at:]


def read_submit(version, body):
    """Return the fields of a SUBMIT, every octet of it accounted for."""
    three = version >= 0x30
    fields, rest = cut(SUBMIT_3 if three else SUBMIT_2, body)
    size, tail = (32, 20) if three else (21, 8)
    numbers = fields["DestUsr_tl"]
    fields["Dest_terminal_Id"] = [
        rest[at * size : (at + 1) * size].rstrip(b"\0").decode("ascii")
        for at in range(numbers)
    ]
    rest = rest[numbers * size :]
    if three:
        fields["Dest_terminal_type"], rest = rest[0], rest[1:]
    length, rest = rest[0], rest[1:]
    fields["Msg_Content"], fields["tail"] = rest[:length], rest[length:]

    assert length <= (160 if fields["Msg_Fmt"] == 0 else 140)
    assert len(fields["tail"]) == tail
    return fields


class CmppCentre(Centre):
    """A gateway of one version, for the source address 901234 with the secret ``trial``."""

    def __init__(self, version):
        super().__init__()
        self.version = version
        self.three = version >= 0x30
        self.proves = True
        self.busy = 0
        self.submits = []
        self.asked = 0

    def status(self, number):
        """Return a status or result as this version counts it."""
        return number.to_bytes(4 if self.three else 1, "big")

    def write(self, line, command, sequence, body=b""):
        """Write one message."""
        line.write(HEAD.pack(12 + len(body), command, sequence) + body)

    def read(self, line, frame):
        """Do what a frame asks for."""
        _, command, sequence = HEAD.unpack_from(frame)
        body = frame[12:]
        self.frames[command] += 1
        if command == CONNECT:
            self._connect(line, sequence, body)
        elif command == SUBMIT:
            self._submit(line, sequence, body)
        elif command == DELIVER | RESP:
            assert len(body) == (12 if self.three else 9)
            assert not any(body[8:])
            self.acknowledged(line, sequence, body[:8])
        elif command == ACTIVE_TEST:
            assert body == b""
            self.asked += 1
            if not self.silent:
                self.write(line, command | RESP, sequence, b"\0")
        elif command == TERMINATE:
            self.write(line, command | RESP, sequence)

    def _connect(self, line, sequence, body):
        source, theirs, version, stamp = struct.unpack(">6s16sBI", body)
        secret = self.secret.encode()
        right = hashlib.md5(source + bytes(9) + secret + b"%010d" % stamp).digest()
        known = source == b"901234" and theirs == right
        status = 4 if version > self.version else 0 if known else 3
        if self.busy:
            self.busy, status = self.busy - 1, 5
        proof = bytes(16)
        if not status and self.proves:
            proof = hashlib.md5(self.status(0) + theirs + secret).digest()
        answer = self.status(status) + proof + bytes((self.version,))
        line.bound = not status
        self.binds += line.bound
        self.stamp = stamp
        self.write(line, CONNECT | RESP, sequence, answer)

    def _submit(self, line, sequence, body):
        fields = read_submit(self.version, body)
        self.submits.append(fields)
        content, place = fields["Msg_Content"], (0, 1, 1)
        if fields["TP_udhi"]:
            assert content[:3] == b"\5\0\3"
            place, content = tuple(content[3:6]), content[6:]
        assert (fields["Pk_total"], fields["Pk_number"]) == place[1:]
        [number] = fields["Dest_terminal_Id"]
        self.arrived(
            Submission(
                line,
                sequence,
                number,
                fields["Src_Id"].rstrip(b"\0").decode("ascii"),
                content.decode(CODINGS[fields["Msg_Fmt"]]),
                place,
                wants_receipt=fields["Registered_Delivery"] == 1,
                reference=None,
            )
        )

    @staticmethod
    def id_of(number):
        """Return Msg_Id: the moment, the gateway's code, a number; here just the last two."""
        return struct.pack(">HIH", 0xB6AB, 0x1234, number & 0xFFFF)

    def write_answer(self, submission, verdict, number):
        """Answer a submission."""
        msg_id = self.id_of(number) if verdict == "accepted" else bytes(8)
        body = msg_id + self.status(RESULTS[verdict])
        self.write(submission.line, SUBMIT | RESP, submission.sequence, body)

    def deliver(self, sequence, msg_id, source, dest, *, content, receipt, **fields):
        """Return a DELIVER, section 7.4.5.1 of 2.0, 8.4.5.1 of 3.0."""
        size, tail = (32, 20) if self.three else (21, 8)
        body = b"".join(
            (
                msg_id,
                dest.encode().ljust(21, b"\0"),
                b"service".ljust(10, b"\0"),
                bytes((0, fields.get("udhi", 0), fields.get("fmt", 8))),
                source.encode().ljust(size, b"\0"),
                b"\0" if self.three else b"",
                bytes((receipt, len(content))),
                content,
                bytes(tail),
            )
        )
        return HEAD.pack(12 + len(body), DELIVER, sequence) + body

    def receipt_frame(self, taken, number, state):
        """Return what makes the status report of one part."""
        size = 32 if self.three else 21
        moment = datetime.now(CHINA).strftime("%y%m%d%H%M").encode()
        content = b"".join(
            (
                self.id_of(number),
                STATUS_REPORTS[state].encode().ljust(7, b"\0"),
                moment * 2,
                taken.number.encode().ljust(size, b"\0"),
                struct.pack(">I", number),
            )
        )
        assert len(content) == (71 if self.three else 60)
        own = self.id_of(number + 5000)
        return lambda sequence: (
            self.deliver(
                sequence,
                own,
                taken.number,
                taken.source,
                content=content,
                receipt=1,
                fmt=0,
            ),
            own,
        )

    def inbound_frame(self, source, dest, content, joined):
        """Return what makes a customer's message, or a part of it."""
        self._ids += 1
        own = self.id_of(self._ids + 9000)
        return lambda sequence: (
            self.deliver(
                sequence, own, source, dest, content=content, receipt=0, udhi=joined
            ),
            own,
        )
