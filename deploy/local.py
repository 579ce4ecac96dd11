"""
The whole bank on this machine: ``run``, ``migrate`` and ``reset``.

All state lies under one folder, ``GUANHU_STATE``. PostgreSQL is started out of the wheel unless the data sources of a
service are in the environment; the demonstration bank is loaded at the first start.
"""

import asyncio
import errno
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import grpc

from deploy import roles
from deploy.localpg import LocalPostgres, LocalPostgresError
from deploy.processes import (
    ROOT,
    Fleet,
    Row,
    StoppedError,
    environment_of,
    refuse_taken,
    rows,
)
from deploy.state import DSNS, Installation, locked, refuse_full
from services.chassis.config import SERVICES, folder_of_state

PASSWORDS = {
    "DSN": "password",
    "BULK_DSN": "bulk_password",
    "OWNER_DSN": "owner_password",
}

FULL = "No space left on device"

RECORD = "demonstration.json"
"""Who may sign in, written when the demonstration bank is in."""

DYING_SECONDS = 10
"""How long the processes of a start that was killed are waited for: they end without it, longer than they may take."""

VERSION = "SELECT version_num FROM alembic_version"

BEGUN = time.monotonic()


def say(text: str) -> None:
    """Tell progress, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGUN:5.1f} s] {text}", flush=True)


def scripts(service: str) -> Path:
    """Return the folder of *service*'s migrations."""
    return ROOT / "services" / service / "migrations"


def has_migrations(service: str) -> bool:
    """Say whether *service* has a database yet."""
    return (scripts(service) / "versions").is_dir()


def newest(service: str) -> str:
    """Return the number of *service*'s newest migration."""
    return max(
        path.name[:4] for path in (scripts(service) / "versions").glob("[0-9]*.py")
    )


async def is_current(dsn: str, service: str) -> bool:
    """Say whether the database has *service*'s newest form."""
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, ValueError, asyncpg.PostgresError) as error:
        raise StoppedError(
            f"The database of {service} cannot be reached as its owner: {error}."
        ) from error
    try:
        return await connection.fetchval(VERSION) == newest(service)
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()


async def migrate(service: str, dsn: str) -> None:
    """Bring *service*'s database to the newest form as its owner."""
    if not await is_current(dsn, service):
        from services.chassis.migrate import upgrade_database  # noqa: PLC0415 - slow, and seldom needed

        await upgrade_database(dsn, scripts(service))
        say(f"the database of {service} has the form {newest(service)}")


async def databases(
    installation: Installation, postgres: LocalPostgres | None
) -> dict[str, str]:
    """Return every service's data sources, after its database was made, where it is ours, and migrated."""
    found: dict[str, str] = {}
    for service in SERVICES:
        if not has_migrations(service):
            continue
        sources = installation.external(service)
        if not sources and postgres is not None:
            names = {end: f"database-{service}{role}" for end, role in DSNS.items()}
            told = {
                end: installation.secret(name, secrets.token_urlsafe(18))
                for end, name in names.items()
            }
            await roles.create(
                postgres.dsn(), service, {PASSWORDS[end]: told[end] for end in DSNS}
            )
            sources = {
                f"GUANHU_{service.upper()}_{end}": postgres.dsn(
                    f"guanhu_{service}", f"guanhu_{service}{DSNS[end]}", told[end]
                )
                for end in DSNS
            }
        await migrate(service, sources[f"GUANHU_{service.upper()}_OWNER_DSN"])
        found.update(sources)
    return found


@contextmanager
def store(installation: Installation) -> Iterator[dict[str, str]]:
    """Run PostgreSQL where it is needed, and give the data sources of migrated databases."""
    needed = not all(installation.external(service) for service in SERVICES)
    postgres = None
    if needed:
        postgres = LocalPostgres(installation.state / "postgres").start()
        say(f"PostgreSQL listens on port {postgres.port}")
    try:
        yield asyncio.run(databases(installation, postgres))
    finally:
        if postgres is not None:
            postgres.stop()
            say("PostgreSQL is down")


def environment(
    installation: Installation, found: list[Row], sources: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of every process."""
    defaults = {"GUANHU_DEMONSTRATION": "true"}
    for service in SERVICES:
        # the callers of each have been stopped before it: there is nobody to wait for
        defaults[f"GUANHU_{service.upper()}_DRAIN_SECONDS"] = "0"
    told = environment_of(
        found,
        {**defaults, **installation.environ},
        GUANHU_STATE=str(installation.state),
        GUANHU_SECRETS_DIR=str(installation.secrets),
        **sources,
    )
    if is_demonstration(told):
        told.setdefault("GUANHU_MESSAGING_GATEWAYS", gateways(installation))
    return told


def gateways(installation: Installation) -> str:
    """Return what the demonstration can hand messages over to: its own centre, and a folder that nobody empties."""
    centre = {"name": "demo", "display_name": "演示短信中心"}
    folder = {"name": "handover", "display_name": "演示文件交接", "protocol": "file"}
    place = {"folder": str(installation.handover), "file_receipts": False}
    return json.dumps([centre, folder | place], ensure_ascii=False)


def is_demonstration(told: Mapping[str, str]) -> bool:
    """Say whether this installation is for showing."""
    return told["GUANHU_DEMONSTRATION"].lower() in {"true", "1", "yes", "on"}


def load(found: list[Row], told: Mapping[str, str], state: Path) -> None:
    """
    Load the demonstration bank when this is the first start of a demonstration.

    The customer service runs without its worker meanwhile, so that the first morning's birthdays and maturities are
    looked for when all customers are there, and not before.
    """
    record = state / RECORD
    if record.exists() or not is_demonstration(told):
        return
    from deploy.demo.load import load_bank  # noqa: PLC0415 - only the first start needs it

    waiting = [
        replace(row, run=[part for part in row.run if part != "--work"])
        if row.name == "customer"
        else row
        for row in found
        if row.name in ("customer", "allocation")
    ]
    fleet = Fleet(told, state / "logs", say)
    try:
        fleet.start(waiting)
        operators = load_bank(told, state, say)
    except grpc.RpcError as error:
        raise StoppedError(
            f"The demonstration bank was not loaded, start again to go on: {error.details()}"
        ) from error
    finally:
        fleet.stop()
    fresh = record.with_suffix(".part")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(operators, ensure_ascii=False, indent=1))
    fresh.rename(record)


def show(found: list[Row], state: Path) -> None:
    """Print where the portal is, who may sign in, and where everything else is: one thing per line."""
    places = {row.name: row.line for row in found}
    print(places.pop("portal", "portal -"))
    record = state / RECORD
    for one in json.loads(record.read_text()) if record.exists() else ():
        print(
            "operator",
            one["post"],
            one["operator_no"],
            one["password"],
            one["display_name"],
        )
    for name in sorted(places, key=lambda name: ([*SERVICES, name].index(name), name)):
        print(places[name])
    print("Ctrl-C stops the bank.", flush=True)


def run(installation: Installation) -> None:
    """Start everything, show where it is, and stop everything in reverse when told to."""
    found = rows(installation.environ)
    with ExitStack() as opened:
        died = opened.enter_context(locked(installation.state))
        if died:
            say("the start before was killed: its state is taken over")
        refuse_taken(found, DYING_SECONDS if died else 0)
        refuse_full(installation.state)
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, interrupt)
        installation.prepare()
        sources = opened.enter_context(store(installation))
        told = environment(installation, found, sources)
        load(found, told, installation.state)
        fleet = Fleet(told, installation.state / "logs", say)
        opened.callback(fleet.stop)
        opened.callback(ignore_signals)
        fleet.start(found)
        show(found, installation.state)
        while True:
            fleet.refuse_dead()
            time.sleep(0.5)


def interrupt(*_: object) -> None:
    """Stop wherever the start is."""
    raise KeyboardInterrupt


def ignore_signals() -> None:
    """Let nothing disturb the stop: it is short, and what it leaves half done would be found at the next start."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)


def only_migrate(installation: Installation) -> None:
    """Bring the databases to the newest form, and stop."""
    with locked(installation.state):
        installation.prepare()
        with store(installation):
            say("the databases have the newest form")


def reset(installation: Installation) -> None:
    """Wipe the state; data sources that were given are not ours to wipe."""
    state = installation.state
    if not state.exists():
        return
    if any(state.iterdir()) and not any(
        (state / name).exists() for name in ("lock", "postgres")
    ):
        raise StoppedError(
            f"{state} does not look like the state of a bank: nothing was wiped."
        )
    with locked(state):
        shutil.rmtree(state)
    say(f"{state} is wiped")


COMMANDS = {"run": run, "migrate": only_migrate, "reset": reset}


def is_full(error: BaseException) -> bool:
    """Say whether a full disk is behind a fault, whoever told of it."""
    return getattr(error, "errno", 0) == errno.ENOSPC or FULL in str(error)


def sentence(error: Exception) -> str:
    """Return a fault in one sentence."""
    text = " ".join(str(error).split())
    return (
        f"The disk is full: make room and start again ({text})."
        if is_full(error)
        else text
    )


def main() -> int:
    """Run the command named; return 0, or 1 after one sentence that says what is wrong."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: python deploy/local.py {' | '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[sys.argv[1]](Installation(folder_of_state(), dict(os.environ)))
    except KeyboardInterrupt:
        return 0
    except (StoppedError, LocalPostgresError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        return 1
    except Exception as error:
        if not is_full(error):
            raise
        print(sentence(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
