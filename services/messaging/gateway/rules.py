"""What is known of a link to an SMS centre."""

from datetime import datetime, timedelta
from enum import IntEnum


class State(IntEnum):
    """Whether messages are handed over to a gateway, with the contract's numbers."""

    RUNNING = 1
    PAUSED = 2


SMPP = 1
"""The protocol's number in the contract."""

FRESH = timedelta(seconds=15)
"""A worker reports about its links every second; one that has been silent so long is gone."""


def connected(bound_time: datetime | None, now: datetime) -> bool:
    """Say whether a worker held a working link a moment ago."""
    return bound_time is not None and now - bound_time < FRESH
