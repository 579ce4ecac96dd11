"""What is told about one customer: days to and from, value band, distance to the next tier, cards, coverage."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

from services.customer.customer.rules import CustomerType, Tier, tier_of


class ValueBand(IntEnum):
    """Value bands, with the contract's numbers."""

    HIGH = 1
    MIDDLE = 2
    LOW = 3


HIGH_FROM = Tier.PLATINUM
"""The lowest tier of the high band (source: handbook, holders of platinum and diamond cards come first)."""


def band_of(tier: int, customer_type: int) -> ValueBand:
    """Return how deep the service goes: deep for the high band, simple for who is neither VIP nor may become one."""
    if tier >= HIGH_FROM:
        return ValueBand.HIGH
    middle = customer_type in (CustomerType.VIP, CustomerType.POTENTIAL)
    return ValueBand.MIDDLE if middle else ValueBand.LOW


def next_tier(
    financial_assets: int, thresholds: Mapping[str, int]
) -> tuple[Tier, int] | None:
    """Return the tier above that of *financial_assets* and how much is missing to it; None in the highest."""
    tier = tier_of(financial_assets, thresholds)
    if tier is Tier.PRIVATE:
        return None
    above = Tier(tier + 1)
    return above, thresholds[above.name.lower()] - financial_assets


@dataclass(frozen=True, slots=True)
class Card:
    """Whether the card held is below or above what the assets entitle to."""

    due: bool
    below_standard: bool


def card_of(tier: int, card_category: int) -> Card:
    """Return how the card held fits *tier*; cards are numbered like tiers, and one not known counts as none."""
    held = max(card_category, 1)
    return Card(due=tier > held, below_standard=held > tier)


def coverage(held: int, configured: int) -> int:
    """Return the share of core products that is held, in whole percent; 0 when the bank names none."""
    return 100 * held // configured if configured else 0


def days_until_birthday(birth_date: date, today: date) -> int:
    """Return the days to the next birthday, 0 for today; who was born on a 29th of February has it on the 28th."""
    this_year = _birthday_in(today.year, birth_date)
    coming = (
        this_year if this_year >= today else _birthday_in(today.year + 1, birth_date)
    )
    return (coming - today).days


def _birthday_in(year: int, birth_date: date) -> date:
    try:
        return birth_date.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def assessment_missing(
    risk_level: int, risk_expiry_date: date | None, today: date
) -> bool:
    """
    Say whether no product may be recommended: no assessment, or one that does not hold today.

    One without a last day does not hold: none holds for ever (source: rules on suitability).
    """
    return not risk_level or risk_expiry_date is None or risk_expiry_date < today


def year_before(day: date) -> date:
    """Return the same day a year before; the 28th of February for a 29th."""
    return _birthday_in(day.year - 1, day)
