"""Fields of the catalogue filled in for customers: what a batch says of tier, number and the next maturity."""

from datetime import date, timedelta

import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2

from services.chassis.clock import day_of, system_clock
from tests import messages
from tests.messages import a_group, approved, plan, recipients
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_position_line,
    a_product_line,
    import_day,
)


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Three customers of a teller, of whom the first two hold something, beside the service that writes to them."""
    running = await messages.start(bank)
    today = day_of(system_clock())
    later = [
        ("H1", "01", today + timedelta(days=20), 30_000_000),
        ("H2", "01", today + timedelta(days=2), 12_345_050),
        ("H3", "02", today - timedelta(days=2), 30_000_000),
    ]
    await import_day(
        running.customer,
        day=date(2026, 11, 21),
        products=[a_product_line(display_name="安心得利")],
        customers=[
            a_customer_line(number, mobile=messages.mobile_of(number))
            for number in ("01", "02", "03")
        ],
        positions=[
            a_position_line(number, assets=60_000_000) for number in ("01", "02", "03")
        ],
        holdings=[
            a_holding_line(one, number, matures, amount_minor=amount)
            for one, number, matures, amount in later
        ],
    )
    yield running
    await messages.stop(running)


async def planned(town, body):
    """Plan a batch with a text for all three; return it with its people's reasons by number."""
    template = await approved(town, name="字段", body=body)
    group = await a_group(town, "01", "02", "03")
    batch = await plan(town, template, group)
    people = (await recipients(town, batch)).recipients
    return batch, {one.customer[-2:]: one.exclusion_reason for one in people}


async def test_a_text_about_a_maturity_goes_to_those_who_have_one(town):
    """The next one of their own is told by product, day and amount; who has none is left out for a missing field."""
    body = "{{maturity_product}}{{maturity_date}}到期{{maturity_amount}}。"
    batch, reasons = await planned(town, body)

    day = day_of(system_clock()) + timedelta(days=2)
    told = f"安心得利{day.year}年{day.month}月{day.day}日到期123,450.50元。"
    missing = batch_pb2.EXCLUSION_REASON_FIELD_MISSING
    assert [one.text for one in batch.samples] == [f"【农业银行】{told}"]
    assert reasons == {"01": 0, "02": missing, "03": missing}


async def test_a_text_names_tier_and_end_of_the_number(town):
    """Everybody has both; the number shows its last characters only."""
    await town.customer.sql("UPDATE customers SET tier = 3")
    await town.customer.sql("UPDATE customers SET tier = 0 WHERE number = '03'")
    batch, reasons = await planned(town, "{{tier_name}}客户（{{customer_number}}）您好")

    assert {one.text for one in batch.samples} == {
        "【农业银行】白金卡客户（01）您好",
        "【农业银行】白金卡客户（02）您好",
    }
    assert reasons["03"] == batch_pb2.EXCLUSION_REASON_FIELD_MISSING
