"""When a contact may be entered."""

from datetime import datetime, timedelta
from enum import IntEnum


class Kind(IntEnum):
    """Whether one person contacted one customer or a batch did, with the contract's numbers."""

    SINGLE = 1
    BATCH = 2


SMS = 1
"""The channel of a batch (customer's contract)."""

SENT = 6
"""The result of a batch's message (customer's contract)."""

CLOCKS_APART = timedelta(minutes=2)
"""How far ahead of ours the clock of a caller may run."""


def time_fault(contact_time: datetime, now: datetime, days: int) -> str:
    """Return the reason why a contact at *contact_time* cannot be entered *now*; empty when it can."""
    if contact_time > now + CLOCKS_APART:
        return "CONTACT_IN_FUTURE"
    if now - contact_time > timedelta(days=days):
        return "CONTACT_TOO_OLD"
    return ""
