"""What a customer's figures and sheet say: tier, type, step of life, completeness; what may be searched for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum


class Tier(IntEnum):
    """Value tiers, with the contract's numbers."""

    BASIC = 1
    GOLD = 2
    PLATINUM = 3
    DIAMOND = 4
    PRIVATE = 5


class CustomerType(IntEnum):
    """Customer types, with the contract's numbers."""

    ORDINARY = 1
    POTENTIAL = 2
    VIP = 3


class LifeCycleStep(IntEnum):
    """Steps from being known to being kept, with the contract's numbers."""

    IDENTIFY = 1
    SELECT = 2
    ACQUIRE = 3
    DEVELOP = 4
    RETAIN = 5


class SearchKind(IntEnum):
    """What a search goes by, with the contract's numbers."""

    NAME = 1
    NUMBER = 2
    MOBILE = 3
    LAST_FOUR = 4


RETAINED_AFTER = timedelta(days=365 * 3)
"""A VIP of three years is kept rather than developed (source: own proposal to the handbook's last step)."""

SHEET = (
    "occupation",
    "household_finances",
    "preferences",
    "appointment_habit",
    "preferred_channel",
    "preferred_time",
    "employer",
    "family_notes",
    "next_contact_on",
    "contact_frequency",
)
"""The fields of the profile sheet that staff fill in, in the order of the contract."""

NUMBER = re.compile(r"[0-9]{5,32}")
MOBILE = re.compile(r"(?:\+?86)?(1[3-9]\d{9})")
LAST_FOUR = re.compile(r"[0-9]{4}")


def tier_of(financial_assets: int, thresholds: Mapping[str, int]) -> Tier:
    """Return the tier of *financial_assets* (minor units); *thresholds* name the least of each tier above basic."""
    reached = [
        Tier[name.upper()]
        for name, least in thresholds.items()
        if financial_assets >= least
    ]
    return max(reached, default=Tier.BASIC)


def type_of(
    financial_assets: int, thresholds: Mapping[str, int], potential_percent: int
) -> CustomerType:
    """Return VIP at or above the lowest standard, POTENTIAL from a share of it on, else ORDINARY."""
    lowest = min(thresholds.values())
    if financial_assets >= lowest:
        return CustomerType.VIP
    return (
        CustomerType.POTENTIAL
        if financial_assets * 100 >= lowest * potential_percent
        else CustomerType.ORDINARY
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What the step of life is told from."""

    customer_type: int
    owner: str
    contacted: bool
    open_date: date | None


def step_of(standing: Standing, today: date) -> LifeCycleStep:
    """Return where a customer stands between being known and being kept."""
    if not standing.owner:
        return LifeCycleStep.IDENTIFY
    if not standing.contacted:
        return LifeCycleStep.SELECT
    if standing.customer_type != CustomerType.VIP:
        return LifeCycleStep.ACQUIRE
    long_standing = (
        standing.open_date is not None and today - standing.open_date >= RETAINED_AFTER
    )
    return LifeCycleStep.RETAIN if long_standing else LifeCycleStep.DEVELOP


def period_start(day: date) -> date:
    """Return the first day of the ten-day period (旬) that *day* lies in: the 1st, 11th or 21st."""
    return day.replace(day=21 if day.day > 20 else 11 if day.day > 10 else 1)


def previous_figure(
    *, now: int, previous: int | None, changed: date | None, today: date
) -> int | None:
    """
    Return a figure at the end of the ten-day period before *today*.

    A figure that has not changed since before the present period was the same at the period's end; *previous* is
    what was stored when it last changed.
    """
    if changed is None:
        return None
    return now if changed < period_start(today) else previous


def completeness(sheet: Mapping[str, object]) -> int:
    """Return the share of the sheet that is filled in, in whole percent."""
    return 100 * sum(bool(sheet[field]) for field in SHEET) // len(SHEET)


def kind_of(query: str) -> SearchKind:
    """Return what a search goes by, told from the form of *query*."""
    if LAST_FOUR.fullmatch(query):
        return SearchKind.LAST_FOUR
    if MOBILE.fullmatch(query):
        return SearchKind.MOBILE
    return SearchKind.NUMBER if NUMBER.fullmatch(query) else SearchKind.NAME


def mobile_in(query: str) -> str:
    """Return the eleven digits of a mainland mobile number, however it was typed; empty when it is none."""
    found = MOBILE.fullmatch(re.sub(r"[\s-]", "", query))
    return found[1] if found else ""
