"""
Channels to other services: a token that renews itself, a deadline on every call, retries where the RFCs allow them.

Aio for services. The portal has its own, synchronous and lazy per process, on the same options.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
from guanhu.identity.v1 import identity_pb2, identity_pb2_grpc

from services.chassis.caller import Branch, Tree
from services.chassis.calls import CURRENT
from services.chassis.config import Shared
from services.chassis.keyring import KeySet
from services.chassis.traces import HERE, NOWHERE

DEFAULT_SECONDS = 10.0
"""Deadline of a call whose caller sets none."""

HOP_SECONDS = 0.02
"""What a hop keeps of the time left, so that the nearest caller can still say what timed out."""

MESSAGE_BYTES = 1 << 20

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.enable_retries", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 8 * MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    (
        "grpc.service_config",
        json.dumps(
            {
                "loadBalancingConfig": [{"round_robin": {}}],
                "methodConfig": [
                    {
                        "name": [{}],
                        "retryPolicy": {
                            "maxAttempts": 4,
                            "initialBackoff": "0.05s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 2,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ],
                "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
            }
        ),
    ),
]
"""Retries are of UNAVAILABLE only: every RPC of ours either reads or carries a ``request_id``."""


def target_of(address: str) -> str:
    """Return the gRPC target of ``host:port`` or of several separated by commas."""
    return f"ipv4:{address}" if "," in address else address


def credentials_of(shared: Shared) -> grpc.ChannelCredentials | None:
    """Return the TLS credentials of this process, or None when no certificates are configured."""
    if not (shared.tls_certificate and shared.tls_key and shared.tls_authority):
        return None
    return grpc.ssl_channel_credentials(
        shared.tls_authority.read_bytes(),
        shared.tls_key.read_bytes(),
        shared.tls_certificate.read_bytes(),
    )


def open_channel(
    shared: Shared, service: str, interceptors: list[Any] | None = None
) -> grpc.aio.Channel:
    """Return a channel to *service*; nothing is sent before the first call."""
    target = target_of(shared.address(service))
    credentials = credentials_of(shared)
    if credentials is None:
        return grpc.aio.insecure_channel(
            target, options=OPTIONS, interceptors=interceptors
        )
    return grpc.aio.secure_channel(
        target, credentials, options=OPTIONS, interceptors=interceptors
    )


class ServiceToken:
    """The token of this service, fetched when first needed and renewed at half of its life."""

    def __init__(self, shared: Shared, service: str) -> None:
        """Ask for the token of *service* by certificate, or by the start-up secret where there is none."""
        self._shared = shared
        self._service = service
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()
        self._channel: grpc.aio.Channel | None = None

    async def value(self) -> str:
        """Return a token that holds; raises grpc.RpcError when none can be had."""
        if time.time() < self._renew_at:
            return self._token
        async with self._lock:
            if time.time() >= self._renew_at:
                await self._fetch()
        return self._token

    async def _fetch(self) -> None:
        if self._channel is None:
            self._channel = open_channel(self._shared, "allocation")
        secret = "" if self._shared.tls else self._shared.secret("start-up-secret")
        stub = identity_pb2_grpc.IdentityServiceStub(self._channel)
        request = identity_pb2.IssueServiceTokenRequest(
            service=self._service, secret=secret
        )
        answer = await stub.IssueServiceToken(request, timeout=3)
        now = time.time()
        self._token = answer.token
        self._renew_at = now + max(1.0, (answer.expire_time.seconds - now) / 2)


def deadline_left(context_left: float | None) -> float:
    """Return the seconds an outbound call may take: what is left of the inbound one, less a hop."""
    return (
        DEFAULT_SECONDS
        if context_left is None
        else max(0.01, min(DEFAULT_SECONDS, context_left - HOP_SECONDS))
    )


class _Outbound:
    """Adds token, trace, actor and deadline to a call."""

    def __init__(self, token: ServiceToken) -> None:
        self._token = token

    async def details(
        self, details: grpc.aio.ClientCallDetails
    ) -> grpc.aio.ClientCallDetails:
        sent = list(details.metadata or ())
        sent.append(("authorization", f"Bearer {await self._token.value()}"))
        if (here := HERE.get()) is not NOWHERE:
            sent.append(("traceparent", here.header))
        call = CURRENT.get()
        if call is not None and not call.caller.subject.startswith("services/"):
            sent.append(("guanhu-actor", call.caller.subject))
        left = details.timeout if details.timeout is not None else DEFAULT_SECONDS
        return grpc.aio.ClientCallDetails(
            details.method,
            left,
            grpc.aio.Metadata(*sent),
            details.credentials,
            details.wait_for_ready,
        )


class _Unary(_Outbound, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        return await continuation(await self.details(details), request)


class _Answers(_Outbound, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        return await continuation(await self.details(details), request)


class Peers:
    """The other services of the system, as seen by one."""

    def __init__(self, shared: Shared, service: str) -> None:
        """Speak as *service*."""
        self._shared = shared
        token = ServiceToken(shared, service)
        self._interceptors = [_Unary(token), _Answers(token)]
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the one channel to *service*."""
        if service not in self._channels:
            self._channels[service] = open_channel(
                self._shared, service, self._interceptors
            )
        return self._channels[service]

    async def call(
        self,
        service: str,
        method: str,
        request: bytes,
        *,
        seconds: float = DEFAULT_SECONDS,
    ) -> bytes:
        """Call *method* by its path with a serialised request, as the worker delivers errands."""
        plain = self.channel(service).unary_unary(method)
        return bytes(await plain(request, timeout=seconds))

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()


class RemoteKeys:
    """The key set as the identity service tells it over gRPC."""

    def __init__(self, peers: Peers) -> None:
        """Ask through *peers*."""
        self._stub = identity_pb2_grpc.IdentityServiceStub(peers.channel("allocation"))

    async def fetch(self) -> KeySet:
        """Return keys, revocations and the tree."""
        keys = await self._stub.ListKeys(identity_pb2.ListKeysRequest(), timeout=2)
        cut = await self._stub.ListRevocations(
            identity_pb2.ListRevocationsRequest(), timeout=2
        )
        tree = await self._stub.ListBranchTree(
            identity_pb2.ListBranchTreeRequest(), timeout=2
        )
        return KeySet(
            keys={key.key_id: key.jwk_json for key in keys.keys},
            revocations={
                one.subject: one.revoke_time.ToNanoseconds() / 1e9
                for one in cut.revocations
            },
            tree=Tree(
                {
                    node.branch_id: Branch(
                        node.branch_id,
                        node.parent_branch_id,
                        node.time_zone,
                        node.display_name,
                    )
                    for node in tree.branches
                }
            ),
        )
