"""Messages of unknown fate: settled by receipts, fenced, left or repeated, as the policy of their batch says."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb

from services.messaging.delivery.actions import receipts
from services.messaging.delivery.actions.station import Patience
from services.messaging.gateways import Receipt
from tests import messages
from tests.messages import (
    Sender,
    contacts,
    counted,
    counts,
    get,
    going_out,
)

ROOT = Path(__file__).parents[2]
NUMBERS = [f"{number:02}" for number in range(1, 13)]
DAY, NIGHT = '{"from": 0, "to": 24}', '{"from": 0, "to": 0}'
NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


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


async def unknown_batch(town, folder, **more):
    """Return a batch of four of which two were lost with the link, and its sender."""
    batch = await going_out(town, "01", "02", "03", "04", **more)
    sender = await Sender(town, folder, window=2, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while len(sender.gateway.submitted) < 2:
        await asyncio.sleep(0.01)
    sender.gateway.lose_link("cut")
    await task
    sender.gateway.bind_again()
    sender.gateway.silent = False
    return batch, sender


async def test_the_fence_settles_by_receipt_or_sends_again(town, folder):
    """Of two unknown messages one has a receipt and was accepted, the other is sent again once none can come."""
    batch, sender = await unknown_batch(town, folder)
    lost = await get(town, batch)
    await sender.send()
    waiting = await get(town, batch)
    one = sender.gateway.submitted[0]
    sender.gateway.taken["x1"] = one
    sender.gateway.report("x1")
    await sender.station.take_receipts(sender.link)
    sender.station._patience = Patience(timedelta(), 0)
    await sender.station.sort_receipts(sender.link)
    early = await sender.station.sort_receipts(sender.link)
    half = await get(town, batch)
    await town.messaging.sql(
        "UPDATE unknowns SET fence_time = fence_time - interval '4 hours'"
    )
    await sender.station.sort_receipts(sender.link)
    again = await get(town, batch)
    await sender.send()
    done = await get(town, batch)
    told = await contacts(town)

    assert counts(lost) == (0, 2, 0, 0, 0, 2, 0, 0)
    assert counts(waiting) == (0, 0, 2, 0, 0, 2, 0, 0)
    assert waiting.state == pb.BATCH_STATE_SENDING
    assert early == 0
    assert counts(half) == (0, 0, 2, 1, 0, 1, 0, 0)
    assert counts(again) == (0, 1, 2, 1, 0, 0, 0, 0)
    assert done.state == pb.BATCH_STATE_FINISHED
    assert counts(done) == await counted(town, batch) == (0, 0, 3, 1, 0, 0, 0, 0)
    assert told == Counter(f"customers/{number}" for number in NUMBERS[:4])
    sender.close()


async def test_a_receipt_that_is_not_sorted_yet_keeps_its_message_from_going_out_again(
    town, folder
):
    """Receipts that came within the grace belong to nothing yet: whose number has one is not written to twice."""
    batch, sender = await unknown_batch(town, folder)
    one = sender.gateway.submitted[0]
    sender.gateway.taken["y1"] = one
    sender.gateway.report("y1")
    await sender.station.take_receipts(sender.link)
    await town.messaging.sql(
        "UPDATE unknowns SET fence_time = fence_time - interval '4 hours'"
    )
    sender.station._patience = Patience(timedelta(minutes=1), 0)
    await sender.station.sort_receipts(sender.link)
    fenced = await get(town, batch)
    sender.station._patience = Patience(timedelta(), 0)
    await sender.station.sort_receipts(sender.link)
    done = await get(town, batch)

    assert counts(fenced) == (0, 3, 0, 0, 0, 1, 0, 0)
    assert counts(done) == (0, 3, 0, 1, 0, 0, 0, 0)
    sender.close()


async def test_receipts_that_belong_to_nothing_keep_no_other_back(
    town, folder, monkeypatch
):
    """Older ones of another's messages fill whole pages, and stay; what is ours behind them is still entered."""
    monkeypatch.setattr(receipts, "PAGE", 5)
    batch = await going_out(town, "01")
    sender = await Sender(town, folder).open()
    await sender.send()
    strangers = [
        Receipt(
            gateway_id=f"stranger-{number}",
            state="delivered",
            source="95599",
            dest="8613000000000",
            client_ref=None,
            code="000",
            heard_at=datetime.now(UTC) - timedelta(hours=1),
            ack=None,
        )
        for number in range(12)
    ]
    desk = sender.desk
    await receipts.store(
        desk.uow, desk.caller, desk.vault, gateway="demo", receipts=strangers
    )
    sender.gateway.report(next(iter(sender.gateway.taken)))
    await sender.station.take_receipts(sender.link)
    rounds = [await sender.station.sort_receipts(sender.link) for _ in range(3)]
    done = await get(town, batch)

    assert rounds == [1, 1, 1]
    assert sender.link.sorted_to is None
    assert counts(done) == (0, 0, 0, 1, 0, 0, 0, 0)
    sender.close()


async def test_at_most_once_leaves_unknown_and_at_least_once_repeats(town, folder):
    """The policy decides: unknown for good, or sent again at once."""
    most, sender = await unknown_batch(
        town, folder, unknown_policy=pb.UNKNOWN_POLICY_AT_MOST_ONCE
    )
    await sender.send()
    sender.close()
    least, other = await unknown_batch(
        town, folder, unknown_policy=pb.UNKNOWN_POLICY_AT_LEAST_ONCE
    )
    await other.send()
    ends = [await get(town, one) for one in (most, least)]

    assert [one.state for one in ends] == [pb.BATCH_STATE_FINISHED] * 2
    assert [counts(one) for one in ends] == [
        (0, 0, 2, 0, 0, 2, 0, 0),
        (0, 0, 4, 0, 0, 0, 0, 0),
    ]
    assert len(other.gateway.submitted) == 6
    other.close()


async def test_a_machine_started_anew_counts_a_chunk_as_unknown(town, folder):
    """After a power cut the record cannot be relied on; a lease of a machine that never comes back is taken over."""
    batch = await going_out(town, "01", "02")
    sender = await Sender(town, folder, silent=True).open()
    task = asyncio.create_task(sender.lane.step())
    while not sender.gateway.submitted:
        await asyncio.sleep(0.01)
    held = await get(town, batch)
    await town.messaging.sql("UPDATE chunks SET boot = 'another'")
    await sender.station.recover(sender.desk.seat)
    after = await get(town, batch)
    sender.gateway.answer()
    await task
    late = await get(town, batch)

    assert counts(held) == (0, 0, 0, 0, 0, 0, 0, 2)
    assert counts(after) == (0, 0, 0, 0, 0, 2, 0, 0)
    assert counts(late) == (0, 0, 2, 0, 0, 0, 0, 0)
    sender.close()
