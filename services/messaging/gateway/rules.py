"""What is known of a link to an SMS centre."""

from datetime import datetime, timedelta
from enum import IntEnum


class State(IntEnum):
    """Whether messages are handed over to a gateway, with the contract's numbers."""

    RUNNING = 1
    PAUSED = 2


class LinkState(IntEnum):
    """State of a worker's link, with the contract's numbers."""

    CONNECTING = 1
    BOUND = 2
    REFUSED = 3
    STOPPING = 4
    STOPPED = 5


SMPP, CMPP_2, CMPP_3, HTTP, FILE = 1, 2, 3, 4, 5
PROTOCOLS = {
    "smpp": SMPP,
    "cmpp2": CMPP_2,
    "cmpp3": CMPP_3,
    "http": HTTP,
    "file": FILE,
}
"""Protocols by their names in the settings, with the contract's numbers."""

VERDICTS = ("accepted", "rejected", "throttled", "temporary", "ambiguous")
"""What becomes of a submission, in the order in which counts of it are kept."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

FRESH = timedelta(seconds=15)
"""A worker reports about its links every second; one that has been silent so long is gone."""


def connected(bound_time: datetime | None, now: datetime) -> bool:
    """Say whether a worker held a working link a moment ago."""
    return bound_time is not None and now - bound_time < FRESH
