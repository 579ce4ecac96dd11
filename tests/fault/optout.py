"""
Lets customers refuse while a batch is being sent to them, and counts at the SMS centre who was written to too late.

Some answer with a word of refusal, for others staff enter that they must not be disturbed; both of people who are
still waiting for their message. Meanwhile the customer service is cut off for a while, so that nobody can know what
was refused there, and the sender is killed once. Times are read from the stores: when the transaction that refused
began, which is before it was committed. A message that reaches the centre more than a second later is late.
"""

import asyncio
import json
import logging
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog
from guanhu.messaging.v1 import batch_pb2

from deploy.localpg import LocalPostgres, free_port
from services.chassis.vault import generate_keys
from services.messaging.delivery.rules import source_of
from tests import messages
from tests.bank import TrialBank
from tests.bench.floors import say
from tests.builders import request_id

ROOT = Path(__file__).parents[2]
PEOPLE = int(os.environ.get("GUANHU_FAULT_PEOPLE", "20000"))
RATE = int(os.environ.get("GUANHU_FAULT_RATE", "1000"))
"""Messages a second that the gateway takes."""

LATE = 1.0
"""Seconds after a refusal was committed by which nothing more is written."""

PLAN_SECONDS, SEND_SECONDS = 120, 300
"""How long planning and sending may take on a busy machine."""

CUT_SECONDS = 3.0
BETWEEN = 0.1
"""Seconds between two refusals of one kind."""

HEADER = struct.Struct(">IIII")
SUBMIT, DELIVER, TRANSCEIVER, UNBIND, ENQUIRE, ANSWER = 4, 5, 9, 6, 0x15, 1 << 31
CONFIRMATION = "您已拒收".encode("utf-16-be")


class Centre:
    """An SMS centre of its own: takes everything, notes when, and lets customers answer."""

    def __init__(self):
        self.arrivals = defaultdict(list)
        self.confirmed = Counter()
        self.port = 0
        self.last = 0.0
        self._writers = set()
        self._count = 0

    async def start(self):
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        try:
            while True:
                length, command, _, sequence = HEADER.unpack(
                    await reader.readexactly(HEADER.size)
                )
                body = await reader.readexactly(length - HEADER.size)
                if not command & ANSWER:
                    self._answer(writer, command, sequence, body)
        except (asyncio.IncompleteReadError, OSError):
            self._writers.discard(writer)
            writer.close()

    def _answer(self, writer, command, sequence, body):
        told = b""
        if command == TRANSCEIVER:
            told = b"centre\0"
        elif command == SUBMIT:
            self._take(body)
            self._count += 1
            told = f"c{self._count}".encode() + b"\0"
        head = HEADER.pack(HEADER.size + len(told), command | ANSWER, 0, sequence)
        writer.write(head + told)

    def _take(self, body):
        now = time.time()
        _service, rest = body.split(b"\0", 1)
        _source, rest = rest[2:].split(b"\0", 1)
        dest = rest[2:].split(b"\0", 1)[0].decode()
        if CONFIRMATION in body:
            self.confirmed[dest] += 1
        else:
            self.arrivals[dest].append(now)
            self.last = now

    def hear(self, mobile, dest, text):
        """Deliver a customer's message over the session that is there; return whether there was one."""
        data = text.encode("utf-16-be")
        ends = b"\0\1\1" + mobile.encode() + b"\0\1\1" + dest.encode() + b"\0"
        body = ends + b"\0\0\0\0\0\0\0\x08\0" + bytes([len(data)]) + data
        for writer in self._writers:
            self._count += 1
            head = HEADER.pack(HEADER.size + len(body), DELIVER, 0, self._count)
            writer.write(head + body)
            return True
        return False

    async def stop(self):
        """Close everything."""
        self._server.close()
        for writer in self._writers:
            writer.close()


class Door:
    """The way to the customer service, which can be shut: whoever stands in it is thrown out, nobody comes in."""

    def __init__(self, address):
        self._host, self._port = address.split(":")
        self._tasks, self._writers = set(), set()
        self._server = None
        self.address = f"127.0.0.1:{free_port()}"

    async def open(self):
        """Let calls through."""
        host, port = self.address.split(":")
        self._server = await asyncio.start_server(self._lead, host, int(port))
        return self

    async def _lead(self, reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(
            self._host, int(self._port)
        )
        self._writers |= {writer, inner_writer}
        for one, other in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(self._copy(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _copy(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def shut(self):
        """Let nobody through."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@dataclass
class Course:
    """What happened on the way, by the machine's clock."""

    replies: list = field(default_factory=list)
    flags: list = field(default_factory=list)
    cut: tuple = ()
    kills: int = 0


def environment(town, centre, door, folder, rate):
    """Return the environment of the worker."""
    frame = town.messaging.frame
    own, shared = frame.settings.own, frame.settings.shared
    gateway = {
        "name": "demo",
        "address": f"127.0.0.1:{centre.port}",
        "system_id": "guanhu",
        "window": 100,
        "rate": rate,
    }
    told = {key: value for key, value in os.environ.items() if "GUANHU" not in key}
    return {
        **told,
        "PYTHONPATH": ".:protos",
        "GUANHU_STATE": str(folder / "state"),
        "GUANHU_SECRETS_DIR": str(shared.secrets_dir),
        "GUANHU_DEMONSTRATION": "true",
        "GUANHU_MESSAGING_DSN": own.dsn,
        "GUANHU_MESSAGING_BULK_DSN": own.bulk_dsn,
        "GUANHU_MESSAGING_GATEWAYS": json.dumps([gateway]),
        "GUANHU_ALLOCATION_ADDRESS": town.allocation.address,
        "GUANHU_CUSTOMER_ADDRESS": door.address,
        "GUANHU_ENGAGEMENT_ADDRESS": f"127.0.0.1:{free_port()}",
    }


def worker(told, log):
    """Start the service's worker as a process of its own."""
    command = [sys.executable, "-m", "services.messaging", "work"]
    return subprocess.Popen(command, cwd=ROOT, env=told, stdout=log, stderr=log)


class Trial:
    """One batch under way, and those who refuse it."""

    def __init__(self, town, batch, numbers, centre, dice):
        self.town, self.batch, self.numbers = town, batch, numbers
        self.centre, self.dice = centre, dice
        self.course = Course()
        self.ended = asyncio.Event()
        self._chosen = set()

    def _somebody(self):
        """Return somebody who still waits for the message and has not refused, or nobody."""
        for _ in range(50):
            number = self.dice.choice(self.numbers)
            waits = f"86{messages.mobile_of(number)}" not in self.centre.arrivals
            if waits and number not in self._chosen:
                self._chosen.add(number)
                return number
        return ""

    async def answer(self):
        """Let one after the other answer with a word of refusal."""
        dest = source_of("95599", UUID(self.batch.name.partition("/")[2]))
        while not self.ended.is_set():
            number = self._somebody()
            mobile = f"86{messages.mobile_of(number)}" if number else ""
            if number and self.centre.hear(mobile, dest, self.dice.choice("RrＲ")):
                self.course.replies.append(number)
            await asyncio.sleep(BETWEEN)

    async def flag(self):
        """Have staff enter of one after the other that they must not be disturbed."""
        while not self.ended.is_set():
            if number := self._somebody():
                await messages.refuse(self.town, number)
                self.course.flags.append(number)
            await asyncio.sleep(BETWEEN)

    async def until(self, share, seconds=SEND_SECONDS):
        """Wait until this share of the people was written to, or the batch has ended."""
        ends = time.monotonic() + seconds
        while len(self.centre.arrivals) < share * len(self.numbers):
            if time.monotonic() > ends:
                raise RuntimeError(f"{share:.0%} were not reached in time")
            await asyncio.sleep(0.02)

    async def finished(self, seconds=SEND_SECONDS):
        """Wait for the end of the batch, and return it as it stands."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found = await messages.get(self.town, self.batch)
            if found.state == batch_pb2.BATCH_STATE_FINISHED:
                return found
            await asyncio.sleep(0.2)
        raise RuntimeError("the batch did not end in time")


async def a_town(bank, people):
    """Serve the services, with people who may be greeted, and a batch that greets them all."""
    allocation = await messages.allocation_of(bank)
    numbers = [f"{number:05}" for number in range(1, people + 1)]
    town = await messages.start(bank, numbers)
    town.allocation = allocation
    bank._addresses.pop("allocation")
    await messages.set_parameter(town, "sms_hours", '{"from": 0, "to": 24}')
    await messages.set_parameter(town, "approval_size", "1000000")
    template = await messages.approved(town, purpose=messages.CARE)
    group = await messages.a_group(town, *numbers)
    asked = batch_pb2.PlanBatchRequest(
        template=template.name,
        groups=[group.name],
        unknown_policy=batch_pb2.UNKNOWN_POLICY_AT_MOST_ONCE,
        request_id=request_id(),
    )
    batch = await messages.batches(town).PlanBatch(asked, timeout=PLAN_SECONDS)
    return town, numbers, batch


async def try_it(bank, folder, *, people, rate, seed=20261124):
    """Send, refuse, cut and kill; return what came of it, by name."""
    centre = await Centre().start()
    town, numbers, batch = await a_town(bank, people)
    door = await Door(town.customer.address).open()
    told = environment(town, centre, door, folder, rate)
    trial = Trial(town, batch, numbers, centre, random.Random(seed))
    with (folder / "worker.log").open("wb") as log:
        process = worker(told, log)
        refusing = [asyncio.create_task(one()) for one in (trial.answer, trial.flag)]
        try:
            await messages.confirm(town, batch)
            await trial.until(0.3)
            await cut(trial, door)
            await trial.until(0.6)
            process.kill()
            process.wait()
            trial.course.kills += 1
            process = worker(told, log)
            done = await trial.finished()
            trial.ended.set()
            await asyncio.gather(*refusing)
            await asyncio.sleep(2 * LATE)
            return await judged(trial, done)
        finally:
            for task in refusing:
                task.cancel()
            process.terminate()
            process.wait()
            await door.shut()
            await centre.stop()
            await messages.stop(town)


async def cut(trial, door):
    """Cut the customer service off for a while, and note when."""
    begun = time.time()
    await door.shut()
    await asyncio.sleep(CUT_SECONDS)
    trial.course.cut = (begun, time.time())
    await door.open()


async def told_times(trial):
    """Return when refusals began to be stored, by mobile: before their commit."""
    flags = await trial.town.customer.sql(
        "SELECT number, min(create_time) AS moment FROM consents WHERE act = 1 AND recorder LIKE 'staff/%' GROUP BY 1"
    )
    replies = await trial.town.messaging.sql(
        "SELECT number, min(update_time) AS moment FROM inbounds WHERE kind = 2 GROUP BY 1"
    )
    return {
        f"86{messages.mobile_of(row['number'])}": row["moment"].timestamp()
        for row in (*flags, *replies)
    }


async def judged(trial, done):
    """Return what was counted."""
    centre, course = trial.centre, trial.course
    told = await told_times(trial)
    after = {
        mobile: arrival - moment
        for mobile, moment in told.items()
        for arrival in centre.arrivals.get(mobile, ())
        if arrival > moment
    }
    begun, ended = course.cut
    within = [
        arrival - begun
        for arrivals in centre.arrivals.values()
        for arrival in arrivals
        if begun < arrival < ended
    ]
    meant = {f"86{messages.mobile_of(one)}" for one in trial.numbers}
    return {
        "recipients": len(trial.numbers),
        "refusals": len(told),
        "by_reply": len(course.replies),
        "by_flag": len(course.flags),
        "late_sends": sum(seconds > LATE for seconds in after.values()),
        "worst_ms": round(1000 * max(after.values(), default=0)),
        "sent_after_refusal": len(after),
        "kills": course.kills,
        "cut_seconds": round(ended - begun, 1),
        "sent_until_ms_after_cut": round(1000 * max(within, default=0)),
        "doubles": sum(len(found) > 1 for found in centre.arrivals.values()),
        "missed": len(meant - set(centre.arrivals) - set(told)),
        "unknown": done.unknown_count,
        "excluded": done.excluded_count,
        "confirmed": sum(centre.confirmed.values()),
        "confirmed_twice": sum(count > 1 for count in centre.confirmed.values()),
    }


def good(found):
    """Say whether nobody was written to late, also while nothing could be known, nor forgotten, nor doubled."""
    return (
        not found["late_sends"]
        and found["refusals"] > 0
        and found["sent_until_ms_after_cut"] <= 1000 * LATE
        and not found["doubles"]
        and not found["confirmed_twice"]
        and found["missed"] <= found["unknown"]
    )


def prepared(folder):
    """Return the folder, open to PostgreSQL's own user, and the folder of secrets in it."""
    folder.chmod(0o755)
    secrets = folder / "secrets"
    generate_keys(secrets)
    (secrets / "start-up-secret").write_text("trial-start-up-secret")
    (secrets / "smsc-password").write_text("trial")
    return folder, secrets


async def main():
    """Make a bank, try it, and say what came of it."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    with tempfile.TemporaryDirectory(prefix="guanhu-optout-") as place:
        folder, secrets = prepared(Path(place))
        postgres = LocalPostgres(folder / "server").start()
        try:
            bank = TrialBank(postgres, secrets)
            found = await try_it(bank, folder, people=PEOPLE, rate=RATE)
        finally:
            postgres.stop()
    say(fault="optout", **found)
    return good(found)


if __name__ == "__main__":
    raise SystemExit(0 if asyncio.run(main()) else 1)
