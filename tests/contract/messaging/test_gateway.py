"""Gateways: as the environment describes them, held back by operators, reported about by workers."""

from datetime import timedelta

import pytest_asyncio
from guanhu.messaging.v1 import gateway_pb2 as pb
from guanhu.messaging.v1.gateway_pb2_grpc import GatewayServiceStub

from services.chassis.caller import service_caller
from services.messaging.__main__ import SERVICE
from services.messaging.gateway.actions import Configured, configure, report
from services.messaging.gateway.rules import PROTOCOLS, State
from tests.builders import request_id
from tests.refusals import refused

CALLER = service_caller("messaging")


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A messaging service with three gateways."""
    running = await bank.serve(SERVICE)
    names = [("mobile", 100, 0), ("telecom", 10, 500), ("unicom", 50, 0)]
    found = [Configured(name, f"{name} 网关", *rest) for name, *rest in names]
    await configure(running.frame.uow, CALLER, found=found)
    yield running
    await running.stop()


def stub(served, who="operator"):
    """Return the stub of somebody."""
    return served.as_(who)(GatewayServiceStub)


async def one(served, name="mobile"):
    """Return a gateway."""
    return await stub(served).GetGateway(pb.GetGatewayRequest(name=f"gateways/{name}"))


async def switch(served, verb, gateway, **more):
    """Pause or resume a gateway."""
    request = getattr(pb, f"{verb}GatewayRequest")
    fields = {"name": gateway.name, "etag": gateway.etag, **more}
    return await getattr(stub(served), f"{verb}Gateway")(
        request(request_id=request_id(), **fields)
    )


async def test_gateways_are_those_of_the_settings(served):
    """They are listed by name in pages; one that is no longer configured is gone, and keeps its state for later."""
    first = await stub(served).ListGateways(pb.ListGatewaysRequest(page_size=2))
    rest = await stub(served).ListGateways(
        pb.ListGatewaysRequest(page_size=2, page_token=first.next_page_token)
    )
    found = await stub(served).ListGateways(pb.ListGatewaysRequest(query="tele"))
    await configure(
        served.frame.uow,
        CALLER,
        found=[Configured("mobile", "移动", 20, 10, PROTOCOLS["cmpp2"])],
    )
    changed, gone = await one(served), await refused(one(served, "telecom"))

    assert [each.name for each in (*first.gateways, *rest.gateways)] == [
        "gateways/mobile",
        "gateways/telecom",
        "gateways/unicom",
    ]
    assert (first.total_size, rest.next_page_token) == (3, "")
    assert [(each.window, each.rate) for each in found.gateways] == [(10, 500)]
    assert (changed.display_name, changed.window, changed.rate) == ("移动", 20, 10)
    assert {each.protocol for each in first.gateways} == {pb.GATEWAY_PROTOCOL_SMPP}
    assert changed.protocol == pb.GATEWAY_PROTOCOL_CMPP_2
    assert changed.state == pb.GATEWAY_STATE_RUNNING
    assert gone == ("NOT_FOUND", "NOT_FOUND")


async def test_an_operator_holds_a_gateway_back_and_lets_it_go_on(served):
    """Pausing needs the newest etag and a gateway that runs; workers are told with their next report."""
    before = await one(served)
    paused = await switch(served, "Pause", before)
    stale = await refused(switch(served, "Resume", before))
    twice = await refused(switch(served, "Pause", paused))
    told = await report(served.frame.uow, CALLER, gateway="mobile", bound=True)
    running = await switch(served, "Resume", paused)

    assert (paused.state, running.state) == (
        pb.GATEWAY_STATE_PAUSED,
        pb.GATEWAY_STATE_RUNNING,
    )
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert twice == ("FAILED_PRECONDITION", "GATEWAY_STATE_UNFIT")
    assert told is State.PAUSED


async def test_connected_means_that_a_worker_said_so_a_moment_ago(served):
    """A report without a link, or none for long, is no connection; reports leave the etag as it was."""
    before = await one(served)
    await report(served.frame.uow, CALLER, gateway="mobile", bound=False)
    unbound = await one(served)
    await report(served.frame.uow, CALLER, gateway="mobile", bound=True)
    bound = await one(served)
    long_ago = served.frame.clock() - timedelta(minutes=1)
    await served.sql("UPDATE gateways SET bound_time = $1", long_ago)
    silent = await one(served)

    assert not before.HasField("report_time")
    assert unbound.HasField("report_time")
    assert [each.connected for each in (before, unbound, bound, silent)] == [
        False,
        False,
        True,
        False,
    ]
    assert bound.etag == before.etag
