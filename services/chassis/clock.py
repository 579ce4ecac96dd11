"""Time as an argument: aware UTC inside, a branch's own day where a rule needs a calendar."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
"""Returns the moment now, aware, in UTC."""

HOME_ZONE = "Asia/Shanghai"
"""The time zone of a branch that names none (source: one zone for the whole country)."""


def system_clock() -> datetime:
    """Return the moment now in UTC."""
    return datetime.now(UTC)


def day_of(moment: datetime, zone: str = HOME_ZONE) -> date:
    """Return the calendar day that *moment* falls on in *zone*."""
    return moment.astimezone(ZoneInfo(zone)).date()


def local_time(moment: datetime, zone: str = HOME_ZONE) -> datetime:
    """Return *moment* as the clocks in *zone* show it."""
    return moment.astimezone(ZoneInfo(zone))
