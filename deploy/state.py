"""The one folder that an installation on this machine keeps everything in: secrets, data, logs, and who uses it now."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploy.processes import StoppedError

DSNS = {"DSN": "", "BULK_DSN": "_bulk", "OWNER_DSN": "_owner"}
"""Data sources of a service by the end of their setting, and the end of the role that each logs in as."""

LENGTHS = {"start-up-secret": 32, "portal-key": 48, "smsc-password": 6}
"""Secrets that processes of this machine share, in random bytes; SMPP has room for eight characters."""

ROOM = 1 << 29
"""Bytes that a start needs: PostgreSQL's own files, the demonstration bank and room to write (measured: 0.2 GB)."""


@dataclass(slots=True)
class Installation:
    """What one start works with."""

    state: Path
    environ: Mapping[str, str]

    @property
    def secrets(self) -> Path:
        """Return the folder of keys and passwords."""
        given = self.environ.get("GUANHU_SECRETS_DIR", "")
        return Path(given).absolute() if given else self.state / "secrets"

    @property
    def handover(self) -> Path:
        """Return the folder that the demonstration hands messages over to as files."""
        return self.state / "handover"

    def prepare(self) -> None:
        """Make the folders, the keys, and the secrets that this machine's processes share."""
        for folder in (self.state, self.state / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        self.handover.mkdir(mode=0o700, exist_ok=True)
        from services.chassis.vault import generate_keys  # noqa: PLC0415 - slow, and not for `reset`

        generate_keys(self.secrets)
        for name, length in LENGTHS.items():
            self.secret(name, secrets.token_urlsafe(length))

    def secret(self, name: str, fresh: str) -> str:
        """Return the secret of *name*; *fresh* is kept as it when there is none."""
        path = self.secrets / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(fresh)
        return path.read_text().strip()

    def external(self, service: str) -> dict[str, str]:
        """Return the data sources of *service* that were given, or none; raises StoppedError when some are missing."""
        names = [f"GUANHU_{service.upper()}_{end}" for end in DSNS]
        given = {name: self.environ[name] for name in names if self.environ.get(name)}
        if given and len(given) < len(names):
            missing = ", ".join(name for name in names if name not in given)
            raise StoppedError(f"{missing} must be set too, or none of {service}'s.")
        return given


@contextmanager
def locked(state: Path) -> Iterator[bool]:
    """
    Hold the state for this process, and tell whether the one before died without letting go.

    A lock file that a dead process left does not count; a live one's raises StoppedError.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+") as lock:
        before = holder(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoppedError(
                f"The bank in {state} is in use by process {before or 'unknown'}: stop that first."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield bool(before)
        lock.truncate(0)


def holder(lock: IO[str]) -> str:
    """Return the number of the process that holds the lock or died with it, as the file says."""
    lock.seek(0)
    return lock.read().strip()


def refuse_full(state: Path) -> None:
    """Raise StoppedError when the disk has too little room for a start."""
    free = shutil.disk_usage(state).free
    if free < ROOM:
        raise StoppedError(
            f"The disk of {state} is full: {free >> 20} MB are free and {ROOM >> 20} MB are needed."
        )
