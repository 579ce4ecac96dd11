"""What the demonstration bank's people chose: who looks after whom, groups, and wishes not to be disturbed."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from itertools import cycle
from typing import NamedTuple

from deploy.demo import words
from deploy.demo.bank import BRANCHES, Bank, Member, Person

KEEPERS = {"CUSTOMER_MANAGER": "PROFESSIONAL", "OPEN_COUNTER_TELLER": "BATCH"}
"""Posts that are given customers, and how they look after them."""

GROUP_SIZE = 200
GROUPED = 60
"""Customers of every group that also granted consent to offers."""


class Share(NamedTuple):
    """Customers given to one owner."""

    branch_id: int
    owner: str
    mode: str
    numbers: list[str]


class Named(NamedTuple):
    """One group with its members."""

    branch_id: int
    display_name: str
    numbers: list[str]


def place_of(person: Person) -> int:
    """Return a customer's place in the bank, which all choices are made by."""
    return (int(person.number) - 6_200_000_000) // 7


def shares(bank: Bank) -> list[Share]:
    """
    Return who is given which customers.

    VIPs from platinum on go to customer managers, golden ones in turn to tellers and managers. Every seventh is left
    for the branch manager to assign, and so are all customers of the basic tier.
    """
    found: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for branch in BRANCHES:
        there = [one for one in bank.staff if one.branch_id == branch.branch_id]
        turns = {
            post: cycle([one for one in there if one.post == post]) for post in KEEPERS
        }
        for person in bank.people:
            if (
                person.branch_id != branch.branch_id
                or person.tier == 0
                or place_of(person) % 7 == 0
            ):
                continue
            by_hand = person.tier > 1 or place_of(person) % 3 == 0
            post = "CUSTOMER_MANAGER" if by_hand else "OPEN_COUNTER_TELLER"
            owner: Member = next(turns[post])
            found[branch.branch_id, owner.staff_id, KEEPERS[post]].append(person.number)
    return [Share(*key, numbers) for key, numbers in found.items()]


def undisturbed(bank: Bank) -> list[str]:
    """Return the customers who asked not to be disturbed."""
    return [person.number for person in bank.people if place_of(person) % 31 == 7]


def near_birthday(person: Person, day: date) -> bool:
    """Say whether the birthday falls on *day* or within thirty days after it."""
    days = {
        ((day + timedelta(days=ahead)).month, (day + timedelta(days=ahead)).day)
        for ahead in range(31)
    }
    return (person.born.month, person.born.day) in days


def maturing(person: Person, day: date) -> bool:
    """Say whether something the customer holds matures within thirty days after *day*."""
    ends = [held["maturity_day"] for held in person.held]
    return any(isinstance(end, date) and 0 <= (end - day).days <= 30 for end in ends)


CHOSEN: dict[str, Callable[[Person, date], bool]] = {
    "maturing": maturing,
    "birthday": near_birthday,
    "potential": lambda person, _: person.tier == 0 and person.start >= 5_000_000,
    "valued": lambda person, _: person.tier > 1,
    "mobile": lambda person, _: any(
        held["product_code"] == "MB0001" for held in person.held
    ),
}
"""How the members of each of the groups in ``words.GROUPS`` are found."""


def groups(bank: Bank) -> list[Named]:
    """Return the groups of every branch; some customers are in several."""
    found = []
    for branch in BRANCHES:
        there = [
            person for person in bank.people if person.branch_id == branch.branch_id
        ]
        for title, kind in words.GROUPS:
            chosen = [
                person.number for person in there if CHOSEN[kind](person, bank.anchor)
            ]
            found.append(Named(branch.branch_id, title, chosen[:GROUP_SIZE]))
    return found


def consenting(bank: Bank) -> list[str]:
    """Return the customers who agreed to offers by message, members of groups all of them."""
    return sorted(
        {number for group in groups(bank) for number in group.numbers[:GROUPED]}
    )
