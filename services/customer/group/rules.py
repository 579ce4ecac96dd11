"""What a rule of a group says: which filters it sets, what in it cannot go together, and which birthdays are near."""

from calendar import isleap
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

STATIC, RULE = 1, 2
"""Kinds of groups, by the contract's numbers: a list kept by hand, and whoever a rule finds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    A saved filter; what is unset narrows nothing, and a rule that sets nothing finds everybody.

    Enumerations hold the contract's numbers; amounts are minor units of ``currencies``, of which there is one or none.
    """

    owners: tuple[str, ...] = ()
    unassigned: bool = False
    tiers: tuple[int, ...] = ()
    customer_types: tuple[int, ...] = ()
    card_categories: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    birthday_months: tuple[int, ...] = ()
    birthday_within_days: int | None = None
    not_contacted_days: int = 0
    currencies: tuple[str, ...] = ()
    financial_assets_from: int | None = None
    financial_assets_to: int | None = None
    product_types: tuple[int, ...] = ()
    maturing_within_days: int | None = None
    next_contact_from: date | None = None
    next_contact_to: date | None = None
    groomed_before: date | None = None
    do_not_disturb: bool | None = None


LISTS = frozenset(
    {
        "owners",
        "tiers",
        "customer_types",
        "card_categories",
        "sources",
        "birthday_months",
        "currencies",
        "product_types",
    }
)
"""Fields of a rule that hold alternatives."""

DAYS = frozenset({"next_contact_from", "next_contact_to", "groomed_before"})
"""Fields of a rule that hold a day."""

UNSET: Mapping[str, Any] = {one.name: one.default for one in fields(Rule)}


def stored(rule: Rule) -> dict[str, Any]:
    """Return *rule* as it is kept: what is set, by field, days as ISO texts."""
    found = {name: getattr(rule, name) for name in UNSET}
    return {
        name: value.isoformat()
        if name in DAYS
        else list(value)
        if name in LISTS
        else value
        for name, value in found.items()
        if value != UNSET[name]
    }


def restored(kept: Mapping[str, Any]) -> Rule:
    """Return the rule that is kept as *kept*."""
    found: dict[str, Any] = {
        name: date.fromisoformat(value)
        if name in DAYS
        else tuple(value)
        if name in LISTS
        else value
        for name, value in kept.items()
    }
    return Rule(**found)


def contradiction(rule: Rule) -> tuple[str, str] | None:
    """Return two fields of *rule* that exclude each other, so that it can find nobody; None when there are none."""
    if rule.owners and rule.unassigned:
        return "owners", "unassigned"
    if len(rule.currencies) > 1:
        return "financial_assets_from", "financial_assets_to"
    for first, last in (
        ("financial_assets_from", "financial_assets_to"),
        ("next_contact_from", "next_contact_to"),
    ):
        least, most = getattr(rule, first), getattr(rule, last)
        if least is not None and most is not None and least > most:
            return first, last
    return None


def birthdays(today: date, ahead: int) -> list[int]:
    """
    Return the birthdays from *today* to *ahead* days later, each as month times 100 plus day, ascending.

    Who was born on 29 February has the birthday on the 28th of a year without one.
    """
    found = set()
    for number in range(min(ahead, 366) + 1):
        day = today + timedelta(days=number)
        found.add(day.month * 100 + day.day)
        if (day.month, day.day) == (2, 28) and not isleap(day.year):
            found.add(229)
    return sorted(found)
