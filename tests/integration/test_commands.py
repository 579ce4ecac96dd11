"""What an operator does from a terminal, against real services: audit chains and parked events."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from guanhu.audit.v1 import audit_pb2
from guanhu.events.v1 import events_pb2
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from guanhu.parameter.v1 import parameter_pb2
from structlog.testing import capture_logs
from typer.testing import CliRunner

from admin import cli
from admin.commands import audit, chains, events, terminal
from admin.settings import PortalSettings
from services.allocation.__main__ import SERVICE as ALLOCATION
from services.chassis import feed
from services.chassis.audit import FIELDS, GENESIS, link
from services.chassis.caller import service_caller
from services.chassis.feed import Follower
from services.customer.__main__ import SERVICE as CUSTOMER
from tests.builders import a_branch, a_member_of_staff, an_account, an_operator, put
from tests.feeds import TrialFeed

PASSWORD = "correct horse battery"
SECRET = "secret of the terminal"
NOWHERE = "127.0.0.1:1"
"""An address at which nothing listens."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def allocation(bank):
    """Allocation with accounts and staff, some of whom have signed in: a chain of its own for branch 101."""
    served = await bank.serve(ALLOCATION, own_keys=True)
    await put(
        served,
        a_branch(100),
        a_branch(101),
        a_member_of_staff("s1"),
        an_operator("s1"),
        a_member_of_staff("checker", branch_id=100, posts=["AUDITOR"]),
        an_operator("checker"),
        an_account("auditor", SECRET, roles=["AUDITOR"]),
        an_account("operator", SECRET, roles=["OPERATOR"]),
    )
    stub = IdentityServiceStub(served.channel)
    for _ in range(5):
        await stub.SignIn(
            identity_pb2.SignInRequest(operator_no="op-s1", password=PASSWORD)
        )
    yield served
    await served.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def customer(bank, allocation):
    """The customer service, which takes allocation's tokens."""
    served = await bank.serve(CUSTOMER, own_keys=True)
    yield served
    await served.stop()


@pytest.fixture
def surroundings(tmp_path, allocation, customer):
    """What the command is told by its environment."""
    keep = tmp_path / "secrets"
    keep.mkdir()
    for name in ("auditor", "operator"):
        (keep / f"account-{name}").write_text(SECRET)
        (keep / f"account-{name}").chmod(0o600)
    return {
        "GUANHU_SECRETS_DIR": str(keep),
        "GUANHU_ALLOCATION_ADDRESS": allocation.address,
        "GUANHU_CUSTOMER_ADDRESS": customer.address,
        "GUANHU_ENGAGEMENT_ADDRESS": NOWHERE,
        "GUANHU_MESSAGING_ADDRESS": NOWHERE,
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture
def guanhu(surroundings):
    """The command as a terminal runs it: arguments and typed lines in, output and the way it ended out."""

    async def run(*arguments, typed=None):
        words = [str(argument) for argument in arguments]
        runner = CliRunner(env=surroundings)
        with capture_logs():  # the services of this process write to the same output
            return await asyncio.to_thread(runner.invoke, cli.app, words, typed)

    return run


@pytest_asyncio.fixture(loop_scope="session")
async def mended(allocation):
    """Let a test spoil the chain of branch 101, and mend it afterwards."""
    await allocation.sql(
        "CREATE TABLE kept AS SELECT * FROM audit_records WHERE branch_id = 101"
    )
    head = await allocation.sql("SELECT * FROM audit_heads WHERE branch_id = 101")
    yield
    await allocation.sql("DELETE FROM audit_records WHERE branch_id = 101")
    await allocation.sql("INSERT INTO audit_records SELECT * FROM kept")
    await allocation.sql(
        "UPDATE audit_heads SET sequence = $1, hash = $2 WHERE branch_id = 101",
        head[0]["sequence"],
        head[0]["hash"],
    )
    await allocation.sql("DROP TABLE kept")


async def counts(served):
    """Return how many records each branch has, as the database says."""
    rows = await served.sql(
        "SELECT branch_id, count(*) AS many FROM audit_records GROUP BY 1 ORDER BY 1"
    )
    return {row["branch_id"]: row["many"] for row in rows}


async def test_good_chains_are_told_one_a_line(guanhu, allocation):
    """Every branch's chain is counted to its end, and the command ends with 0."""
    told = await guanhu("audit", "verify", "allocation")
    there = await counts(allocation)

    assert told.exit_code == 0, told.output
    assert set(there) == {0, 101}
    assert f"allocation, branch 101: {there[101]} records, good" in told.stdout
    assert len(told.stdout.splitlines()) == 2


SPOILT = {
    "edited": ("UPDATE audit_records SET actor = 'staff/x' WHERE {2}", 2, "changed"),
    "rehashed": ("UPDATE audit_records SET hash = sha256('x') WHERE {2}", 2, "changed"),
    "deleted": ("DELETE FROM audit_records WHERE {3}", 3, "record 3 is missing"),
    "first gone": ("DELETE FROM audit_records WHERE {1}", 1, "record 1 is missing"),
    "time moved": (
        "UPDATE audit_records SET create_time = create_time + '1 microsecond' WHERE {4}",
        4,
        "changed",
    ),
    "cut off": ("DELETE FROM audit_records WHERE {5}", 5, "the chain ends there"),
    "all gone": (
        "DELETE FROM audit_records WHERE branch_id = 101",
        1,
        "the chain ends there",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
async def test_the_first_broken_record_is_named(guanhu, allocation, mended, how):
    """An edit, a deletion and an end that was cut off are found at the record where they are, and end with 1."""
    statement, number, said = SPOILT[how]
    where = [f"branch_id = 101 AND sequence = {one}" for one in range(6)]
    await allocation.sql(statement.format(*where))
    told = await guanhu("audit", "verify", "allocation")

    assert told.exit_code == 1
    assert (
        f"The first broken record is {number} of branch 101 in allocation."
        in told.stderr
    )
    (line,) = (one for one in told.stdout.splitlines() if "branch 101" in one)
    assert f"{number - 1} records, BROKEN" in line
    assert said in line
    assert "branch 0: " in told.stdout


async def cut(allocation):
    """Take the last record away, and let the service's own list of heads agree."""
    await allocation.sql(
        "DELETE FROM audit_records WHERE branch_id = 101 AND sequence = 5"
    )
    await allocation.sql("""
        UPDATE audit_heads h SET sequence = r.sequence, hash = r.hash FROM audit_records r
        WHERE h.branch_id = 101 AND r.branch_id = 101 AND r.sequence = 4""")


async def rewrite(allocation):
    """Change the third record and compute every hash after it anew, as one who knows how would."""
    before = GENESIS
    for row in await allocation.sql(
        "SELECT * FROM audit_records WHERE branch_id = 101 ORDER BY sequence"
    ):
        record = {name: row[name] for name in FIELDS}
        if row["sequence"] == 3:
            record["actor"] = "staff/somebody-else"
        before = link(before, record)
        await allocation.sql(
            "UPDATE audit_records SET actor = $1, hash = $2 WHERE branch_id = 101 AND sequence = $3",
            record["actor"],
            before,
            row["sequence"],
        )
    await allocation.sql(
        "UPDATE audit_heads SET hash = $1 WHERE branch_id = 101", before
    )


async def forget(allocation):
    """Take the whole chain away with its head."""
    await allocation.sql("DELETE FROM audit_records WHERE branch_id = 101")
    await allocation.sql(
        "UPDATE audit_heads SET sequence = 0, hash = '' WHERE branch_id = 101"
    )


@pytest.mark.parametrize(("spoil", "number"), [(cut, 5), (rewrite, 5), (forget, 1)])
async def test_heads_kept_outside_show_what_the_chain_alone_cannot(
    guanhu, allocation, mended, tmp_path, spoil, number
):
    """A cut, rewritten or forgotten chain is good in itself; compared with exported heads it is broken."""
    folder = tmp_path / "heads"
    folder.mkdir()
    kept = await guanhu("audit", "heads", folder, "allocation")
    before = await guanhu("audit", "verify", "allocation", "--heads", folder)
    await spoil(allocation)
    alone = await guanhu("audit", "verify", "allocation")
    compared = await guanhu("audit", "verify", "allocation", "--heads", folder)

    assert (kept.exit_code, before.exit_code, alone.exit_code) == (0, 0, 0)
    assert compared.exit_code == 1
    assert f"record is {number} of branch 101 in allocation" in compared.stderr
    (file,) = folder.iterdir()
    assert file.name in compared.stdout


async def test_exported_heads_are_never_overwritten(tmp_path):
    """A file of the same moment is refused, and what it says stays."""
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    head = audit_pb2.ChainHead(branch_id=101, sequence=7, hash="ab")
    path = chains.write_heads(tmp_path, "customer", [head], now)
    before = path.read_text()
    with pytest.raises(FileExistsError):
        chains.write_heads(tmp_path, "customer", [], now)

    assert path.read_text() == before
    assert json.loads(before)["heads"] == [
        {"branch_id": 101, "sequence": 7, "hash": "ab"}
    ]


async def test_a_folder_without_heads_of_a_service_is_told(guanhu, tmp_path):
    """A folder out of which a file was taken does not pass for one without changes; nor does a spoilt file."""
    lacking = await guanhu("audit", "verify", "allocation", "--heads", tmp_path)
    (tmp_path / "allocation-x.json").write_text('{"service": "allocation"}')
    spoilt = await guanhu("audit", "verify", "allocation", "--heads", tmp_path)

    assert (lacking.exit_code, spoilt.exit_code) == (2, 2)
    assert "holds no heads of allocation" in lacking.stderr
    assert "allocation-x.json does not hold exported heads" in spoilt.stderr


async def test_schedulers_get_one_json_object(guanhu, allocation, customer, mended):
    """Every chain of the services asked, what is wrong with the broken one, and nothing else on the output."""
    good = await guanhu("audit", "verify", "customer", "--json")
    await allocation.sql(
        "UPDATE audit_records SET method = 'x' WHERE branch_id = 101 AND sequence = 2"
    )
    told = await guanhu("audit", "verify", "allocation", "customer", "--json")
    found = json.loads(told.stdout)
    broken = [one for one in found["chains"] if not one["good"]]
    customers = await counts(customer)

    assert json.loads(good.stdout)["good"] is True
    assert (good.exit_code, told.exit_code, found["good"]) == (0, 1, False)
    assert [
        (one["service"], one["branch_id"], one["broken_record"]) for one in broken
    ] == [("allocation", 101, 2)]
    assert {
        one["branch_id"] for one in found["chains"] if one["service"] == "customer"
    } == set(customers)


async def test_a_service_that_is_away_is_told_and_the_others_are_checked(guanhu):
    """Unless told, all four are asked; what cannot be read ends with 2, and never as good."""
    told = await guanhu("audit", "verify")

    assert told.exit_code == 2
    assert "allocation, branch 101" in told.stdout
    for service in ("engagement", "messaging"):
        assert f"The {service} service cannot be reached at {NOWHERE}" in told.stderr


async def test_who_may_not_is_told_why(guanhu, surroundings):
    """The operator's account reads no trail, an unknown service is no argument, a missing secret is named."""
    denied = await guanhu("audit", "verify", "allocation", "--account", "operator")
    unknown = await guanhu("audit", "verify", "payroll")
    missing = await guanhu("audit", "verify", "--account", "nobody")
    secret = Path(surroundings["GUANHU_SECRETS_DIR"], "account-auditor")
    await asyncio.to_thread(secret.write_text, "another")
    wrong = await guanhu("audit", "heads", secret.parent)

    assert {one.exit_code for one in (denied, unknown, missing, wrong)} == {2}
    assert "Your posts do not allow this action." in denied.stderr
    assert "payroll" in unknown.stderr
    assert "The secret of the account nobody cannot be read" in missing.stderr
    assert "The account auditor was not let in" in wrong.stderr


async def test_a_person_signs_in_with_a_typed_password_and_out_again(
    guanhu, allocation
):
    """The password comes from the terminal and is not shown; the session ends with the command."""
    arguments = ("audit", "verify", "allocation", "--operator", "op-checker")
    right = await guanhu(*arguments, typed=f"{PASSWORD}\n")
    wrong = await guanhu(*arguments, typed="wrong\n")
    none = await guanhu(*arguments, typed="")
    sessions = await allocation.sql(
        "SELECT end_time FROM sessions WHERE staff_id = 'checker'"
    )

    assert right.exit_code == 0, right.output
    assert PASSWORD not in right.output
    assert [row["end_time"] is not None for row in sessions] == [True]
    assert (wrong.exit_code, none.exit_code) == (2, 2)
    assert "The operator op-checker was not let in" in wrong.stderr
    assert "No password was given." in none.stderr


async def test_long_work_renews_its_token(surroundings, allocation, monkeypatch):
    """Whoever calls, account or person, calls with a fresh token once the first is four minutes old."""
    monkeypatch.setattr(terminal, "RENEW_SECONDS", -1)
    monkeypatch.setattr(terminal.typer, "prompt", lambda *_, **__: PASSWORD)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    settings = PortalSettings()

    def tokens(operator):
        with terminal.calling(settings, "auditor", operator) as pairs:
            return {pairs()[0][1] for _ in range(3)}

    for operator in ("", "op-checker"):
        assert len(await asyncio.to_thread(tokens, operator)) == 3, operator


class Broken(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "broken"

    def trailing_metadata(self):
        return ()


class BreakingStub:
    """A trail whose stream breaks off after every record, as connections may."""

    def __init__(self, records, code):
        self._records = records
        self._code = code
        self.asked = []

    def ExportChain(self, request, **_):
        self.asked.append(request.after_sequence)
        return self

    def __iter__(self):
        start = self.asked[-1]
        yield audit_pb2.ExportChainResponse(records=self._records[start : start + 1])
        if start < len(self._records):
            raise Broken(self._code)

    def cancel(self):
        """Take the cancelling of a stream."""


def a_chain(length):
    """Return a good chain of branch 101."""
    before, records = bytes(32), []
    for number in range(1, length + 1):
        record = audit_pb2.Record(branch_id=101, sequence=number, actor="staff/s1")
        record.create_time.FromMicroseconds(number)
        before = chains.link(before, record)
        record.hash = before.hex()
        records.append(record)
    return records


def a_trail(stub):
    """Return a trail that is read through *stub*."""
    trail = audit.Trail(PortalSettings(), "customer", list)
    trail._stub = stub
    return trail


def test_a_broken_stream_is_taken_up_where_it_broke(monkeypatch):
    """Every record is read once, however often the connection breaks; what refuses is not asked again."""
    monkeypatch.setattr(audit.time, "sleep", lambda _: None)
    stub = BreakingStub(a_chain(7), grpc.StatusCode.UNAVAILABLE)
    checked = audit.check(a_trail(stub), 101, [], lambda _: None)
    refusing = BreakingStub(a_chain(7), grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(terminal.UndoneError, match="customer service refused"):
        audit.check(a_trail(refusing), 101, [], lambda _: None)

    assert (checked.records, checked.fault) == (7, None)
    assert stub.asked == list(range(8))
    assert refusing.asked == [0]


def test_a_service_that_stays_away_is_not_waited_for_for_ever(monkeypatch):
    """After five tries without a record the command says that the service is away."""
    monkeypatch.setattr(audit.time, "sleep", lambda _: None)
    stub = BreakingStub(a_chain(1), grpc.StatusCode.UNAVAILABLE)
    stub.__class__ = type("Away", (BreakingStub,), {"__iter__": away})
    with pytest.raises(terminal.UndoneError, match="cannot be reached"):
        audit.check(a_trail(stub), 101, [], lambda _: None)

    assert stub.asked == [0] * audit.TRIES


def away(self):
    """Break before the first answer."""
    raise Broken(self._code)


def test_a_record_of_another_branch_is_no_part_of_a_chain():
    """A whole good chain of one branch does not pass for that of another."""
    chain = chains.Chain(102, [])
    taken = [chain.take(record) for record in a_chain(3)[:1]]

    assert taken == [False]
    assert chain.fault.sentence == "record 1 is one of branch 101"


@pytest_asyncio.fixture(loop_scope="session")
async def parked(customer):
    """The customer service with three events put aside: two of allocation's branch 101, one of branch 102."""
    source = TrialFeed()
    sick = [True]

    async def react(work, fact, event):
        if sick[0]:
            raise ValueError("mobile 13800138000")

    one = Follower(
        source="allocation",
        stub=source,
        uow=customer.frame.uow,
        caller=service_caller("customer"),
        reactions={parameter_pb2.Parameter: react},
    )
    source.publish(parameter_pb2.Parameter(name="mobile 13800138000"), 101, 102)
    source.publish(parameter_pb2.Parameter(name="mobile 13800138000"), 101)
    source.show_all()
    for _ in range(2 * feed.TRIES):
        await one.step()
    sick.clear()
    sick.append(False)
    yield one
    await customer.sql("DELETE FROM parked_events")
    await customer.sql("DELETE FROM feed_positions")


async def test_parked_events_are_listed_without_what_they_say(guanhu, parked):
    """Source, branch, sequence, kind of fact, kind of error and tries are told; texts and values are not."""
    told = await guanhu("events", "parked", "customer")
    reading = await guanhu("events", "parked", "customer", "--account", "auditor")
    rows = [line.split() for line in told.stdout.splitlines()[1:]]

    assert told.exit_code == 0, told.output
    assert [row[:6] for row in rows] == [
        ["allocation", "101", "1", "Parameter", "ValueError", str(feed.TRIES)],
        ["allocation", "101", "2", "Parameter", "ValueError", str(feed.TRIES)],
        ["allocation", "102", "1", "Parameter", "ValueError", str(feed.TRIES)],
    ]
    assert "138" not in told.output
    assert reading.stdout == told.stdout


async def test_redriven_events_are_handled_and_gone(guanhu, customer, parked):
    """First those of one branch, then all that are left; each time it is told how many."""
    some = await guanhu("events", "redrive", "customer", "--branch", "102")
    await parked.step()
    left = await guanhu("events", "parked", "customer")
    rest = await guanhu("events", "redrive", "customer", "--source", "allocation")
    await parked.step()
    none = await guanhu("events", "parked", "customer")
    nothing = await guanhu("events", "redrive", "customer")
    trail = await customer.sql("""
        SELECT actor, detail FROM audit_records WHERE method LIKE '%RedriveEvents' ORDER BY sequence""")

    assert "customer will handle 1 events again" in some.stdout
    assert [line.split()[1] for line in left.stdout.splitlines()[1:]] == ["101", "101"]
    assert "allocation: 2 events" in rest.stdout
    assert (none.stdout, none.exit_code) == ("", 0)
    assert "customer has put nothing aside" in none.stderr
    assert (nothing.exit_code, "handle 0 events" in nothing.stdout) == (0, True)
    assert [(row["actor"], json.loads(row["detail"])["redriven"]) for row in trail] == [
        ("accounts/operator", 1),
        ("accounts/operator", 2),
    ]


async def test_an_auditor_redrives_nothing(guanhu, customer, parked):
    """Sending events through again is the operator's; the refusal is a sentence, and nothing was marked."""
    told = await guanhu("events", "redrive", "customer", "--account", "auditor")
    away = await guanhu("events", "parked", "messaging")
    marked = await customer.sql("SELECT 1 FROM parked_events WHERE redrive")

    assert (told.exit_code, away.exit_code) == (2, 2)
    assert "Your posts do not allow this action." in told.stderr
    assert "The messaging service cannot be reached" in away.stderr
    assert marked == []


class ManyParked:
    """A feed with more parked events than one call lists."""

    def parked(self):
        return [events_pb2.ParkedEvent(source="customer")] * events.MOST


def test_of_too_many_parked_events_every_source_is_redriven():
    """Where the list is cut off, a source that it does not show is not forgotten."""
    assert events.sources_of(ManyParked(), "messaging") == [
        "customer",
        "allocation",
        "engagement",
    ]


async def test_a_bank_lets_its_scheduler_in(guanhu, surroundings, allocation):
    """An account made with `deploy.first` for the trail verifies by the secret printed, and redrives nothing."""
    words = "deploy.first 900001 First --branch=100 --account=watcher --role=AUDITOR"
    made = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", *words.split()],
        env={**os.environ, "GUANHU_ALLOCATION_DSN": allocation.frame.settings.own.dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (secret,) = re.findall(r"^account watcher (\S+)$", made.stdout, re.MULTILINE)
    keep = Path(surroundings["GUANHU_SECRETS_DIR"], "account-watcher")
    await asyncio.to_thread(keep.write_text, secret)
    await asyncio.to_thread(keep.chmod, 0o600)
    told = await guanhu("audit", "verify", "allocation", "--account", "watcher")
    arguments = ("customer", "--source", "allocation", "--account", "watcher")
    denied = await guanhu("events", "redrive", *arguments)

    assert told.exit_code == 0, told.output
    assert denied.exit_code == 2


async def test_the_installed_command_does_the_same(surroundings, tmp_path):
    """As a process of its own it checks the chains, names a folder that is not there, and shows its help."""
    program = shutil.which("guanhu", path=str(Path(sys.executable).parent))

    def run(*arguments):
        told = {**os.environ, **surroundings}
        return subprocess.run(
            [program, *arguments],
            env=told,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    good = await asyncio.to_thread(run, "audit", "verify", "allocation")
    bad = await asyncio.to_thread(run, "audit", "heads", str(tmp_path / "none"))
    helped = await asyncio.to_thread(run, "events", "redrive", "--help")

    assert (good.returncode, bad.returncode, helped.returncode) == (0, 2, 0), good
    assert "branch 101" in good.stdout
    assert "--source" in helped.stdout
