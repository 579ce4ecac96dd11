"""What a plan answers besides who is left out: the cost, the bills, what is read, and when messages really go out."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb

from services.chassis.wiretypes import minor_from, time_to
from tests import messages
from tests.messages import (
    CARE,
    a_group,
    approved,
    batches,
    change,
    get,
    plan,
    recipients,
    refuse,
    set_parameter,
)

NUMBERS = [f"{number:02}" for number in range(1, 15)]
LONG = "尊敬的{{customer_name}}，" + "贵" * 55
NIGHT = {"hour": 14, "minute": 30, "second": 0, "microsecond": 0}
"""Half past ten in the evening in Shanghai, in UTC."""


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Fourteen customers of a teller, one of whom asked not to be disturbed; four have long names."""
    running = await messages.start(bank, NUMBERS)
    await running.customer.sql(
        "UPDATE customers SET display_name = '欧阳' || repeat('长', number::integer + 2) WHERE number <= '04'"
    )
    await refuse(running, "14")
    yield running
    await messages.stop(running)


async def test_cost_and_bills_are_those_of_the_messages(town):
    """Segments are told by how many messages take one, two and so on; each costs what one costs at that moment."""
    await set_parameter(town, "segment_price", "7")
    template = await approved(town, name="长文", body=LONG)
    group = await a_group(town, *NUMBERS)
    batch = await plan(town, template, group)
    await set_parameter(town, "segment_price", "9")
    later = await get(town, batch)
    people = (await recipients(town, batch)).recipients
    bills = Counter(one.segments for one in people if one.segments)

    assert sorted(bills) == [1, 2]
    assert [(one.segments, one.count) for one in batch.segment_counts] == sorted(
        bills.items()
    )
    assert batch.segment_count == sum(size * count for size, count in bills.items())
    assert minor_from(batch.cost) == 7 * batch.segment_count == minor_from(later.cost)
    assert batch.cost.currency_code == "CNY"


async def test_samples_show_the_longest_and_ordinary_ones(town):
    """Five longest, the longest first, and up to five others, each of another customer; lists show none."""
    template = await approved(
        town, name="样例", body="您好{{customer_name}}，到期提醒。"
    )
    batch = await plan(town, template, await a_group(town, *NUMBERS))
    again = await get(town, batch)
    [listed] = (await batches(town).ListBatches(pb.ListBatchesRequest())).batches
    longest = [len(one.text) for one in batch.samples]
    shown = [one.customer for one in (*batch.samples, *batch.ordinary_samples)]

    assert longest == sorted(longest, reverse=True)
    assert [one.customer[-2:] for one in batch.samples[:4]] == ["04", "03", "02", "01"]
    assert len(shown) == len(set(shown)) == 10
    assert list(again.ordinary_samples) == list(batch.ordinary_samples)
    assert not listed.samples
    assert not listed.ordinary_samples
    assert not listed.HasField("send_window")
    assert listed.cost == batch.cost


async def test_the_window_is_when_messages_really_go_out(town):
    """Care waits for the morning, service goes at once, a time of the sender's is kept; a batch that ended has none."""
    group = await a_group(town, "01")
    night = (datetime.now(UTC) + timedelta(days=2)).replace(**NIGHT)
    care = await approved(town, name="关怀", purpose=CARE)
    service = await approved(town, name="服务")
    late = await plan(town, care, group, schedule_time=time_to(night))
    at_once = await plan(town, service, group)
    chosen = await plan(town, service, group, schedule_time=time_to(night))
    ended = await change(town, "Cancel", at_once)
    windows = {
        "late": (await get(town, late)).send_window,
        "chosen": chosen.send_window,
    }
    morning = (night + timedelta(hours=8)).date() + timedelta(days=1)

    assert windows["late"].start_time.ToDatetime(UTC) == datetime(
        morning.year, morning.month, morning.day, 1, 0, tzinfo=UTC
    )
    assert (windows["late"].from_hour, windows["late"].to_hour) == (9, 20)
    assert windows["chosen"].start_time.ToDatetime(UTC) == night
    assert (windows["chosen"].from_hour, windows["chosen"].to_hour) == (0, 24)
    assert at_once.send_window.start_time.seconds >= at_once.create_time.seconds
    assert not (await get(town, ended)).HasField("send_window")
