"""The least that can be done with an SMS centre: PDUs made beforehand, on a blocking socket, a window, no store."""

import socket
import struct

from services.messaging.gateways import smpp_codec as codec

TEXT = "【农业银行】尊敬的李先生，您的定期存款即将到期，欢迎莅临营业部办理。"
ANSWER = struct.pack(">II", codec.SUBMIT_RESP, 0)


def submit(sequence, number):
    """Return a whole submit_sm as the driver would write it."""
    body = codec.submit_body(
        codec.start("9559901", codec.NETWORK_SPECIFIC, codec.INTERNATIONAL)
        + codec.c_octets(number, codec.LONGEST_NUMBER),
        TEXT.encode("utf-16-be"),
        codec.SHORT,
        8,
        codec.absolute_time(None),
        b"\0\1",
    )
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
