"""
The same SMS centre as ``centre.js``, out of PyPI's smpp34, for machines without Node; far slower.

``python centre.py - PORT RECORD RECEIPT_SECONDS``, with the record and the standard input of ``centre.js``.
"""

import asyncio
import random
import sys
import time
from collections import deque
from pathlib import Path

import smpp34

AT_ONCE = 300
"""Receipts on their way at a time."""

BELIEF_SECONDS = 1
"""How long a receipt may go unacknowledged before it is sent again, perhaps to another session."""

FULL = 0.5
"""Of what is left unanswered, the share that is accepted all the same."""


class Centre:
    """Takes messages, writes each down before it answers, and reports until it is believed."""

    def __init__(self, server, record, seconds):
        self.server, self.delay = server, None if seconds == "-" else float(seconds)
        self.file = None if record == "-" else Path(record).open("a+", buffering=1)  # noqa: SIM115 - as long as the process
        self.waiting, self.kept, self.last, self.accepted = deque(), [], 0, 0
        self.swallow = 0.0
        self.esmes, self.free = {}, asyncio.Semaphore(AT_ONCE)
        self.rounds = set()
        if self.file:
            self.remember(Path(record).read_text())

    def remember(self, text):
        """Take up what the record says is still to be reported."""
        waiting = {}
        for line in text.splitlines():
            kind, key, *rest = [*line.split(), ""]
            if kind == "A" and len(rest) > 3:
                self.last = max(self.last, int(key, 16))
                waiting[key] = (0.0, key, *rest[:3])
            elif kind == "R":
                waiting.pop(key, None)
        if self.delay is not None:
            self.waiting.extend(waiting.values())

    def write(self, line):
        """Add a line to the record."""
        if self.file:
            self.file.write(line + "\n")

    def take(self, event):
        """Accept a message and return its number."""
        self.last += 1
        self.accepted += 1
        key = f"{self.last:08x}"
        echoed = smpp34.TLV_USER_MESSAGE_REFERENCE
        found = [tag.value.hex() for tag in event.tlvs if tag.tag == echoed]
        told = (event.destination_addr, event.source_addr, *(found or ["-"]))
        self.write(f"A {key} {' '.join(told)}")
        if self.delay is not None and event.registered_delivery:
            self.waiting.append((time.monotonic() + self.delay, key, *told))
        return key

    def submitted(self, event):
        """Answer a submission, or keep it without an answer: one let go of is refused by the library."""
        if self.swallow and random.random() < self.swallow:
            self.kept.append(event)
            if random.random() < FULL:
                self.take(event)
            return
        event.accept(self.take(event))

    async def listen(self):
        """Take one event after the other."""
        while True:
            event = await self.server.next()
            if isinstance(event, smpp34.SubmitSmEvent):
                self.submitted(event)
            elif isinstance(event, smpp34.Esme):
                self.esmes[event.session_id] = event
            else:
                self.esmes.pop(event.session_id, None)

    async def report(self):
        """Send receipts as they fall due, each until it is acknowledged."""
        while True:
            if not (
                self.esmes and self.waiting and self.waiting[0][0] <= time.monotonic()
            ):
                await asyncio.sleep(0.02)
                continue
            await self.free.acquire()
            task = asyncio.create_task(self.deliver(self.waiting.popleft()))
            self.rounds.add(task)
            task.add_done_callback(self.rounds.discard)

    async def deliver(self, told):
        """Send one receipt; it waits again where it was not acknowledged."""
        _, key, number, source, reference = told
        tags = [
            smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, key.encode() + b"\0"),
            smpp34.Tlv(0x0427, b"\2"),
        ]
        if reference != "-":
            echoed = smpp34.TLV_USER_MESSAGE_REFERENCE
            tags.append(smpp34.Tlv(echoed, bytes.fromhex(reference)))
        text = f"id:{key} sub:001 dlvrd:001 submit date:2611240900 done date:2611240900 stat:DELIVRD err:000 text:"
        try:
            async with asyncio.timeout(BELIEF_SECONDS):
                esme = random.choice([*self.esmes.values()])
                await esme.deliver_sm(
                    source, text.encode(), source_addr=number, esm_class=4, tlvs=tags
                )
            self.write(f"R {key}")
        except (smpp34.SmppError, TimeoutError, IndexError):
            self.waiting.appendleft(told)
        finally:
            self.free.release()

    async def obey(self):
        """Do what the standard input says until it ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            word, _, value = line.decode().partition(" ")
            if word == "swallow":
                self.swallow = float(value)
            elif word.strip() == "count":
                print(self.accepted, flush=True)


async def main(port, record, seconds):
    """Serve until told to end."""
    server = smpp34.Server("127.0.0.1", port, system_id="centre")
    await server.start()
    centre = Centre(server, record, seconds)
    print(port, flush=True)
    jobs = [asyncio.create_task(one) for one in (centre.listen(), centre.report())]
    await centre.obey()
    for job in jobs:
        job.cancel()
    sys.stdout.flush()
    os_exit(0)


if __name__ == "__main__":
    from os import _exit as os_exit  # the library's threads outlive their loop

    asyncio.run(main(int(sys.argv[2]), *sys.argv[3:]))
