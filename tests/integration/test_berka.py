"""A real bank through the real services, day by day, against figures that plain code reads from the raw files."""

import itertools
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio
from google.protobuf.any_pb2 import Any
from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.customer.v1 import customer_pb2
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.engagement.v1 import contact_plan_pb2
from guanhu.engagement.v1.contact_plan_pb2_grpc import ContactPlanServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE as ALLOCATION
from services.chassis.caller import Branch, Tree
from services.customer.__main__ import SERVICE as CUSTOMER
from services.engagement.__main__ import SERVICE as ENGAGEMENT
from tests import berka
from tests.builders import a_branch, a_member_of_staff, put, request_id
from tests.snapshots import header, import_day
from tests.town import Town

LARGE = 20_000
"""Crowns from which a movement is large, for this bank of another country and time."""

DAYS = 60

pytestmark = pytest.mark.skipif(
    not berka.FOLDER.is_dir(), reason="the real bank is absent"
)


class Plain:
    """The same bank read a second time, by plain loops over the raw rows; nothing of the product is used here."""

    def __init__(self):
        self.district, self.birthday = {}, {}
        for row in berka.rows("client.asc"):
            text = row["birth_number"]
            month = int(text[2:4]) % 50
            self.district[row["client_id"]] = int(row["district_id"])
            self.birthday[row["client_id"]] = (month, int(text[4:6]))
        owner, client = {}, {}
        for row in berka.rows("disp.asc"):
            client[row["disp_id"]] = row["client_id"]
            if row["type"] == "OWNER":
                owner[row["account_id"]] = row["client_id"]
        self.gold = {
            client[row["disp_id"]]
            for row in berka.rows("card.asc")
            if row["type"] == "gold"
        }
        self.moves = defaultdict(list)
        self.balance_on = defaultdict(dict)
        for row in berka.rows("trans_sample.csv"):
            text = row["date"]
            day = date(1900 + int(text[:2]), int(text[2:4]), int(text[4:]))
            self.moves[day].append((owner[row["account_id"]], Decimal(row["amount"])))
            self.balance_on[day][row["account_id"]] = Decimal(row["balance"])
        self.owner = owner
        self.days = sorted(self.moves)[-DAYS:]

    def per_branch(self):
        """Return how many clients each district has."""
        return Counter(self.district.values())

    def large(self, day):
        """Return how many movements of a day are large."""
        return sum(amount >= LARGE for _, amount in self.moves[day])

    def balances(self, day):
        """Return what each client has at the end of *day*, where that is above nothing."""
        last = {}
        for one in sorted(self.balance_on):
            if one <= day:
                last.update(self.balance_on[one])
        totals = Counter()
        for account, balance in last.items():
            totals[self.owner[account]] += balance
        return {client: total for client, total in totals.items() if total > 0}

    def born(self, day):
        """Return who has a birthday on *day*."""
        return {
            client
            for client, (month, number) in self.birthday.items()
            if (month, number) == (day.month, day.day)
        }


class Days:
    """The clock of the services: two in the afternoon of a day that the test turns."""

    def __init__(self):
        self.day = date(1998, 9, 1)

    def __call__(self):
        return datetime.combine(self.day, time(6), UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(bank):
    """The whole story once: imported day by day, detected, assigned district by district, planned."""
    plain, clock = Plain(), Days()
    branches = sorted(
        berka.SHIFT + district for district in set(plain.district.values())
    )
    bank.keys.tree = Tree(
        {number: Branch(number, 0, "Asia/Shanghai", str(number)) for number in branches}
    )
    town = await Town(bank, clock).start(ALLOCATION, CUSTOMER, ENGAGEMENT)
    await put(
        town.allocation,
        *(a_branch(number) for number in branches),
        *(
            a_member_of_staff(f"{post}{number}", number, capacity=0)
            for number in branches
            for post in ("a", "b")
        ),
    )
    await set_threshold(town)
    ends = await import_days(town, clock)
    await town.settle()
    for number in branches:
        await assign(town, bank, number)
    await town.settle()
    clock.day += timedelta(days=1)
    await town.due("engagement")
    yield town, plain, branches, ends
    await town.stop()


async def set_threshold(town):
    """Let movements of the bank's own currency be large."""
    value = ", ".join(
        f'"{tier}": {LARGE * 100}'
        for tier in ("basic", "gold", "platinum", "diamond", "private")
    )
    await town.customer.as_("operator")(ParameterServiceStub).SetParameter(
        parameter_pb2.SetParameterRequest(
            name="parameters/large_movement",
            value_json=f"{{{value}}}",
            effective_date={"year": 1998, "month": 1, "day": 1},
            request_id=request_id(),
        )
    )


async def import_days(town, clock):
    """Import everybody on the eve, then each day with what moved; return everybody's figures at month ends."""
    found = berka.load(DAYS)
    clock.day = found.eve
    opening = [
        berka.position(number, total) for number, total in sorted(found.opening.items())
    ]
    await import_day(
        town.customer,
        head=header(found.eve),
        customers=found.customers,
        positions=opening,
    )
    ends = {}
    for place, day in enumerate(found.days):
        clock.day = day
        await town.due("customer")
        await import_day(
            town.customer,
            head=header(day),
            positions=found.positions[day],
            movements=found.movements[day],
        )
        following = found.days[place + 1] if place + 1 < len(found.days) else None
        if following is None or following.month != day.month:
            ends[day] = await figures(town)
    return ends


async def figures(town):
    """Return what the customer service shows of everybody who has something: number to assets in crowns."""
    stub = town.customer.as_("auditor")(CustomerServiceStub)
    request = customer_pb2.ListCustomersRequest(page_size=500)
    found = {}
    while True:
        page = await stub.ListCustomers(request)
        for one in page.customers:
            money = one.financial_assets
            amount = money.units + Decimal(money.nanos) / 10**9
            if not amount:
                return found
            found[one.name.partition("/")[2]] = amount
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def manager(served, bank, branch):
    """Speak as the manager of one branch."""
    token = bank.keys.token(
        f"staff/m{branch}", ("BRANCH_MANAGER",), scope="SUBTREE", branch=branch
    )
    return served.as_token(token)


async def assign(town, bank, branch):
    """Give the most valuable half of a branch to one owner, the others to the second."""
    stub = manager(town.allocation, bank, branch)(OwnershipServiceStub)
    waiting = []
    request = ownership_pb2.ListUnassignedRequest(page_size=500)
    while True:
        page = await stub.ListUnassigned(request)
        waiting += [one.customer for one in page.ownerships]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    half = (len(waiting) + 1) // 2
    for owner, customers in (("a", waiting[:half]), ("b", waiting[half:])):
        for start in range(0, len(customers), 1000):
            await stub.AssignCustomers(
                ownership_pb2.AssignCustomersRequest(
                    customers=[
                        ownership_pb2.SeenCustomer(customer=name)
                        for name in customers[start : start + 1000]
                    ],
                    owner=f"staff/{owner}{branch}",
                    mode=customer_pb2.MAINTENANCE_MODE_PROFESSIONAL,
                    request_id=request_id(),
                )
            )


async def told(town, kind):
    """Return every line of one kind of fact that the customer service published."""
    rows = await town.customer.sql("SELECT fact FROM outbox")
    found = []
    for row in rows:
        message = kind()
        if Any.FromString(row["fact"]).Unpack(message):
            found += list(message.lines)
    return found


def day_of(message):
    """Return a wire day as a date."""
    return date(message.year, message.month, message.day)


async def test_every_branch_has_its_customers(story):
    """Customers per branch are the clients per district."""
    town, plain, branches, _ = story
    stub = town.customer.as_("auditor")(CustomerServiceStub)
    got = {}
    for branch in branches:
        page = await stub.ListCustomers(
            customer_pb2.ListCustomersRequest(branch_id=branch, page_size=1)
        )
        got[branch - berka.SHIFT] = page.total_size

    assert got == dict(plain.per_branch())


async def test_gold_cards_are_those_of_the_card_file(story):
    """Who holds a gold card in the raw files holds one here, and nobody else."""
    town, plain, _, _ = story
    rows = await town.customer.sql(
        "SELECT number FROM customers WHERE card_category = 2"
    )

    assert {row["number"] for row in rows} == plain.gold


async def test_month_end_balances_and_their_change(story):
    """At every month end, and from one to the next, each client's assets are what the raw balances come to."""
    _, plain, _, ends = story
    expected = {day: plain.balances(day) for day in ends}
    got_totals = [sum(found.values()) for found in ends.values()]
    totals = [sum(found.values()) for found in expected.values()]

    assert len(ends) >= 2
    assert ends == expected
    assert [now - then for then, now in itertools.pairwise(got_totals)] == [
        now - then for then, now in itertools.pairwise(totals)
    ]


async def test_large_movements_per_day(story):
    """Each day tells of exactly the movements above the threshold."""
    town, plain, _, _ = story
    large = (
        facts.PositionsMoved.KIND_LARGE_INFLOW,
        facts.PositionsMoved.KIND_LARGE_OUTFLOW,
    )
    lines = await told(town, facts.PositionsMoved)
    got = Counter(day_of(line.snapshot_date) for line in lines if line.kind in large)
    expected = {day: plain.large(day) for day in plain.days if plain.large(day)}

    assert sum(expected.values()) > 0
    assert dict(got) == expected


async def test_birthdays_per_day(story):
    """Everybody whose birthday lies in the two months is told of once, on the right day."""
    town, plain, _, _ = story
    lines = await told(town, facts.DatesComing)
    got = defaultdict(list)
    for line in lines:
        if line.kind == facts.DatesComing.KIND_BIRTHDAY:
            got[day_of(line.date)].append(line.customer.partition("/")[2])
    first, last = plain.days[0], plain.days[-1] + timedelta(days=3)
    span = [first + timedelta(days=step) for step in range((last - first).days + 1)]

    assert {day: sorted(got[day]) for day in span} == {
        day: sorted(plain.born(day)) for day in span
    }


async def test_portfolios_are_the_halves_of_each_district(story):
    """Every customer has an owner of the own district; each pair of owners shares it in halves, in both services."""
    town, plain, branches, _ = story
    allocation = town.allocation.as_("auditor")(OwnershipServiceStub)
    customers = town.customer.as_("auditor")(CustomerServiceStub)
    got, shown = {}, {}
    for branch in branches:
        for post in ("a", "b"):
            owner = f"staff/{post}{branch}"
            page = await allocation.ListOwnerships(
                ownership_pb2.ListOwnershipsRequest(owner=owner, page_size=1)
            )
            got[owner] = page.total_size
            seen = await customers.ListCustomers(
                customer_pb2.ListCustomersRequest(owner=owner, page_size=1)
            )
            shown[owner] = seen.total_size
    expected = {}
    for district, count in plain.per_branch().items():
        expected[f"staff/a{district + berka.SHIFT}"] = (count + 1) // 2
        expected[f"staff/b{district + berka.SHIFT}"] = count // 2

    assert got == expected
    assert shown == expected


async def test_every_owner_has_a_plan_of_twenty_or_all(story):
    """The morning's drafts hold at least twenty distinct customers of the owner, or everybody there is."""
    town, plain, _branches, _ = story
    stub = town.engagement.as_("auditor")(ContactPlanServiceStub)
    plans = {}
    request = contact_plan_pb2.ListContactPlansRequest(page_size=500)
    page = await stub.ListContactPlans(request)
    for plan in page.contact_plans:
        plans[plan.owner] = plan
    items = await town.engagement.sql(
        "SELECT p.owner, i.number FROM contact_plans p JOIN contact_plan_items i USING (branch_id, plan_id)"
    )
    owners = await town.engagement.sql("SELECT number, owner FROM portfolio")
    of = {row["number"]: row["owner"] for row in owners}
    sizes = {}
    for district, count in plain.per_branch().items():
        sizes[f"staff/a{district + berka.SHIFT}"] = (count + 1) // 2
        sizes[f"staff/b{district + berka.SHIFT}"] = count // 2

    assert set(plans) == {owner for owner, size in sizes.items() if size}
    for owner, plan in plans.items():
        assert plan.item_count >= min(20, sizes[owner]), owner
        assert plan.item_count <= 40, owner
    assert all(of[row["number"]] == row["owner"] for row in items)
    assert len({(row["owner"], row["number"]) for row in items}) == len(items)
