"""Batches through the drivers for aggregators and files, with the real core; and how settings make drivers."""

import asyncio
import json
import ssl
from collections import Counter
from datetime import timedelta

import pytest
import pytest_asyncio
from pydantic import ValidationError

from services.chassis.clock import system_clock
from services.messaging.config import GatewaySettings
from services.messaging.delivery.actions.lane import Lane
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.station import Patience, Station
from services.messaging.gateways.drivers import DRIVERS, Described, driver_of
from services.messaging.gateways.file import FileGateway
from services.messaging.gateways.http import HttpGateway
from services.messaging.gateways.http_calls import Asking
from services.messaging.gateways.smpp import SmppGateway
from tests import messages
from tests.aggregator import PUSH_SECRET, AliyunCentre, TencentCentre
from tests.file_rig import FileRig
from tests.http_rig import HttpRig
from tests.listening import until
from tests.messages import Sender, counted, counts, get, going_out

NUMBERS = [f"{number:02}" for number in range(1, 7)]


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Six customers of a teller."""
    running = await messages.start(bank, NUMBERS)
    yield running
    await messages.stop(running)


@pytest_asyncio.fixture(params=["aliyun", "aliyun-together", "tencent"])
async def aggregator(request):
    """An aggregator."""
    kind = TencentCentre if request.param == "tencent" else AliyunCentre
    references = not request.param.endswith("together")
    rig = HttpRig(await kind().start(), references=references)
    yield rig
    await rig.close()


@pytest.fixture
def outbox(tmp_path):
    """A folder for files."""
    made = FileRig(tmp_path / "outbox")
    made.folder.mkdir(mode=0o700)
    return made


async def sender_of(town, folder, gateway):
    """Return a sender of this process that hands over to a driver, bound."""
    sender = Sender(town, folder)
    sender.gateway = gateway
    sender.link = Link("demo", gateway, Terms("95599"), town.messaging.frame.clock)
    sender.station = Station(
        sender.desk,
        {"demo": sender.link},
        folder,
        patience=Patience(timedelta(), 0),
    )
    sender.lane = Lane(sender.desk, sender.link)
    await sender.open()
    await gateway.wait_room()
    return sender


async def listen(town, sender, batch, until_delivered):
    """Turn the rounds of receipts until so many of a batch are delivered."""
    async with asyncio.timeout(20):
        while (await get(town, batch)).delivered_count < until_delivered:
            await sender.station.take_receipts(sender.link)
            await sender.station.sort_receipts(sender.link)


async def test_a_batch_goes_through_an_aggregator_and_its_receipts_come_back(
    town, aggregator, tmp_path
):
    """Everybody gets one message; each receipt finds its own, also where many messages were one call."""
    batch = await going_out(town, *NUMBERS)
    gateway = HttpGateway(aggregator.settings())
    sender = await sender_of(town, tmp_path / "flight", gateway)
    await sender.send()
    sent = await get(town, batch)
    for one in aggregator.centre.taken[:4]:
        aggregator.report(one["dest"], "delivered")
    aggregator.report(aggregator.centre.taken[4]["dest"], "failed")
    await listen(town, sender, batch, 4)
    done = await get(town, batch)
    await asyncio.gather(*aggregator.pushes)
    await gateway.stop(1)
    sender.close()

    assert Counter(one.number for one in aggregator.taken) == Counter(
        f"86{messages.mobile_of(number)}" for number in NUMBERS
    )
    assert counts(sent) == (0, 0, 6, 0, 0, 0, 0, 0)
    assert counts(done) == await counted(town, batch) == (0, 0, 1, 4, 1, 0, 0, 0)
    assert len(aggregator.acked) == 5


@pytest.mark.parametrize("kind", [AliyunCentre, TencentCentre])
async def test_a_message_nobody_knew_about_is_settled_by_asking(town, kind, tmp_path):
    """The aggregator took it and the answer was lost: it is found by its reference, and never sent again."""
    rig = HttpRig(await kind().start(), references=True)
    batch = await going_out(town, "01")
    gateway = HttpGateway(rig.settings(asking=Asking(after=0.1, until=60, rate=50)))
    sender = await sender_of(town, tmp_path / "flight", gateway)
    rig.centre.swallow = True
    await sender.send()
    rig.centre.swallow = False
    unknown = await get(town, batch)
    rig.centre.remembers[rig.centre.taken[0]["dest"]] = 3
    await listen(town, sender, batch, 1)
    done = await get(town, batch)
    await gateway.stop(1)
    sender.close()
    await rig.close()

    assert unknown.unknown_count == 1
    assert counts(done) == await counted(town, batch) == (0, 0, 0, 1, 0, 0, 0, 0)
    assert rig.centre.count("SendSms") == 1


async def test_a_batch_is_handed_over_by_file_and_answered_by_file(
    town, outbox, tmp_path
):
    """Each message is one line of a finished file; the other sender's receipts find theirs."""
    batch = await going_out(town, *NUMBERS)
    gateway = FileGateway(outbox.settings())
    sender = await sender_of(town, tmp_path / "flight", gateway)
    await sender.send()
    await until(lambda: len(outbox.lines("messages-*.jsonl")) == 6)
    for number in NUMBERS[:3]:
        outbox.report(f"86{messages.mobile_of(number)}", "delivered")
    await listen(town, sender, batch, 3)
    done = await get(town, batch)
    await gateway.stop(1)
    sender.close()

    assert Counter(one.number for one in outbox.taken) == Counter(
        f"86{messages.mobile_of(number)}" for number in NUMBERS
    )
    assert counts(done) == await counted(town, batch) == (0, 0, 3, 3, 0, 0, 0, 0)


async def test_what_a_dead_process_wrote_is_settled_as_sent(town, outbox, tmp_path):
    """Its lines were written, its answers lost: the file proves what was handed over, and nothing is sent twice."""
    batch = await going_out(town, "01", "02")
    gateway = FileGateway(outbox.settings(most_seconds=600))
    sender = await sender_of(town, tmp_path / "flight", gateway)
    answers = []
    sender.link.submitted = answers.extend
    sending = asyncio.create_task(sender.lane.step())
    await until(lambda: len(answers) == 2)
    sender.link.link_lost([one.token for one in answers], "killed")
    await sending
    unknown = await get(town, batch)
    [path] = outbox.folder.glob("*.part")
    left = path.read_bytes()
    await gateway.stop(1)
    for done in outbox.folder.glob("messages-*"):
        done.unlink()
    path.write_bytes(left)
    sender.close()
    fresh = await sender_of(town, tmp_path / "flight", FileGateway(outbox.settings()))
    await until(lambda: len(fresh.link.heard) == 2)
    await fresh.station.take_receipts(fresh.link)
    await fresh.station.sort_receipts(fresh.link)
    await until(lambda: len(outbox.lines("messages-*.jsonl")) == 2)
    settled = await get(town, batch)
    await fresh.gateway.stop(1)
    fresh.close()

    assert unknown.unknown_count == 2
    assert counts(settled) == await counted(town, batch) == (0, 0, 2, 0, 0, 0, 0, 0)
    assert len(outbox.lines()) == 2


GOOD = {
    "smpp": ({}, SmppGateway),
    "http": (
        {
            "address": "sms.example:443",
            "system_id": "key",
            "template": "SMS_1",
            "tls": True,
        },
        HttpGateway,
    ),
    "file": ({"folder": "/var/spool/sms"}, FileGateway),
}


@pytest.mark.parametrize("protocol", GOOD)
def test_each_protocol_that_settings_may_name_has_its_driver(protocol):
    """Made from what the settings say, with the window that they give."""
    entries, kind = GOOD[protocol]
    one = GatewaySettings(name="x", protocol=protocol, window=7, **entries)
    described = Described(
        protocol=one.protocol,
        address=one.address or "127.0.0.1:1",
        system_id=one.system_id or "us",
        password="secret",
        window=one.window,
        final_receipt_after=one.final_receipt_after,
        source=one.source,
        template=one.template,
        folder=one.folder,
    )
    made = driver_of(described, system_clock)

    assert isinstance(made, kind)
    assert made.caps.window == 7
    assert set(GOOD) <= set(DRIVERS)


def test_an_aggregator_is_reached_and_heard_as_described():
    """Over TLS, at its address; what it brings is let in where the settings say."""
    described = Described(
        protocol="http",
        address="sms.example:443",
        system_id="key",
        password="secret",
        window=5,
        final_receipt_after=60,
        encryption=ssl.create_default_context(),
        source="95599",
        dialect="tencent",
        template="1",
        app_id="2",
        references=False,
        connections=3,
        push_address="127.0.0.1:7020",
        push_password=PUSH_SECRET,
    )
    settings = driver_of(described, system_clock)._settings

    assert (settings.host, settings.port, settings.dialect) == (
        "sms.example",
        443,
        "tencent",
    )
    assert settings.tls.verify_mode == ssl.CERT_REQUIRED
    assert (settings.push.host, settings.push.port) == ("127.0.0.1", 7020)
    assert (settings.access, settings.app_id, settings.connections) == ("95599", "2", 3)


def test_a_gateway_of_files_needs_a_folder():
    """There is no place that could be meant otherwise."""
    described = Described(
        protocol="file",
        address="",
        system_id="",
        password="",
        window=1,
        final_receipt_after=1,
    )
    with pytest.raises(ValueError, match="folder"):
        driver_of(described, system_clock)


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"protocol": "http"}, "needs address, system_id, template"),
        (
            {**GOOD["http"][0], "protocol": "http", "dialect": "tencent"},
            "needs app_id",
        ),
        ({**GOOD["http"][0], "protocol": "http", "tls": False}, "needs tls"),
        ({"protocol": "file"}, "needs folder"),
        ({"protocol": "fax"}, "smpp"),
    ],
)
def test_settings_that_cannot_work_are_refused(entries, fault):
    """At the start, with what is missing."""
    with pytest.raises(ValidationError, match=fault):
        GatewaySettings(name="x", **entries)


def test_an_aggregator_on_this_machine_needs_no_encryption():
    """A proxy of the bank's may stand there."""
    entries = {**GOOD["http"][0], "tls": False, "address": "127.0.0.1:8080"}
    one = GatewaySettings(name="x", protocol="http", **entries)

    assert json.loads(one.model_dump_json())["address"] == "127.0.0.1:8080"
