"""The whole bank on one machine: it starts, keeps its data, stops in reverse, and tells what is wrong."""

import asyncio
import errno
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from guanhu.customer.v1 import customer_pb2
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub

from deploy import local, processes, roles
from deploy.localpg import LocalPostgres, LocalPostgresError, free_port
from services.chassis.config import SERVICES
from tests.bank import PASSWORDS

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "deploy/local.py"]
FIRST_SECONDS, SECOND_SECONDS = 60, 8
"""How long a start may take on a machine that has nothing else to do."""

SHARED = 2
"""Tests share their machine: a start may take so many times as long before it counts as slow."""

LAST_LINE = "Ctrl-C stops the bank."
POSTS = {
    "branch_manager",
    "lobby_manager",
    "customer_manager",
    "open_counter_teller",
    "closed_counter_teller",
    "lobby_assistant",
    "remote_authorizer",
    "signing_approver",
    "auditor",
    "operator",
}


def environment(state, **more):
    """Return the environment of a start on free ports, with its state in *state*."""
    told = {key: value for key, value in os.environ.items() if "GUANHU" not in key}
    for name in (*SERVICES, "smsc", "portal"):
        told[f"GUANHU_{name.upper()}_ADDRESS"] = f"127.0.0.1:{free_port()}"
        told[f"GUANHU_{name.upper()}_METRICS_PORT"] = str(free_port())
    told |= {"PYTHONPATH": ".:protos", "GUANHU_STATE": str(state), "TZ": "UTC"}
    return {**told, **more}


class Start:
    """One start of the bank: its lines, as they come, up to the first that holds *until*."""

    def __init__(self, told, until=LAST_LINE):
        self.told = told
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [*COMMAND, "run"],
            cwd=ROOT,
            env=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if until in line:
                break
        self.seconds = time.monotonic() - self.begun
        if until not in self.lines[-1]:
            self.process.communicate()
            pytest.fail("\n".join(self.lines))

    def address(self, name):
        """Return where *name* listens, as printed."""
        return next(
            line.split()[1] for line in self.lines if line.startswith(f"{name} ")
        )

    @property
    def names(self):
        """Return the processes that came up, in the order in which they were told."""
        return re.findall(r"\] (\w+) is up$", "\n".join(self.lines), re.MULTILINE)

    @property
    def operators(self):
        """Return number and password by post."""
        told = [line.split() for line in self.lines if line.startswith("operator ")]
        return {post: (number, password) for _, post, number, password, *_ in told}

    def stop(self):
        """Press Ctrl-C once and return the lines that follow."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=60)
        return rest.splitlines()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The environment of all starts; pytest's folders are closed to others, as a home is."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    return environment(folder / "state")


@pytest.fixture(scope="module")
def first(told):
    """The first start."""
    started = Start(told)
    yield started
    if started.process.poll() is None:
        started.stop()


def customers_seen(start, post="branch_manager"):
    """Return how many customers somebody of this post sees, after signing in as printed."""
    number, password = start.operators[post]
    request = identity_pb2.SignInRequest(operator_no=number, password=password)
    with grpc.insecure_channel(start.address("allocation")) as channel:
        token = IdentityServiceStub(channel).SignIn(request, timeout=10).token
    with grpc.insecure_channel(start.address("customer")) as channel:
        asked = customer_pb2.ListCustomersRequest(page_size=1)
        pairs = [("authorization", f"Bearer {token}")]
        stub = CustomerServiceStub(channel)
        return stub.ListCustomers(asked, metadata=pairs, timeout=10).total_size


def command(name, told):
    """Run one command to its end and return status and lines."""
    done = subprocess.run(
        [*COMMAND, name],
        cwd=ROOT,
        env=told,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_the_first_start_tells_addresses_and_one_operator_per_post(first):
    """Within a minute there is a portal, an address per service, and somebody of every post to sign in as."""
    assert first.seconds < FIRST_SECONDS * SHARED
    assert first.address("portal").startswith("http://127.0.0.1:")
    for name in set(first.names) - {"portal"}:
        assert first.address(name) == first.told[f"GUANHU_{name.upper()}_ADDRESS"]
    assert {"customer", "allocation", "smsc", "portal"} <= set(first.names)
    assert set(first.operators) == POSTS


def test_everything_that_was_told_is_well(first):
    """The services say SERVING and show figures, the portal answers, the SMS centre takes connections."""
    for name in set(first.names) & set(SERVICES):
        with grpc.insecure_channel(first.address(name)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        metrics = http.client.HTTPConnection(
            "127.0.0.1", int(first.told[f"GUANHU_{name.upper()}_METRICS_PORT"])
        )
        metrics.request("GET", "/metrics")

        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert b"rpc_server_call_duration" in metrics.getresponse().read()
        metrics.close()
    portal = http.client.HTTPConnection(first.address("portal").removeprefix("http://"))
    portal.request("GET", "/healthz")

    assert portal.getresponse().status == http.HTTPStatus.OK
    portal.close()
    host, port = first.address("smsc").split(":")
    socket.create_connection((host, int(port)), timeout=2).close()


def test_the_demonstration_bank_is_in(first):
    """The first branch's manager sees its customers, and the auditor sees all that were ever opened."""
    seen = customers_seen(first)
    every = customers_seen(first, "auditor")

    assert every == 6000
    assert 2000 < seen < 3000


def test_a_state_in_use_is_told_with_the_process_that_uses_it(first):
    """A second start on the same state says who holds it, and leaves it alone."""
    other = environment(first.told["GUANHU_STATE"])

    status, lines = command("run", other)

    assert status == 1
    assert lines == [
        f"The bank in {first.told['GUANHU_STATE']} is in use by process {first.process.pid}: stop that first."
    ]


def test_a_taken_port_is_told_with_what_would_move_ours(first, tmp_path):
    """Before anything is started, the port, whose it would be, and the setting are named."""
    taken = first.told["GUANHU_CUSTOMER_ADDRESS"]
    other = environment(tmp_path / "state", GUANHU_CUSTOMER_ADDRESS=taken)

    status, lines = command("run", other)

    assert status == 1
    port = taken.split(":")[1]
    assert " ".join(lines) == (
        f"Port {port} for customer is taken by another program:"
        " stop that one, or set GUANHU_CUSTOMER_ADDRESS to another host:port."
    )


def test_the_bank_stops_in_reverse_and_starts_again_quickly_with_its_data(first):
    """Ctrl-C ends everything, the last started first; the second start has all customers and the same people."""
    seen, operators, names = customers_seen(first), first.operators, first.names
    stopped = [line.split("] ")[1].removesuffix(" is down") for line in first.stop()]

    second = Start(first.told)
    try:
        assert first.process.returncode == 0
        assert stopped[0] == "portal"
        assert set(stopped[:-1]) == set(names)
        rows = [row.name for row in processes.rows(first.told)]
        assert stopped == [*reversed(rows), "PostgreSQL"]
        assert customers_seen(second) == seen
        assert second.operators == operators
        assert second.seconds < SECOND_SECONDS * SHARED
    finally:
        second.stop()


def test_nothing_survives_a_start_that_is_killed(first):
    """Killed without a word, the start takes its processes with it, and the next command finds the state free."""
    start = Start(first.told)
    ports = [
        int(start.address(name).rsplit(":", 1)[1])
        for name in dict.fromkeys(start.names)
    ]
    start.process.kill()
    start.process.wait()
    start.process.stdout.close()

    end = time.monotonic() + 30
    while time.monotonic() < end and any(map(listens, ports)):
        time.sleep(0.1)

    assert not any(map(listens, ports))
    status, lines = command("migrate", first.told)
    assert status == 0, lines


def test_a_start_right_after_one_that_was_killed_takes_its_state_over(first):
    """Without waiting for anything, the next start says that it takes over, waits for what is dying, and works."""
    killed = Start(first.told)
    killed.process.kill()
    killed.process.communicate()

    start = Start(first.told)
    try:
        assert start.lines[0].endswith(
            "the start before was killed: its state is taken over"
        )
        assert customers_seen(start, "auditor") == 6000
    finally:
        start.stop()
    assert start.process.returncode == 0


def test_a_load_that_was_broken_off_goes_on(tmp_path):
    """Killed between two days, the demonstration bank is completed by the next start, and nothing is in it twice."""
    told = environment(tmp_path / "state")
    broken = Start(told, until="snapshot of")
    broken.process.kill()
    broken.process.communicate()

    start = Start(told)
    try:
        days = [line for line in start.lines if "snapshot of" in line]

        assert len(days) == 9
        assert customers_seen(start, "auditor") == 6000
        assert any("15 groups have members" in line for line in start.lines)
        assert set(start.operators) == POSTS
    finally:
        start.stop()


def listens(port):
    """Say whether somebody listens on *port*."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_lock_that_a_dead_server_left_is_told_when_its_number_lives_on(first):
    """PostgreSQL's lock with the number of another living program cannot be passed; the sentence says what to do."""
    lock = Path(first.told["GUANHU_STATE"]) / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n")

    status, lines = command("migrate", first.told)
    lock.unlink()

    assert status == 1
    assert lines[-1] == (
        f"A server that died left the lock {lock}, and process {os.getpid()} is now another program:"
        " delete that file and start again."
    )


def test_a_reset_wipes_the_state_and_nothing_else(first, tmp_path):
    """The state is gone afterwards; a folder that is none is left as it is."""
    mine = tmp_path / "letters"
    mine.mkdir()
    (mine / "letter").write_text("dear")

    refused, lines = command("reset", environment(mine))
    done, _ = command("reset", first.told)

    assert refused == 1
    assert lines == [
        f"{mine} does not look like the state of a bank: nothing was wiped."
    ]
    assert (mine / "letter").read_text() == "dear"
    assert done == 0
    assert not Path(first.told["GUANHU_STATE"]).exists()


async def test_given_data_sources_replace_the_server_out_of_the_wheel(
    postgres, tmp_path
):
    """With every data source in the environment the databases there are migrated, and no server is started."""
    told = environment(tmp_path / "state")
    present = [name for name in SERVICES if local.has_migrations(name)]
    for service in SERVICES:
        await roles.create(postgres.dsn(), service, PASSWORDS)
        for end, role in local.DSNS.items():
            dsn = postgres.dsn(
                f"guanhu_{service}", f"guanhu_{service}{role}", "trial-only"
            )
            told[f"GUANHU_{service.upper()}_{end}"] = dsn

    status, lines = await asyncio.to_thread(command, "migrate", told)

    assert status == 0, lines
    assert not (tmp_path / "state" / "postgres").exists()
    for service in present:
        connection = await asyncpg.connect(postgres.dsn(f"guanhu_{service}"))
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
        await connection.close()

        assert found == local.newest(service)


def test_half_of_the_data_sources_is_told_with_what_is_missing(tmp_path):
    """A service's three data sources come together or not at all."""
    told = environment(tmp_path / "state", GUANHU_CUSTOMER_DSN="postgresql://x@y/z")

    status, lines = command("migrate", told)

    assert status == 1
    assert lines[-1] == (
        "GUANHU_CUSTOMER_BULK_DSN, GUANHU_CUSTOMER_OWNER_DSN must be set too, or none of customer's."
    )


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("GUANHU_PORTAL_ADDRESS", "7000", "GUANHU_PORTAL_ADDRESS must be host:port."),
        (
            "GUANHU_CUSTOMER_METRICS_PORT",
            "none",
            "GUANHU_CUSTOMER_METRICS_PORT must be a port, or 0 for none.",
        ),
    ],
)
def test_a_setting_that_is_no_place_is_named(tmp_path, setting, value, sentence):
    """Addresses and ports that cannot be any are told before anything is started."""
    status, lines = command("run", environment(tmp_path / "s", **{setting: value}))

    assert (status, lines) == (1, [sentence])


def test_a_database_that_does_not_answer_is_named(tmp_path):
    """Given data sources that lead nowhere are told by the service whose they are."""
    nowhere = f"postgresql://x:y@127.0.0.1:{free_port()}/z"
    names = [
        f"GUANHU_{service.upper()}_{end}" for service in SERVICES for end in local.DSNS
    ]

    status, lines = command(
        "migrate", environment(tmp_path / "state", **dict.fromkeys(names, nowhere))
    )

    assert status == 1
    assert lines[-1].startswith(
        "The database of customer cannot be reached as its owner: "
    )


def test_a_foreign_lock_counts_only_while_its_holder_lives(tmp_path):
    """The lock of a process that is gone is PostgreSQL's own affair; that of a living stranger is refused."""
    (tmp_path / "data").mkdir()
    lock = tmp_path / "data" / "postmaster.pid"
    gone = subprocess.Popen(["true"])
    gone.wait()
    server = LocalPostgres(tmp_path)

    lock.write_text(f"{gone.pid}\n")
    server._refuse_foreign_lock()
    lock.write_text(f"{os.getpid()}\n")
    with pytest.raises(LocalPostgresError, match="now another program"):
        server._refuse_foreign_lock()


def test_a_full_disk_is_told_before_anything_is_started(monkeypatch, tmp_path):
    """Too little room, or none in the middle of a write, is one sentence that says so."""
    usage = SimpleNamespace(total=9 << 30, used=9 << 30, free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(processes.StoppedError, match="is full: 5 MB are free"):
        local.refuse_full(tmp_path)
    late = local.sentence(OSError(errno.ENOSPC, "No space left on device", "file"))
    assert late.startswith("The disk is full: make room and start again")


FULL = """creating configuration files ... ok
running bootstrap script ... 2026-11-23 20:11:59.112 UTC [29858] FATAL:  could not write to file "pg_wal/xlogtemp": \
No space left on device
child process exited with exit code 1
initdb: removing data directory "data"
"""
"""What initdb says on a disk of eight megabytes."""


def test_a_disk_that_fills_up_while_the_store_is_made_is_told(tmp_path):
    """Of all that initdb says, the line that names the cause is told."""
    tmp_path.chmod(0o755)
    (tmp_path / "said").write_text(FULL)
    for name, text in {
        "postgres": "exit 0",
        "initdb": f"cat {tmp_path}/said >&2; exit 1",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    server = LocalPostgres(tmp_path / "server")
    server._bin = tmp_path

    with pytest.raises(LocalPostgresError) as told:
        server.start()

    assert local.sentence(told.value).startswith(
        "The disk is full: make room and start again (PostgreSQL could not prepare its data: running bootstrap"
    )


def test_a_missing_python_is_told_by_make(tmp_path):
    """The first thing that make looks for is an interpreter that is new enough."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "protos" / "guanhu").mkdir(parents=True)
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    told = {}
    for name in ("python9.99", str(old)):
        done = subprocess.run(
            ["make", ".make/python", f"PYTHON={name}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        told[name] = (done.returncode, done.stderr.splitlines()[0])

    assert told["python9.99"] == (
        2,
        "Python 3.11 or newer is needed and 'python9.99' was not found: install it, or name it with PYTHON=...",
    )
    assert told[str(old)] == (
        2,
        f"Python 3.11 or newer is needed and '{old}' is older: name another with PYTHON=...",
    )


def test_a_process_that_dies_ends_the_start_with_its_last_words(tmp_path, monkeypatch):
    """Whoever waits for the bank hears which process ended, and what it said last."""
    script = tmp_path / "short.py"
    script.write_text("import sys; sys.exit('no money left')")
    row = processes.Row(
        name="short",
        run=[str(script)],
        host="127.0.0.1",
        port=free_port(),
        metrics=0,
        healthy="tcp",
        after=[],
    )
    fleet = processes.Fleet(dict(os.environ), tmp_path, lambda _: None)

    with pytest.raises(
        processes.StoppedError,
        match="short ended with status 1, its last words were: no money left",
    ):
        fleet.start([row])
    fleet.stop()


def test_a_table_starts_whom_others_come_after_first(tmp_path):
    """Order follows need, not the order of the file; a circle is refused."""
    table = tmp_path / "table.toml"
    entry = '[[process]]\nname = "{}"\nrun = ["deploy/smsc.py"]\nport = 1\nmetrics = 0\nhealthy = "tcp"\nafter = {}\n'
    table.write_text(
        entry.format("b", '["a"]')
        + entry.format("a", '["c", "gone"]')
        + entry.format("c", "[]")
    )

    assert [row.name for row in processes.rows({}, table)] == ["c", "a", "b"]
    table.write_text(entry.format("b", '["a"]') + entry.format("a", '["b"]'))
    with pytest.raises(processes.StoppedError, match="circle"):
        processes.rows({}, table)


def test_a_confined_server_still_works_below_a_closed_home(tmp_path):
    """Below a home of mode 0700 the server starts as another user, and nobody's rights were widened."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    before = {path: path.stat().st_mode for path in (home, *home.parents)}

    server = LocalPostgres(home / "state" / "postgres", durable=False).start()
    try:

        async def ask():
            connection = await asyncpg.connect(server.dsn())
            found = await connection.fetchval("SELECT 6 * 7")
            await connection.close()
            return found

        answer = asyncio.run(ask())
    finally:
        server.stop()

    assert answer == 42
    assert {path: path.stat().st_mode for path in before} == before
