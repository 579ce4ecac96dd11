"""
The demonstration bank: made up from a seed and a day, always the same for the same two.

Everybody in it is drawn from a number of their own, so that a customer stays the same however many there are.
Amounts are in minor units. Identity numbers begin with a region that does not exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from random import Random

from deploy.demo import words

SEED = 20
CUSTOMERS = 6000
MONTHS = 13
RECENT_DAYS = 10
"""Days before the anchor for which there is a snapshot each."""

MOVING_DAYS = 45
"""Days before the anchor in which single movements happen; before them only months are told apart."""

TIERS = ("BASIC", "GOLD", "PLATINUM", "DIAMOND", "PRIVATE")
CARDS = ("NONE", "GOLD", "PLATINUM", "DIAMOND", "PRIVATE")
LEAST = (0, 10_000_000, 50_000_000, 300_000_000, 600_000_000)
MOST = (9_900_000, 49_000_000, 290_000_000, 590_000_000, 2_000_000_000)
SHARES = (66, 22, 9, 2.4, 0.6)
"""Least and most assets by tier, and how many in a hundred customers are of it."""

SOURCES = (
    ("SYSTEM", "POST_REFERRAL", "EVENT_FOUND", "OWN_PROSPECTING"),
    (88, 6, 3, 3),
)
"""Where customers came from, and how many in a hundred."""

TELLABLE = 500_000
"""Movements below five thousand yuan are not reported."""

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, slots=True)
class Place:
    """One branch, or an office above branches."""

    branch_id: int
    parent: int
    display_name: str
    branch_type: str
    share: int = 0


PLACES = (
    Place(1000, 0, "江州分行", "OFFICE"),
    Place(1100, 1000, "城东支行", "OFFICE"),
    Place(1200, 1000, "城西支行", "OFFICE"),
    Place(1101, 1100, "城东支行营业部", "FINE", 40),
    Place(1102, 1100, "东湖网点", "BASIC", 25),
    Place(1201, 1200, "西溪财富中心", "WEALTH", 35),
)
"""The tree; branches with a share of the customers are those with a counter."""

BRANCHES = tuple(place for place in PLACES if place.share)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of staff."""

    staff_id: str
    branch_id: int
    display_name: str
    post: str
    capacity: int
    speciality: str


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a customer's assets; a flow is money that came or went, everything else is valuation."""

    day: date
    change: int
    flow: bool


@dataclass(frozen=True, slots=True)
class Person:
    """One customer; ``tier`` is the one the assets started at."""

    number: str
    branch_id: int
    display_name: str
    gender: str
    born: date
    mobile: str
    id_number: str
    address: str
    card: str
    source: str
    risk_level: int
    risk_expiry: date | None
    opened: date
    tier: int
    start: int
    aum_share: int
    deposit_share: int
    moves: tuple[Move, ...]
    held: tuple[Mapping[str, object], ...] = field(default=())

    def assets(self, day: date) -> int:
        """Return the financial assets at the end of *day*."""
        return self.start + sum(move.change for move in self.moves if move.day <= day)


def id_number(born: date, serial: int) -> str:
    """Return an identity number with a check digit that fits, of a region that does not exist."""
    body = f"990101{born:%Y%m%d}{serial % 1000:03d}"
    total = sum(
        int(digit) * weight for digit, weight in zip(body, WEIGHTS, strict=True)
    )
    return body + "10X98765432"[total % 11]


def month_ends(before: date, months: int) -> list[date]:
    """Return the last days of the *months* months that ended before *before*, ascending."""
    found = []
    day = before.replace(day=1)
    for _ in range(months):
        day -= timedelta(days=1)
        found.append(day)
        day = day.replace(day=1)
    return found[::-1]


class Bank:
    """The demonstration bank as it stands on the morning of a day."""

    def __init__(
        self, anchor: date, *, seed: int = SEED, customers: int = CUSTOMERS
    ) -> None:
        """Make up a bank with so many *customers*; *anchor* is the day around which things happen."""
        self.anchor = anchor
        self._seed = seed
        self._count = customers

    @cached_property
    def people(self) -> list[Person]:
        """Return all customers, ascending by number."""
        found: list[Person] = []
        for place in range(self._count):
            spouse = found[-1] if found and place % 33 == 0 else None
            found.append(self._person(place, spouse))
        return found

    @cached_property
    def staff(self) -> list[Member]:
        """Return everybody who works in the bank."""
        return [
            self._member(place, post, number, capacity=capacity)
            for place in (*BRANCHES, PLACES[0])
            for number, (post, capacity) in enumerate(posts_of(place), start=1)
        ]

    @property
    def recent_days(self) -> list[date]:
        """Return the days with a snapshot each, ascending; the last is the day before the anchor."""
        return [
            self.anchor - timedelta(days=back) for back in range(RECENT_DAYS, 0, -1)
        ]

    @property
    def month_ends(self) -> list[date]:
        """Return the month-ends of the history before the recent days, ascending."""
        return month_ends(self.recent_days[0], MONTHS)

    def _rng(self, kind: str, number: int) -> Random:
        return Random(f"{self._seed} {kind} {number}")  # noqa: S311 - a play, not a secret

    def _member(self, place: Place, post: str, number: int, *, capacity: int) -> Member:
        rng = self._rng("staff", place.branch_id * 100 + number)
        gender = rng.choice(("FEMALE", "MALE"))
        return Member(
            staff_id=f"{place.branch_id}{number:02d}",
            branch_id=place.branch_id,
            display_name=a_name(rng, gender),
            post=post,
            capacity=capacity,
            speciality=rng.choice(words.SPECIALITIES) if capacity else "",
        )

    def _person(self, place: int, spouse: Person | None) -> Person:
        rng = self._rng("customer", place)
        number = str(6_200_000_000 + place * 7)
        gender = rng.choice(("FEMALE", "MALE"))
        tier = rng.choices(range(5), SHARES)[0]
        start = spread(rng, LEAST[tier], MOST[tier])
        born, opened = self._born(rng), self._opened(rng)
        moves = tuple(self._moves(rng, start, opened))
        branch = spouse.branch_id if spouse else a_branch(rng)
        aum = rng.choice((1000, 1000, 1000, 960, 900))
        deposits = aum * rng.randint(30, 100) // 100
        assessed = rng.random() < 0.8
        return Person(
            number=number,
            branch_id=branch,
            display_name=a_name(rng, gender),
            gender=gender,
            born=born,
            mobile=spouse.mobile if spouse else a_mobile(rng, place),
            id_number=id_number(born, place),
            address=f"江州市{rng.choice(words.DISTRICTS)}{rng.choice(words.STREETS)}{rng.randint(1, 300)}号",
            card=CARDS[a_card(rng, tier)],
            source=rng.choices(*SOURCES)[0],
            risk_level=rng.randint(1, 5) if assessed else 0,
            risk_expiry=self.anchor + timedelta(days=rng.randint(-60, 330))
            if assessed
            else None,
            opened=opened,
            tier=tier,
            start=start,
            aum_share=aum,
            deposit_share=deposits,
            moves=moves,
            held=tuple(
                self._holdings(rng, number, tier, start * (aum - deposits) // 1000)
            ),
        )

    def _born(self, rng: Random) -> date:
        """Return a day of birth; more of them than chance would have lie around the anchor."""
        year = self.anchor.year - min(88, max(19, round(rng.gauss(47, 14))))
        day = date(year, 1, 1) + timedelta(days=rng.randint(0, 364))
        if rng.random() < 0.04:
            near = self.anchor + timedelta(days=rng.randint(-1, 8))
            day = date(year, near.month, min(near.day, 28))
        return day

    def _opened(self, rng: Random) -> date:
        """Return when the first account was opened; a few came in the recent days."""
        if rng.random() < 0.006:
            return self.anchor - timedelta(days=rng.randint(1, RECENT_DAYS))
        return self.anchor - timedelta(days=rng.randint(430, 7000))

    def _moves(self, rng: Random, start: int, opened: date) -> Iterator[Move]:
        """Yield how the assets changed: valuations at month-ends, and some movements of late."""
        level = start
        for day in month_ends(self.anchor, MONTHS + 1):
            change = int(level * min(0.2, max(-0.15, rng.gauss(0.004, 0.04))))
            if day > opened:
                level += change
                yield Move(day, change, flow=False)
        for back in range(MOVING_DAYS, 0, -1):
            if rng.random() < 0.05:
                large = rng.random() < 0.08
                change = int(
                    level
                    * (rng.uniform(-0.6, 1.4) if large else rng.uniform(-0.06, 0.07))
                )
                day = self.anchor - timedelta(days=back)
                if day >= opened:
                    level += change
                    yield Move(day, change, flow=True)

    def _holdings(
        self, rng: Random, number: str, tier: int, amount: int
    ) -> Iterator[dict[str, object]]:
        """Yield what a customer holds: wealth products with a maturity, and channels."""
        for code, chance in (
            ("MB0001", 0.62),
            ("WB0001", 0.3),
            ("SM0001", 0.4),
            ("CARD01", 0.2),
        ):
            if rng.random() < chance:
                start = self.anchor - timedelta(days=rng.randint(60, 900))
                yield holding(f"{number}-{code}", number, code, start=start)
        wealth = [code for code, _, family, *_ in words.PRODUCTS if family == "WEALTH"]
        count = rng.choices(
            (0, 1, 2, 3), (80, 16, 4, 0) if tier == 0 else (35, 35, 20, 10)
        )[0]
        for serial, code in enumerate(rng.sample(wealth, count)):
            soon = rng.random() < 0.18
            matures = self.anchor + timedelta(
                days=rng.randint(-2, 7) if soon else rng.randint(-80, 280)
            )
            start = matures - timedelta(days=rng.choice((90, 180, 270, 365)))
            worth = max(1_000_000, amount // count // 10_000 * 10_000)
            yield holding(
                f"{number}-{serial}",
                number,
                code,
                start=start,
                matures=matures,
                amount=worth,
            )


def posts_of(place: Place) -> list[tuple[str, int]]:
    """Return the posts of a branch or of the office, one per person, with capacities."""
    told = words.POSTS if place.share else words.OFFICE_POSTS
    return [(post, capacity) for post, count, capacity in told for _ in range(count)]


def spread(rng: Random, least: int, most: int) -> int:
    """Return an amount between the two, small ones more often, in whole yuan."""
    return int(least + (most - least) * rng.random() ** 2.2) // 100 * 100


def a_name(rng: Random, gender: str) -> str:
    """Return a name of two or three characters."""
    given = words.WOMEN if gender == "FEMALE" else words.MEN
    return rng.choice(words.SURNAMES) + "".join(
        rng.sample(given, rng.choices((1, 2), (3, 7))[0])
    )


def a_mobile(rng: Random, place: int) -> str:
    """Return a mobile number; some have the endings at which the demonstration SMS centre fails or answers."""
    endings = {11: "0000", 12: "0001", 13: "0002"}
    ending = endings.get(place % 60, f"{rng.randint(3, 9999):04d}")
    return f"1{rng.choice(('38', '39', '50', '77', '89', '99'))}{place % 10_000:04d}{ending}"


def a_branch(rng: Random) -> int:
    """Return a branch, each by its share of the customers."""
    return rng.choices(BRANCHES, [one.share for one in BRANCHES])[0].branch_id


def a_card(rng: Random, tier: int) -> int:
    """Return the best card held: mostly that of the tier; some have not got it yet, some had it before."""
    drawn = rng.random()
    if tier and drawn < 0.2:
        return tier - 1
    return tier + 1 if tier < 4 and drawn > 0.97 else tier


def holding(
    holding_id: str,
    number: str,
    code: str,
    *,
    start: date,
    matures: date | None = None,
    amount: int = 0,
) -> dict[str, object]:
    """Return one holding as a snapshot tells it, but for whether it is closed."""
    return {
        "holding_id": holding_id,
        "number": number,
        "product_code": code,
        "amount_minor": amount,
        "currency": "CNY",
        "start_day": start,
        "maturity_day": matures,
    }
