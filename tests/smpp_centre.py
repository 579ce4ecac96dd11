"""An SMPP centre in the test's own process; smpp34, which is not ours, reads and writes its PDUs."""

import struct

import smpp34

from tests.centre import Centre, Submission

HEAD = struct.Struct(">IIII")
RESP = 0x80000000
BINDS = (1, 2, 9)
SUBMIT, DELIVER, UNBIND, ENQUIRE = 4, 5, 6, 0x15
STATUSES = {"accepted": 0, "rejected": 0x0B, "throttled": 0x58, "temporary": 0x08}
STATES = {
    "delivered": ("DELIVRD", 2),
    "failed": ("UNDELIV", 5),
    "expired": ("EXPIRED", 3),
}


class SmppCentre(Centre):
    """A centre for whoever knows the password ``trial``."""

    def write(self, line, command, sequence, body=b"", status=0):
        """Write one PDU."""
        line.write(HEAD.pack(16 + len(body), command, status, sequence) + body)

    def read(self, line, frame):
        """Do what a PDU asks for."""
        _, command, status, sequence = HEAD.unpack_from(frame)
        self.frames[command] += 1
        if command in BINDS:
            right = frame[16:].split(b"\0")[1] == self.secret.encode()
            line.bound = right
            self.binds += right
            self.write(line, command | RESP, sequence, b"c\0", 0 if right else 0x0E)
        elif command == SUBMIT:
            self.arrived(self._submission(line, sequence, frame))
        elif command == DELIVER | RESP:
            assert status == 0
            self.acknowledged(line, sequence, sequence)
        elif command in (UNBIND, ENQUIRE):
            self.write(line, command | RESP, sequence)

    def _submission(self, line, sequence, frame):
        pdu = smpp34.decode(frame)
        tags = {each.tag: each.value for each in pdu.tlvs}
        content, place = pdu.short_message or tags.get(0x0424, b""), (0, 1, 1)
        if pdu.esm_class & 0x40:
            place, content = tuple(content[3:6]), content[6:]
        return Submission(
            line,
            sequence,
            pdu.destination_addr,
            pdu.source_addr,
            content.decode({0: "latin-1", 8: "utf-16-be"}[pdu.data_coding]),
            place,
            wants_receipt=bool(pdu.registered_delivery),
            reference=tags.get(0x0204),
        )

    def write_answer(self, submission, verdict, number):
        """Answer a submission."""
        body = b"m%d\0" % number if verdict == "accepted" else b"\0"
        status = STATUSES[verdict]
        self.write(submission.line, SUBMIT | RESP, submission.sequence, body, status)

    def _deliver(self, sequence, *arguments, **fields):
        body = smpp34.DeliverSm(*arguments, **fields).encode()[16:]
        return HEAD.pack(16 + len(body), DELIVER, 0, sequence) + body, sequence

    def receipt_frame(self, taken, number, state):
        """Return what makes a receipt; of a message in parts only the last part was asked about."""
        word, code = STATES[state]
        text = f"id:m{number} stat:{word} err:000".encode()
        tags = [
            smpp34.Tlv(0x001E, b"m%d\0" % number),
            smpp34.Tlv(0x0427, bytes((code,))),
            smpp34.Tlv(0x0204, taken.reference),
        ]
        return lambda sequence: self._deliver(
            sequence, taken.number, taken.source, text, esm_class=4, tlvs=tags
        )

    def inbound_frame(self, source, dest, content, joined):
        """Return what makes a customer's message, or a part of it."""
        esm_class = 0x40 if joined else 0
        return lambda sequence: self._deliver(
            sequence, source, dest, content, esm_class=esm_class, data_coding=8
        )
