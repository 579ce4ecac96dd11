"""Errands held until they hold, due work done once, the audit chain."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, time, timedelta

import pytest
import pytest_asyncio
from guanhu.audit.v1 import audit_pb2
from guanhu.audit.v1.audit_pb2_grpc import AuditServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE
from services.chassis.caller import service_caller
from services.chassis.client import Peers
from services.chassis.worker import Due, DueRunner, ErrandRunner
from tests.bank import TREE
from tests.builders import request_id

CALLER = service_caller("allocation")


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A service of its own for each test."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


class Clock:
    """A clock that stands where the test sets it."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


class FixedToken:
    """Stands in for the token of a service, signed by the test's key."""

    def __init__(self, token):
        self._token = token

    async def value(self):
        return self._token


def peers(served, posts):
    """Return peers that call *served* as a service that also holds *posts*."""
    made = Peers(
        served.frame.settings.shared.model_copy(
            update={"allocation_address": served.address}
        ),
        "engagement",
    )
    token = served.keys.token(
        "services/engagement", ("SERVICE", *posts), scope="BANK", branch=0
    )
    for interceptor in made._interceptors:
        interceptor._token = FixedToken(token)
    return made


def errand_of(value):
    """Return an errand's request: setting a parameter."""
    return parameter_pb2.SetParameterRequest(
        name="parameters/capacity_policy", value_json=json.dumps(value)
    )


async def give(served, value, method="/guanhu.allocation.ParameterService/X"):
    """Write an errand down in branch 101."""
    async with served.frame.uow(CALLER.in_branch(101)) as work:
        work.errand(method, errand_of(value), branch_id=101)


SET = "/guanhu.parameter.v1.ParameterService/SetParameter"


async def errand_to(served, value):
    """Write an errand down whose service is this one under another path."""
    await give(served, value, SET)
    await served.sql("UPDATE errands SET service = 'allocation'")


async def test_an_errand_is_delivered_once_and_marked(served):
    """An errand calls the other service with its own id as request_id, and is not called again once it held."""
    await errand_to(served, "FORBID")
    runner = ErrandRunner(
        uow=served.frame.uow,
        caller=CALLER,
        peers=peers(served, ("OPERATOR",)),
        clock=served.frame.clock,
    )
    held = [await runner.step(), await runner.step()]
    rows = await served.sql("SELECT * FROM errands")
    asked = await served.sql("SELECT request_id FROM requests")

    assert held == [1, 0]
    assert rows[0]["done_time"] is not None
    assert [row["request_id"] for row in asked] == [rows[0]["errand_id"]]


async def test_a_lost_answer_does_not_double_the_effect(served):
    """When the answer is lost after the effect, the repeated errand changes nothing: its request_id is known."""
    await errand_to(served, "FORBID")
    runner = ErrandRunner(
        uow=served.frame.uow,
        caller=CALLER,
        peers=peers(served, ("OPERATOR",)),
        clock=served.frame.clock,
    )
    await runner.step()
    await served.sql(
        "UPDATE errands SET done_time = NULL, due_time = now() - interval '1 second'"
    )
    await runner.step()
    records = await served.sql(
        "SELECT 1 FROM audit_records WHERE method LIKE '%SetParameter'"
    )

    assert len(records) == 1


async def test_a_refused_errand_is_put_off_with_its_cause(served):
    """An errand that is refused stays, with the reason, and is tried again later and later."""
    await errand_to(served, "FORBID")
    clock = Clock(datetime.now(UTC))
    runner = ErrandRunner(
        uow=served.frame.uow, caller=CALLER, peers=peers(served, ()), clock=clock
    )
    waits = []
    for _ in range(4):
        await runner.step()
        row = (await served.sql("SELECT * FROM errands"))[0]
        waits.append((row["due_time"] - clock.now).total_seconds())
        clock.now = row["due_time"] + timedelta(milliseconds=1)

    assert row["cause"] == "ROLE_MISSING"
    assert row["done_time"] is None
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


async def test_an_errand_is_lost_with_its_transaction(served):
    """What was not decided is not delivered."""
    with pytest.raises(ZeroDivisionError):
        async with served.frame.uow(CALLER.in_branch(101)) as work:
            work.errand(SET, errand_of("FORBID"), branch_id=101)
            raise ZeroDivisionError

    assert not await served.sql("SELECT 1 FROM errands")


def due_runner(served, clock, *due):
    """Return a runner of *due* work in the branches of the tree."""
    return DueRunner(
        uow=served.frame.uow,
        bulk=served.frame.bulk,
        caller=CALLER,
        tree=lambda: TREE,
        clock=clock,
        due=due,
    )


async def test_due_work_runs_once_in_every_branch_whoever_is_alive(served):
    """Four runners at once run a task once per branch and day, not before its local time, and again the next day."""
    await served.sql("CREATE TABLE ran (branch_id int, day date)")
    await served.sql("GRANT ALL ON ran TO guanhu_allocation")
    clock = Clock(datetime(2026, 11, 22, 22, 59, tzinfo=UTC))

    async def act(work, branch_id, day):
        await work.run("INSERT INTO ran VALUES ($1, $2)", branch_id, day)

    due = Due("morning", time(7, 0), act)
    runners = [due_runner(served, clock, due) for _ in range(4)]
    early = sum(await asyncio.gather(*(one.step() for one in runners)))
    clock.now += timedelta(minutes=2)
    first = sum(await asyncio.gather(*(one.step() for one in runners)))
    again = sum(await asyncio.gather(*(one.step() for one in runners)))
    clock.now += timedelta(days=1)
    next_day = await runners[0].step()
    rows = await served.sql("SELECT branch_id, day FROM ran ORDER BY day, branch_id")

    assert (early, first, again, next_day) == (0, 4, 0, 4)
    assert [(row["branch_id"], row["day"].day) for row in rows] == [
        (branch, day) for day in (23, 24) for branch in (100, 101, 102, 200)
    ]


async def test_due_work_that_was_missed_is_made_up_for_where_it_says_so(served):
    """At night yesterday's run is missing: it is made once, and today's in the morning; other work waits for then."""
    await served.sql("CREATE TABLE ran (branch_id int, task text, day date)")
    await served.sql("GRANT ALL ON ran TO guanhu_allocation")
    clock = Clock(datetime(2026, 11, 22, 17, 0, tzinfo=UTC))

    def act(task):
        async def enter(work, branch_id, day):
            await work.run("INSERT INTO ran VALUES ($1, $2, $3)", branch_id, task, day)

        return enter

    runner = due_runner(
        served,
        clock,
        Due("patient", time(7, 0), act("patient")),
        Due("missed", time(7, 0), act("missed"), makes_up=True),
    )
    counts = []
    for hours in (0, 1, 6):
        clock.now += timedelta(hours=hours)
        counts.append(await runner.step())
    rows = await served.sql("SELECT task, day FROM ran WHERE branch_id = 101")

    assert counts == [4, 0, 8]
    assert sorted((row["task"], row["day"].day) for row in rows) == [
        ("missed", 22),
        ("missed", 23),
        ("patient", 23),
    ]


async def test_due_work_that_fails_is_tried_again_and_leaves_nothing(served):
    """A failing run takes back what it did; other branches are not held up."""
    await served.sql("CREATE TABLE ran (branch_id int)")
    await served.sql("GRANT ALL ON ran TO guanhu_allocation")
    sick = {101}

    async def act(work, branch_id, day):
        await work.run("INSERT INTO ran VALUES ($1)", branch_id)
        if branch_id in sick:
            raise ValueError

    clock = Clock(datetime(2026, 11, 23, 1, tzinfo=UTC))
    runner = due_runner(served, clock, Due("morning", time(7, 0), act))
    first = await runner.step()
    sick.clear()
    second = await runner.step()
    rows = await served.sql("SELECT branch_id FROM ran ORDER BY 1")

    assert (first, second) == (3, 1)
    assert [row["branch_id"] for row in rows] == [100, 101, 102, 200]


def chained(before, record):
    """Recompute a record's hash by the written rule alone, not with the code under test."""
    micros = record.create_time.seconds * 1_000_000 + record.create_time.nanos // 1000
    values = [
        record.branch_id,
        record.sequence,
        micros,
        record.actor,
        record.agent,
        record.method,
    ]
    values += [record.decision, record.resources, record.detail_json, record.trace_id]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


async def chain_of(served, branch):
    """Return the records of one chain as a client gets them."""
    stub = served.as_("auditor")(AuditServiceStub)
    parts = stub.ExportChain(audit_pb2.ExportChainRequest(branch_id=branch), timeout=20)
    return [record async for part in parts for record in part.records]


def holds(records):
    """Say whether every hash follows from the one before."""
    before = b"\0" * 32
    for number, record in enumerate(records, start=1):
        before = chained(before, record)
        if record.sequence != number or record.hash != before.hex():
            return False
    return True


async def test_the_chain_can_be_recomputed_and_shows_every_tampering(served):
    """A client recomputes the chain from the records alone; an edit, a deletion, a swap and an insertion all show."""
    stub = served.as_("operator")(ParameterServiceStub)
    for number in range(6):
        request = errand_of(f"V{number}")
        request.request_id = request_id()
        await stub.SetParameter(request)
    whole = await chain_of(served, 0)
    heads = await served.as_("auditor")(AuditServiceStub).ListHeads(
        audit_pb2.ListHeadsRequest()
    )

    assert len(whole) == 6
    assert holds(whole)
    assert {head.branch_id: head.hash for head in heads.heads}[0] == whole[-1].hash
    edited = [
        audit_pb2.Record.FromString(record.SerializeToString()) for record in whole
    ]
    edited[2].actor = "staff/somebody-else"
    assert not holds(edited)
    assert not holds(whole[:2] + whole[3:])
    assert not holds([*whole[:2], whole[3], whole[2], *whole[4:]])
    assert not holds([*whole[:3], whole[2], *whole[3:]])
    await served.sql(
        "UPDATE audit_records SET decision = 'OTHER' WHERE sequence = 4 AND branch_id = 0"
    )
    assert not holds(await chain_of(served, 0))
