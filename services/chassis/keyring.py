"""
Whom to believe: public keys, revocations and the tree of branches, fetched every two seconds; tokens checked once.

A token is verified in full the first time it is seen and by its hash afterwards; expiry and revocation are checked
at every call, so a change of staff takes effect within five seconds.
"""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from services.chassis.caller import Caller, Tree
from services.chassis.errors import Unauthenticated, Unavailable

log = structlog.get_logger()

ISSUER = "guanhu"
ALGORITHM = "Ed25519"
REFRESH_SECONDS = 2.0
"""How often keys, revocations and the tree are fetched (source: a change of staff holds within five seconds)."""

CACHED_TOKENS = 20_000
LEEWAY_SECONDS = 30
"""How far another machine's clock may run ahead."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """
    What the identity service says.

    ``keys`` are JSON Web Keys by key id; ``revocations`` holds, by subject or session, the second before which
    its tokens no longer hold.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    revocations: Mapping[str, float] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)


class KeySource(Protocol):
    """Where a key set comes from: the identity service over gRPC, or its own tables."""

    async def fetch(self) -> KeySet:
        """Return the key set as it is now."""
        ...


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that verified says."""

    subject: str
    roles: frozenset[int]
    scope: int
    branch_id: int
    roots: tuple[int, ...]
    session: str
    agent: str
    issued: float
    expires: float


def claims_of(found: Mapping[str, object]) -> Claims:
    """Return the claims of a verified token; raises KeyError, TypeError or ValueError when one is missing or odd."""
    if found["iss"] != ISSUER:
        raise ValueError("issuer")
    return Claims(
        subject=str(found["sub"]),
        roles=frozenset(int(role) for role in found["roles"]),  # type: ignore[attr-defined]
        scope=int(found["scope"]),  # type: ignore[call-overload]
        branch_id=int(found["branch"]),  # type: ignore[call-overload]
        roots=tuple(int(root) for root in found["roots"]),  # type: ignore[attr-defined]
        session=str(found.get("sid", "")),
        agent=str(found.get("act", "")),
        issued=float(found["iat"]),  # type: ignore[arg-type]
        expires=float(found["exp"]),  # type: ignore[arg-type]
    )


class Keyring:
    """Checks tokens against the newest key set."""

    def __init__(self, source: KeySource) -> None:
        """Fetch from *source*."""
        self._source = source
        self._set = KeySet()
        self._parsed: dict[str, OKPKey] = {}
        self._seen: OrderedDict[bytes, Claims] = OrderedDict()
        self._callers: dict[Claims, Caller] = {}

    @property
    def ready(self) -> bool:
        """Say whether there is a key to check with."""
        return bool(self._parsed)

    @property
    def tree(self) -> Tree:
        """Return the tree of branches as last told."""
        return self._set.tree

    async def refresh(self) -> None:
        """Fetch once."""
        found = await self._source.fetch()
        if found.keys.keys() != self._set.keys.keys():
            self._parsed = {
                kid: OKPKey.import_key(json.loads(jwk))
                for kid, jwk in found.keys.items()
            }
            self._seen.clear()
        if found.tree != self._set.tree or found.keys.keys() != self._set.keys.keys():
            self._callers.clear()
        self._set = found

    async def follow(self) -> None:
        """Fetch for ever; a failure keeps what is known and is logged once until it is over."""
        failing = False
        while True:
            try:
                await self.refresh()
                failing = False
            except Exception as error:  # noqa: BLE001 - whatever keeps the keys away, the loop must live
                if not failing:
                    log.warning("keys.unreachable", error=type(error).__name__)
                failing = True
            await asyncio.sleep(REFRESH_SECONDS if self.ready else 0.2)

    def caller(self, token: str) -> Caller:
        """Return who *token* stands for; refuse TOKEN_INVALID, always with the same words, or KEYS_PENDING."""
        if not self.ready:
            raise Unavailable("KEYS_PENDING", retry_after=0.5)
        claims = self._claims(token)
        now = time.time()
        revoked = self._set.revocations
        cut = max(
            revoked.get(claims.subject, 0.0),
            revoked.get(claims.session, 0.0) if claims.session else 0.0,
        )
        if (
            not now < claims.expires
            or claims.issued > now + LEEWAY_SECONDS
            or claims.issued < cut
        ):
            raise Unauthenticated("TOKEN_INVALID")
        caller = self._callers.get(claims)
        if caller is None:
            caller = self._callers[claims] = self._caller_of(claims)
            if len(self._callers) > CACHED_TOKENS:
                self._callers.clear()
        return caller

    def _caller_of(self, claims: Claims) -> Caller:
        return Caller(
            subject=claims.subject,
            roles=claims.roles,
            scope=claims.scope,
            branch_id=claims.branch_id,
            branch_ids=self._set.tree.expand(claims.scope, claims.roots),
            session=claims.session,
            agent=claims.agent,
        )

    def _claims(self, token: str) -> Claims:
        key = hashlib.sha256(token.encode()).digest()
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = self._verified(token)
            if len(self._seen) > CACHED_TOKENS:
                self._seen.popitem(last=False)
        return found

    def _verified(self, token: str) -> Claims:
        try:
            parsed = jwt.decode(
                token,
                lambda header: self._parsed[header.headers()["kid"]],
                algorithms=[ALGORITHM],
            )
            return claims_of(parsed.claims)
        except (JoseError, KeyError, TypeError, ValueError):
            raise Unauthenticated("TOKEN_INVALID") from None


def sign(claims: Mapping[str, object], *, key: OKPKey, kid: str) -> str:
    """Return *claims* as a signed token; only the identity service has a key to sign with."""
    return jwt.encode(
        {"alg": ALGORITHM, "kid": kid},
        {**claims, "iss": ISSUER},
        key,
        algorithms=[ALGORITHM],
    )


def roles_of(roles: Sequence[int]) -> list[int]:
    """Return roles as a token carries them: ascending, each once."""
    return sorted(set(roles))
