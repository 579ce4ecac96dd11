"""
A demonstration SMS centre that speaks SMPP 3.4: takes messages, answers with a number, and sends receipts later.

It reaches nobody. Numbers ending in 0000 fail, in 0001 expire, in 0002 answer "R" and in 0003 ask something,
so that a demonstration shows what really happens. Receipts that are not acknowledged are sent again. It forgets all
at its end, as no real centre would.

The protocol is smpp34's; its server believes every password and hangs up on an unbind: a doorman minds both.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from itertools import count as numbers
from pathlib import Path
from typing import TextIO

import smpp34

HEADER = struct.Struct(">IIII")
BINDS, UNBIND, ANSWER = (1, 2, 9), 6, 0x80000000
INVALID_COMMAND_STATUS, WRONG_PASSWORD, WRONG_SYSTEM = 0x04, 0x0E, 0x0F
LONGEST_BIND, BIND_SECONDS = 512, 5

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter

ENDINGS = {"0000": ("UNDELIV", 5, "069"), "0001": ("EXPIRED", 3, "070")}
"""Endings of numbers that are not reached: what the receipt says, as word, state and error."""

DELIVERED = ("DELIVRD", 2, "000")
ANSWERS = {"0002": "R", "0003": "请问什么时候办理？"}
"""What numbers with these endings answer to every message: a refusal, and a question."""

AT_ONCE = 200
"""Receipts on their way to one session at a time."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the centre was told at its start."""

    host: str
    port: int
    system_id: str
    password: str
    delay: float
    again: float
    rate: int
    print_port: bool
    record: TextIO | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to deliver: a receipt, or a customer's answer."""

    due: float
    source: str
    dest: str
    esm_class: int
    data_coding: int
    text: bytes
    tags: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Doorman:
    """Reads the bind of each connection, refuses wrong credentials, and leads the others to the centre."""

    options: Options
    inner_port: int

    async def receive(self, reader: Reader, writer: Writer) -> None:
        """See one connection through, from its bind to its end."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                async with asyncio.timeout(BIND_SECONDS):
                    first = await self._bind(reader, writer)
                if first:
                    await self._lead(first, reader, writer)
            finally:
                writer.close()

    async def _bind(self, reader: Reader, writer: Writer) -> bytes:
        """Return the octets of a good bind; answer a bad one and return none."""
        header = await reader.readexactly(HEADER.size)
        length, command, _, sequence = HEADER.unpack(header)
        status = INVALID_COMMAND_STATUS
        if command in BINDS and HEADER.size < length <= LONGEST_BIND:
            body = await reader.readexactly(length - HEADER.size)
            if not (status := self._judge(body)):
                return header + body
        writer.write(HEADER.pack(HEADER.size, command | ANSWER, status, sequence))
        await writer.drain()
        return b""

    def _judge(self, body: bytes) -> int:
        system_id, password, *_ = [*body.split(b"\0"), b"", b""]
        if system_id != self.options.system_id.encode():
            return WRONG_SYSTEM
        right = secrets.compare_digest(password, self.options.password.encode())
        return 0 if right else WRONG_PASSWORD

    async def _lead(self, first: bytes, reader: Reader, writer: Writer) -> None:
        inside, inner = await asyncio.open_connection("127.0.0.1", self.inner_port)
        inner.write(first)
        said = bytearray()
        ways = (_copy(reader, inner, said), _copy(inside, writer, bytearray()))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        inner.close()
        await cancel(tasks)
        length, command, _, sequence = HEADER.unpack(said.rjust(HEADER.size, b"\0"))
        if (length, command) == (HEADER.size, UNBIND):
            writer.write(HEADER.pack(length, UNBIND | ANSWER, 0, sequence))
            await writer.drain()


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel *tasks*, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: Reader, writer: Writer, said: bytearray) -> None:
    """Copy until the end, and keep the last octets in *said*: a whole PDU where that was an empty one."""
    while data := await reader.read(1 << 16):
        said[:] = (said + data[-HEADER.size :])[-HEADER.size :]
        writer.write(data)
        await writer.drain()


class Mailbox:
    """What is to be delivered to one customer of the centre, over whichever of its sessions listens."""

    def __init__(self) -> None:
        self.waiting: deque[Notice] = deque()
        self.arrived = asyncio.Event()

    def put(self, notice: Notice) -> None:
        """Take a notice, new or not acknowledged; they fall due in the order they come."""
        self.waiting.append(notice)
        self.arrived.set()

    async def next_due(self) -> Notice:
        """Return the next notice once it is due."""
        while True:
            while not self.waiting:
                self.arrived.clear()
                await self.arrived.wait()
            wait = self.waiting[0].due - time.monotonic()
            if wait <= 0:
                return self.waiting.popleft()
            await asyncio.sleep(wait)


class Postman:
    """Delivers a mailbox to one session, until the session ends."""

    def __init__(
        self, box: Mailbox, esme: smpp34.Esme, counts: Counter[str], again: float
    ) -> None:
        """Deliver what is in *box* to *esme*, and *again* seconds later if it is not acknowledged."""
        self._box, self._esme, self._counts, self._again = box, esme, counts, again
        self._free = asyncio.Semaphore(AT_ONCE)
        self._rounds: set[asyncio.Task[None]] = set()
        self._walk = asyncio.create_task(self._deliver())

    async def _deliver(self) -> None:
        while True:
            await self._free.acquire()
            notice = await self._box.next_due()
            task = asyncio.create_task(self._hand_over(notice))
            self._rounds.add(task)
            task.add_done_callback(partial(self._came_back, notice))

    async def _hand_over(self, notice: Notice) -> None:
        async with asyncio.timeout(self._again):
            answer = await self._esme.deliver_sm(
                notice.dest,
                notice.text,
                source_addr=notice.source,
                source_addr_ton=1,
                source_addr_npi=1,
                esm_class=notice.esm_class,
                data_coding=notice.data_coding,
                tlvs=[smpp34.Tlv(tag, value) for tag, value in notice.tags],
            )
        self._counts["reported" if answer.is_success else "not wanted"] += 1

    def _came_back(self, notice: Notice, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        self._free.release()
        if fault := task.cancelled() or task.exception():
            self._counts["not acknowledged"] += 1
            self._box.put(notice)
        if isinstance(fault, smpp34.SmppError):
            self._walk.cancel()  # the session is over

    async def stop(self) -> None:
        """Stop; what is on its way goes back into the mailbox."""
        await cancel([self._walk, *self._rounds])


class Centre:
    """Takes messages, answers them, and puts their receipts into the sender's mailbox."""

    def __init__(self, server: smpp34.Server, options: Options) -> None:
        """Serve what comes to *server*."""
        self._server, self._options = server, options
        self._boxes: dict[str, Mailbox] = {}
        self._owners: dict[str, str] = {}
        self._postmen: dict[str, Postman] = {}
        self.counts: Counter[str] = Counter()
        self._start = f"{time.time_ns() // 1_000_000:x}"
        self._ids = numbers(1)
        self._second = (0, 0)

    async def serve(self) -> None:
        """Take one event after the other, for ever."""
        while True:
            event = await self._server.next()
            if isinstance(event, smpp34.SubmitSmEvent):
                self._take(event)
            elif isinstance(event, smpp34.Esme):
                self._owners[event.session_id] = event.system_id
                box = self._boxes.setdefault(event.system_id, Mailbox())
                if event.can_receive:
                    self._postmen[event.session_id] = Postman(
                        box, event, self.counts, self._options.again
                    )
            else:
                self._owners.pop(event.session_id, None)
                if postman := self._postmen.pop(event.session_id, None):
                    await postman.stop()

    def _too_fast(self) -> bool:
        """Say whether this second is full already."""
        now = int(time.monotonic())
        second, taken = self._second
        self._second = (now, taken + 1 if second == now else 1)
        return 0 < self._options.rate < self._second[1]

    def _take(self, event: smpp34.SubmitSmEvent) -> None:
        owner = self._owners.get(event.session_id)
        if owner is None:
            event.reject(smpp34.ESME_RSYSERR)
        elif self._too_fast():
            self.counts["throttled"] += 1
            event.reject(smpp34.ESME_RTHROTTLED)
        elif not event.destination_addr.isdecimal():
            self.counts["refused"] += 1
            event.reject(smpp34.ESME_RINVDSTADR)
        else:
            message_id = f"{self._start}-{next(self._ids):x}"
            self.counts["taken"] += 1
            self._record(event, message_id)
            self._answer_later(event, message_id, self._boxes[owner])
            event.accept(message_id)

    def _answer_later(
        self, event: smpp34.SubmitSmEvent, message_id: str, box: Mailbox
    ) -> None:
        due = time.monotonic() + self._options.delay
        if event.registered_delivery & 3:
            box.put(receipt(event, message_id, due))
        if said := ANSWERS.get(event.destination_addr[-4:]):
            people = (event.destination_addr, event.source_addr)
            box.put(Notice(due, *people, 0, 8, said.encode("utf-16-be"), ()))

    def _record(self, event: smpp34.SubmitSmEvent, message_id: str) -> None:
        if self._options.record is None:
            return
        part, data = payload_of(event)
        codec = "utf-16-be" if event.data_coding == 8 else "latin-1"
        line = {
            "number": event.destination_addr,
            "source": event.source_addr,
            "text": data.decode(codec, "replace"),
            "part": part,
            "message_id": message_id,
        }
        self._options.record.write(json.dumps(line, ensure_ascii=False) + "\n")

    async def watch(self) -> None:
        """Write one line of counts a second while there is something new to say."""
        before: list[str] = []
        while True:
            await asyncio.sleep(1)
            told = [f"{number} {kind}" for kind, number in sorted(self.counts.items())]
            if told != before:
                print(*told, sep=", ", file=sys.stderr, flush=True)
            before = told

    async def stop(self) -> None:
        """Part from every session."""
        for postman in self._postmen.values():
            await postman.stop()
        await self._server.stop()


def payload_of(event: smpp34.SubmitSmEvent) -> tuple[list[int] | None, bytes]:
    """Return the part's reference, total and number, if the text is one of several, and the text's octets."""
    tags = {each.tag: each.value for each in event.tlvs}
    data = event.short_message or tags.get(smpp34.TLV_MESSAGE_PAYLOAD, b"")
    if event.esm_class & 0x40 and data[:3] == b"\x05\x00\x03":
        return list(data[3:6]), data[6:]
    return None, data


def receipt(event: smpp34.SubmitSmEvent, message_id: str, due: float) -> Notice:
    """Return the receipt of a message, in text and in optional parameters, with the sender's reference echoed."""
    number = event.destination_addr
    word, state, error = ENDINGS.get(number[-4:], DELIVERED)
    reached, moment = int(word == "DELIVRD"), time.strftime("%y%m%d%H%M")
    text = (
        f"id:{message_id} sub:001 dlvrd:{reached:03d} submit date:{moment} done date:{moment}"
        f" stat:{word} err:{error} text:"
    )
    echoed = smpp34.TLV_USER_MESSAGE_REFERENCE
    tags = (
        (smpp34.TLV_RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
        (smpp34.TLV_MESSAGE_STATE, bytes((state,))),
        *((tag.tag, tag.value) for tag in event.tlvs if tag.tag == echoed),
    )
    return Notice(due, number, event.source_addr, 4, 0, text.encode(), tags)


async def serve(options: Options) -> None:
    """Run the centre until it is told to end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        inner_port = probe.getsockname()[1]
    server = smpp34.Server("127.0.0.1", inner_port, system_id="centre")
    await server.start()
    centre, doorman = Centre(server, options), Doorman(options, inner_port)
    door = await asyncio.start_server(doorman.receive, options.host, options.port)
    port = door.sockets[0].getsockname()[1]
    print(port if options.print_port else f"listening on port {port}", flush=True)
    fault = await until_told_to_end(centre)
    door.close()
    await centre.stop()
    if fault:
        print(f"the centre fell over: {fault!r}", file=sys.stderr, flush=True)
    # the library's threads outlive their loop and fall over at the interpreter's end
    os._exit(1 if fault else 0)


async def until_told_to_end(centre: Centre) -> BaseException | None:
    """Work until a signal, or until the work falls over; return what it fell over."""
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    work = [asyncio.create_task(each) for each in (centre.serve(), centre.watch())]
    told = asyncio.create_task(ended.wait())
    await asyncio.wait([*work, told], return_when=asyncio.FIRST_COMPLETED)
    return next((task.exception() for task in work if task.done()), None)


def options_from(arguments: list[str]) -> Options:
    """Return what command line and environment say; the command line has the last word."""
    environ = os.environ
    host, _, port = environ.get("GUANHU_SMSC_ADDRESS", "127.0.0.1:7010").rpartition(":")
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--host", default=host)
    parser.add_argument("--port", type=int, default=int(port), help="0 takes any")
    parser.add_argument("--delay", type=float, default=1, help="seconds to a receipt")
    parser.add_argument("--again", type=float, default=10, help="and to the next try")
    parser.add_argument("--rate", type=int, default=0, help="refuse more a second")
    parser.add_argument("--print-port", action="store_true", help="print just that")
    parser.add_argument("--record", type=Path, help="append each message as JSON")
    told = parser.parse_args(arguments)
    state = Path(environ.get("GUANHU_STATE", ".state"))
    secret = Path(environ.get("GUANHU_SECRETS_DIR", state / "secrets"), "smsc-password")
    return Options(
        host=told.host,
        port=told.port,
        system_id=environ.get("GUANHU_SMSC_SYSTEM_ID", "guanhu"),
        password=secret.read_text().strip() if secret.exists() else "guanhu",
        delay=told.delay,
        again=told.again,
        rate=told.rate,
        print_port=told.print_port,
        record=told.record and told.record.open("a", buffering=1, encoding="utf-8"),
    )


if __name__ == "__main__":
    asyncio.run(serve(options_from(sys.argv[1:])))
