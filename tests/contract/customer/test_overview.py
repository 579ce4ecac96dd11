"""The page of one customer in one answer, and the figures of many."""

from collections import defaultdict
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.customer.v1 import consent_pb2, customer_pb2
from guanhu.customer.v1 import overview_pb2 as pb
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.overview_pb2_grpc import OverviewServiceStub

from services.customer.__main__ import SERVICE
from tests.builders import request_id
from tests.refusals import refused
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_position_line,
    a_product_line,
    day_number,
    import_day,
)

TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date()
YUAN = 100
PEOPLE = {
    "10001": (620_000, "keeper", 101),
    "10002": (120_000, "keeper", 101),
    "10003": (60_000, "", 101),
    "10004": (9_000_000, "other_keeper", 101),
    "10005": (30_000, "", 102),
}
"""Assets in yuan, owner and branch of each customer."""


def on(days):
    """Return the number of the day so many days from today."""
    return day_number(TODAY + timedelta(days=days))


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Five customers; the first holds three kinds of products and has a gold card."""
    running = await bank.serve(SERVICE)
    customers = [
        a_customer_line(
            number,
            branch_id=branch,
            mobile=f"138000{number}0",
            card_category=2 if number == "10001" else 1,
            birth_day=day_number(
                (TODAY + timedelta(days=7)).replace(year=1980, day=1)
                if number != "10001"
                else TODAY.replace(year=1980)
            ),
        )
        for number, (_, _, branch) in PEOPLE.items()
    ]
    products = [
        a_product_line("WM01"),
        a_product_line("WM02", display_name="信托一号", product_type=7),
        a_product_line(
            "CH01",
            display_name="手机银行",
            family=2,
            product_type=0,
            ebanking=True,
            core=False,
        ),
        a_product_line(
            "CH02",
            display_name="网上银行",
            family=2,
            product_type=0,
            ebanking=True,
            core=False,
        ),
    ]
    holdings = [
        a_holding_line(
            "H1",
            "10001",
            TODAY + timedelta(days=5),
            start_day=on(-30),
            amount_minor=10_000 * YUAN,
        ),
        a_holding_line(
            "H2",
            "10001",
            TODAY + timedelta(days=200),
            start_day=on(-400),
            amount_minor=20_000 * YUAN,
            product_code="WM01",
        ),
        a_holding_line(
            "H3", "10001", None, start_day=on(-10), amount_minor=0, product_code="CH01"
        ),
        a_holding_line(
            "H4", "10001", None, start_day=on(-10), amount_minor=0, product_code="CH02"
        ),
    ]
    await import_day(
        running,
        TODAY,
        products=products,
        customers=customers,
        positions=[
            a_position_line(number, yuan * YUAN)
            for number, (yuan, _, _) in PEOPLE.items()
        ],
        holdings=holdings,
    )
    for number, (_, owner, _) in PEOPLE.items():
        await running.sql(
            "UPDATE customers SET owner = $1 WHERE number = $2", owner, number
        )
    yield running
    await running.stop()


async def overview(served, number="10001", who="keeper"):
    """Return the page of one customer."""
    return await served.as_(who)(OverviewServiceStub).GetCustomerOverview(
        pb.GetCustomerOverviewRequest(name=f"customers/{number}")
    )


async def aggregates(served, by, who="manager", **more):
    """Return the figures of many."""
    return await served.as_(who)(OverviewServiceStub).AggregateCustomers(
        pb.AggregateCustomersRequest(by=by, **more)
    )


async def test_one_answer_holds_the_five_screens(served):
    """Summary, basics, wealth account, holdings and evaluation agree with what came in."""
    found = await overview(served)
    summary, account, worth = found.summary, found.wealth_account, found.evaluation

    assert found.basics.mobile == "138****0010"
    assert summary.days_until_birthday == 0
    assert (summary.maturing_count, summary.maturing_amount.units) == (1, 10_000)
    assert not summary.HasField("days_since_contact")
    assert account.financial_assets.units == 620_000
    assert {
        one.family: (one.holdings_count, one.amount.units) for one in account.shares
    } == {
        1: (2, 30_000),
        2: (2, 0),
    }
    assert [one.financial_assets.units for one in account.trend_points] == [620_000]
    assert [one.name.partition("/")[2] for one in found.holdings][:2] == ["H1", "H2"]
    assert len(found.holdings) == 4
    assert (worth.product_kinds, worth.core_coverage_percent) == (2, 50)
    assert (worth.wealth_purchases, worth.wealth_purchase_amount.units) == (1, 10_000)


async def test_the_next_tier_and_the_card_are_told_from_the_standards(served):
    """Platinum begins at half a million, diamond at three: the gold card held is below what is due."""
    worth = (await overview(served)).evaluation

    assert worth.value_band == pb.VALUE_BAND_HIGH
    assert worth.next_tier == customer_pb2.TIER_DIAMOND
    assert worth.next_tier_shortfall.units == 3_000_000 - 620_000
    assert worth.card_due
    assert not worth.card_below_standard


async def test_whoever_is_in_the_highest_tier_has_none_above(served):
    """And whoever is neither VIP nor near it is served simply."""
    highest = (await overview(served, "10004", "other_keeper")).evaluation
    low = (await overview(served, "10005", "upper_manager")).evaluation

    assert highest.next_tier == 0
    assert low.value_band == pb.VALUE_BAND_LOW


async def test_contacts_and_refusals_show_in_the_summary(served):
    """Days since the last contact, days until the next, and what the customer refuses."""
    moment = Timestamp()
    moment.FromDatetime(
        datetime.now(ZoneInfo("UTC")).replace(tzinfo=None) - timedelta(days=3)
    )
    coming = TODAY + timedelta(days=2)
    sheet = customer_pb2.ProfileSheet()
    sheet.next_contact_on.year, sheet.next_contact_on.month = coming.year, coming.month
    sheet.next_contact_on.day = coming.day
    note = customer_pb2.ContactNote(
        customer="customers/10002",
        contact=customer_pb2.Contact(contact_time=moment, channel=2, result=1),
        profile_sheet=sheet,
        sheet_mask={"paths": ["next_contact_on"]},
    )
    await served.as_("services/engagement")(CustomerServiceStub).NoteContacts(
        customer_pb2.NoteContactsRequest(
            branch_id=101, notes=[note], request_id=request_id()
        )
    )
    await served.as_("keeper")(ConsentServiceStub).SetDoNotDisturb(
        consent_pb2.SetDoNotDisturbRequest(
            customer="customers/10002",
            do_not_disturb=True,
            channel=customer_pb2.CHANNEL_SMS,
            purpose=consent_pb2.PURPOSE_MARKETING,
            request_id=request_id(),
        )
    )
    summary = (await overview(served, "10002")).summary

    assert (summary.days_since_contact, summary.days_until_contact) == (3, 2)
    assert [(one.channel, one.purpose) for one in summary.refusals] == [
        (customer_pb2.CHANNEL_SMS, consent_pb2.PURPOSE_MARKETING)
    ]


async def test_an_assessment_that_ran_out_lets_nothing_be_recommended(served):
    """It holds on its last day, and not on the day after."""
    answers = []
    for days in (0, -1):
        await served.sql(
            "UPDATE customers SET risk_expiry_date = $1 WHERE number = '10001'",
            TODAY + timedelta(days=days),
        )
        answers.append((await overview(served)).summary.risk_assessment_missing)

    assert answers == [False, True]


async def test_a_page_out_of_sight_is_not_found(served):
    """A colleague's customer reads like one that is not there."""
    ways = [
        overview(served, "10004"),
        overview(served, "10005"),
        overview(served, "7777"),
    ]

    assert {await refused(way) for way in ways} == {("NOT_FOUND", "NOT_FOUND")}


async def test_sums_by_owner_are_those_of_a_plain_addition(served):
    """Those without an owner are a group of their own; the total is all groups together."""
    found = await aggregates(served, pb.AGGREGATE_BY_OWNER)
    expected = defaultdict(lambda: [0, 0])
    for yuan, owner, branch in PEOPLE.values():
        if branch == 101:
            expected[owner and f"staff/{owner}"][0] += 1
            expected[owner and f"staff/{owner}"][1] += yuan
    told = {
        one.owner: [one.customer_count, one.financial_assets.units]
        for one in found.aggregates
    }

    assert told == expected
    assert found.total.customer_count == 4
    assert found.total.financial_assets.units == sum(
        units for _, units in expected.values()
    )
    assert found.total.vip_count == 3


async def test_sums_are_narrowed_by_sight_branch_and_owner(served):
    """A keeper's sums are of the keeper's customers; a manager of above can ask for one branch."""
    own = await aggregates(served, pb.AGGREGATE_BY_TIER, "keeper")
    above = await aggregates(served, pb.AGGREGATE_BY_TYPE, "upper_manager")
    branch = await aggregates(
        served, pb.AGGREGATE_BY_TYPE, "upper_manager", branch_id=102
    )
    owner = await aggregates(served, pb.AGGREGATE_BY_TIER, owner="staff/other_keeper")
    nobody = await aggregates(served, pb.AGGREGATE_BY_TIER, "far_manager")

    assert own.total.customer_count == 2
    assert [one.tier for one in own.aggregates] == [2, 3]
    assert above.total.customer_count == 5
    assert branch.total.customer_count == 1
    assert owner.total.financial_assets.units == 9_000_000
    assert (nobody.total.customer_count, len(nobody.aggregates)) == (0, 0)


async def test_a_grouping_must_be_said(served):
    """Not saying by what is refused by the field."""
    answer = await refused(aggregates(served, 0), fields=True)

    assert answer == ("INVALID_ARGUMENT", "FIELD_INVALID", ["by"])
