"""Who gets whom by value first, and how even that is, against plain second computations."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from services.allocation.plan import rules
from services.allocation.plan.rules import Candidate, Load, Parameters, Rule

AMOUNTS = some.sampled_from([0, 5, 5, 100, 7_000_000])


@some.composite
def candidates(draw):
    """Return customers with distinct numbers, many of them alike in tier and assets."""
    count = draw(some.integers(0, 40))
    return [
        Candidate(
            number=f"{place:03}",
            tier=draw(some.integers(0, 5)),
            financial_assets=draw(AMOUNTS),
            owner="",
            state=draw(some.sampled_from([1, 4])),
        )
        for place in draw(some.permutations(range(count)))
    ]


@some.composite
def owners(draw):
    """Return owners with distinct keys, and what they look after already."""
    keys = draw(some.sets(some.sampled_from("abcdefgh"), min_size=1))
    return [
        rules.fresh_load(
            key,
            draw(some.sampled_from([0, 3, 10])),
            draw(some.integers(0, 8)),
            draw(AMOUNTS),
        )
        for key in draw(some.permutations(sorted(keys)))
    ]


def plain(customers, loads, limit, forbid):
    """Return who gets whom, by looking at all owners anew for every customer."""
    counts = {one.owner: one.count_before for one in loads}
    assets = {one.owner: one.assets_before for one in loads}
    own = {one.owner: 0 for one in loads}
    most = {one.owner: one.capacity or 10**9 for one in loads}
    got = []
    for tier in (5, 4, 3, 2, 1, 0):
        rest = [one for one in customers if one.tier == tier]
        while rest:
            richest = max(one.financial_assets for one in rest)
            first = min(one.number for one in rest if one.financial_assets == richest)
            rest = [one for one in rest if one.number != first]
            fit = [
                key
                for key in own
                if own[key] < limit and (not forbid or counts[key] < most[key])
            ]
            best = ""
            for key in fit:
                if not best or (counts[key], assets[key], key) < (
                    counts[best],
                    assets[best],
                    best,
                ):
                    best = key
            if best:
                own[best] += 1
                counts[best] += 1
                assets[best] += richest
            got.append((first, best))
    return got, counts, assets


@given(candidates(), owners(), some.integers(1, 12), some.booleans())
def test_each_customer_goes_to_the_owner_with_the_most_room(
    customers, loads, limit, forbid
):
    """The plan, the loads after it and the ranks are what looking at everybody for each customer gives."""
    choices, after = rules.draft(customers, loads, limit=limit, forbid=forbid)
    expected, counts, assets = plain(customers, loads, limit, forbid)

    assert [(one.number, one.owner) for one in choices] == expected
    assert [one.rank for one in choices] == list(range(1, len(customers) + 1))
    assert {one.owner: one.count_after for one in after} == counts
    assert {one.owner: one.assets_after for one in after} == assets
    assert [one.owner for one in after] == sorted(counts)
    assert {one.owner: one.count_before for one in after} == {
        one.owner: one.count_before for one in loads
    }


@given(candidates(), owners(), some.integers(1, 12), some.booleans())
def test_every_decision_names_its_rule_and_what_went_in(
    customers, loads, limit, forbid
):
    """Whoever is given away is so by value first; the others say whether the limit or a capacity left nobody."""
    choices, _ = rules.draft(customers, loads, limit=limit, forbid=forbid)
    capped = forbid and any(
        one.capacity and one.capacity - one.count_before < limit for one in loads
    )
    given_so_far = {}
    capacities = {one.owner: one.capacity for one in loads}
    before = {one.owner: one.count_before for one in loads}

    for one in choices:
        assert set(one.inputs) <= set(rules.INPUTS)
        assert one.inputs["limit_per_owner"] == str(limit)
        if not one.owner:
            full = Rule.CAPACITY_REACHED if capped else Rule.LIMIT_REACHED
            assert one.rule is full
            continue
        had = given_so_far.get(one.owner, 0)
        given_so_far[one.owner] = had + 1
        assert one.rule is Rule.VALUE_FIRST
        assert one.inputs["given_count"] == str(had)
        assert one.inputs["owner_count"] == str(before[one.owner] + had)
        left = capacities[one.owner] - before[one.owner] - had
        assert one.inputs.get("capacity_left") == (
            str(left) if capacities[one.owner] else None
        )


@given(candidates(), owners(), some.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_does_not_matter(customers, loads, chance):
    """Shuffled customers and owners give the same plan and the same digest."""
    first = rules.draft(customers, loads, limit=3, forbid=False)
    parameters = Parameters(101, 3, 1, tiers=(2, 3), owners=("a", "b"))
    turned = Parameters(101, 3, 1, tiers=(3, 2), owners=("b", "a"))
    digest = rules.digest_of(customers, loads, parameters, forbid=False)
    others, more = list(customers), list(loads)
    chance.shuffle(others)
    chance.shuffle(more)

    assert rules.draft(others, more, limit=3, forbid=False) == first
    assert rules.digest_of(others, more, turned, forbid=False) == digest


def test_the_digest_changes_with_everything_that_goes_in():
    """Another tier, amount, owner, state, load, capacity, branch or parameter is another digest."""
    customer = Candidate("1", 2, 100, "", 1)
    load = rules.fresh_load("a", 5, 1, 10)
    parameters = Parameters(101, 3, 1)
    cases = [
        ([customer], [load], parameters, False),
        ([Candidate("1", 3, 100, "", 1)], [load], parameters, False),
        ([Candidate("1", 2, 101, "", 1)], [load], parameters, False),
        ([Candidate("1", 2, 100, "m", 2)], [load], parameters, False),
        ([customer, Candidate("2", 2, 100, "", 1)], [load], parameters, False),
        ([customer], [rules.fresh_load("a", 6, 1, 10)], parameters, False),
        ([customer], [rules.fresh_load("a", 5, 2, 10)], parameters, False),
        ([customer], [load], Parameters(102, 3, 1), False),
        ([customer], [load], Parameters(101, 4, 1), False),
        ([customer], [load], Parameters(101, 3, 2), False),
        ([customer], [load], Parameters(101, 3, 1, include_pending=True), False),
        ([customer], [load], parameters, True),
    ]
    digests = [rules.digest_of(*case[:3], forbid=case[3]) for case in cases]

    assert len(set(digests)) == len(cases)
    assert all(len(one) == 64 for one in digests)


@given(some.lists(some.integers(-5, 10**12), max_size=12))
def test_gini_is_the_mean_difference_of_all_pairs(amounts):
    """The coefficient is the mean of all differences between two owners over twice the mean, in thousandths."""
    values = [max(0, one) for one in amounts]
    count = len(values)
    expected = 0
    if count > 1 and sum(values):
        pairs = [
            abs(one - other)
            for place, one in enumerate(values)
            for nth, other in enumerate(values)
            if place != nth
        ]
        mean = Fraction(sum(values), count)
        share = Fraction(sum(pairs), len(pairs)) / (2 * mean)
        expected = int(share * 1000 + Fraction(1, 2))

    assert rules.gini_permille(amounts) == expected


def test_gini_at_its_ends():
    """Equal shares are even, one with all is a thousand, and nobody to compare with is even."""
    assert rules.gini_permille([7, 7, 7]) == 0
    assert rules.gini_permille([0, 0, 9]) == 1000
    assert rules.gini_permille([0, 9]) == 1000
    assert rules.gini_permille([9]) == 0
    assert rules.gini_permille([]) == 0
    assert rules.gini_permille([0, 0]) == 0
    assert rules.gini_permille([1, 3]) == 500


def test_fairness_tells_the_least_and_the_most():
    """Counts before and after are told apart, with their own coefficients."""
    loads = [Load("a", 0, 1, 10, 3, 10), Load("b", 0, 3, 30, 3, 10)]

    assert rules.fairness_before(loads) == rules.Fairness(1, 3, 500, 500)
    assert rules.fairness_after(loads) == rules.Fairness(3, 3, 0, 0)
    assert rules.fairness([], []) == rules.Fairness(0, 0, 0, 0)


@given(candidates(), owners())
def test_without_a_limit_counts_end_as_even_as_can_be(customers, loads):
    """Given without limit, nobody who got a customer ends more than one above anybody else, or above their start."""
    _, after = rules.draft(customers, loads, limit=1000, forbid=False)
    served = [one for one in after if one.count_after > one.count_before]
    least = min(one.count_after for one in after)

    assert all(one.count_after <= least + 1 for one in served)


@given(candidates())
def test_ordered_by_value(customers):
    """Neighbours fall in tier, then in assets, then rise in number."""
    for one, other in pairwise(rules.ordered(customers)):
        assert one.tier >= other.tier
        if one.tier == other.tier:
            assert one.financial_assets >= other.financial_assets
            if one.financial_assets == other.financial_assets:
                assert one.number < other.number


def test_a_decision_by_hand_keeps_the_customers_facts():
    """By hand, the customer's facts stay, the new owner's come, and leaving names no owner."""
    facts = {"tier": "3", "financial_assets_minor": "70", "given_count": "9"}
    load = Load("b", 10, 2, 20, 4, 50)
    chosen = rules.by_hand("1", 5, facts, load=load, editor="staff/m")
    left = rules.by_hand("1", 5, facts, load=None, editor="staff/m")

    assert (chosen.owner, chosen.rule, chosen.rank) == ("b", Rule.BY_HAND, 5)
    assert chosen.inputs == {
        "tier": "3",
        "financial_assets_minor": "70",
        "owner_count": "4",
        "owner_assets_minor": "50",
        "given_count": "2",
        "capacity_left": "6",
        "editor": "staff/m",
    }
    assert (left.owner, left.inputs) == (
        "",
        {"tier": "3", "financial_assets_minor": "70", "editor": "staff/m"},
    )
