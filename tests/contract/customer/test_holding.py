"""Holdings: what one customer bought, and what matures around today."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from google.type.date_pb2 import Date
from guanhu.customer.v1 import holding_pb2 as pb
from guanhu.customer.v1.holding_pb2_grpc import HoldingServiceStub

from services.customer.__main__ import SERVICE
from tests.refusals import refused
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_product_line,
    day_number,
    import_day,
)

TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date()
MATURES = {
    "past": -10,
    "today": 0,
    "soon": 5,
    "edge": 90,
    "beyond": 91,
    "long_ago": -91,
}


def on(days):
    """Return the day so many days from today."""
    return TODAY + timedelta(days=days)


def wire(days):
    """Return it as the contract writes days."""
    day = on(days)
    return Date(year=day.year, month=day.month, day=day.day)


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """One customer with a wealth holding for every edge of the window, one of a colleague's, one elsewhere."""
    running = await bank.serve(SERVICE)
    begun = day_number(on(-200))
    holdings = [
        a_holding_line(name, "10001", on(days), start_day=begun, amount_minor=100_000)
        for name, days in MATURES.items()
    ]
    more = [
        a_holding_line("phone", "10001", None, product_code="CH01", amount_minor=0),
        a_holding_line("theirs", "10002", on(5), start_day=begun, amount_minor=900_000),
        a_holding_line("far", "10003", on(5), start_day=begun),
    ]
    customers = [
        a_customer_line("10001", display_name="李一"),
        a_customer_line("10002", display_name="王二", mobile="13800000002"),
        a_customer_line("10003", branch_id=102, mobile="13800000003"),
    ]
    products = [
        a_product_line(),
        a_product_line(
            "CH01", display_name="手机银行", family=2, product_type=0, ebanking=True
        ),
    ]
    await import_day(
        running,
        TODAY,
        products=products,
        customers=customers,
        holdings=[*holdings, *more],
    )
    await running.sql("UPDATE customers SET owner = 'keeper' WHERE number = '10001'")
    await running.sql(
        "UPDATE customers SET owner = 'other_keeper' WHERE number = '10002'"
    )
    yield running
    await running.stop()


async def held(served, who="keeper", customer="10001", **more):
    """Return the identifiers of one customer's holdings, with the page."""
    page = await served.as_(who)(HoldingServiceStub).ListHoldings(
        pb.ListHoldingsRequest(customer=f"customers/{customer}", **more)
    )
    return [one.name.partition("/")[2] for one in page.holdings], page


async def maturing(served, who="keeper", **more):
    """Return the identifiers of what matures, in the order given."""
    page = await served.as_(who)(HoldingServiceStub).ListMaturities(
        pb.ListMaturitiesRequest(**more)
    )
    return [one.name.partition("/")[2] for one in page.holdings]


async def test_a_holding_is_shown_with_customer_and_product(served):
    """The columns of the handbook's screen: customer, product, days, amount, type, branch and owner."""
    _, page = await held(served, query="安心", order_by="maturity_date")
    one = page.holdings[-1]

    assert one.customer == "customers/10001"
    assert (one.customer_display_name, one.owner) == ("李一", "staff/keeper")
    assert (one.product, one.product_display_name) == ("products/WM01", "安心得利")
    assert one.branch == "branches/101"
    assert (one.amount.units, one.amount.currency_code) == (1000, "CNY")
    assert one.maturity_date == wire(91)
    assert one.state == pb.HOLDING_STATE_OPEN


async def test_one_customers_holdings_are_narrowed_sorted_and_paged(served):
    """By family, product, words and state; what never matures comes last."""
    everything, _ = await held(served, order_by="maturity_date")
    first, page = await held(served, order_by="maturity_date", page_size=4)
    rest, last = await held(
        served, order_by="maturity_date", page_size=4, page_token=page.next_page_token
    )

    assert everything == [*sorted(MATURES, key=MATURES.get), "phone"]
    assert [*first, *rest] == everything
    assert (last.next_page_token, last.total_size) == ("", 7)
    assert (await held(served, family=2))[0] == ["phone"]
    assert (await held(served, product="products/CH01"))[0] == ["phone"]
    assert (await held(served, query="手机"))[0] == ["phone"]
    assert (await held(served, state=pb.HOLDING_STATE_CLOSED))[0] == []


async def test_holdings_of_customers_out_of_sight_are_not_found(served):
    """A colleague's customer and one of another branch read alike."""
    theirs = await refused(held(served, customer="10002"))
    far = await refused(held(served, customer="10003"))

    assert theirs == far == ("NOT_FOUND", "NOT_FOUND")
    assert (await held(served, "manager", "10002"))[0] == ["theirs"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["today", "soon", "edge"]),
        ({"from_date": -90, "to_date": -1}, ["past"]),
        ({"from_date": -90, "to_date": 90}, ["past", "today", "soon", "edge"]),
        ({"from_date": 5, "to_date": 5}, ["soon"]),
    ],
)
async def test_maturities_reach_ninety_days_back_and_ahead(served, asked, found):
    """Both ends belong to the window; without days it begins today (source: handbook, maturity screen)."""
    days = {field: wire(value) for field, value in asked.items()}

    assert await maturing(served, **days) == found


async def test_days_beyond_the_window_or_turned_round_are_refused(served):
    """The sentence names the window."""
    ahead = await refused(maturing(served, to_date=wire(91)))
    back = await refused(maturing(served, from_date=wire(-91)))
    turned = await refused(maturing(served, from_date=wire(5), to_date=wire(4)))

    assert ahead == back == ("INVALID_ARGUMENT", "MATURITY_WINDOW_EXCEEDED")
    assert turned == ("INVALID_ARGUMENT", "RANGE_REVERSED")


async def test_maturities_show_only_what_is_in_sight_and_can_be_narrowed(served):
    """A manager sees every owner's, by owner and by amount; another branch sees none of them."""
    day = {"from_date": wire(5), "to_date": wire(5)}

    assert await maturing(served, "manager", order_by="amount desc", **day) == [
        "theirs",
        "soon",
    ]
    assert await maturing(served, "manager", owner="staff/other_keeper", **day) == [
        "theirs"
    ]
    assert await maturing(served, "manager", query="王", **day) == ["theirs"]
    assert await maturing(served, "upper_manager", branch_id=102, **day) == ["far"]
    assert await maturing(served, "far_manager", **day) == []


async def test_what_is_closed_before_it_matures_does_not_mature(served):
    """It stays in the customer's history, and in the past of the list."""
    await served.sql(
        "UPDATE holdings SET closed = true WHERE holding_id IN ('soon', 'past')"
    )
    ahead = await maturing(served)
    back = await maturing(served, from_date=wire(-90), to_date=wire(-1))
    closed = await held(served, state=pb.HOLDING_STATE_CLOSED, order_by="maturity_date")
    await served.sql("UPDATE holdings SET closed = false")

    assert ahead == ["today", "edge"]
    assert back == ["past"]
    assert closed[0] == ["past", "soon"]
