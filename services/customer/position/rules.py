"""Ten-day periods (旬): a calendar month has three, and every period has a number that counts on through the years."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date

PER_YEAR = 36


@dataclass(frozen=True, slots=True)
class TenDays:
    """One ten-day period; ``third`` is 1, 2 or 3, as the contract numbers it."""

    year: int
    month: int
    third: int

    @property
    def ordinal(self) -> int:
        """Return the period's number; the next period has the next number."""
        return self.year * PER_YEAR + (self.month - 1) * 3 + self.third - 1

    @property
    def last_day(self) -> date:
        """Return the 10th, the 20th or the last day of the month."""
        length = monthrange(self.year, self.month)[1]
        return date(self.year, self.month, (10, 20, length)[self.third - 1])


def period_of(day: date) -> TenDays:
    """Return the ten-day period that *day* lies in."""
    return TenDays(day.year, day.month, min((day.day - 1) // 10, 2) + 1)


def reversed_range(first: date | None, last: date | None) -> bool:
    """Say whether *first* lies after *last*; an end that is not named bounds nothing."""
    return first is not None and last is not None and first > last
