"""The least that can be done with an SMS centre: PDUs made beforehand, on a blocking socket, a window, no store."""

import socket
import struct
from datetime import UTC, datetime, timedelta

from services.messaging.gateways import Outgoing
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.smpp_writer import SmppSettings, Writer

TEXT = "【农业银行】尊敬的李先生，您的定期存款即将到期，欢迎莅临营业部办理。"
ANSWER = struct.pack(">II", codec.SUBMIT_RESP, 0)
WRITER = Writer(SmppSettings(host="", port=0, system_id="", password=""))
UNTIL = datetime.now(UTC) + timedelta(hours=2)


def submit(sequence, number):
    """Return a whole submit_sm as the driver writes it, so that the centre has the same to read."""
    message = Outgoing(
        token=sequence,
        dest=number,
        source="9559901",
        text=TEXT,
        encoding="ucs2",
        client_ref=b"\0\1",
        segments=1,
        want_receipt=True,
        valid_until=UNTIL,
    )
    [(_, body)] = WRITER.entries(message)
    return codec.pdu(codec.SUBMIT, sequence, body)


def bound(port):
    """Return a socket that is bound to the centre at *port*."""
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bind = codec.bind_body("guanhu", "trial", "")
    line.sendall(codec.pdu(codec.BINDS["transceiver"], 1, bind))
    if not line.recv(1 << 16):
        raise RuntimeError("the centre did not let the floor bind")
    return line


def blast(line, pdus, window):
    """Write *pdus*, never more than *window* unanswered, and return when all are answered as taken."""
    sent = min(window, len(pdus))
    line.sendall(b"".join(pdus[:sent]))
    answered, rest = 0, b""
    while answered < len(pdus):
        rest += line.recv(1 << 17)
        place, fresh = 0, 0
        while len(rest) - place >= 4:
            length = int.from_bytes(rest[place : place + 4])
            if len(rest) - place < length:
                break
            if rest[place + 4 : place + 12] != ANSWER:
                raise RuntimeError("the centre refused a message of the floor")
            place += length
            fresh += 1
        rest = rest[place:]
        answered += fresh
        more = min(len(pdus), sent + fresh)
        if more > sent:
            line.sendall(b"".join(pdus[sent:more]))
            sent = more
