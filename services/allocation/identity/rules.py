"""How long tokens and sessions last, how passwords are kept, and how a wrong one is slowed down."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from joserfc.jwk import KeySet

TOKEN_LIFE = timedelta(minutes=5)
"""A stolen token is worth this long at most."""

SESSION_LIFE = timedelta(hours=10)
"""A working day; after it everybody signs in again."""

SESSION_IDLE = timedelta(minutes=15)
"""A session that nobody used for so long has ended (source: desks are left open)."""

KEY_LIFE = timedelta(days=1)
"""
A fresh signing key is made when the newest is this old.

Far below the one to three years that NIST SP 800-57 part 1 (5.3.6) allows a private signature key: what happens
every day is known to work, and a key that leaked is of no use the day after.
"""

KEY_LEAD = timedelta(minutes=1)
"""A fresh key is published this long before it signs, so that every service has fetched it (they do every 2 s)."""

KEY_KEPT = KEY_LEAD + TOKEN_LIFE + timedelta(minutes=1)
"""The key before is still published this long after the next was made: until the last token it signed has run out."""

SLOWEST = timedelta(seconds=8)


def wait_after(failures: int) -> timedelta:
    """Return how long the next try of an operator waits after *failures* in a row: doubling, never a lock."""
    return min(SLOWEST, timedelta(milliseconds=125) * 2 ** min(failures, 7))


def still_live(
    *, end: datetime | None, expire: datetime, used: datetime, now: datetime
) -> bool:
    """Say whether a session may still renew its token."""
    return end is None and now < expire and now - used < SESSION_IDLE


HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""argon2id with 19 MiB and two passes (source: OWASP password storage, first choice)."""

NOBODY = HASHER.hash(secrets.token_hex(8))
"""Verified against when there is no such operator, so that both answers take the same time."""


def hashed(password: str) -> str:
    """Return the argon2id hash of *password*."""
    return HASHER.hash(password)


async def matches(stored: str, password: str) -> bool:
    """Say whether *password* is the one that was hashed; runs beside the loop, which it would hold for 30 ms."""

    def verify() -> bool:
        try:
            return HASHER.verify(stored, password)
        except Argon2Error:
            return False

    return await asyncio.to_thread(verify)


@dataclass(frozen=True, slots=True)
class Provider:
    """
    The bank's own OpenID Connect provider.

    ``keys`` is its JSON Web Key Set; ``claim`` names the claim that holds the operator number.
    """

    issuer: str
    audience: str
    keys: KeySet
    claim: str = "preferred_username"
