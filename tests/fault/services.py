"""
Kills services and PostgreSQL's processes while a branch works, and counts what was lost, doubled or left different.

Branch managers give customers away and owners record contacts, each with a request id that is sent again until it is
answered, as the callers of a bank do. Meanwhile one process after the other is killed without a word and started
again; every third time it is a process of PostgreSQL, which then recovers from its log. At the end, when nothing is
under way any more: every answer that was given must hold, once, and all services must say the same.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import grpc
from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import customer_pb2
from guanhu.engagement.v1 import work_log_pb2
from guanhu.engagement.v1.work_log_pb2_grpc import WorkLogServiceStub

from deploy import local, processes
from deploy.demo.bank import BRANCHES, Bank
from deploy.demo.load import begun, load_bank
from deploy.demo.speaking import Line, Speaker
from deploy.localpg import LocalPostgres
from services.chassis.clock import system_clock
from services.chassis.wiretypes import time_to
from tests.bench.floors import say
from tests.e2e.test_local import environment

KILLS = int(os.environ.get("GUANHU_FAULT_KILLS", "24"))
PAUSE = (0.8, 2.5)
"""Seconds between two kills: enough that something is under way again."""

VICTIMS = ("customer", "allocation", "engagement")
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
"""Answers after which a caller cannot know, and asks again with the same request id."""

FAULTY = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
"""Answers that no kill excuses; they are counted, and asked again."""

QUIET_SECONDS = 120


@dataclass
class Work:
    """What callers were told: owners by customer, contacts by customer, and how often they had to ask again."""

    owners: dict = field(default_factory=dict)
    contacts: Counter = field(default_factory=Counter)
    tries: Counter = field(default_factory=Counter)
    faulty: Counter = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)


class Town:
    """The processes of a bank, any of which can be killed and started again."""

    def __init__(self, told, postgres, state):
        """Take the environment, the store, and where logs go."""
        self.told, self.postgres, self.logs = told, postgres, state / "logs"
        self.rows = {
            row.name: row for row in processes.rows(told) if row.name in VICTIMS
        }
        self.tie = os.pipe()
        self.running = {}

    def start(self, *names):
        """Start processes and wait until they are well."""
        for name in names:
            self.running[name] = processes.Running(
                self.rows[name], self.told, self.logs, self.tie[0]
            )
        end = time.monotonic() + 30
        for name in names:
            while not self.running[name].healthy():
                if time.monotonic() > end:
                    raise RuntimeError(f"{name} did not come back")
                time.sleep(0.05)

    def kill(self, name):
        """Kill one process without a word, and start it again."""
        self.running[name].process.kill()
        self.running[name].process.wait()
        self.start(name)

    def stop(self):
        """Stop all."""
        for one in self.running.values():
            one.tell_to_end()
            one.wait()

    async def rows_of(self, service, sql):
        """Return what a service's store holds, as nobody but PostgreSQL's own user sees it."""
        connection = await asyncpg.connect(self.postgres.dsn(f"guanhu_{service}"))
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()


def until_answered(work, kind, ask):
    """Return the answer of *ask*, asked again as long as nobody knows; refusals are raised."""
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            if error.code() not in AGAIN | FAULTY:
                raise
            if error.code() in FAULTY:
                work.faulty[f"{kind} {error.details()}"] += 1
            work.tries[kind] += 1
            time.sleep(0.1)


def assign(town, work, manager, owners, numbers, dice):
    """Give customers away in small batches until there are none left or the work ends."""
    line = Line(town.told)
    speaker = Speaker(line, *manager)
    while numbers and not work.ended.is_set():
        batch = [numbers.pop() for _ in range(min(len(numbers), dice.randint(1, 8)))]
        owner = dice.choice(owners)
        request = ownership_pb2.AssignCustomersRequest(
            customers=[
                ownership_pb2.SeenCustomer(customer=f"customers/{number}")
                for number in batch
            ],
            owner=f"staff/{owner}",
            mode=customer_pb2.MAINTENANCE_MODE_PROFESSIONAL,
            reason="故障测试",
            request_id=str(uuid.uuid4()),
        )
        answer = until_answered(
            work,
            "assign",
            lambda asked=request: speaker.call(
                "allocation", OwnershipServiceStub, "AssignCustomers", asked
            ),
        )
        left = {one.customer.partition("/")[2] for one in answer.skipped}
        work.owners.update({one: owner for one in batch if one not in left})
        time.sleep(0.3)
    line.close()


def record(town, work, who, dice):
    """Record contacts with customers of one's own until the work ends."""
    line = Line(town.told)
    speaker = Speaker(line, *who)
    while not work.ended.is_set():
        mine = [
            number for number, owner in list(work.owners.items()) if owner == who[0]
        ]
        if not mine:
            time.sleep(0.1)
            continue
        number = dice.choice(mine)
        request = work_log_pb2.RecordContactRequest(
            customer=f"customers/{number}",
            contact=customer_pb2.Contact(
                contact_time=time_to(system_clock()),
                channel=customer_pb2.CHANNEL_CALL,
                result=customer_pb2.CONTACT_RESULT_REACHED,
            ),
            event_type=6,
            content="故障测试",
            request_id=str(uuid.uuid4()),
        )
        try:
            until_answered(
                work,
                "record",
                lambda asked=request: speaker.call(
                    "engagement", WorkLogServiceStub, "RecordContact", asked
                ),
            )
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:  # not heard of them yet
                raise
            time.sleep(0.05)
            continue
        work.contacts[number] += 1
        time.sleep(0.02)
    line.close()


def crash_store(town, dice):
    """Kill one of PostgreSQL's processes that serve somebody: the server falls, and recovers from its log."""
    lock = town.logs.parent / "postgres" / "data" / "postmaster.pid"
    postmaster = int(lock.read_text().splitlines()[0])
    served = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and parent_of(entry) == postmaster
    ]
    named = [pid for pid in served if b"guanhu_" in command_of(pid)]
    os.kill(dice.choice(named or served), signal.SIGKILL)


def parent_of(entry):
    """Return the parent of a process, 0 when it has gone."""
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_of(pid):
    """Return how a process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kills(town, dice):
    """Kill one after the other; return how many of each."""
    done = Counter()
    for turn in range(KILLS):
        time.sleep(dice.uniform(*PAUSE))
        name = "postgresql" if turn % 3 == 2 else dice.choice(VICTIMS)
        if name == "postgresql":
            crash_store(town, dice)
        else:
            town.kill(name)
        done[name] += 1
        print(f"kill {turn + 1}/{KILLS}: {name}", file=sys.stderr, flush=True)
    return done


OWNERS = {
    "customer": "SELECT number, owner FROM customers WHERE owner <> '' ORDER BY number",
    "allocation": "SELECT number, owner FROM ownerships WHERE state = 3 OR owner <> '' ORDER BY number",
    "engagement": "SELECT number, owner FROM portfolio WHERE owner <> '' ORDER BY number",
}
WAITING = """
    SELECT (SELECT count(*) FROM errands WHERE done_time IS NULL) AS errands,
        (SELECT count(*) FROM parked_events WHERE done_time IS NULL) AS parked"""


async def owners_by_service(town):
    """Return who owns whom, as each service says."""
    found = {}
    for service, sql in OWNERS.items():
        rows = await town.rows_of(service, sql)
        found[service] = {row["number"]: row["owner"] for row in rows}
    return found


async def quiet(town):
    """Wait until no errand waits and all services say the same; return what each says."""
    end = time.monotonic() + QUIET_SECONDS
    while True:
        found = await owners_by_service(town)
        waiting = [
            (await town.rows_of(service, WAITING))[0]["errands"] for service in OWNERS
        ]
        same = found["customer"] == found["allocation"] == found["engagement"]
        if (same and not any(waiting)) or time.monotonic() > end:
            return found
        await asyncio.sleep(0.5)


def differences(found):
    """Return how many customers are not looked after by the same person in all services."""
    numbers = set().union(*found.values())
    return sum(
        len({known.get(number, "") for known in found.values()}) > 1
        for number in numbers
    )


async def judge(town, work, done):
    """Count what the answers promised against what is there."""
    found = await quiet(town)
    logs = await town.rows_of(
        "engagement", "SELECT number, count(*) AS n FROM work_logs GROUP BY number"
    )
    written = {row["number"]: row["n"] for row in logs}
    parked = sum(
        [(await town.rows_of(service, WAITING))[0]["parked"] for service in OWNERS]
    )
    lost = sum(found["allocation"].get(one) != who for one, who in work.owners.items())
    short = sum(
        max(0, count - written.get(one, 0)) for one, count in work.contacts.items()
    )
    double = sum(max(0, count - work.contacts[one]) for one, count in written.items())
    say(
        fault="services",
        kills=sum(done.values()),
        kills_by_victim=dict(done),
        assigned=len(work.owners),
        contacts=sum(work.contacts.values()),
        asked_again=sum(work.tries.values()),
        lost=lost + short,
        doubled=double,
        differences=differences(found),
        parked=parked,
        faulty=dict(work.faulty),
    )
    return not (lost or short or double or differences(found) or parked or work.faulty)


def main():
    """Load a bank, let it work under fire, and judge."""
    dice = random.Random(int(os.environ.get("GUANHU_FAULT_SEED", "20261124")))
    folder = Path(tempfile.mkdtemp(prefix="guanhu-fault-"))
    folder.chmod(0o755)
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        installation = local.Installation(
            folder / "state", environment(folder / "state")
        )
        installation.prepare()
        postgres = LocalPostgres(installation.state / "postgres").start()
        opened.callback(postgres.stop)
        sources = asyncio.run(local.databases(installation, postgres))
        found = processes.rows(installation.environ)
        told = local.environment(installation, found, sources)
        good = under_fire(Town(told, postgres, installation.state), dice)
    raise SystemExit(0 if good else 1)


def under_fire(town, dice):
    """Start the services, work and kill, and judge; return whether all was well."""
    town.start(*VICTIMS)
    try:
        state = town.logs.parent
        operators = load_bank(town.told, state, partial(print, file=sys.stderr))
        work = Work()
        staff = Bank(begun(state / "demonstration")).staff
        threads = at_work(town, work, staff, operators[0]["password"])
        for one in threads:
            one.start()
        done = kills(town, dice)
        time.sleep(2)
        work.ended.set()
        for one in threads:
            one.join(60)
        if any(one.is_alive() for one in threads):
            raise RuntimeError("a caller was never answered")
        return asyncio.run(judge(town, work, done))
    finally:
        town.stop()


def at_work(town, work, staff, password):
    """Return the threads of the bank at work: in each branch one who assigns, and one who records."""
    threads = []
    line = Line(town.told)
    for place in BRANCHES:
        here = [one for one in staff if one.branch_id == place.branch_id]
        manager = next(one for one in here if one.post == "BRANCH_MANAGER").staff_id
        owners = [one.staff_id for one in here if one.post == "CUSTOMER_MANAGER"]
        numbers = waiting_in(Speaker(line, manager, password), place.branch_id)
        dice = random.Random(place.branch_id)
        dice.shuffle(numbers)
        who = (manager, password)
        threads += [
            threading.Thread(
                target=assign, args=(town, work, who, owners, numbers, dice)
            ),
            threading.Thread(
                target=record, args=(town, work, (owners[0], password), dice)
            ),
        ]
    line.close()
    return threads


def waiting_in(manager, branch_id):
    """Return the numbers of all customers without an owner in a branch."""
    numbers, token = [], ""
    while True:
        request = ownership_pb2.ListUnassignedRequest(
            page_size=500, page_token=token, branch_id=branch_id
        )
        page = manager.call(
            "allocation", OwnershipServiceStub, "ListUnassigned", request
        )
        numbers += [one.customer.partition("/")[2] for one in page.ownerships]
        token = page.next_page_token
        if not token:
            return numbers


if __name__ == "__main__":
    main()
