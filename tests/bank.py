"""What contract tests stand on: databases cloned from migrated templates, keys, callers, services in process."""

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
from guanhu.policy.v1 import policy_pb2
from joserfc.jwk import OKPKey

from deploy import roles
from deploy.localpg import LocalPostgres
from services.chassis import server
from services.chassis.caller import Branch, Tree
from services.chassis.clock import system_clock
from services.chassis.config import Own, Settings, Shared
from services.chassis.keyring import KeySet, sign
from services.chassis.migrate import upgrade_database

PASSWORDS = dict.fromkeys(("owner_password", "password", "bulk_password"), "trial-only")

TREE = Tree(
    {
        100: Branch(100, 0, "Asia/Shanghai", "城东支行"),
        101: Branch(101, 100, "Asia/Shanghai", "营业部"),
        102: Branch(102, 100, "Asia/Shanghai", "高新分理处"),
        200: Branch(200, 0, "Asia/Shanghai", "城西支行"),
    }
)
"""A small bank: 101 and 102 lie below 100; 200 stands apart."""


@dataclass
class TrialKeys:
    """A key set under the test's hand: it signs tokens, and can revoke them."""

    key: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))
    kid: str = "trial"
    revocations: dict[str, float] = field(default_factory=dict)
    tree: Tree = TREE
    more: dict[str, str] = field(default_factory=dict)

    async def fetch(self) -> KeySet:
        """Return the set as a service would fetch it."""
        jwk = json.dumps(self.key.as_dict(private=False))
        return KeySet(
            keys={**self.more, self.kid: jwk},
            revocations=dict(self.revocations),
            tree=self.tree,
        )

    def token(
        self,
        subject: str,
        posts: Iterable[str],
        *,
        scope: str = "OWN",
        branch: int = 101,
        life: float = 300,
        **more: Any,
    ) -> str:
        """Return a token for *subject* with *posts* (names of roles without prefix)."""
        now = time.time()
        claims = {
            "sub": subject,
            "roles": [policy_pb2.Role.Value(f"ROLE_{post}") for post in posts],
            "scope": policy_pb2.Scope.Value(f"SCOPE_{scope}"),
            "branch": branch,
            "roots": [branch] if branch else [],
            "sid": f"sessions/{uuid4()}",
            "iat": now,
            "exp": now + life,
            **more,
        }
        return sign(claims, key=self.key, kid=self.kid)


SERVICE_POSTS: dict[str, tuple[tuple[str, ...], str, int]] = {
    "manager": (("BRANCH_MANAGER",), "SUBTREE", 101),
    "keeper": (("CUSTOMER_MANAGER",), "OWN", 101),
    "other_keeper": (("CUSTOMER_MANAGER",), "OWN", 101),
    "teller": (("OPEN_COUNTER_TELLER",), "OWN", 101),
    "lobby": (("LOBBY_MANAGER",), "BRANCH", 101),
    "far_manager": (("BRANCH_MANAGER",), "SUBTREE", 200),
    "upper_manager": (("BRANCH_MANAGER",), "SUBTREE", 100),
    "auditor": (("AUDITOR",), "BANK", 100),
    "operator": (("OPERATOR",), "BANK", 100),
}
"""Members of staff that tests speak as."""


class Speaker:
    """A channel that speaks as one caller: every call carries the token."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __call__(self, stub: type) -> Any:
        """Return a generated stub whose calls carry the token."""
        return _Stub(stub(self._channel), self._metadata)


class _Stub:
    def __init__(self, stub: Any, metadata: tuple) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        return lambda request, **more: method(
            request, metadata=self._metadata, **{"timeout": 20, **more}
        )


class Served:
    """One service running in this process, with its database at hand."""

    def __init__(
        self,
        running: server.Running,
        bank: "TrialBank",
        database: str,
        service: server.Service,
    ) -> None:
        self.running = running
        self.frame = running.frame
        self.service = service
        self.database = database
        self._bank = bank
        self.keys = bank.keys
        self.address = f"127.0.0.1:{running.port}"
        self.channel = grpc.aio.insecure_channel(self.address)

    def as_token(self, token: str) -> Speaker:
        """Speak with a token made by hand."""
        return Speaker(self.channel, token)

    def as_(self, who: str) -> Speaker:
        """Speak as a member of staff of SERVICE_POSTS, a service, or an account."""
        if who in SERVICE_POSTS:
            posts, scope, branch = SERVICE_POSTS[who]
            return self.as_token(
                self.keys.token(f"staff/{who}", posts, scope=scope, branch=branch)
            )
        kind, _, name = who.partition("/")
        role = {
            "services": "SERVICE",
            "feeds": "FEED_ACCOUNT",
            "accounts": "READER_ACCOUNT",
        }[kind]
        subject = f"services/{name}" if kind == "services" else f"accounts/{name}"
        return self.as_token(self.keys.token(subject, (role,), scope="BANK", branch=0))

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Look into the database as its superuser, past row-level security: tests count what is really there."""
        connection = await asyncpg.connect(self._bank.postgres.dsn(self.database))
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Stop at once."""
        await self.channel.close()
        await self.running.stop(0)


@dataclass(frozen=True)
class TrialToken:
    """The token of one service towards others, signed by the test's key instead of by the identity service."""

    keys: TrialKeys
    service: str

    async def value(self) -> str:
        """Return a fresh token."""
        subject = f"services/{self.service}"
        return self.keys.token(subject, ("SERVICE",), scope="BANK", branch=0)


class TrialBank:
    """One PostgreSQL with a migrated template per service, and one key set for all."""

    def __init__(self, postgres: LocalPostgres, secrets: Path) -> None:
        self.postgres = postgres
        self.secrets = secrets
        self.keys = TrialKeys()
        self.clock = system_clock
        self._templates: set[str] = set()
        self._addresses: dict[str, str] = {}

    async def database(self, service: str) -> str:
        """Return the name of a fresh database of *service*, cloned from its template."""
        if service not in self._templates:
            await roles.create(self.postgres.dsn(), service, PASSWORDS)
            dsn = self.postgres.dsn(
                f"guanhu_{service}",
                f"guanhu_{service}_owner",
                PASSWORDS["owner_password"],
            )
            await upgrade_database(dsn, Path(f"services/{service}/migrations"))
            self._templates.add(service)
        name = f"{service}_{uuid4().hex[:10]}"
        connection = await asyncpg.connect(self.postgres.dsn())
        await connection.execute(
            f"CREATE DATABASE {name} TEMPLATE guanhu_{service} OWNER guanhu_{service}_owner STRATEGY file_copy"
        )
        await connection.execute(
            f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO guanhu_{service}, guanhu_{service}_bulk"
        )
        await connection.close()
        return name

    def settings(self, service: str, database: str) -> Settings:
        """Return settings as the environment would give them."""
        addresses = {
            f"{name}_address": address for name, address in self._addresses.items()
        }
        shared = Shared(secrets_dir=self.secrets, demonstration=True, **addresses)
        users = {
            "dsn": f"guanhu_{service}",
            "bulk_dsn": f"guanhu_{service}_bulk",
            "owner_dsn": f"guanhu_{service}_owner",
        }
        own = Own(
            **{
                key: self.postgres.dsn(database, user, "trial-only")
                for key, user in users.items()
            }
        )
        return Settings(service, shared, own)

    async def serve(
        self, service: server.Service, *, own_keys: bool = False, database: str = ""
    ) -> Served:
        """Start *service* in this process on a fresh database; its keys are the test's unless it has *own_keys*."""
        database = database or await self.database(service.name)
        declared = service
        if not own_keys:
            declared = server.Service(
                **{
                    **{name: getattr(service, name) for name in service.__slots__},
                    "keys": lambda uow, vault: self.keys,
                }
            )
        frame = server.frame_of(
            declared, self.settings(service.name, database), self.clock
        )
        if not own_keys and "allocation" not in self._addresses:
            # nobody is there to give tokens: calls to others carry one of the test's
            for interceptor in frame.peers._interceptors:
                interceptor._token = TrialToken(self.keys, service.name)
        running = await server.start(declared, frame)
        served = Served(running, self, database, declared)
        self._addresses[service.name] = served.address
        for _ in range(200):
            if frame.keyring.ready:
                break
            await asyncio.sleep(0.02)
        return served
