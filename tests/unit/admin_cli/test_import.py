"""The command ``guanhu import`` against real services: what it takes in, what it says, how it ends."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
import pytest_asyncio
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from guanhu.customer.v1 import reason_pb2
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.policy.v1 import policy_pb2
from typer.testing import CliRunner

from admin import cli
from admin.settings import PortalSettings
from deploy.demo.bank import Bank
from deploy.demo.snapshots import write_folder
from services.allocation.__main__ import SERVICE as ALLOCATION
from services.chassis.clock import day_of, system_clock
from services.customer.__main__ import SERVICE as CUSTOMER
from tests.builders import a_branch, an_account, put

SECRET = "feed secret of the trial"
TODAY = day_of(system_clock())
YESTERDAY = TODAY - timedelta(days=1)
SOME = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def allocation(bank):
    """Allocation with the demonstration's branches and core banking's account."""
    served = await bank.serve(ALLOCATION, own_keys=True)
    branches = [a_branch(branch_id) for branch_id in (1101, 1102, 1201)]
    await put(served, *branches, an_account(secret=SECRET))
    yield served
    await served.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def customer(bank, allocation):
    """The customer service, once it knows the branches."""
    served = await bank.serve(CUSTOMER, own_keys=True)
    while set(served.frame.keyring.tree.branches) != {1101, 1102, 1201}:
        await asyncio.sleep(0.05)
    yield served
    await served.stop()


@pytest.fixture
def guanhu(monkeypatch, tmp_path, allocation, customer):
    """The command as a terminal runs it: arguments in, the way it ended out."""
    (tmp_path / "account-core-banking").write_text(SECRET)
    (tmp_path / "account-core-banking").chmod(0o600)
    monkeypatch.setenv("GUANHU_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("GUANHU_ALLOCATION_ADDRESS", allocation.address)
    monkeypatch.setenv("GUANHU_CUSTOMER_ADDRESS", customer.address)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    async def run(*arguments, env=None):
        runner = CliRunner(env={"COLUMNS": "200", **(env or {})})
        words = [str(argument) for argument in arguments]
        return await asyncio.to_thread(runner.invoke, cli.app, words)

    return run


def a_folder(path, day=YESTERDAY, form="csv", people=SOME):
    """Write a small demonstration bank's snapshot of *day*."""
    return write_folder(Bank(TODAY, customers=people), day, path, form)


async def count(customer, table):
    """Return how many rows there are."""
    return (await customer.sql(f"SELECT count(*) FROM {table}"))[0][0]


async def test_a_dry_run_judges_every_line_and_stores_nothing(
    guanhu, customer, tmp_path
):
    """What would be taken is shown, and the store stays as it was."""
    folder = a_folder(tmp_path / "day", form="parquet")
    before = await count(customer, "customers"), await count(customer, "imports")

    told = await guanhu("import", folder, "--date", YESTERDAY, "--dry-run")

    assert told.exit_code == 0, told.output
    assert "good" in told.output
    assert (
        await count(customer, "customers"),
        await count(customer, "imports"),
    ) == before


async def test_a_folder_is_taken_in_once(guanhu, customer, tmp_path):
    """The first run stores every customer of the folder; the second finds it done and changes nothing."""
    folder = a_folder(tmp_path / "day")
    numbers = {
        line.split(",")[0]
        for line in (folder / "customers.csv").read_text().splitlines()[1:]
    }

    first = await guanhu("import", folder, "--date", YESTERDAY)
    stored = {
        row[0] for row in await customer.sql("SELECT number, version FROM customers")
    }
    versions = await customer.sql("SELECT number, version FROM customers ORDER BY 1")
    second = await guanhu("import", folder, "--date", YESTERDAY)

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert stored == numbers
    assert versions == await customer.sql(
        "SELECT number, version FROM customers ORDER BY 1"
    )
    assert await count(customer, "imports") == 1
    assert "imports/" in second.output


async def test_faulty_lines_are_left_out_listed_and_told_by_the_exit_status(
    guanhu, customer, tmp_path
):
    """The good lines are judged good, the bad one is named by entity, line and field."""
    folder = a_folder(tmp_path / "day")
    file = folder / "customers.csv"
    lines = file.read_text().splitlines()
    fields = lines[3].split(",")
    fields[1] = "999"
    lines[3] = ",".join(fields)
    file.write_text("\n".join(lines) + "\n")

    told = await guanhu("import", folder, "--date", YESTERDAY, "--dry-run")

    assert told.exit_code == 3
    assert "fault: customer line 3, branch_id" in told.output
    assert fields[2] not in told.output


async def test_another_content_for_the_same_day_is_refused(guanhu, tmp_path):
    """A day that was taken in is not replaced by another folder."""
    same, other = a_folder(tmp_path / "same"), a_folder(tmp_path / "other", people=30)

    taken = await guanhu("import", same, "--date", YESTERDAY)
    told = await guanhu("import", other, "--date", YESTERDAY)

    assert (taken.exit_code, told.exit_code) == (0, 1)
    assert "another content" in told.output


async def test_an_unreadable_value_ends_the_command_before_anything_is_sent(
    guanhu, customer, tmp_path
):
    """The sentence names the place, and no import was begun."""
    folder = a_folder(tmp_path / "day", day=TODAY)
    with (folder / "positions.csv").open("a") as file:
        file.write("1,much,0,0,CNY\n")
    before = await count(customer, "imports")

    told = await guanhu("import", folder, "--date", TODAY)

    assert told.exit_code == 1
    assert "positions.csv, line" in told.output
    assert await count(customer, "imports") == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("wrong", "was not let in"),
        ("missing", "cannot be read"),
        ("open", "can be read by others"),
    ],
)
async def test_who_is_not_let_in_is_told_in_a_sentence(
    guanhu, tmp_path, change, sentence
):
    """A wrong, missing or open secret ends the command with one sentence."""
    folder = a_folder(tmp_path / "day")
    secret = tmp_path / "account-core-banking"
    if change == "wrong":
        secret.write_text("another")
    if change == "missing":
        secret.unlink()
    if change == "open":
        secret.chmod(0o644)

    told = await guanhu("import", folder, "--date", YESTERDAY)

    assert told.exit_code == 1
    assert sentence in told.output


async def test_a_refusal_is_told_in_the_language_of_the_terminal(guanhu, tmp_path):
    """A Chinese terminal is answered with the contract's Chinese sentence."""
    folder = a_folder(tmp_path / "day")
    tomorrow = TODAY + timedelta(days=1)

    told = {
        language: await guanhu(
            "import", folder, "--date", tomorrow, env={"LC_ALL": language}
        )
        for language in ("C.UTF-8", "zh_CN.UTF-8")
    }

    sayings = reason_pb2.Reason.DESCRIPTOR.values_by_name["REASON_SNAPSHOT_IN_FUTURE"]
    saying = sayings.GetOptions().Extensions[policy_pb2.saying]
    assert {one.exit_code for one in told.values()} == {1}
    assert saying.en in told["C.UTF-8"].output
    assert saying.zh in told["zh_CN.UTF-8"].output


async def test_of_many_faults_the_first_are_shown_and_the_others_counted(
    guanhu, tmp_path
):
    """A terminal is not flooded."""
    folder = tmp_path / "day"
    folder.mkdir()
    rows = "".join(f"nobody-{number}\n" for number in range(31))
    (folder / "positions.csv").write_text(f"number\n{rows}")

    told = await guanhu("import", folder, "--date", YESTERDAY, "--dry-run")

    assert told.exit_code == 3
    assert told.output.count("fault: position line") == 20
    assert "and 11 more" in told.output


def test_with_certificates_the_command_speaks_to_whom_it_trusts(tmp_path):
    """The channel shows the client's certificate, and only the authority's servers are believed."""
    ours, foreign = trustme.CA(), trustme.CA()
    client = ours.issue_cert("guanhu")
    ours.cert_pem.write_to_path(str(tmp_path / "authority"))
    client.private_key_pem.write_to_path(str(tmp_path / "key"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    ports = [secure_port(authority, ours) for authority in (ours, foreign)]
    answers = []
    for server, port in ports:
        settings = PortalSettings(
            customer_address=f"localhost:{port}",
            tls_certificate=tmp_path / "certificate",
            tls_key=tmp_path / "key",
            tls_authority=tmp_path / "authority",
        )
        with cli.channel_to(settings, "customer") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                answers.append("served")
            except grpc.RpcError as error:
                answers.append(error.code().name)
        server.stop(0)

    assert answers == ["served", "UNAVAILABLE"]


def secure_port(authority, clients):
    """Serve health with a certificate of *authority* to clients of *clients*; return server and port."""
    pair = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes())],
        clients.cert_pem.bytes(),
        require_client_auth=True,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    return server, port


class BreakingOnce:
    """A stub whose first import breaks on the way, as a connection does."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.streams = []

    def ImportSnapshot(self, stream, **_):
        self.streams.append(list(stream))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Broken(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code


def sending(tmp_path):
    """Return one small snapshot on its way."""
    folder = cli.Folder(a_folder(tmp_path / "day"))
    return cli.Sending(folder, folder.read_through(), "core-banking", YESTERDAY)


def test_a_broken_stream_is_sent_again_from_its_beginning(tmp_path, monkeypatch):
    """The same chunks go again under a fresh request id; the service passes over what it has."""
    monkeypatch.setattr(cli.time, "sleep", lambda _: None)
    stub = BreakingOnce([Broken(grpc.StatusCode.UNAVAILABLE), pb.Import(name="done")])

    answer = sending(tmp_path).bring(stub, list, lambda _: None)

    assert answer.name == "done"
    first, second = stub.streams
    assert first[1:] == second[1:]
    assert first[0].header.request_id != second[0].header.request_id
    assert first[0].header.digest == second[0].header.digest


def test_a_refused_stream_is_not_sent_again(tmp_path, monkeypatch):
    """Only a service that is away is asked again, and not for ever."""
    monkeypatch.setattr(cli.time, "sleep", lambda _: None)
    refused = BreakingOnce([Broken(grpc.StatusCode.INVALID_ARGUMENT)] * 9)
    away = BreakingOnce([Broken(grpc.StatusCode.UNAVAILABLE)] * 9)

    for stub in (refused, away):
        with pytest.raises(Broken):
            sending(tmp_path).bring(stub, list, lambda _: None)

    assert len(refused.streams) == 1
    assert len(away.streams) == cli.TRIES
