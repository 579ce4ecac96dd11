"""
An SMS centre on PyPI's smpp34: its Rust core reads and writes every octet. See ``centres`` for what it does and says.

The core answers enquiries by itself, and believes every password. Arguments: port and password, which is not asked for.
"""

import asyncio
import json
import os
import socket
import sys
from itertools import count

import smpp34
import smsutil

FATES = {"0000": ("UNDELIV", 5, "069"), "0001": ("EXPIRED", 3, "070")}
KINDS = {True: "receiving", False: "transmitter"}
"""What the core tells of a session: whether it hears."""


def say(**event):
    """Tell one event."""
    print(json.dumps(event), flush=True)


class Centre:
    """Takes messages, and delivers to the session of the same system that hears."""

    def __init__(self, server):
        self.server, self.ids = server, count(1)
        self.listeners, self.systems, self.refused = {}, {}, set()
        self.errands = set()

    async def serve(self):
        """Take one event after the other."""
        while True:
            event = await self.server.next()
            if isinstance(event, smpp34.SubmitSmEvent):
                self.take(event)
            elif isinstance(event, smpp34.Esme):
                say(event="bind", kind=KINDS[event.can_receive])
                self.systems[event.session_id] = event.system_id
                if event.can_receive:
                    self.listeners[event.system_id] = event
            else:
                say(event="unbind")
                system = self.systems.pop(event.session_id, None)
                listener = self.listeners.get(system)
                if listener and listener.session_id == event.session_id:
                    del self.listeners[system]

    def take(self, event):
        """Take one message, say so, and send what belongs to its number."""
        number, system = event.destination_addr, self.systems[event.session_id]
        if number.endswith("0003") and number not in self.refused:
            self.refused.add(number)
            event.reject(smpp34.ESME_RTHROTTLED)
            return
        tags = {each.tag: each for each in event.tlvs}
        payload = tags.get(smpp34.TLV_MESSAGE_PAYLOAD)
        octets, udh = payload.value if payload else event.short_message, b""
        if event.esm_class & 0x40:
            udh, octets = octets[1 : octets[0] + 1], octets[octets[0] + 1 :]
        wide = event.data_coding == 8
        reference = tags.get(smpp34.TLV_USER_MESSAGE_REFERENCE)
        message_id = f"{next(self.ids):x}"
        say(
            event="submit",
            id=message_id,
            number=number,
            source=event.source_addr,
            text=octets.decode("utf-16-be") if wide else smsutil.decode(octets),
            udh=udh.hex(),
            way="payload" if payload else "short",
            reference=reference and reference.as_int(),
            receipt=event.registered_delivery == 1,
        )
        event.accept(message_id)
        notices = [*self.answers(number)]
        if event.registered_delivery == 1:
            notices.insert(0, self.receipt(number, message_id, reference))
        for notice in notices:
            self.deliver(system, number, event.source_addr, notice)

    @staticmethod
    def receipt(number, message_id, reference):
        """Return the receipt of a message."""
        word, state, error = FATES.get(number[-4:], ("DELIVRD", 2, "000"))
        tags = [
            smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
            smpp34.Tlv(smpp34.TLV_MESSAGE_STATE, bytes((state,))),
        ]
        text = (
            f"id:{message_id} sub:001 dlvrd:001 submit date:2611231200"
            f" done date:2611231200 stat:{word} err:{error} text:"
        )
        return {
            "short_message": text.encode(),
            "esm_class": 4,
            "tlvs": tags + ([reference] if reference else []),
        }

    @staticmethod
    def answers(number):
        """Return what a customer with this number answers."""
        if number.endswith("0002"):
            text = "退订".encode("utf-16-be")
            yield {"short_message": text, "data_coding": 8}
        elif number.endswith("0006"):
            yield {"short_message": smsutil.encode("no [€] thanks")}
        elif number.endswith("0005"):
            for place, text in ((2, "短信"), (1, "长" * 67)):
                octets = bytes((5, 0, 3, 77, 2, place)) + text.encode("utf-16-be")
                yield {"short_message": octets, "data_coding": 8, "esm_class": 0x40}

    def deliver(self, system, number, source, notice):
        """Send to the session that hears, and say how it answered."""

        async def errand():
            answer = await listener.deliver_sm(source, source_addr=number, **notice)
            say(event="acked", status=answer.command_status)

        if listener := self.listeners.get(system):
            task = asyncio.create_task(errand())
            self.errands.add(task)
            task.add_done_callback(self.errands.discard)


async def main(port, _password):
    """Listen until the process is ended."""
    port = int(port)
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    server = smpp34.Server("127.0.0.1", port, system_id="smpp34")
    await server.start()
    say(event="listening", port=port)
    try:
        await Centre(server).serve()
    finally:
        os._exit(1)  # the library's threads outlive their loop


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
