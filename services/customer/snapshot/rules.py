"""
What is wrong with a line of a snapshot, and what it means for a customer.

Lines are taken as they come over the wire, by their fields; nothing here knows where they came from.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from lunar_python import Lunar, LunarYear, Solar

NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,31}")
MOBILE = re.compile(r"(?:\+?86)?1[3-9]\d{9}")
CURRENCY = re.compile(r"[A-Z]{3}")

OLDEST_BIRTH = (date(1890, 1, 1) - date(1970, 1, 1)).days
LAST_DAY = (date(2200, 1, 1) - date(1970, 1, 1)).days

ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ID_CHECKS = "10X98765432"


class Entity(IntEnum):
    """Kinds of lines, with the contract's numbers; they come in this order."""

    PRODUCT = 1
    CUSTOMER = 2
    POSITION = 3
    HOLDING = 4
    MOVEMENT = 5


class State(IntEnum):
    """How far an import is, with the contract's numbers."""

    RECEIVING = 1
    APPLYING = 2
    SUCCEEDED = 3
    FAILED = 4


class Found(NamedTuple):
    """
    One thing that is wrong with a line; a warning does not keep it from being stored.

    ``detail`` is what the reason's sentence names besides the field: a branch or a limit, never a personal value.
    """

    field: str
    reason: str
    warning: bool = False
    detail: str = ""


def id_number_holds(number: str) -> bool:
    """Return whether the check digit of an 18-digit resident identity number fits (source: GB 11643-1999)."""
    if not re.fullmatch(r"\d{17}[\dX]", number):
        return False
    total = sum(
        int(digit) * weight for digit, weight in zip(number, ID_WEIGHTS, strict=False)
    )
    return ID_CHECKS[total % 11] == number[-1]


def product_faults(line: Any) -> list[Found]:
    """Return what is wrong with a product's line."""
    found = []
    if not NUMBER.fullmatch(line.code):
        found.append(Found("code", "LINE_KEY_MALFORMED"))
    if not line.display_name or len(line.display_name) > 100:
        found.append(Found("display_name", "LINE_FIELD_MISSING"))
    if not line.family:
        found.append(Found("family", "LINE_FIELD_MISSING"))
    return found


def customer_faults(line: Any, branches: frozenset[int]) -> list[Found]:
    """Return what is wrong with a customer's line; *branches* are those the bank has."""
    found = []
    if not NUMBER.fullmatch(line.number):
        found.append(Found("number", "LINE_KEY_MALFORMED"))
    if line.branch_id not in branches:
        unknown = str(line.branch_id)
        found.append(Found("branch_id", "LINE_BRANCH_UNKNOWN", detail=unknown))
    if not line.display_name or len(line.display_name) > 100:
        found.append(Found("display_name", "LINE_FIELD_MISSING"))
    if line.mobile and not MOBILE.fullmatch(line.mobile):
        found.append(Found("mobile", "LINE_MOBILE_MALFORMED", warning=True))
    if len(line.id_number) == 18 and not id_number_holds(line.id_number.upper()):
        found.append(Found("id_number", "LINE_ID_NUMBER_MALFORMED", warning=True))
    too_long = ("home_address", 200) if len(line.home_address) > 200 else None
    if too_long or len(line.id_number) > 32:
        field, limit = too_long or ("id_number", 32)
        found.append(Found(field, "LINE_FIELD_TOO_LONG", detail=str(limit)))
    for field in ("birth_day", "risk_expiry_day", "open_day"):
        if not OLDEST_BIRTH <= getattr(line, field) <= LAST_DAY:
            found.append(Found(field, "LINE_DAY_IMPOSSIBLE"))
    return found


def position_faults(line: Any) -> list[Found]:
    """Return what is wrong with a position's line."""
    found = []
    if not NUMBER.fullmatch(line.number):
        found.append(Found("number", "LINE_KEY_MALFORMED"))
    for field in ("financial_assets_minor", "aum_minor", "deposits_minor"):
        if getattr(line, field) < 0:
            found.append(Found(field, "LINE_AMOUNT_NEGATIVE"))
    if not line.financial_assets_minor >= line.aum_minor >= line.deposits_minor:
        found.append(Found("aum_minor", "LINE_ASSETS_CONTRADICT", warning=True))
    return found + currency_faults(line)


def holding_faults(line: Any) -> list[Found]:
    """Return what is wrong with a holding's line."""
    found = []
    for field in ("holding_id", "number", "product_code"):
        if not NUMBER.fullmatch(getattr(line, field)):
            found.append(Found(field, "LINE_KEY_MALFORMED"))
    if line.amount_minor < 0:
        found.append(Found("amount_minor", "LINE_AMOUNT_NEGATIVE"))
    for field in ("start_day", "maturity_day"):
        if not OLDEST_BIRTH <= getattr(line, field) <= LAST_DAY:
            found.append(Found(field, "LINE_DAY_IMPOSSIBLE"))
    if line.start_day and line.maturity_day and line.maturity_day < line.start_day:
        found.append(Found("maturity_day", "LINE_MATURITY_BEFORE_START"))
    return found + currency_faults(line)


def movement_faults(line: Any, snapshot_day: int) -> list[Found]:
    """Return what is wrong with a movement's line; *snapshot_day* is the day it may not lie after."""
    found = []
    for field in ("movement_id", "number"):
        if not NUMBER.fullmatch(getattr(line, field)):
            found.append(Found(field, "LINE_KEY_MALFORMED"))
    if line.amount_minor == 0:
        found.append(Found("amount_minor", "LINE_AMOUNT_ZERO"))
    if not OLDEST_BIRTH <= line.day <= snapshot_day:
        found.append(Found("day", "LINE_DAY_IMPOSSIBLE"))
    if len(line.channel) > 20:
        found.append(Found("channel", "LINE_FIELD_TOO_LONG", detail="20"))
    return found + currency_faults(line)


def currency_faults(line: Any) -> list[Found]:
    """Return a fault when the currency is no ISO 4217 code; empty means CNY."""
    return (
        [Found("currency", "LINE_CURRENCY_UNKNOWN")]
        if line.currency and not CURRENCY.fullmatch(line.currency)
        else []
    )


def stands(found: Iterable[Found]) -> bool:
    """Return whether a line with these findings is stored."""
    return all(one.warning for one in found)


def repeated(keys: Sequence[str]) -> set[int]:
    """Return the places of keys that came before in the same sequence; the first of them counts."""
    seen: set[str] = set()
    again = set()
    for place, key in enumerate(keys):
        if key in seen:
            again.add(place)
        seen.add(key)
    return again


FIRST_YEAR = 1900
"""No customer was born, and no account opened, before it."""

FESTIVALS = {
    "new-year": (False, 1, 1),
    "spring-festival": (True, 1, 1),
    "dragon-boat": (True, 5, 5),
    "mid-autumn": (True, 8, 15),
    "double-ninth": (True, 9, 9),
    "national-day": (False, 10, 1),
}
"""Festivals that are greeted: whether by the lunar calendar, month, day."""


def same_days(day: date, first_year: int = FIRST_YEAR) -> list[date]:
    """
    Return the same day of every year before *day*'s, the latest first.

    The 28th of February also stands for the 29th where *day*'s year has none: those born on it are greeted then.
    """
    found = []
    for year in range(day.year - 1, first_year - 1, -1):
        if (day.month, day.day) != (2, 29) or _leaps(year):
            found.append(day.replace(year=year))
        if (day.month, day.day) == (2, 28) and not _leaps(day.year) and _leaps(year):
            found.append(date(year, 2, 29))
    return found


def _leaps(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@lru_cache(maxsize=64)
def same_lunar_days(day: date) -> list[date]:
    """
    Return the days of earlier years with the same month and day of the lunar calendar as *day*.

    A leap month counts as the month before it; where a month has no 30th day there is none. It takes half a
    second to work out, and is worked out once a day for all branches.
    """
    lunar = Solar.fromYmd(day.year, day.month, day.day).getLunar()
    month, last = abs(lunar.getMonth()), lunar.getDay()
    found = []
    for year in range(day.year - 1, FIRST_YEAR - 1, -1):
        for one in LunarYear.fromYear(year).getMonths():
            if (
                abs(one.getMonth()) == month
                and one.getYear() == year
                and last <= one.getDayCount()
            ):
                solar = Lunar.fromYmd(year, one.getMonth(), last).getSolar()
                found.append(date(solar.getYear(), solar.getMonth(), solar.getDay()))
    return found


def festivals_on(day: date) -> list[str]:
    """Return the keys of the festivals that fall on *day*."""
    lunar = Solar.fromYmd(day.year, day.month, day.day).getLunar()
    found = []
    for key, (by_moon, month, number) in FESTIVALS.items():
        here = (lunar.getMonth(), lunar.getDay()) if by_moon else (day.month, day.day)
        if here == (month, number):
            found.append(key)
    return found


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a day is one to think of somebody: kind, festival's key, and years of an anniversary."""

    kind: str
    festival: str = ""
    years: int = 0


def occasions(people: Iterable[Any], target: date) -> Iterator[tuple[Any, Occasion]]:
    """Yield everybody with each reason to think of them on *target*; festivals are for those above the first tier."""
    same, moon = set(same_days(target)), set(same_lunar_days(target))
    festivals = festivals_on(target)
    for one in people:
        if one.birth_date in same:
            yield one, Occasion("BIRTHDAY")
        if one.birth_date in moon:
            yield one, Occasion("BIRTHDAY_LUNAR")
        if one.open_date in same:
            years = target.year - one.open_date.year
            yield one, Occasion("ANNIVERSARY", years=years)
        if one.tier > 1:
            for festival in festivals:
                yield one, Occasion("FESTIVAL", festival)


def days_to_tell(day: date, last: date | None, ahead: int) -> list[date]:
    """
    Return the days that have come within *ahead* days since the last detection on *last*, the first first.

    Runs that were missed are made up for, at most a week of them; the first run of all tells of today as well, and
    of everything up to *ahead* days from now.
    """
    if last is None:
        return [day + timedelta(days=number) for number in range(ahead + 1)]
    since = max(last, day - timedelta(days=7))
    return [
        since + timedelta(days=number + ahead)
        for number in range(1, (day - since).days + 1)
    ]
