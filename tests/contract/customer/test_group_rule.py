"""Groups by rule: found by saved filters and counted live, against a plain filter over random customers."""

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest_asyncio
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub

from services.chassis.caller import service_caller
from services.chassis.clock import day_of
from services.customer.__main__ import SERVICE
from services.customer.customer.tables import Customer
from services.customer.holding.tables import Holding
from services.customer.product.tables import Product
from tests.builders import put, request_id
from tests.refusals import refused

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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(bank):
    """A branch of random customers, of whom three members of staff own some."""
    running = await bank.serve(SERVICE)
    made = Bank(running)
    await made.fill()
    yield made
    await running.stop()


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


async def a_group(people, rule, who="manager", display_name=""):
    """Create a group by rule."""
    return await people.stub(who).CreateGroup(
        pb.CreateGroupRequest(
            group=pb.Group(
                display_name=display_name or f"规则{uuid4()}"[:40],
                kind=pb.GROUP_KIND_RULE,
                rule=rule,
            ),
            request_id=request_id(),
        )
    )


async def numbers_of(people, group, who="manager", **more):
    """Return the members of a group by pages of 70: places and numbers."""
    found, token = [], ""
    while True:
        page = await people.stub(who).ListMembers(
            pb.ListMembersRequest(
                group=group.name, page_size=70, page_token=token, **more
            )
        )
        found += [(one.ordinal, one.customer.partition("/")[2]) for one in page.members]
        token = page.next_page_token
        if not token:
            return found


async def streamed(people, groups):
    """Return the numbers that a stream for messaging brings, in its order."""
    call = people.stub("services/messaging").StreamMembers(
        pb.StreamMembersRequest(
            branch_id=101,
            groups=[one.name for one in groups],
            batch=f"batches/{uuid4()}",
        )
    )
    return [
        one.customer.partition("/")[2]
        async for piece in call
        for one in piece.recipients
    ]


async def test_a_rule_finds_exactly_whom_a_plain_filter_finds(people):
    """Two hundred random rules count, and a part of them list, the same customers as a look at each one."""
    wrong, hits = [], 0
    for place in range(200):
        rule = random_rule(people.today)
        expected = people.expected(rule)
        got = await people.stub().PreviewGroup(pb.PreviewGroupRequest(rule=rule))
        hits += bool(expected)
        if (got.member_count, got.do_not_disturb_count) != (
            len(expected),
            people.quiet(expected),
        ):
            wrong.append((rule, len(expected), got))
        if place % 10 == 0:
            group = await a_group(people, rule)
            listed = await numbers_of(people, group)
            if listed != list(enumerate(expected, 1)):
                wrong.append((rule, expected, listed))

    assert not wrong
    assert hits > 100


async def test_a_rule_comes_back_as_it_was_given(people):
    """Every field of a rule is stored and shown; one that sets nothing finds the whole branch, and no other."""
    rule = pb.GroupRule(
        owners=["staff/keeper"],
        tiers=[1, 2],
        customer_types=[3],
        card_categories=[1],
        sources=[2],
        birthday_months=[11, 12],
        birthday_within_days=0,
        not_contacted_days=30,
        financial_assets_from=Money(currency_code="CNY", units=0),
        financial_assets_to=Money(currency_code="CNY", units=9, nanos=500_000_000),
        product_types=[1],
        maturing_within_days=0,
        next_contact_from=Date(year=2026, month=11, day=1),
        next_contact_to=Date(year=2026, month=11, day=30),
        groomed_before=Date(year=2026, month=1, day=1),
        do_not_disturb=False,
    )
    whole = await a_group(people, rule)
    shown = await people.stub().GetGroup(pb.GetGroupRequest(name=whole.name))
    everybody = await a_group(people, pb.GroupRule())

    assert whole.rule == shown.rule == rule
    assert (everybody.member_count, everybody.owner) == (PEOPLE, "staff/manager")


async def test_a_rule_is_counted_at_the_moment_of_asking(people):
    """Who changes comes in or drops out without anybody touching the group, and its etag stays."""
    rule = pb.GroupRule(do_not_disturb=True, tiers=[5])
    group = await a_group(people, rule)
    one = next(
        n
        for n in people.expected(pb.GroupRule(tiers=[5]))
        if n not in people.expected(rule)
    )
    change = "UPDATE customers SET do_not_disturb = $2 WHERE number = $1"
    await people.running.sql(change, one, True)
    after = await people.stub().GetGroup(pb.GetGroupRequest(name=group.name))
    members = await numbers_of(people, group)
    await people.running.sql(change, one, False)
    again = await people.stub().GetGroup(pb.GetGroupRequest(name=group.name))

    assert after.member_count == after.do_not_disturb_count == group.member_count + 1
    assert one in [number for _, number in members]
    assert again == group
    assert after.etag == group.etag


async def test_a_rule_of_who_sees_own_customers_finds_own_customers_alone(people):
    """A teller's rule is about the teller's customers, whoever looks at the group or changes it."""
    rule = pb.GroupRule(tiers=[1, 2, 3])
    group = await a_group(people, rule, "teller")
    previewed = await people.stub("teller").PreviewGroup(
        pb.PreviewGroupRequest(rule=rule)
    )
    wider = pb.GroupRule(tiers=[1, 2, 3, 4, 5])
    as_theirs = await people.stub().PreviewGroup(
        pb.PreviewGroupRequest(rule=wider, group=group.name)
    )
    as_own = await people.stub().PreviewGroup(pb.PreviewGroupRequest(rule=wider))
    changed = await people.stub().UpdateGroup(
        pb.UpdateGroupRequest(
            group=pb.Group(name=group.name, etag=group.etag, rule=wider),
            update_mask={"paths": ["rule"]},
            request_id=request_id(),
        )
    )
    hidden = await refused(
        people.stub("keeper").PreviewGroup(
            pb.PreviewGroupRequest(rule=rule, group=group.name)
        )
    )
    mine = people.expected(rule, "teller")
    all_mine = people.expected(wider, "teller")

    assert group.member_count == previewed.member_count == len(mine)
    assert [number for _, number in await numbers_of(people, group)] == all_mine
    assert as_theirs.member_count == changed.member_count == len(all_mine)
    assert as_own.member_count == PEOPLE
    assert await streamed(people, [group]) == all_mine
    assert hidden == ("NOT_FOUND", "NOT_FOUND")


async def test_members_of_a_rule_keep_their_places_however_they_are_looked_for(people):
    """Searching and narrowing show the same places, by number, that the whole list shows; nobody was added."""
    rule = pb.GroupRule(tiers=[2, 4])
    group = await a_group(people, rule)
    places = {number: place for place, number in await numbers_of(people, group)}
    quiet = await numbers_of(people, group, do_not_disturb=True)
    found = await numbers_of(people, group, query="000")
    down = await numbers_of(people, group, order_by="number desc")
    page = await people.stub().ListMembers(pb.ListMembersRequest(group=group.name))
    expected = people.expected(rule)

    assert list(places) == expected
    assert len(quiet) == people.quiet(expected)
    assert {number: place for place, number in quiet}.items() <= places.items()
    assert [number for _, number in found] == [one for one in expected if one < "0010"]
    assert [number for _, number in down] == expected[::-1]
    assert not page.members[0].HasField("add_time")
    assert page.total_size == len(expected)


async def test_lists_and_rules_are_streamed_together_each_customer_once(people):
    """Two rules and two lists that overlap bring everybody once, ascending by number."""
    rules = [pb.GroupRule(tiers=[1, 2]), pb.GroupRule(customer_types=[2])]
    groups = [await a_group(people, rule) for rule in rules]
    lists = [["0001", "0003", "0400"], ["0003", "0399"]]
    for numbers in lists:
        made = await people.stub().CreateGroup(
            pb.CreateGroupRequest(
                group=pb.Group(display_name=f"手工{uuid4()}"[:40]),
                request_id=request_id(),
            )
        )
        await people.stub().AddMembers(
            pb.AddMembersRequest(
                group=made.name,
                customers=[f"customers/{number}" for number in numbers],
                request_id=request_id(),
            )
        )
        groups.append(made)
    expected = set(itertools.chain(*lists, *map(people.expected, rules)))
    got = await streamed(people, groups)
    by_lists = await streamed(people, groups[2:])

    assert got == sorted(expected)
    assert by_lists == ["0001", "0003", "0399", "0400"]


async def test_a_list_of_groups_counts_each_rule_and_sorts_by_it(people):
    """Rules and lists stand in one list with their counts, sorted by members too, page after page."""
    rules = [pb.GroupRule(tiers=[1]), pb.GroupRule(tiers=[1, 2, 3]), pb.GroupRule()]
    made = [await a_group(people, rule, "keeper") for rule in rules]
    counts = [len(people.expected(rule, "keeper")) for rule in rules]
    await people.stub("keeper").CreateGroup(
        pb.CreateGroupRequest(
            group=pb.Group(display_name="空群组"), request_id=request_id()
        )
    )

    async def listed(**more):
        return await people.stub("keeper").ListGroups(pb.ListGroupsRequest(**more))

    by_time = await listed()
    by_size = await listed(order_by="member_count desc", page_size=2)
    rest = await listed(
        order_by="member_count desc", page_size=2, page_token=by_size.next_page_token
    )
    by_kind = await listed(kind=pb.GROUP_KIND_RULE)

    assert {one.name: one.member_count for one in by_time.groups}.items() >= {
        one.name: count for one, count in zip(made, counts, strict=True)
    }.items()
    sizes = [one.member_count for page in (by_size, rest) for one in page.groups]
    assert sizes == [*sorted(counts, reverse=True), 0]
    assert by_kind.total_size == 3


async def test_what_a_rule_cannot_be_is_refused(people):
    """A rule group without rule, a list with one, parts that exclude each other, and members put in by hand."""

    async def create(**fields):
        return await people.stub().CreateGroup(
            pb.CreateGroupRequest(
                group=pb.Group(display_name="不可", **fields), request_id=request_id()
            )
        )

    yuan, dollars = (Money(currency_code=one, units=5) for one in ("CNY", "USD"))
    contradicting = [
        pb.GroupRule(owners=["staff/keeper"], unassigned=True),
        pb.GroupRule(
            financial_assets_from=yuan,
            financial_assets_to=Money(currency_code="CNY", units=4),
        ),
        pb.GroupRule(financial_assets_from=yuan, financial_assets_to=dollars),
        pb.GroupRule(
            next_contact_from=Date(year=2026, month=2, day=2),
            next_contact_to=Date(year=2026, month=2, day=1),
        ),
    ]
    group = await a_group(people, pb.GroupRule())
    members = {
        "group": group.name,
        "customers": ["customers/0001"],
        "request_id": request_id(),
    }
    unset = pb.UpdateGroupRequest(
        group=pb.Group(name=group.name, etag=group.etag),
        update_mask={"paths": ["rule"]},
        request_id=request_id(),
    )
    refusals = [
        await refused(create(kind=pb.GROUP_KIND_RULE)),
        await refused(people.stub().UpdateGroup(unset)),
        await refused(create(rule=pb.GroupRule())),
        await refused(people.stub().AddMembers(pb.AddMembersRequest(**members))),
        await refused(people.stub().RemoveMembers(pb.RemoveMembersRequest(**members))),
    ]
    contradictions = {
        await refused(create(kind=pb.GROUP_KIND_RULE, rule=rule))
        for rule in contradicting
    } | {
        await refused(people.stub().PreviewGroup(pb.PreviewGroupRequest(rule=rule)))
        for rule in contradicting
    }
    never = pb.GroupRule(groomed_before=Date(year=2026, month=2, day=30))
    no_day = await refused(
        people.stub().PreviewGroup(pb.PreviewGroupRequest(rule=never))
    )

    assert refusals == [
        ("INVALID_ARGUMENT", "GROUP_RULE_MISSING"),
        ("INVALID_ARGUMENT", "GROUP_RULE_MISSING"),
        ("FAILED_PRECONDITION", "GROUP_WITHOUT_RULE"),
        ("FAILED_PRECONDITION", "GROUP_BY_RULE"),
        ("FAILED_PRECONDITION", "GROUP_BY_RULE"),
    ]
    assert contradictions == {("INVALID_ARGUMENT", "GROUP_RULE_CONTRADICTS")}
    assert no_day == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_too_many_rules_are_not_sorted_by_their_members(people):
    """Each rule is counted before a list is sorted by members, so that is refused where there are too many."""
    await people.running.sql(
        """
        INSERT INTO customer_groups (branch_id, group_id, display_name, description, kind, keeper, create_time,
            update_time, version, rule, own_only)
        SELECT 102, gen_random_uuid(), 'G' || n, '', 2, 'far', $1, $1, 1, '{}', false
        FROM generate_series(1, 1001) AS n""",
        datetime.now(UTC),
    )
    wide = pb.ListGroupsRequest(order_by="member_count", branch_id=102)
    refusal = await refused(people.stub("upper_manager").ListGroups(wide))
    by_time = await people.stub("upper_manager").ListGroups(
        pb.ListGroupsRequest(branch_id=102, page_size=500)
    )

    assert refusal == ("INVALID_ARGUMENT", "GROUP_ORDER_TOO_WIDE")
    assert len(by_time.groups) == 500
    assert {one.member_count for one in by_time.groups} == {1}
