"""
Channels to the services: one per service and process, opened at the first call, never at import, never before a fork.

A deadline on every call, the user's token and the trace on it, repeats of reads only, and a pause after a service has
failed several times in a row, so that a hanging service does not hang the portal's threads with it.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from flask import g, has_request_context
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from guanhu.policy.v1 import policy_pb2

from admin.settings import PortalSettings

GET_SECONDS = 2.0
LIST_SECONDS = 3.0
WRITE_SECONDS = 10.0
STREAM_SECONDS = 120.0

FAILURES = 3
"""So many calls in a row that were not answered make the portal stop asking for a while."""

PAUSE_SECONDS = 5.0

NOT_ANSWERED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.4s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

Pairs = Sequence[tuple[str, str]]


def access_of(method: str) -> policy_pb2.Access:
    """Return what the contract says about *method*, named ``package.Service.Method``; KeyError when unknown."""
    found = descriptor_pool.Default().FindMethodByName(method)
    return found.GetOptions().Extensions[policy_pb2.access]


def full_name(path: str) -> str:
    """Return ``package.Service.Method`` of a path ``/package.Service/Method``."""
    return path.strip("/").replace("/", ".")


def only_reads(path: str) -> bool:
    """Say whether the call leaves no trace by its contract, so that it may be repeated."""
    try:
        access = access_of(full_name(path))
    except KeyError:
        return False
    return access.audit == policy_pb2.AUDIT_NONE and not access.request_id


def seconds_for(path: str) -> float:
    """Return the deadline of a call for which none is given."""
    if not only_reads(path):
        return WRITE_SECONDS
    return GET_SECONDS if path.rsplit("/", 1)[-1].startswith("Get") else LIST_SECONDS


class Paused(grpc.RpcError):  # type: ignore[misc]
    """The service failed so often just now that it is not asked at the moment."""

    def code(self) -> grpc.StatusCode:
        """Return UNAVAILABLE, as the service itself would have been."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Return one English sentence."""
        return (
            "The service did not answer just now; it is asked again in a few seconds."
        )

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return nothing: no server spoke."""
        return ()


@dataclass(slots=True)
class Pause:
    """Remembers how often in a row a service did not answer, and lets one call through now and then to see."""

    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        """Let the call pass, or raise Paused; after the pause exactly one call passes to try."""
        with self.lock:
            if self.failures < FAILURES:
                return
            now = self.clock()
            if now < self.until:
                raise Paused
            self.until = now + PAUSE_SECONDS

    def note(self, *, answered: bool) -> None:
        """Count a call that was answered, with whatever status, or one that was not."""
        with self.lock:
            self.failures = 0 if answered else self.failures + 1
            if self.failures == FAILURES:
                self.until = self.clock() + PAUSE_SECONDS


def metadata() -> Pairs:
    """Return the token and the trace of the request being served; empty outside of one."""
    if not has_request_context():
        return ()
    sent = []
    if token := g.get("token", ""):
        sent.append(("authorization", f"Bearer {token}"))
    if trace := g.get("trace_id", ""):
        sent.append(("traceparent", f"00-{trace}-{trace[:16]}-01"))
    return sent


def _spent(seconds: float) -> None:
    if has_request_context():
        g.calls = g.get("calls", 0) + 1
        g.call_seconds = g.get("call_seconds", 0.0) + seconds


class LazyChannel:
    """Looks like a channel to generated stubs, and connects when the first call is made in this very process."""

    def __init__(self, settings: PortalSettings, service: str) -> None:
        """Speak to *service* where *settings* say it listens."""
        self._settings = settings
        self._target = settings.address(service)
        self._lock = threading.Lock()
        self._pid = 0
        self._channel: Any = None
        self._open: dict[str, Any] = {}
        self._kinds: dict[str, tuple[str, dict[str, Any]]] = {}
        self.pause = Pause()

    @property
    def pid(self) -> int:
        """Return the process in which the channel was opened, 0 while it was not."""
        return self._pid

    def unary_unary(self, path: str, **options: Any) -> "Asking":
        """Remember a method for stubs."""
        self._kinds[path] = ("unary_unary", options)
        return Asking(self, path)

    def unary_stream(self, path: str, **options: Any) -> Callable[..., Any]:
        """Remember a method that answers in a stream; its deadline is two minutes unless told."""
        self._kinds[path] = ("unary_stream", options)

        def stream(request: Message, timeout: float = STREAM_SECONDS) -> Any:
            self.pause.enter()
            return self.method(path)(request, timeout=timeout, metadata=metadata())

        return stream

    def stream_unary(self, path: str, **_options: Any) -> None:
        """Leave out what the portal never calls."""

    def stream_stream(self, path: str, **_options: Any) -> None:
        """Leave out what the portal never calls."""

    def method(self, path: str) -> Any:
        """Return the callable of *path* on this process's own channel."""
        with self._lock:
            if self._pid != os.getpid():
                self._channel, self._open = self._connect(), {}
                self._pid = os.getpid()
            if path not in self._open:
                kind, options = self._kinds[path]
                self._open[path] = getattr(self._channel, kind)(path, **options)
            return self._open[path]

    def close(self) -> None:
        """Close the channel of this process, if there is one."""
        if self._pid == os.getpid():
            self._channel.close()
            self._pid = 0

    def _connect(self) -> grpc.Channel:
        target = f"ipv4:{self._target}" if "," in self._target else self._target
        told = self._settings
        if told.tls_certificate and told.tls_key and told.tls_authority:
            credentials = grpc.ssl_channel_credentials(
                told.tls_authority.read_bytes(),
                told.tls_key.read_bytes(),
                told.tls_certificate.read_bytes(),
            )
            return grpc.secure_channel(target, credentials, options=self._options())
        return grpc.insecure_channel(target, options=self._options())

    def _options(self) -> list[tuple[str, Any]]:
        reads = [
            {"service": service, "method": method}
            for path in sorted(self._kinds)
            if only_reads(path)
            for service, method in [path.strip("/").split("/")]
        ]
        repeated = [{"name": reads, "retryPolicy": RETRY}] if reads else []
        rules = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": repeated,
            "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
        }
        return [
            ("grpc.enable_retries", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_receive_message_length", 8 << 20),
            ("grpc.max_reconnect_backoff_ms", 3_000),
            ("grpc.service_config", json.dumps(rules)),
        ]


class Asking:
    """One method of a service, called with a request message."""

    def __init__(self, channel: LazyChannel, path: str) -> None:
        """Call *path* over *channel*."""
        self._channel = channel
        self._path = path

    def __call__(
        self,
        request: Message,
        timeout: float | None = None,
        metadata_sent: Pairs | None = None,
    ) -> Any:
        """Return the answer; raises grpc.RpcError. The token sent is the user's unless metadata is given."""
        pause = self._channel.pause
        pause.enter()
        started = time.perf_counter()
        try:
            answer = self._channel.method(self._path)(
                request,
                timeout=seconds_for(self._path) if timeout is None else timeout,
                metadata=metadata() if metadata_sent is None else metadata_sent,
            )
        except grpc.RpcError as error:
            pause.note(answered=error.code() not in NOT_ANSWERED)
            raise
        finally:
            _spent(time.perf_counter() - started)
        pause.note(answered=True)
        return answer


class Channels:
    """The four services as the portal sees them."""

    def __init__(self, settings: PortalSettings) -> None:
        """Keep the *settings*; nothing is opened yet."""
        self._channels = {
            service: LazyChannel(settings, service)
            for service in ("customer", "allocation", "engagement", "messaging")
        }

    def to(self, service: str) -> LazyChannel:
        """Return the channel to *service*."""
        return self._channels[service]

    def stub(self, service: str, stub_class: Callable[[Any], Any]) -> Any:
        """Return a generated stub that calls *service*; it may be made anywhere, nothing connects before a call."""
        return stub_class(self._channels[service])

    def close(self) -> None:
        """Close what this process opened."""
        for channel in self._channels.values():
            channel.close()
