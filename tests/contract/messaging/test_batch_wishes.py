"""What customers wish about contacts holds for greetings and offers, at the moment when these really go out."""

from datetime import UTC, datetime, timedelta

import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.customer.v1 import customer_pb2
from guanhu.messaging.v1 import batch_pb2 as pb

from tests import messages
from tests.messages import (
    CARE,
    SERVICE_PURPOSE,
    a_group,
    approved,
    plan,
    recipients,
    set_parameter,
)

NUMBERS = ["01", "02", "03", "04", "05"]
OTHERWISE = pb.EXCLUSION_REASON_OTHER_WISHES


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Five customers: one on request only, one monthly and contacted today, two of the weekend's mornings."""
    running = await messages.start(bank, NUMBERS)
    for number, field, value in (
        ("01", "contact_frequency", customer_pb2.CONTACT_FREQUENCY_ON_REQUEST),
        ("02", "contact_frequency", customer_pb2.CONTACT_FREQUENCY_MONTHLY),
        ("03", "preferred_time", customer_pb2.PREFERRED_TIME_WEEKEND_MORNING),
        ("04", "preferred_time", customer_pb2.PREFERRED_TIME_WEEKDAY_MORNING),
    ):
        await running.customer.sql(
            f"UPDATE customers SET {field} = $1 WHERE number = $2", value, number
        )
    await running.customer.sql(
        "UPDATE customers SET last_contact_time = now() WHERE number = '02'"
    )
    yield running
    await messages.stop(running)


def a_weekday(hour):
    """Return an hour of Shanghai's next day but one that is neither Saturday nor Sunday, as the contract writes it."""
    day = datetime.now(UTC) + timedelta(days=2)
    while day.weekday() > 4:
        day += timedelta(days=1)
    moment = Timestamp()
    moment.FromDatetime(day.replace(hour=hour - 8, minute=0, second=0, microsecond=0))
    return moment


async def left_out(town, purpose, moment):
    """Return who is left out of a batch that goes out at *moment*, by the end of the number."""
    name = f"问候 {purpose} {moment.seconds}"
    template = await approved(town, name=name, purpose=purpose)
    group = await a_group(town, *NUMBERS, name=name)
    batch = await plan(town, template, group, schedule_time=moment)
    people = (await recipients(town, batch)).recipients
    return {
        one.customer[-2:]: one.exclusion_reason
        for one in people
        if one.exclusion_reason
    }


async def test_greetings_heed_what_customers_wish(town):
    """At ten on a working day: not who wants none, not who had one this month, not who wants them at weekends."""
    assert await left_out(town, CARE, a_weekday(10)) == {
        "01": OTHERWISE,
        "02": OTHERWISE,
        "03": OTHERWISE,
    }


async def test_the_afternoon_is_not_the_morning(town):
    """Who wishes mornings is left out of the same batch at two."""
    assert set(await left_out(town, CARE, a_weekday(14))) == {"01", "02", "03", "04"}


async def test_a_batch_of_the_night_is_judged_by_the_morning(town):
    """Planned for six, before the hours of messages, it goes out at nine: the wish for mornings is met."""
    await set_parameter(town, "sms_hours", '{"from": 9, "to": 20}')

    assert "04" not in await left_out(town, CARE, a_weekday(8))


async def test_service_notices_reach_everybody(town):
    """What is about a customer's own business does not wait for wishes."""
    assert await left_out(town, SERVICE_PURPOSE, a_weekday(10)) == {}
