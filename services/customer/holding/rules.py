"""What may be asked about maturities: days within the window, the first not after the last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Range:
    """Days of maturity, both ends included; ``fault`` is the reason for which they cannot be listed."""

    first: date
    last: date
    fault: str = ""


def maturity_range(
    first: date | None, last: date | None, *, today: date, window: Mapping[str, int]
) -> Range:
    """
    Return the days of maturity to list; unset, they begin *today* and end with the window.

    *window* says how many days ``back`` and ``ahead`` of *today* may be looked at.
    Source: handbook, screen of maturities, 90 days to either side.
    """
    start = today - timedelta(days=window["back"])
    end = today + timedelta(days=window["ahead"])
    first, last = first or today, last or end
    if not (start <= first <= end and start <= last <= end):
        return Range(first, last, "MATURITY_WINDOW_EXCEEDED")
    return Range(first, last, "RANGE_REVERSED" if first > last else "")
