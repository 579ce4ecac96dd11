"""A large batch on its way through a sender in a process of its own, to a centre that writes down what it accepts."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

from guanhu.messaging.v1 import batch_pb2
from uuid_utils.compat import uuid7

from deploy.localpg import free_port
from services.chassis.caller import Caller
from services.customer.__main__ import SERVICE as CUSTOMER
from services.messaging.__main__ import SERVICE
from services.messaging.batch.actions import change as changes
from services.messaging.batch.actions import plan as plans
from services.messaging.batch.rules import Person
from tests.messages import approved, with_tokens

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "fault"
NODE_FOLDER = ROOT / ".make" / "node"
NODE_SMPP = "smpp@0.5.1"
INSTALL_SECONDS = 120

PLANNER = Caller("staff/teller", frozenset({1}), 2, 101, (101,))
MANAGER = Caller("staff/manager", frozenset({1}), 2, 101, (101,))


def npm_smpp():
    """Return Node and the folder of npm's smpp, fetched at the first use; None where either cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    module = NODE_FOLDER / "node_modules" / "smpp"
    if node and npm and not module.exists():
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        flags = ["--no-audit", "--no-fund", f"--prefix={NODE_FOLDER}"]
        command = [npm, "install", *flags, NODE_SMPP]
        subprocess.run(
            command, capture_output=True, check=False, timeout=INSTALL_SECONDS
        )
    return (node, str(module)) if node and module.exists() else None


class Centre:
    """
    A centre in a process of its own that can be killed and started again on its port, and still knows what it took.

    ``name`` says whose it is: npm's smpp where *node* allows it and Node is found, else PyPI's smpp34.
    """

    def __init__(self, folder, *, receipts=0.3, record=True, node=True):
        found = npm_smpp() if node else None
        self.name = "npm smpp" if found else "smpp34"
        program = (
            [found[0], str(SCRIPTS / "centre.js"), found[1]]
            if found
            else [sys.executable, str(SCRIPTS / "centre.py"), "-"]
        )
        self.record = Path(folder) / "accepted"
        self.port = free_port()
        told = str(self.record) if record else "-"
        seconds = "-" if receipts is None else str(receipts)
        self._command = [*program, str(self.port), told, seconds]
        self._read, self._rest, self._numbers = 0, b"", Counter()
        if record:
            self.record.touch()

    def start(self):
        """Start it, and return when it listens."""
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if not self.process.stdout.readline():
            raise RuntimeError("the centre did not start")
        return self

    def tell(self, line):
        """Give it a line."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def count(self):
        """Return how many messages it has accepted since its start."""
        self.tell("count")
        return int(self.process.stdout.readline())

    def end(self):
        """Kill it without a word."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def accepted(self):
        """Return how often each number was accepted, by the record."""
        with self.record.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        self._read += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        self._numbers.update(
            line.split(b" ")[2].decode() for line in lines if line.startswith(b"A ")
        )
        return self._numbers


async def a_town(bank):
    """Serve messaging with what its senders follow: a customer service, and allocation, whose tokens let them in."""
    customer, messaging = await bank.serve(CUSTOMER), await bank.serve(SERVICE)
    return await with_tokens(
        bank, SimpleNamespace(customer=customer, messaging=messaging)
    )


def mobiles(people):
    """Return the mobile numbers of a large batch, as the world writes them."""
    return [f"86139{n:08}" for n in range(people)]


async def large_batch(town, people, *, policy=1):
    """Return the name of a batch of *people* that is being sent, planned without asking for them one by one."""
    template = await approved(town, name=f"大批 {uuid7()}")
    frame = town.messaging.frame
    asked = plans.Asked(
        template_id=UUID(template.name.partition("/")[2]),
        groups=(),
        schedule_time=None,
        gateway="",
        unknown_policy=policy,
    )
    ready = await plans.prepare(frame.uow, PLANNER, asked=asked)
    crowd = [
        Person(f"{n:06}", f"139{n:08}", f"李{n:06}", 1, "teller") for n in range(people)
    ]
    draft = await plans.draft(
        frame.uow,
        PLANNER,
        frame.vault,
        batch_id=uuid7(),
        asked=asked,
        ready=ready,
        crowd=plans.Crowd(crowd, "营业部", {}),
    )
    await plans.write(frame.bulk, PLANNER, asked=asked, ready=ready, draft=draft)
    seen = changes.Seen(draft.batch_id, 1, draft.digest)
    shown = await changes.confirm(frame.uow, PLANNER, seen=seen)
    if shown.row.state == batch_pb2.BATCH_STATE_AWAITING_APPROVAL:
        seen = changes.Seen(draft.batch_id, shown.row.version, draft.digest)
        await changes.approve(frame.uow, MANAGER, seen=seen)
    return batch_pb2.Batch(name=f"batches/{draft.batch_id}")


def environment(town, port, state, *, gateway=None, **more):
    """Return the environment of a sender that hands over to the centre at *port*, and is impatient."""
    settings = town.messaging.frame.settings
    own, shared = settings.own, settings.shared
    (shared.secrets_dir / "smsc-password").write_text("trial")
    told = {
        "name": "demo",
        "address": f"127.0.0.1:{port}",
        "system_id": "guanhu",
        "validity_seconds": 2,
        "final_receipt_after": 2,
        **(gateway or {}),
    }
    kept = {key: value for key, value in os.environ.items() if "GUANHU" not in key}
    return {
        **kept,
        "PYTHONPATH": ".:protos",
        "GUANHU_STATE": str(state),
        "GUANHU_SECRETS_DIR": str(shared.secrets_dir),
        "GUANHU_DEMONSTRATION": "true",
        "GUANHU_MESSAGING_DSN": own.dsn,
        "GUANHU_MESSAGING_BULK_DSN": own.bulk_dsn,
        "GUANHU_MESSAGING_GATEWAYS": json.dumps([told]),
        "GUANHU_MESSAGING_RECEIPT_GRACE": "2",
        "GUANHU_MESSAGING_FENCE_STEADY": "1",
        "GUANHU_ALLOCATION_ADDRESS": town.allocation.address,
        "GUANHU_CUSTOMER_ADDRESS": town.customer.address,
        "GUANHU_ENGAGEMENT_ADDRESS": f"127.0.0.1:{free_port()}",
        **more,
    }


class Worker:
    """The service's worker as a process of its own."""

    def __init__(self, told, log):
        self._log = Path(log).open("ab")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.messaging", "work"],
            cwd=ROOT,
            env=told,
            stdout=self._log,
            stderr=self._log,
        )

    def cpu_seconds(self):
        """Return the processor time it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        """Kill it without a word."""
        self._end(signal.SIGKILL)

    def stop(self):
        """Let it end by itself."""
        self._end(signal.SIGTERM)

    def _end(self, how):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait()
        self._log.close()


async def until(condition, seconds=60, pause=0.02):
    """Wait until *condition* holds; raises AssertionError when it does not come to that in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return
        await asyncio.sleep(pause)
    raise AssertionError("it never came to that")
