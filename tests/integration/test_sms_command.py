"""The command ``guanhu sms`` against real services: the question, the answer, the bar, and how each ends."""

import asyncio
import re
from concurrent import futures
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2, batch_pb2_grpc
from structlog.testing import capture_logs
from typer.testing import CliRunner

from admin import cli
from services.allocation.__main__ import SERVICE as ALLOCATION
from services.customer.__main__ import SERVICE as CUSTOMER
from services.messaging.__main__ import SERVICE
from tests.builders import a_branch, a_member_of_staff, an_operator, put, request_id
from tests.messages import (
    CARE,
    MARKETING,
    Sender,
    a_group,
    approved,
    change,
    confirm,
    consent,
    get,
    mobile_of,
    plan,
    refuse,
)
from tests.snapshots import a_customer_line, import_day
from tests.town import Town

NUMBERS = [f"{number:02}" for number in range(1, 9)]
PASSWORD = "correct horse battery"
NOWHERE = "127.0.0.1:1"
BATCH = re.compile(r"batches/[0-9a-f-]{36}")
DIGEST = re.compile(r"^digest ([0-9a-f]{64})$", re.MULTILINE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(bank):
    """A branch with a teller whose eight customers are in a group; one asked not to be disturbed."""
    running = await Town(bank).start(ALLOCATION, CUSTOMER, SERVICE)
    teller = a_member_of_staff("teller", posts=["OPEN_COUNTER_TELLER"])
    await put(
        running.allocation, a_branch(100), a_branch(101), teller, an_operator("teller")
    )
    lines = [
        a_customer_line(one, mobile=mobile_of(one), display_name=f"王小{one}")
        for one in NUMBERS
    ]
    await import_day(running.customer, customers=lines)
    await running.customer.sql("UPDATE customers SET owner = 'teller'")
    await refuse(running, "08")
    running.template = await approved(running, name="到期提醒")
    running.group = await a_group(running, *NUMBERS, name="到期客户")
    yield running
    await running.stop()


@pytest.fixture
def guanhu(town, tmp_path):
    """The command as a terminal runs it, signed in as the teller unless told otherwise."""
    told = {
        "GUANHU_SECRETS_DIR": str(tmp_path),
        "GUANHU_ALLOCATION_ADDRESS": town.allocation.address,
        "GUANHU_CUSTOMER_ADDRESS": town.customer.address,
        "GUANHU_MESSAGING_ADDRESS": town.messaging.address,
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
    }

    async def run(*words, typed="", operator="op-teller", **more):
        who = ("--operator", operator) if operator else ()
        lines = f"{PASSWORD}\n{typed}" if operator else typed
        runner = CliRunner(env={**told, **more})
        with capture_logs():  # the services of this process write to the same output
            return await asyncio.to_thread(
                runner.invoke, cli.app, ["sms", *words, *who], lines
            )

    return run


async def a_batch(town, template=None, *, sending=False):
    """Return a planned batch of the group, confirmed where it is to be sent."""
    batch = await plan(town, template or town.template, town.group)
    return await confirm(town, batch) if sending else batch


def token_of(town):
    """Return a token of the teller, as a program that signed in holds it."""
    return town.bank.keys.token("staff/teller", ["OPEN_COUNTER_TELLER"], branch=101)


async def test_a_plan_prints_the_question_and_sends_nothing(guanhu, town):
    """Who is left out and why, bills, cost, time, texts and the digest; template and group by what they are called."""
    told = await guanhu(
        "plan", "--groups", "到期客户", "--template", "到期提醒", "--gateway", "demo"
    )
    [name] = BATCH.findall(told.stdout)
    found = await get(town, type("Named", (), {"name": name}))

    assert told.exit_code == 0, told.output
    assert "7 of 8 people get the message." in told.stdout
    assert re.search(r"do not disturb\W+1", told.stdout)
    assert "7 segments cost CNY 0.35." in told.stdout
    assert "at any hour" in told.stdout
    assert told.stdout.count("【农业银行】尊敬的王先生") == 7
    assert DIGEST.findall(told.stdout) == [found.digest]
    assert found.waiting_count == 7
    assert PASSWORD not in told.output


async def test_a_plan_at_a_time_is_read_in_the_portals_zone(guanhu):
    """A moment in the past is refused by the service, whose sentence ends the command with 1, in Chinese too."""
    words = ("plan", "--groups", "到期客户", "--template", "到期提醒")
    past = await guanhu(*words, "--at", "2026-01-01 09:00")
    chinese = await guanhu(*words, "--at", "2026-01-01 09:00", LC_ALL="zh_CN.UTF-8")
    later = await guanhu(*words, "--unknown", "at-most-once")

    assert (past.exit_code, chinese.exit_code, later.exit_code) == (1, 1, 0)
    assert "within 30 days" in past.stderr
    assert "30 天内" in chinese.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--groups", "没有", "--template", "到期提醒"),
            "There is no group called 没有.",
        ),
        (
            ("--groups", "到期客户", "--template", "到期"),
            "no approved template called 到期",
        ),
    ],
)
async def test_what_is_called_otherwise_is_not_guessed(guanhu, words, said):
    """Only the whole name counts; the command ends with 2."""
    told = await guanhu("plan", *words)

    assert told.exit_code == 2
    assert said in told.stderr


async def test_the_question_is_answered_with_yes_or_no(guanhu, town):
    """No leaves the batch planned; yes sends what was shown."""
    batch = await a_batch(town)
    no = await guanhu("confirm", batch.name, typed="n\n")
    nothing = await guanhu("confirm", batch.name, typed="\n")
    planned = (await get(town, batch)).state
    yes = await guanhu("confirm", batch.name, typed="y\n")
    again = await guanhu("confirm", batch.name, typed="y\n")

    assert (no.exit_code, nothing.exit_code) == (1, 1)
    assert "Nothing was confirmed." in no.stderr
    assert planned == batch.state
    assert yes.exit_code == 0, yes.output
    assert "is sending" in yes.stdout
    assert again.exit_code == 1
    await change(town, "Cancel", batch)


async def test_without_asking_the_digest_decides(guanhu, town):
    """--yes needs the digest of the plan; another one is refused; a second person leaves the batch waiting."""
    batch = await a_batch(town)
    bare = await guanhu("confirm", batch.name, "--yes")
    wrong = await guanhu("confirm", batch.name, "--yes", "--digest", "0" * 64)
    right = await guanhu("confirm", batch.name, "--yes", "--digest", batch.digest)
    await change(town, "Cancel", batch)
    await consent(town, "01")
    marketing = await approved(town, name="理财节", purpose=MARKETING)
    more = await a_batch(town, marketing)
    waits = await guanhu("confirm", more.name, "--yes", "--digest", more.digest)

    assert (bare.exit_code, wrong.exit_code, right.exit_code) == (2, 1, 0)
    assert "--yes needs the --digest" in bare.stderr
    assert "not the one that was shown" in wrong.stderr
    assert waits.exit_code == 3
    assert "awaiting approval" in waits.stdout


async def test_watching_ends_with_the_batch(guanhu, town, tmp_path):
    """While the sender works the bar goes on; the end tells every count, and how much went well decides the status."""
    good = await a_batch(town, sending=True)
    watching = asyncio.ensure_future(guanhu("watch", good.name))
    sender = await Sender(town, tmp_path / "flight").open()
    await sender.send()
    well = await asyncio.wait_for(watching, 30)
    sender.gateway.judge = lambda _message: "rejected"
    bad = await a_batch(town, sending=True)
    await sender.send()
    badly = await guanhu("watch", bad.name)
    sender.close()
    stopped = await a_batch(town)
    await change(town, "Cancel", stopped)
    early = await guanhu("watch", stopped.name)
    unseen = await guanhu("watch", f"batches/{request_id()}")

    assert well.exit_code == 0, well.output
    assert re.search(r"sent\W+7", well.stdout)
    assert "is finished" in well.stdout
    assert badly.exit_code == 3
    assert re.search(r"failed\W+7", badly.stdout)
    assert early.exit_code == 4
    assert "is cancelled" in early.stdout
    assert unseen.exit_code == 1


async def test_somebody_must_be_signed_in(guanhu, town):
    """A token of the environment will do; without one, or where nobody is let in, the command ends with 2."""
    batch = await a_batch(town)
    by_token = await guanhu(
        "confirm", batch.name, typed="n\n", operator="", GUANHU_TOKEN=token_of(town)
    )
    nobody = await guanhu("watch", batch.name, operator="")
    false = await guanhu("watch", batch.name, operator="", GUANHU_TOKEN="false")
    stranger = await guanhu("watch", batch.name, operator="op-nobody")

    assert by_token.exit_code == 1
    assert "7 of 8 people" in by_token.stdout
    assert (nobody.exit_code, false.exit_code, stranger.exit_code) == (2, 2, 2)
    assert "GUANHU_TOKEN" in nobody.stderr
    assert "was not let in" in stranger.stderr


async def test_a_service_that_is_away_is_named(guanhu, town):
    """What cannot be reached is told with where it was sought, before the bar is drawn."""
    batch = await a_batch(town)
    told = await guanhu(
        "watch",
        batch.name,
        operator="",
        GUANHU_TOKEN=token_of(town),
        GUANHU_MESSAGING_ADDRESS=NOWHERE,
    )

    assert told.exit_code == 2
    assert f"cannot be reached at {NOWHERE}" in told.stderr


async def test_care_waits_for_the_hours_of_the_day(guanhu, town):
    """Told by their names, with nobody left out: the hours stand in the question, and a night's plan waits for nine."""
    care = await approved(town, name="生日祝福", purpose=CARE)
    few = await a_group(town, "01", "02", name="生日客户")
    night = datetime.now(UTC) + timedelta(days=2)
    told = await guanhu(
        "plan",
        "--groups",
        few.name,
        "--template",
        care.name,
        "--at",
        f"{night:%Y-%m-%d} 23:30",
    )
    morning = night + timedelta(days=1)

    assert told.exit_code == 0, told.output
    assert f"Goes out from {morning:%Y-%m-%d} 09:00, between 9 and 20 o'clock." in (
        told.stdout
    )
    assert "left out" not in told.stdout


class Breaking(batch_pb2_grpc.SmsBatchServiceServicer):
    """A service whose stream breaks once, and one that turns the watcher away for *status*."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.asked = 0

    def _batch(self, state, waiting):
        return batch_pb2.Batch(
            name="batches/1", state=state, total_count=2, waiting_count=waiting
        )

    def GetBatch(self, request, context):
        return self._batch(batch_pb2.BATCH_STATE_SENDING, 2)

    def WatchBatch(self, request, context):
        self.asked += 1
        if self.statuses:
            yield self._batch(batch_pb2.BATCH_STATE_SENDING, 1)
            context.abort(self.statuses.pop(0), "away")
        yield self._batch(batch_pb2.BATCH_STATE_FINISHED, 0)


@pytest.mark.parametrize(
    ("status", "exit_code", "asked"),
    [(grpc.StatusCode.UNAVAILABLE, 0, 2), (grpc.StatusCode.INTERNAL, 2, 1)],
)
async def test_a_broken_stream_is_taken_up_again(
    guanhu, town, status, exit_code, asked
):
    """A service that was away for a moment is asked again; whatever else ends a stream ends the command with 2."""
    servicer = Breaking(status)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    batch_pb2_grpc.add_SmsBatchServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    told = await guanhu(
        "watch",
        "batches/1",
        operator="",
        GUANHU_TOKEN=token_of(town),
        GUANHU_MESSAGING_ADDRESS=f"127.0.0.1:{port}",
    )
    server.stop(0).wait()

    assert (told.exit_code, servicer.asked) == (exit_code, asked), told.output
