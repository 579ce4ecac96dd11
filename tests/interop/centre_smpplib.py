"""
An SMS centre on PyPI's smpplib, which is a client: its encoder and decoder stand here at the other end of the line.

Every octet is read and written by smpplib; smsutil reads and writes the default alphabet. See ``centres`` for what it
does and says. Arguments: port, password, and for TLS the files of certificate, key and authority.
"""

import asyncio
import json
import ssl
import sys
from itertools import count

import smpplib.consts
import smpplib.smpp
import smsutil

FATES = {"0000": ("UNDELIV", 5, "069"), "0001": ("EXPIRED", 3, "070")}


def say(**event):
    """Tell one event."""
    print(json.dumps(event), flush=True)


def read(octets, coding):
    """Return the text of octets."""
    return octets.decode("utf-16-be") if coding == 8 else smsutil.decode(octets)


class Numbers:
    """Sequence numbers, as smpplib asks a client for them."""

    def __init__(self):
        self.sequence = 0

    def next_sequence(self):
        """Return the next one."""
        self.sequence += 1
        return self.sequence


class Centre:
    """What all connections share."""

    def __init__(self, password):
        self.password = password
        self.ids = count(1)
        self.listeners, self.refused = {}, set()

    async def serve(self, reader, writer):
        """See one connection through."""
        await Line(self, writer).read(reader)


class Line:
    """One connection."""

    def __init__(self, centre, writer):
        self.centre, self.writer = centre, writer
        self.numbers, self.system = Numbers(), None

    async def read(self, reader):
        """Read PDU after PDU until the connection ends."""
        try:
            while True:
                head = await reader.readexactly(4)
                rest = await reader.readexactly(int.from_bytes(head) - 4)
                self.take(
                    smpplib.smpp.parse_pdu(
                        head + rest, client=self.numbers, allow_unknown_opt_params=True
                    )
                )
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            if self.centre.listeners.get(self.system) is self:
                del self.centre.listeners[self.system]
            self.writer.close()

    def send(self, command, **fields):
        """Write one request."""
        pdu = smpplib.smpp.make_pdu(command, client=self.numbers, **fields)
        self.writer.write(pdu.generate())

    def answer(self, pdu, *, status=0, **fields):
        """Write the answer to *pdu*."""
        told = smpplib.smpp.make_pdu(f"{pdu.command}_resp", client=self.numbers)
        told.sequence, told.status = pdu.sequence, status
        for name, value in fields.items():
            setattr(told, name, value)
        self.writer.write(told.generate())

    def take(self, pdu):
        """Do what one PDU asks for."""
        if pdu.command.startswith("bind_") and pdu.is_request():
            self.bind(pdu)
        elif pdu.command == "submit_sm":
            self.submit(pdu)
        elif pdu.command == "enquire_link":
            say(event="enquire")
            self.answer(pdu)
        elif pdu.command == "enquire_link_resp":
            say(event="enquired")
        elif pdu.command == "deliver_sm_resp":
            say(event="acked", status=pdu.status)
        elif pdu.command == "unbind":
            say(event="unbind")
            self.answer(pdu)

    def bind(self, pdu):
        """Let in who knows the password."""
        if pdu.password.decode() != self.centre.password:
            self.answer(pdu, status=smpplib.consts.SMPP_ESME_RINVPASWD)
            return
        kind, self.system = pdu.command.removeprefix("bind_"), pdu.system_id
        self.answer(pdu, system_id="smpplib")
        say(event="bind", kind=kind)
        if kind != "transmitter":
            self.centre.listeners[self.system] = self
        self.send("enquire_link")

    def submit(self, pdu):
        """Take one message, say so, and send what belongs to its number."""
        number = pdu.destination_addr.decode()
        if number.endswith("0003") and number not in self.centre.refused:
            self.centre.refused.add(number)
            self.answer(pdu, status=smpplib.consts.SMPP_ESME_RTHROTTLED)
            return
        octets, udh = pdu.message_payload or pdu.short_message or b"", b""
        if pdu.esm_class & smpplib.consts.SMPP_GSMFEAT_UDHI:
            udh, octets = octets[1 : octets[0] + 1], octets[octets[0] + 1 :]
        message_id = f"{next(self.centre.ids):x}"
        say(
            event="submit",
            id=message_id,
            number=number,
            source=pdu.source_addr.decode(),
            text=read(octets, pdu.data_coding),
            udh=udh.hex(),
            way="payload" if pdu.message_payload else "short",
            reference=pdu.user_message_reference,
            receipt=pdu.registered_delivery == 1,
            until=(pdu.validity_period or b"").decode(),
        )
        self.answer(pdu, message_id=message_id)
        if listener := self.centre.listeners.get(self.system):
            source = pdu.source_addr.decode()
            people = {"source_addr": number, "destination_addr": source}
            if pdu.registered_delivery == 1:
                listener.report(pdu, message_id, number, people)
            listener.reply(number, people)

    def report(self, pdu, message_id, number, people):
        """Send the receipt of a message."""
        word, state, error = FATES.get(number[-4:], ("DELIVRD", 2, "000"))
        self.send(
            "deliver_sm",
            **people,
            esm_class=4,
            short_message=f"id:{message_id} sub:001 dlvrd:001 submit date:2611231200"
            f" done date:2611231200 stat:{word} err:{error} text:".encode(),
            receipted_message_id=message_id,
            message_state=state,
            user_message_reference=pdu.user_message_reference,
        )

    def reply(self, number, people):
        """Send what a customer with this number answers."""
        if number.endswith("0002"):
            text = "退订".encode("utf-16-be")
            self.send("deliver_sm", **people, data_coding=8, short_message=text)
        elif number.endswith("0006"):
            text = smsutil.encode("no [€] thanks")
            self.send("deliver_sm", **people, data_coding=0, short_message=text)
        elif number.endswith("0005"):
            for place, text in ((2, "短信"), (1, "长" * 67)):
                head = bytes((5, 0, 3, 77, 2, place))
                self.send(
                    "deliver_sm",
                    **people,
                    esm_class=smpplib.consts.SMPP_GSMFEAT_UDHI,
                    data_coding=8,
                    short_message=head + text.encode("utf-16-be"),
                )


async def main(port, password, certificate="", key="", authority=""):
    """Listen until the process is ended."""
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
    centre = Centre(password)
    server = await asyncio.start_server(
        centre.serve, "127.0.0.1", int(port), ssl=context
    )
    say(event="listening", port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
