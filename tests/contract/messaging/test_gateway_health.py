"""What workers tell about their links: state and reason, what is under way, how fast, and what became of it."""

import asyncio
from datetime import timedelta

import pytest
import pytest_asyncio
from guanhu.messaging.v1 import gateway_pb2 as pb
from guanhu.messaging.v1.gateway_pb2_grpc import GatewayServiceStub
from prometheus_client import REGISTRY

from services.messaging.delivery.actions.gauge import Gauge
from tests import messages
from tests.builders import request_id
from tests.messages import Sender, a_group, approved, confirm, plan

NUMBERS = [f"{number:02}" for number in range(1, 13)]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Twelve customers of a teller."""
    running = await messages.start(bank, NUMBERS)
    yield running
    await messages.stop(running)


@pytest.fixture
def folder(tmp_path):
    """Where flight records lie."""
    return tmp_path / "flight"


async def the_gateway(town, who="operator"):
    """Return the gateway of the demonstration."""
    stub = town.messaging.as_(who)(GatewayServiceStub)
    return await stub.GetGateway(pb.GetGatewayRequest(name="gateways/demo"))


async def going_out(town, *numbers):
    """Return a batch that is being sent."""
    name = f"客群 {request_id()[:8]}"
    group = await a_group(town, *numbers, name=name)
    return await confirm(town, await plan(town, await approved(town, name=name), group))


def figure(name, **labels):
    """Return a figure as Prometheus reads it, 0 where there is none."""
    return REGISTRY.get_sample_value(name, {"gateway": "demo", **labels}) or 0


async def test_a_link_tells_how_it_is_and_what_became_of_messages(town, folder):
    """Accepted and rejected ones are counted by the worker, for people and for Prometheus alike."""
    before = {
        verdict: figure("guanhu_gateway_submissions_total", verdict=verdict)
        for verdict in ("accepted", "rejected")
    }
    await going_out(town, *NUMBERS)

    def judge(message):
        return "rejected" if message.dest[-2:] in {"01", "02"} else "accepted"

    sender = await Sender(town, folder, judge=judge).open()
    await sender.station.beat()
    await sender.send()
    await sender.station.beat()
    found = await the_gateway(town)
    [link] = found.links
    sender.close()
    after = {
        verdict: figure("guanhu_gateway_submissions_total", verdict=verdict)
        for verdict in before
    }

    assert (link.state, link.worker) == (
        pb.GATEWAY_LINK_STATE_BOUND,
        sender.desk.seat.worker,
    )
    assert (link.accepted_count, link.rejected_count) == (10, 2)
    assert (link.unanswered_count, link.allowed_rate) == (0, 0)
    assert link.current_rate > 0
    assert not found.refused
    assert {key: after[key] - before[key] for key in before} == {
        "accepted": 10,
        "rejected": 2,
    }
    assert figure("guanhu_gateway_unanswered") == 0


async def test_a_refused_link_is_an_alarm_until_it_is_bound(town, folder):
    """The centre's reason is shown, and both the answer and Prometheus say that a person is needed."""
    sender = await Sender(town, folder).open()
    sender.link.link_changed("refused", "refused: invalid password")
    await sender.station.beat()
    alarm, figured = await the_gateway(town, "teller"), figure("guanhu_gateway_refused")
    sender.link.link_changed("bound", "")
    await sender.station.beat()
    calm = await the_gateway(town)
    sender.close()

    assert (alarm.refused, figured) == (True, 1)
    assert alarm.links[0].reason == "refused: invalid password"
    assert alarm.links[0].state == pb.GATEWAY_LINK_STATE_REFUSED
    assert (calm.refused, figure("guanhu_gateway_refused")) == (False, 0)


async def test_a_lost_link_leaves_its_messages_in_doubt(town, folder):
    """What was on the wire when the link broke counts as ambiguous, and the figures of the day tell it as unknown."""
    batch = await going_out(town, "01", "02", "03")
    sender = await Sender(town, folder, silent=True).open()
    step = asyncio.ensure_future(sender.lane.step())
    while len(sender.gateway.submitted) < 3:
        await asyncio.sleep(0.01)
    await sender.station.beat()
    waiting = (await the_gateway(town)).links[0].unanswered_count
    sender.gateway.lose_link("broken")
    await step
    await sender.station.beat()
    found = await the_gateway(town)
    sender.close()

    assert batch.waiting_count == 3
    assert waiting == 3
    assert found.links[0].ambiguous_count == 3
    assert found.day_figures.unknown_count == found.hour_figures.unknown_count == 3


async def test_figures_are_of_batches_that_moved_lately_and_in_sight(town, folder):
    """Batches of a day ago count for neither, of two hours ago for the day; another branch's manager sees none."""
    one = await going_out(town, "01", "02")
    two = await going_out(town, "03")
    three = await going_out(town, "04")
    sender = await Sender(town, folder).open()
    await sender.send()
    keys = [key for key, one in sender.gateway.taken.items() if one.dest[-2:] == "01"]
    sender.gateway.report(keys[0], "delivered")
    await sender.station.take_receipts(sender.link)
    await sender.station.sort_receipts(sender.link)
    sender.close()
    for batch, hours in ((two, 2), (three, 25)):
        await town.messaging.sql(
            "UPDATE batches SET update_time = update_time - $1::interval WHERE batch_id = $2",
            timedelta(hours=hours),
            batch.name.partition("/")[2],
        )
    found, far = await the_gateway(town), await the_gateway(town, "far_manager")
    near = await the_gateway(town, "manager")

    assert one.total_count == 2
    assert (found.hour_figures.accepted_count, found.day_figures.accepted_count) == (
        2,
        3,
    )
    assert found.day_figures.delivered_count == 1
    assert near.day_figures == found.day_figures
    assert far.day_figures == pb.GatewayFigures()


async def test_links_of_workers_that_are_silent_are_gone(town, folder):
    """A worker that told nothing for a quarter of a minute has no link any more."""
    sender = await Sender(town, folder).open()
    await sender.station.beat()
    there = len((await the_gateway(town)).links)
    await town.messaging.sql(
        "UPDATE gateway_links SET report_time = report_time - interval '16 seconds'"
    )
    gone = len((await the_gateway(town)).links)
    sender.close()

    assert (there, gone) == (1, 0)


def test_a_rate_is_what_was_handed_over_between_two_looks():
    """The first look has nothing to compare with; two looks at one moment say nothing."""
    gauge = Gauge("trial")
    gauge.handed_over(50)
    first = gauge.rate(100.0)
    gauge.handed_over(30)
    second = gauge.rate(100.5)
    same = gauge.rate(100.5)

    assert (first, second, same) == (0, 60, 0)
