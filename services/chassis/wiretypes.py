"""Moments, days and amounts between the contracts' types and Python's; no float anywhere."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money

from services.chassis.errors import Invalid

EPOCH = date(1970, 1, 1)
NANOS_PER_CENT = 10_000_000


def money_to(minor: int, currency: str = "CNY") -> Money:
    """Return *minor* units (cents) of *currency* as Money."""
    sign = -1 if minor < 0 else 1
    units, cents = divmod(abs(minor), 100)
    return Money(
        currency_code=currency, units=sign * units, nanos=sign * cents * NANOS_PER_CENT
    )


def minor_from(money: Money) -> int:
    """Return *money* in minor units; fractions of a cent are cut off."""
    return money.units * 100 + int(money.nanos / NANOS_PER_CENT)


def date_to(day: date | None) -> Any:
    """Return *day* as Date; None stays unset."""
    return Date(year=day.year, month=day.month, day=day.day) if day else None


def date_from(message: Date, field: str = "date") -> date | None:
    """Return the day of *message*, None when it is unset; refuse FIELD_INVALID for one that no calendar has."""
    try:
        return date(message.year, message.month, message.day) if message.year else None
    except ValueError:
        raise Invalid(
            "FIELD_INVALID", fields={field: "no such day"}, count=1, named=field
        ) from None


def version_from(etag: str) -> int:
    """Return the version that *etag* stands for, -1 for one we never gave; refuse ETAG_REQUIRED when it is empty."""
    if not etag:
        raise Invalid("ETAG_REQUIRED")
    return int(etag) if etag.isdecimal() and len(etag) < 10 else -1


def day_from(days: int) -> date | None:
    """Return the day *days* after 1970-01-01, the form that lines of a snapshot use; 0 means none."""
    return EPOCH + timedelta(days=days) if days else None


def day_to(day: date | None) -> int:
    """Return *day* as days after 1970-01-01; 0 for none."""
    return (day - EPOCH).days if day else 0


def time_to(moment: datetime | None) -> Any:
    """Return *moment* as Timestamp; None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def time_from(stamp: Timestamp) -> datetime | None:
    """Return *stamp* as an aware moment in UTC; None when it is unset."""
    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds or stamp.nanos else None
