"""The demonstration bank is always the same, hangs together, and shows what a bank has."""

import calendar
from collections import Counter
from datetime import date, timedelta

import pytest

from admin.folders import Folder
from deploy.demo import choices, words
from deploy.demo.bank import BRANCHES, PLACES, RECENT_DAYS, TELLABLE, Bank, month_ends
from deploy.demo.snapshots import snapshot, write_folder

ANCHOR = date(2026, 11, 24)
EVE = ANCHOR - timedelta(days=1)


@pytest.fixture(scope="module")
def bank():
    """The whole bank on one day."""
    return Bank(ANCHOR)


@pytest.fixture(scope="module")
def eve(bank):
    """Its snapshot of the evening before."""
    return snapshot(bank, EVE)


def test_the_same_seed_and_day_make_the_same_bank(bank):
    """Two makings agree in every customer and member of staff; another seed makes other people."""
    again, other = Bank(ANCHOR), Bank(ANCHOR, seed=21)

    assert again.people == bank.people
    assert again.staff == bank.staff
    assert [one.display_name for one in other.people] != [
        one.display_name for one in bank.people
    ]


def test_a_smaller_bank_has_the_same_first_customers(bank):
    """Customers are drawn one by one, so that their number changes nobody."""
    assert Bank(ANCHOR, customers=50).people == bank.people[:50]


def test_three_branches_lie_below_offices(bank):
    """The tree has three counters, each below an office below the head of all, and all customers are theirs."""
    parent = {place.branch_id: place.parent for place in PLACES}

    assert len(BRANCHES) == 3
    for place in BRANCHES:
        assert parent[parent[place.branch_id]] == 1000
    assert parent[1000] == 0
    counted = Counter(person.branch_id for person in bank.people)
    assert set(counted) == {place.branch_id for place in BRANCHES}
    assert min(counted.values()) > 1000


def test_every_post_is_held(bank):
    """There is somebody in each branch for each post of a branch, and the office's posts are held once."""
    held = Counter((member.branch_id, member.post) for member in bank.staff)

    for place in BRANCHES:
        for post, count, _ in words.POSTS:
            assert held[place.branch_id, post] == count
    assert held[1000, "AUDITOR"] == held[1000, "OPERATOR"] == 1
    assert len({member.staff_id for member in bank.staff}) == len(bank.staff)


def test_numbers_are_unique_and_identities_are_of_nobody(bank):
    """Customer and identity numbers never repeat; the latter have the right check digit and no real region."""
    numbers = [person.number for person in bank.people]

    assert len(set(numbers)) == len(numbers) == 6000
    for person in bank.people[:500]:
        digits = [10 if one == "X" else int(one) for one in person.id_number]
        powers = [pow(2, 17 - place, 11) for place in range(18)]
        total = sum(one * power for one, power in zip(digits, powers, strict=True))

        assert total % 11 == 1, "ISO 7064, MOD 11-2"
        assert person.id_number[6:14] == person.born.strftime("%Y%m%d")
        assert person.id_number.startswith("990101")


def test_some_customers_share_a_mobile_and_a_branch(bank):
    """Couples exist, and nobody else shares."""
    shared = Counter(person.mobile for person in bank.people)
    pairs = [mobile for mobile, count in shared.items() if count == 2]

    assert 100 < len(pairs) < 300
    assert max(shared.values()) == 2
    couple = [person for person in bank.people if person.mobile == pairs[0]]
    assert couple[0].branch_id == couple[1].branch_id


def test_birthdays_and_maturities_lie_around_today(bank):
    """A week from now there is something to congratulate on and to renew every day."""
    week = [ANCHOR + timedelta(days=ahead) for ahead in range(7)]
    born = Counter((person.born.month, person.born.day) for person in bank.people)
    ends = Counter(held["maturity_day"] for one in bank.people for held in one.held)

    for day in week:
        assert born[day.month, day.day] >= 10
        assert ends[day] >= 10


def test_every_tier_and_every_kind_of_product_is_there(bank, eve):
    """All five tiers have customers, and each of the eight types of wealth product is held."""
    tiers = Counter(person.tier for person in bank.people)
    kinds = {line["code"]: line["product_type"] for line in eve["products"]}
    held = {kinds[line["product_code"]] for line in eve["holdings"]}

    assert set(tiers) == {0, 1, 2, 3, 4}
    assert tiers[0] > tiers[1] > tiers[2] > tiers[3] > tiers[4] > 10
    assert len(held - {""}) == 8


def test_financial_assets_cover_aum_and_aum_covers_deposits(eve):
    """No position contradicts itself."""
    for line in eve["positions"]:
        figures = [
            line[f"{name}_minor"] for name in ("financial_assets", "aum", "deposits")
        ]

        assert figures == sorted(figures, reverse=True)
        assert figures[-1] >= 0


def test_what_moved_is_what_the_positions_differ_by(bank):
    """On a day without a month's end every change of assets is one movement, told when it is not small."""
    day = date(2026, 11, 20)
    before, after = (
        {
            line["number"]: line["financial_assets_minor"]
            for line in snapshot(bank, one)["positions"]
        }
        for one in (day - timedelta(days=1), day)
    )
    differs = {
        number: after[number] - figure
        for number, figure in before.items()
        if abs(after[number] - figure) >= TELLABLE
    }

    told = {
        line["number"]: line["amount_minor"]
        for line in snapshot(bank, day)["movements"]
        if line["number"] in before
    }

    assert told == differs
    assert len(told) > 20


def test_snapshots_grow_day_by_day(bank):
    """There are ten recent days; new customers come in, nobody leaves, holdings close when they matured."""
    days = bank.recent_days
    found = [snapshot(bank, day) for day in (days[0], days[-1])]
    first, last = ({line["number"] for line in one["customers"]} for one in found)

    assert len(days) == RECENT_DAYS
    assert days == [ANCHOR - timedelta(days=back) for back in range(10, 0, -1)]
    assert first < last
    for line in found[1]["holdings"]:
        matures = line["maturity_day"]
        assert line["closed"] == (matures is not None and matures < days[-1])
        assert line["start_day"] <= days[-1]


def test_month_ends_go_back_thirteen_months(bank):
    """The history lies before the recent days and ends each month on its last day."""
    found = bank.month_ends

    assert len(found) == 13
    assert found[-1] < bank.recent_days[0]
    for day in found:
        assert day.day == calendar.monthrange(day.year, day.month)[1]
    assert month_ends(date(2026, 3, 1), 2) == [date(2026, 1, 31), date(2026, 2, 28)]


def test_a_folder_of_it_is_of_the_documented_form(bank, eve, tmp_path):
    """What is written is read back with as many lines, as CSV and as Parquet alike."""
    totals = {entity: len(rows) for entity, rows in eve.items()}

    for form in ("csv", "parquet"):
        folder = write_folder(bank, EVE, tmp_path / form, form)

        assert Folder(folder).read_through().totals == totals


def test_owners_look_after_customers_of_their_branch_and_each_only_once(bank):
    """Every given customer is a VIP of the owner's branch; some VIPs are left to be assigned."""
    branch = {person.number: person.branch_id for person in bank.people}
    post = {member.staff_id: member for member in bank.staff}
    shares = choices.shares(bank)
    given = [number for share in shares for number in share.numbers]
    valued = {person.number for person in bank.people if person.tier}

    assert len(set(given)) == len(given)
    assert set(given) < valued
    assert len(valued) - len(given) > 100
    for share in shares:
        assert post[share.owner].branch_id == share.branch_id
        assert {branch[number] for number in share.numbers} == {share.branch_id}
        assert len(share.numbers) <= post[share.owner].capacity


def test_groups_overlap_and_hold_only_their_branch(bank):
    """Each branch keeps five groups with members of its own, and some customers are in several."""
    branch = {person.number: person.branch_id for person in bank.people}
    groups = choices.groups(bank)
    memberships = Counter(number for group in groups for number in group.numbers)

    assert len(groups) == 15
    for group in groups:
        assert group.numbers
        assert {branch[number] for number in group.numbers} == {group.branch_id}
        assert len(set(group.numbers)) == len(group.numbers)
    assert sum(count > 1 for count in memberships.values()) > 50


def test_some_of_the_grouped_are_not_to_be_disturbed(bank):
    """A batch to a group meets people who asked for peace, and people who agreed to offers."""
    grouped = {number for group in choices.groups(bank) for number in group.numbers}

    assert len(grouped & set(choices.undisturbed(bank))) > 20
    assert len(grouped & set(choices.consenting(bank))) > 200
