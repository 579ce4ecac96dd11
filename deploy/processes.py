"""
The table of ``services.toml`` as running processes: started by who needs whom, waited for, stopped in reverse.

Nobody is believed because a port answers: before the start every port must be free, and after it the process must
still be alive when its health says yes.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("services.toml")

START_SECONDS = 60
STOP_SECONDS = 20
"""How long a process may take to end after it was told to, before it is killed."""

RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class StoppedError(RuntimeError):
    """The bank cannot run; the text is one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One process of the table, with the address that it was given."""

    name: str
    run: Sequence[str]
    host: str
    port: int
    metrics: int
    healthy: str
    after: Sequence[str]

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"{self.host}:{self.port}"

    @property
    def line(self) -> str:
        """Return how its address is shown to people and read by programs."""
        return (
            f"{self.name} {'http://' if self.healthy == 'http' else ''}{self.address}"
        )

    @property
    def exists(self) -> bool:
        """Say whether there is something to run."""
        if self.run[0] == "-m":
            return find_spec(f"{self.run[1]}.__main__") is not None
        return (ROOT / self.run[0]).exists()


def rows(environ: Mapping[str, str], table: Path = TABLE) -> list[Row]:
    """Return the table's processes that exist, those that others come after first; *environ* may move addresses."""
    found = {}
    for told in tomllib.loads(table.read_text())["process"]:
        name = told["name"]
        place = place_of(name, environ, f"127.0.0.1:{told['port']}", told["metrics"])
        row = Row(**{**told, **place})
        if row.exists:
            found[name] = row
    return in_order(found)


def place_of(
    name: str, environ: Mapping[str, str], address: str, metrics: int
) -> dict[str, str | int]:
    """Return where a process listens and shows its figures, as *environ* or else the table says."""
    key, other = f"GUANHU_{name.upper()}_ADDRESS", f"GUANHU_{name.upper()}_METRICS_PORT"
    host, _, port = environ.get(key, address).rpartition(":")
    figures = environ.get(other, str(metrics))
    if not host or not port.isdecimal():
        raise StoppedError(f"{key} must be host:port.")
    if not figures.isdecimal():
        raise StoppedError(f"{other} must be a port, or 0 for none.")
    return {"host": host, "port": int(port), "metrics": int(figures)}


def in_order(found: Mapping[str, Row]) -> list[Row]:
    """Return the rows so that each comes after those it names; names that do not exist are passed over."""
    placed: dict[str, Row] = {}
    while len(placed) < len(found):
        ready = [
            row
            for row in found.values()
            if row.name not in placed
            and all(name in placed or name not in found for name in row.after)
        ]
        if not ready:
            raise StoppedError("The table of processes goes round in a circle.")
        placed.update({row.name: row for row in ready})
    return list(placed.values())


def refuse_taken(found: Iterable[Row], patience: float = 0) -> None:
    """Raise StoppedError when a port of the table is taken, naming it and what would move ours, after *patience* s."""
    end = time.monotonic() + patience
    for row in found:
        asked = {row.port: f"GUANHU_{row.name.upper()}_ADDRESS to another host:port"}
        if row.metrics:
            asked[row.metrics] = f"GUANHU_{row.name.upper()}_METRICS_PORT to another"
        for port, setting in asked.items():
            while is_taken(row.host, port):
                if time.monotonic() >= end:
                    raise StoppedError(
                        f"Port {port} for {row.name} is taken by another program: stop that one, or set {setting}."
                    )
                time.sleep(0.1)


def is_taken(host: str, port: int) -> bool:
    """Say whether somebody listens on a port, or it cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


class Running:
    """One process that was started."""

    def __init__(
        self, row: Row, environment: Mapping[str, str], logs: Path, tie: int
    ) -> None:
        """
        Start the process of *row*, which ends when the other end of the pipe *tie* is closed.

        What it says goes to its file in *logs*, and the file before is kept.
        """
        self.row = row
        self.log = logs / f"{row.name}.log"
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".before.log"))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.tied", str(tie), *row.run],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is ours: we stop them in reverse
                pass_fds=(tie,),
            )
        self._check = {"grpc": self._serves, "http": self._answers}.get(
            row.healthy, self._connects
        )
        self._channel: grpc.Channel | None = None

    @property
    def alive(self) -> bool:
        """Say whether the process still runs."""
        return self.process.poll() is None

    def healthy(self) -> bool:
        """Say whether the process runs and says that it is well."""
        well = self._check() and self.alive
        if well:
            self._hang_up()
        return well

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _serves(self) -> bool:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.row.address, options=RECONNECT)
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection(self.row.host, self.row.port, timeout=2)
        try:
            asked.request("GET", "/healthz")
            return asked.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def _connects(self) -> bool:
        try:
            with socket.create_connection((self.row.host, self.row.port), timeout=1):
                return True
        except OSError:
            return False

    def last_words(self) -> str:
        """Return the last line it wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "nothing"

    def tell_to_end(self) -> None:
        """Ask the process to end, and forget about its health."""
        self._hang_up()
        if self.alive:
            self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Return when the process has ended; kill it when it takes too long."""
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Fleet:
    """All processes of the table."""

    def __init__(
        self, environment: Mapping[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        """Start processes with *environment*, keep their logs in *logs*, tell progress by *say*."""
        self._environment = environment
        self._logs = logs
        self._say = say
        self._tie: tuple[int, int] | None = None
        self._started: dict[str, Running] = {}
        self._well: set[str] = set()

    def start(self, found: Sequence[Row]) -> None:
        """Start each row when those it comes after are healthy; return when all are, or raise StoppedError."""
        if self._tie is None:
            self._tie = os.pipe()
        known = {row.name for row in found} | set(self._started)
        end = time.monotonic() + START_SECONDS
        while not known <= self._well:
            for row in found:
                waits = [name for name in row.after if name in known - self._well]
                if row.name not in self._started and not waits:
                    self._started[row.name] = Running(
                        row, self._environment, self._logs, self._tie[0]
                    )
            self._look(end)
            time.sleep(0.03)

    def _look(self, end: float) -> None:
        for name, running in self._started.items():
            if name in self._well:
                continue
            if not running.alive:
                raise StoppedError(self._obituary(running))
            if running.healthy():
                self._well.add(name)
                self._say(f"{name} is up")
            elif time.monotonic() > end:
                raise StoppedError(
                    f"{name} was not healthy within {START_SECONDS} seconds: see {running.log}."
                )

    @staticmethod
    def _obituary(running: Running) -> str:
        status = running.process.returncode
        return f"{running.row.name} ended with status {status}, its last words were: {running.last_words()}"

    def refuse_dead(self) -> None:
        """Raise StoppedError when a process has ended by itself."""
        for running in self._started.values():
            if not running.alive:
                raise StoppedError(self._obituary(running))

    def stop(self) -> None:
        """Stop the processes one by one, the last started first."""
        for name, running in reversed(self._started.items()):
            running.tell_to_end()
            running.wait()
            self._say(f"{name} is down")
        self._started.clear()
        self._well.clear()
        for end in self._tie or ():
            os.close(end)
        self._tie = None


def environment_of(
    found: Iterable[Row], environ: Mapping[str, str], **told: str
) -> dict[str, str]:
    """Return the environment of every process: what was given, where everybody listens, and what was *told*."""
    places = {}
    for row in found:
        places[f"GUANHU_{row.name.upper()}_ADDRESS"] = row.address
        if row.metrics:
            places[f"GUANHU_{row.name.upper()}_METRICS_PORT"] = str(row.metrics)
    path = os.pathsep.join((str(ROOT), str(ROOT / "protos")))
    return {**environ, "PYTHONPATH": path, **places, **told}
