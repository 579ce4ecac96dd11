"""
Whether workers live, as far as it can be told from outside: locks that end with a connection, leases that stand still.

A lock is a hint that makes a takeover fast; the lease decides. A lease is judged by the time of whoever watches it,
never by comparing two machines' clocks, and only while the store answers: after an outage everybody starts anew.
"""

import hashlib
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from services.messaging.delivery.rules import Tenure

LOCKS = 0x534D53
"""The first key of all locks of workers; the second is the worker's."""

HELD = "SELECT pg_try_advisory_lock_shared($1, $2)"
CONNECT_SECONDS = 3
KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""The store notices within about ten seconds that a machine is gone, and lets go of its lock."""

LONGEST_GAP = 2.0
"""What the time between two looks counts for at most: a watcher that was itself held up has not watched."""


def lock_of(worker: str) -> int:
    """Return the second key of *worker*'s lock; two workers may share it, since the locks are shared ones."""
    return int.from_bytes(hashlib.sha256(worker.encode()).digest()[:4]) >> 1


class Presence:
    """A connection of its own that holds the worker's lock for as long as both live."""

    def __init__(self, dsn: str) -> None:
        """Connect to *dsn* when there is something to hold."""
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None

    async def hold(self, worker: str) -> None:
        """Take the lock of *worker* unless it is held already; raises when the store is away."""
        if self._connection is not None and not self._connection.is_closed():
            return
        self._connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_SECONDS, server_settings=KEEPALIVE
        )
        await self._connection.fetchval(HELD, LOCKS, lock_of(worker))

    def end(self) -> None:
        """Let go of the lock."""
        if self._connection is not None:
            with suppress(asyncpg.PostgresError, OSError):
                self._connection.terminate()


@dataclass(slots=True)
class _Stood:
    """A lease as it was seen last, and for how many watched seconds it has not been renewed."""

    lease_time: Any
    seconds: float = 0.0


@dataclass(slots=True)
class Vigil:
    """How long leases of others have stood still, in seconds that were really watched."""

    _stood: dict[Hashable, _Stood] = field(default_factory=dict)
    _looked: float | None = None

    def look(self, leases: Mapping[Hashable, Any], now: float) -> dict[Hashable, float]:
        """Take note of *leases*, when each was renewed last by its key; return for how long each has stood still."""
        gap = min(LONGEST_GAP, now - self._looked) if self._looked is not None else 0.0
        self._looked = now
        found: dict[Hashable, _Stood] = {}
        for key, lease_time in leases.items():
            before = self._stood.get(key)
            if before is not None and before.lease_time == lease_time:
                before.seconds += gap
                found[key] = before
            else:
                found[key] = _Stood(lease_time)
        self._stood = found
        return {key: one.seconds for key, one in found.items()}

    def forget(self) -> None:
        """Start anew: the store was away, and nobody could renew anything."""
        self._stood.clear()
        self._looked = None


def is_lost(tenure: Tenure, stood: float, *, lives: bool) -> bool:
    """Say whether a lease that has *stood* still so many seconds is lost; a worker whose lock is held gets longer."""
    return stood >= (tenure.held if lives else tenure.free)
