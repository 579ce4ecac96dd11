"""Groups by rule: found by saved filters and counted live, against a plain filter over random customers."""

import itertools
from datetime import UTC, datetime
from uuid import uuid4

import pytest_asyncio
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from guanhu.customer.v1 import group_pb2 as pb

from services.customer.__main__ import SERVICE
from tests.builders import request_id
from tests.crowd import PEOPLE, Bank, random_rule
from tests.refusals import refused


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(bank):
    """A branch of random customers, of whom three members of staff own some."""
    running = await bank.serve(SERVICE)
    made = Bank(running)
    await made.fill()
    yield made
    await running.stop()


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
