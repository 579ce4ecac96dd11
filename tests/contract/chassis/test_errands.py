"""Errands whose receiver answers that it does not know all it was told about: kept, tried again, parked in sight."""

from datetime import UTC, date, datetime, timedelta

import pytest_asyncio
from guanhu.customer.v1 import customer_pb2
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from structlog.testing import capture_logs

from services.chassis import errands, metrics
from services.chassis.caller import service_caller
from services.chassis.worker import ANSWERED_TRIES, ErrandRunner
from services.customer.__main__ import SERVICE
from tests.bank import TrialToken
from tests.snapshots import a_customer_line, import_day

CALLER = service_caller("allocation").in_branch(101)
SET_ACCESS = "/guanhu.customer.v1.CustomerService/SetAccess"
KNOWN, UNKNOWN = "customers/10001", "customers/10009"


class Clock:
    """A clock that stands where the test sets it."""

    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service that knows one customer, and calls itself as allocation would call it."""
    running = await bank.serve(SERVICE)
    await import_day(running, customers=[a_customer_line("10001")])
    running.frame.settings.shared.customer_address = running.address
    for interceptor in running.frame.peers._interceptors:
        interceptor._token = TrialToken(running.keys, "allocation")
    yield running
    await running.stop()


def a_runner(served, clock):
    """Return a runner by *clock*."""
    frame = served.frame
    return ErrandRunner(uow=frame.uow, caller=CALLER, peers=frame.peers, clock=clock)


def accesses(*customers, owner="keeper"):
    """Return the request that gives customers to an owner."""
    return customer_pb2.SetAccessRequest(
        branch_id=101,
        accesses=[
            customer_pb2.Access(
                customer=one, owner=f"staff/{owner}", maintenance_mode=1, version=7
            )
            for one in customers
        ],
    )


async def give(served, request, method=SET_ACCESS):
    """Write an errand down."""
    async with served.frame.uow(CALLER) as work:
        work.errand(method, request, branch_id=101)


async def row_of(served):
    """Return the one errand there is."""
    return (await served.sql("SELECT * FROM errands"))[0]


async def owner_of(served, name):
    """Return who looks after one customer."""
    shown = await served.as_("manager")(CustomerServiceStub).GetCustomer(
        customer_pb2.GetCustomerRequest(name=name)
    )
    return shown.owner


async def test_what_the_receiver_does_not_know_is_tried_again_until_it_does(served):
    """The known customer is set once; the other's part of the errand stays, and holds when they are known."""
    await give(served, accesses(KNOWN, UNKNOWN))
    clock = Clock()
    runner = a_runner(served, clock)
    first = await runner.step()
    row = await row_of(served)
    left = customer_pb2.SetAccessRequest.FromString(row["request"])

    assert first == 0
    assert (row["done_time"], row["cause"], row["tries"]) == (
        None,
        "UNKNOWN_RESOURCES",
        1,
    )
    assert row["due_time"] > clock.now
    assert [one.customer for one in left.accesses] == [UNKNOWN]
    assert left.branch_id == 101
    assert left.request_id not in ("", str(row["errand_id"]))
    assert await owner_of(served, KNOWN) == "staff/keeper"
    lines = [a_customer_line("10001"), a_customer_line("10009")]
    await import_day(served, date(2026, 11, 21), customers=lines)
    clock.now = row["due_time"]
    assert await runner.step() == 1
    assert (await row_of(served))["done_time"] is not None
    assert await owner_of(served, UNKNOWN) == "staff/keeper"
    versions = await served.sql("SELECT number, version FROM customers ORDER BY 1")
    assert [tuple(one.values()) for one in versions] == [("10001", 2), ("10009", 2)]


async def test_what_stays_unknown_is_parked_in_sight(served):
    """After the last try the errand rests with its cause; a log line and a figure tell of it, and name nobody."""
    await give(served, accesses(UNKNOWN))
    clock = Clock()
    runner = a_runner(served, clock)
    figure = metrics.ERRANDS.labels("customer", "parked")
    before = figure._value.get()
    waits = []
    with capture_logs() as logs:
        for _ in range(ANSWERED_TRIES):
            assert await runner.step() == 0
            row = await row_of(served)
            waits.append(row["due_time"] - clock.now)
            clock.now = min(row["due_time"], clock.now + timedelta(days=1))
        asked = await served.sql("SELECT count(*) FROM requests")
        clock.now += timedelta(days=365)
        await runner.step()

    row = await row_of(served)
    assert waits == sorted(waits)
    assert waits[-1] > timedelta(days=365 * 1000)
    assert (row["done_time"], row["cause"]) == (None, "UNKNOWN_RESOURCES")
    assert await served.sql("SELECT count(*) FROM requests") == asked
    assert figure._value.get() == before + 1
    told = [one for one in logs if one["event"].startswith("errand.")]
    assert [one["event"] for one in told] == [
        *["errand.put_off"] * (ANSWERED_TRIES - 1),
        "errand.parked",
    ]
    assert told[-1]["log_level"] == "error"
    assert "10009" not in str(told)


async def test_tries_that_were_not_answered_do_not_count(served):
    """An errand that waited long for a receiver that was away is not parked by the first answer."""
    await give(served, accesses(UNKNOWN))
    await served.sql("UPDATE errands SET tries = 99, cause = 'UNAVAILABLE'")
    clock = Clock()
    await a_runner(served, clock).step()
    row = await row_of(served)

    assert (row["tries"], row["cause"]) == (1, "UNKNOWN_RESOURCES")
    assert row["due_time"] - clock.now < timedelta(seconds=5)


async def test_an_answer_that_knows_all_holds(served):
    """Lines that were older than what is stored, and so ignored, are no reason to try again."""
    await give(served, accesses(KNOWN))
    await a_runner(served, Clock()).step()
    await give(served, accesses(KNOWN, owner="other_keeper"))
    held = await a_runner(served, Clock()).step()

    assert held == 1
    assert await owner_of(served, KNOWN) == "staff/keeper"


def test_a_request_whose_lines_do_not_say_whom_they_are_about_stays_whole():
    """Where no line can be told from the others, all of the request is tried again, under another request_id."""
    request = accesses(KNOWN)
    request.request_id = "0190a0a0-0000-7000-8000-000000000001"
    answer = customer_pb2.SetAccessResponse(unknown_customers=["customers/else"])
    left = errands.left_over(
        SET_ACCESS, request.SerializeToString(), answer.SerializeToString()
    )
    found = customer_pb2.SetAccessRequest.FromString(left)

    assert found.request_id != request.request_id
    found.request_id = request.request_id
    assert found == request


def test_an_answer_of_an_unknown_contract_is_taken_as_it_is():
    """An errand of an older release, whose contract this process does not have, holds by its answer alone."""
    assert errands.left_over("/guanhu.gone.v1.Gone/Go", b"", b"\x1a\x01x") is None
