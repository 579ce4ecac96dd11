"""A branch of random customers, and whom a rule of a group must find among them: by a plain look at each."""

import random
from datetime import date, timedelta

from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub

from services.chassis.caller import service_caller
from services.chassis.clock import day_of
from services.customer.customer.tables import Customer
from services.customer.holding.tables import Holding
from services.customer.product.tables import Product
from tests.builders import put

DICE = random.Random(20261126)
PEOPLE = 400
OWNERS = ("teller", "keeper", "other_keeper", "")


def a_customer(number, now, branch_id=101, **more):
    """Return a customer as random as the rules can tell apart; figures in cents."""
    today = day_of(now)
    fields = {
        "tier": DICE.randint(1, 5),
        "customer_type": DICE.randint(1, 3),
        "card_category": DICE.randint(0, 5),
        "source": DICE.randint(1, 9),
        "owner": DICE.choice(OWNERS),
        "currency": DICE.choice(("CNY", "CNY", "CNY", "USD")),
        "financial_assets": DICE.choice((0, 1, 9_999, 10_000, 10_001, 5_000_000)),
        "birth_date": DICE.choice(
            (
                None,
                date(1984, 2, 29),
                date(1990, today.month, 15),
                (today + timedelta(days=DICE.randint(-5, 40))).replace(year=1988),
                date(DICE.randint(1940, 2005), DICE.randint(1, 12), 28),
            )
        ),
        "last_contact_time": DICE.choice(
            (None, now - timedelta(days=DICE.randint(0, 60), hours=1))
        ),
        "next_contact_on": DICE.choice(
            (None, today + timedelta(days=DICE.randint(-10, 30)))
        ),
        "groomed_date": DICE.choice(
            (None, today - timedelta(days=DICE.randint(0, 60)))
        ),
        "do_not_disturb": DICE.random() < 0.2,
        **more,
    }
    texts = (
        "mobile_mask id_number_mask home_address_mask occupation household_finances "
        "preferences employer family_notes last_contact_staff"
    )
    numbers = (
        "gender risk_level maintenance_mode access_version aum deposits appointment_habit preferred_channel "
        "preferred_time contact_frequency last_contact_channel last_contact_result move_version"
    )
    return Customer(
        branch_id=branch_id,
        number=number,
        display_name=f"客户{number}",
        personal_digest=b"",
        create_time=now,
        update_time=now,
        **dict.fromkeys(texts.split(), ""),
        **dict.fromkeys(numbers.split(), 0),
        **fields,
    )


def a_holding(number, place, now):
    """Return a holding of a random product, open or closed, that matures around today or never."""
    today = day_of(now)
    return Holding(
        branch_id=101,
        holding_id=f"{number}-{place}",
        number=number,
        product_code=f"P{DICE.randint(1, 4)}",
        amount=100,
        currency="CNY",
        maturity_date=DICE.choice((None, today + timedelta(days=DICE.randint(-5, 20)))),
        closed=DICE.random() < 0.3,
        update_time=now,
    )


def a_product(place, now):
    """Return one of four products, each of its own type."""
    return Product(
        code=f"P{place}",
        display_name=f"产品{place}",
        family=1,
        product_type=place,
        ebanking=False,
        core=True,
        issuer_risk_level=1,
        seller_risk_level=1,
        create_time=now,
        update_time=now,
    )


class Bank:
    """The customer service with random customers, and what the test knows of them."""

    def __init__(self, running):
        self.running = running
        self.now = running.frame.clock()
        self.today = day_of(self.now)
        numbers = [f"{place:04}" for place in range(1, PEOPLE + 1)]
        self.customers = [a_customer(number, self.now) for number in numbers]
        self.holdings = [
            a_holding(number, place, self.now)
            for number in numbers
            for place in range(DICE.randint(0, 2))
        ]

    async def fill(self):
        """Store everybody, and one customer of another branch."""
        products = [a_product(place, self.now) for place in range(1, 5)]
        await put(self.running, *products, *self.customers, *self.holdings)
        await put(self.running, a_customer("9999", self.now, branch_id=102))
        async with self.running.frame.uow(service_caller("customer")) as work:
            for one in self.customers:
                await work.register("customers", one.number, 101)

    def stub(self, who="manager"):
        """Return the stub of somebody."""
        return self.running.as_(who)(GroupServiceStub)

    def expected(self, rule, owner=""):
        """Return the numbers of whom a rule must find, by a plain look at each customer."""
        return [
            one.number
            for one in self.customers
            if (not owner or one.owner == owner) and self.fits(rule, one)
        ]

    def fits(self, rule, one):
        """Say whether one customer fits every part of a rule."""
        return all(
            (
                not rule.owners or f"staff/{one.owner}" in rule.owners,
                not rule.unassigned or not one.owner,
                not rule.tiers or one.tier in rule.tiers,
                not rule.customer_types or one.customer_type in rule.customer_types,
                not rule.card_categories or one.card_category in rule.card_categories,
                not rule.sources or one.source in rule.sources,
                self.born(rule, one.birth_date),
                self.silent(rule, one.last_contact_time),
                self.rich(rule, one),
                self.holds(rule, one.number),
                self.planned(rule, one.next_contact_on),
                not rule.HasField("groomed_before")
                or one.groomed_date is None
                or one.groomed_date < day(rule.groomed_before),
                not rule.HasField("do_not_disturb")
                or one.do_not_disturb == rule.do_not_disturb,
            )
        )

    def born(self, rule, birth):
        """Say whether a birthday fits."""
        months, days = rule.birthday_months, rule.birthday_within_days
        if birth is None:
            return not months and not rule.HasField("birthday_within_days")
        if months and birth.month not in months:
            return False
        if not rule.HasField("birthday_within_days"):
            return True
        coming = [self.today + timedelta(days=number) for number in range(days + 1)]
        return any(celebrates(birth, one) for one in coming)

    def silent(self, rule, last):
        """Say whether the last contact is long enough ago."""
        days = timedelta(days=rule.not_contacted_days)
        return not days or last is None or self.now - last > days

    def rich(self, rule, one):
        """Say whether the assets lie within the bounds."""
        for name, sign in (("financial_assets_from", 1), ("financial_assets_to", -1)):
            if rule.HasField(name):
                bound = getattr(rule, name)
                cents = bound.units * 100 + bound.nanos // 10_000_000
                if bound.currency_code != one.currency:
                    return False
                if (one.financial_assets - cents) * sign < 0:
                    return False
        return True

    def holds(self, rule, number):
        """Say whether one open holding fits by type and maturity at once."""
        soon = rule.HasField("maturing_within_days")
        if not rule.product_types and not soon:
            return True
        last = self.today + timedelta(days=rule.maturing_within_days)
        return any(
            one.number == number
            and not one.closed
            and (
                not rule.product_types
                or int(one.product_code[1:]) in rule.product_types
            )
            and (
                not soon
                or (one.maturity_date and self.today <= one.maturity_date <= last)
            )
            for one in self.holdings
        )

    def planned(self, rule, planned):
        """Say whether the next contact lies within the window."""
        bounded = rule.HasField("next_contact_from"), rule.HasField("next_contact_to")
        if planned is None:
            return not any(bounded)
        return (not bounded[0] or day(rule.next_contact_from) <= planned) and (
            not bounded[1] or planned <= day(rule.next_contact_to)
        )

    def quiet(self, numbers):
        """Return how many of some customers asked not to be disturbed."""
        return sum(
            one.do_not_disturb for one in self.customers if one.number in numbers
        )


def day(message):
    """Return a day of the contract."""
    return date(message.year, message.month, message.day)


def wire(moment):
    """Return a day as the contract has it."""
    return Date(year=moment.year, month=moment.month, day=moment.day)


def celebrates(birth, moment):
    """Say whether who was born on *birth* has the birthday on *moment*."""
    try:
        return birth.replace(year=moment.year) == moment
    except ValueError:
        return (moment.month, moment.day) == (2, 28)


def random_rule(today):
    """Return a rule that sets one to four filters at random."""
    some = DICE.sample
    choices = {
        "owners": lambda: {"owners": [f"staff/{one}" for one in some(OWNERS[:3], 2)]},
        "unassigned": lambda: {"unassigned": True},
        "tiers": lambda: {"tiers": some(range(1, 6), 2)},
        "types": lambda: {"customer_types": some(range(1, 4), 1)},
        "cards": lambda: {"card_categories": some(range(1, 6), 3)},
        "sources": lambda: {"sources": some(range(1, 10), 4)},
        "months": lambda: {"birthday_months": some(range(1, 13), 3)},
        "coming": lambda: {"birthday_within_days": DICE.choice((0, 7, 30, 120, 366))},
        "silence": lambda: {"not_contacted_days": DICE.choice((1, 10, 30))},
        "least": lambda: {
            "financial_assets_from": Money(currency_code="CNY", units=100)
        },
        "most": lambda: {
            "financial_assets_to": Money(
                currency_code="CNY", units=100, nanos=10_000_000
            )
        },
        "products": lambda: {"product_types": some(range(1, 5), 2)},
        "maturing": lambda: {"maturing_within_days": DICE.choice((0, 5, 20))},
        "planned": lambda: {
            "next_contact_from": wire(today - timedelta(days=3)),
            "next_contact_to": wire(today + timedelta(days=10)),
        },
        "groomed": lambda: {"groomed_before": wire(today - timedelta(days=20))},
        "quiet": lambda: {"do_not_disturb": DICE.random() < 0.5},
    }
    while True:
        chosen = some(list(choices), DICE.randint(1, 4))
        if not {"owners", "unassigned"} <= set(chosen):
            return pb.GroupRule(
                **{k: v for one in chosen for k, v in choices[one]().items()}
            )
