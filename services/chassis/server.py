"""
A service's process: wired from its declaration, serving, working, draining.

Health says NOT_SERVING first, SERVING once there are keys and a store, NOT_SERVING one second before a stop; then
the calls under way are let end.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from guanhu.audit.v1 import audit_pb2_grpc
from guanhu.events.v1 import events_pb2_grpc
from guanhu.parameter.v1 import parameter_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.chassis import fleet, outbox
from services.chassis.audit import AuditServicer
from services.chassis.caller import service_caller
from services.chassis.client import MESSAGE_BYTES, Peers, RemoteKeys
from services.chassis.clock import Clock, system_clock
from services.chassis.config import Settings, read_settings
from services.chassis.db import UnitOfWork, engine_of
from services.chassis.errors import learn_reasons
from services.chassis.feed import FeedServicer, Follower, Reactions
from services.chassis.interceptors import Gate
from services.chassis.keyring import Keyring, KeySource
from services.chassis.logs import configure_logs
from services.chassis.metrics import serve_metrics
from services.chassis.paging import Pager
from services.chassis.parameter import Parameters, ParameterServicer
from services.chassis.policy import policies
from services.chassis.traces import close_traces, open_traces
from services.chassis.vault import Vault
from services.chassis.worker import Due, DueRunner, ErrandRunner, loops_of

log = structlog.get_logger()

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16384),
    ("grpc.server.max_pending_requests", 30_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
]
"""Limits that keep one caller from starving the rest; attacks with and without them were measured."""

LAME_DUCK_SECONDS = 1.0
"""How long health says NOT_SERVING before calls are turned away, so that balancers notice first."""


GARBAGE = (50_000, 20, 20)
"""
When unreachable cycles are looked for. What the modules made is left out: the process keeps it. A sender makes some
thousand values at a time that are gone with their chunk; looking through them so often took a tenth of its time.
"""

CLOSE_SECONDS = 5.0
"""How long a stop waits for each thing to close: a store or peer that is gone must not keep the process alive."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every servicer and reaction may need, made once per process."""

    settings: Settings
    clock: Clock
    uow: UnitOfWork
    bulk: UnitOfWork
    vault: Vault
    pager: Pager
    keyring: Keyring
    peers: Peers
    engines: tuple[AsyncEngine, ...]


Servicers = Sequence[tuple[Callable[[Any, Any], None], Any]]
"""Pairs of a generated ``add_..._to_server`` and the servicer to add."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service as its ``__main__`` declares it."""

    name: str
    reasons: Sequence[Any]
    servicers: Callable[[Frame], Servicers]
    parameters: Parameters = field(default_factory=Parameters)
    reactions: Callable[[Frame], Mapping[str, Reactions]] = lambda frame: {}
    due: Callable[[Frame], Sequence[Due]] = lambda frame: ()
    loops: Callable[[Frame, Mapping[str, Follower]], Sequence[Awaitable[None]]] = (
        lambda frame, followers: ()
    )
    keys: Callable[[UnitOfWork, Vault], KeySource] | None = None
    prepare: Callable[[Frame], Awaitable[None]] | None = None


def frame_of(
    service: Service, settings: Settings, clock: Clock = system_clock
) -> Frame:
    """Return everything *service* stands on; opens pools lazily and calls nobody yet."""
    own, shared = settings.own, settings.shared
    engines = engine_of(own.dsn, own.pool_size), engine_of(own.bulk_dsn, 4)
    uow, bulk = (UnitOfWork(engine, clock, service.parameters) for engine in engines)
    vault = Vault(shared.secrets_dir)
    peers = Peers(shared, service.name)
    source = service.keys(uow, vault) if service.keys else RemoteKeys(peers)
    return Frame(
        settings=settings,
        clock=clock,
        uow=uow,
        bulk=bulk,
        vault=vault,
        pager=Pager(vault),
        keyring=Keyring(source),
        peers=peers,
        engines=engines,
    )


@dataclass(slots=True)
class Running:
    """A server that listens, with what belongs to it."""

    server: grpc.aio.Server
    port: int
    frame: Frame
    health: health.aio.HealthServicer
    tasks: list[asyncio.Task[Any]]

    async def stop(self, drain: float = 10) -> None:
        """Say NOT_SERVING, wait for balancers to notice, let calls end, close everything."""
        await self.health.enter_graceful_shutdown()
        await asyncio.sleep(LAME_DUCK_SECONDS if drain else 0)
        await self.server.stop(drain)
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks, timeout=CLOSE_SECONDS)
        for close in (
            self.frame.peers.close,
            *(one.dispose for one in self.frame.engines),
        ):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()


def common_servicers(frame: Frame, service: Service, woken: asyncio.Event) -> Servicers:
    """Return the servicers that every service has."""
    return (
        (
            events_pb2_grpc.add_FeedServiceServicer_to_server,
            FeedServicer(frame.uow, woken),
        ),
        (
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditServicer(frame.uow, frame.pager),
        ),
        (
            parameter_pb2_grpc.add_ParameterServiceServicer_to_server,
            ParameterServicer(frame.uow, service.parameters),
        ),
    )


class _Named:
    """Notes which services a generated ``add_...`` function registers, before there is a server."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.names += [handler.service_name() for handler in handlers]

    def add_registered_method_handlers(self, name: str, handlers: Any) -> None:
        """Take what newer stubs also register."""


async def start(
    service: Service, frame: Frame, *, address: str = "127.0.0.1:0", share: bool = False
) -> Running:
    """Start serving *service* at *address*; raises PolicyMissing when a contract lets somebody in unsaid."""
    woken = asyncio.Event()
    servicers = [*service.servicers(frame), *common_servicers(frame, service, woken)]
    named = _Named()
    for add, servicer in servicers:
        add(servicer, named)
    learn_reasons(*service.reasons)
    gate = Gate(policies=policies(named.names), keyring=frame.keyring, uow=frame.uow)
    options = [*OPTIONS, ("grpc.so_reuseport", int(share))]
    limit = frame.settings.own.concurrent_calls
    server = grpc.aio.server(
        interceptors=[gate], options=options, maximum_concurrent_rpcs=limit
    )
    for add, servicer in servicers:
        add(servicer, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        [*named.names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    port = listen(server, address, frame.settings)
    await checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    if service.prepare is not None:
        await service.prepare(frame)
    tasks = [
        asyncio.create_task(job)
        for job in (
            frame.keyring.follow(),
            watch(frame, checks, named.names),
            listen_for(frame, woken),
        )
    ]
    return Running(server=server, port=port, frame=frame, health=checks, tasks=tasks)


def listen(server: grpc.aio.Server, address: str, settings: Settings) -> int:
    """Open the port, with certificates where they are configured."""
    shared = settings.shared
    if not (shared.tls_certificate and shared.tls_key and shared.tls_authority):
        return int(server.add_insecure_port(address))
    pair = [(shared.tls_key.read_bytes(), shared.tls_certificate.read_bytes())]
    authority = shared.tls_authority.read_bytes()
    credentials = grpc.ssl_server_credentials(pair, authority, require_client_auth=True)
    return int(server.add_secure_port(address, credentials))


async def watch(
    frame: Frame, checks: health.aio.HealthServicer, names: Sequence[str]
) -> None:
    """Keep health true: SERVING while there are keys and the store answers."""
    serving, unserving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )
    caller = service_caller(frame.settings.service)
    said = None
    while True:
        ready = frame.keyring.ready
        if ready:
            try:
                async with asyncio.timeout(3), frame.uow.read(caller) as work:
                    await work.run("SELECT 1")
            except Exception:  # noqa: BLE001 - whatever keeps the store away, the answer is no
                ready = False
        if ready != said:
            for name in ("", *names):
                await checks.set(name, serving if ready else unserving)
            log.info("health.changed", serving=ready)
            said = ready
        await asyncio.sleep(2 if ready else 0.1)


async def listen_for(frame: Frame, woken: asyncio.Event) -> None:
    """Wake streams of heads when the store notifies; a lost connection only costs speed."""
    while True:
        lost = asyncio.Event()
        with contextlib.suppress(
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):
            connection = await asyncpg.connect(frame.settings.own.dsn)
            connection.add_termination_listener(lambda _, lost=lost: lost.set())
            try:
                await connection.add_listener(outbox.CHANNEL, lambda *_: woken.set())
                await lost.wait()
            finally:
                connection.terminate()
        await asyncio.sleep(2)


def work_loops(service: Service, frame: Frame) -> list[Awaitable[None]]:
    """Return the endless loops of the service's worker."""
    caller = service_caller(service.name)
    followers = [
        Follower(
            source=source,
            stub=events_pb2_grpc.FeedServiceStub(frame.peers.channel(source)),
            uow=frame.uow,
            bulk=frame.bulk,
            caller=caller,
            reactions=reactions,
        )
        for source, reactions in service.reactions(frame).items()
    ]
    errands = ErrandRunner(
        uow=frame.uow, caller=caller, peers=frame.peers, clock=frame.clock
    )
    due = DueRunner(
        uow=frame.uow,
        bulk=frame.bulk,
        caller=caller,
        tree=lambda: frame.keyring.tree,
        clock=frame.clock,
        due=service.due(frame),
    )
    by_source = {one.source: one for one in followers}
    return [*loops_of(followers, errands, due), *service.loops(frame, by_source)]


async def run(
    service: Service, settings: Settings, *, serving: bool, working: bool, share: bool
) -> None:
    """Serve, work or both until told to stop."""
    frame = frame_of(service, settings)
    stopped = asyncio.Event()
    watching = asyncio.ensure_future(fleet.left_alone(stopped)) if share else None
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    address = settings.address if serving else "127.0.0.1:0"
    running = await start(service, frame, address=address, share=share)
    if working:
        running.tasks += [
            asyncio.ensure_future(loop) for loop in work_loops(service, frame)
        ]
    serve_metrics(settings.own.metrics_port)
    open_traces(service.name, settings.shared.otlp_endpoint)
    log.info("service.started", port=running.port, serving=serving, working=working)
    await stopped.wait()
    if watching:
        watching.cancel()
    await running.stop(settings.own.drain_seconds)
    await asyncio.to_thread(close_traces)
    log.info("service.stopped")


def main(service: Service, module: str) -> None:
    """
    Run one service from the command line: ``serve [--work] | work | migrate | check``.

    ``migrate`` brings the database to the newest form; ``check`` only says whether the settings are good.
    """
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in ("serve", "work", "migrate", "check"):
        sys.exit(f"usage: python -m {module} serve [--work] | work | migrate | check")
    settings = read_settings(service.name)
    configure_logs(service.name, as_json=settings.shared.log_json)
    share = "--share" in sys.argv
    if command == "migrate":
        from services.chassis.migrate import migrate  # noqa: PLC0415 - a tenth of a start, and seldom needed

        migrate(
            service.name,
            settings.own.owner_dsn,
            Path(sys.modules["__main__"].__file__ or "").parent / "migrations",
        )
    working = command == "work" or "--work" in sys.argv
    if command == "serve" and settings.own.processes > 1 and not share:
        fleet.spawn(module, settings, working=working)
    elif command not in ("migrate", "check"):
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        uvloop.run(
            run(
                service,
                settings,
                serving=command == "serve",
                working=working,
                share=share,
            )
        )
