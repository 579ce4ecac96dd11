"""How long tokens and sessions last, and how a wrong password is slowed down."""

from datetime import datetime, timedelta

TOKEN_LIFE = timedelta(minutes=5)
"""A stolen token is worth this long at most."""

SESSION_LIFE = timedelta(hours=10)
"""A working day; after it everybody signs in again."""

SESSION_IDLE = timedelta(minutes=15)
"""A session that nobody used for so long has ended (source: desks are left open)."""

KEY_LIFE = timedelta(days=1)
"""A fresh signing key is made when the newest is this old."""

KEY_KEPT = KEY_LIFE + timedelta(hours=1)
"""An older key is still published this long, far beyond the life of any token it signed."""

SLOWEST = timedelta(seconds=8)


def wait_after(failures: int) -> timedelta:
    """Return how long the next try of an operator waits after *failures* in a row: doubling, never a lock."""
    return min(SLOWEST, timedelta(milliseconds=125) * 2 ** min(failures, 7))


def still_live(
    *, end: datetime | None, expire: datetime, used: datetime, now: datetime
) -> bool:
    """Say whether a session may still renew its token."""
    return end is None and now < expire and now - used < SESSION_IDLE
