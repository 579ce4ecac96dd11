"""
Migrations: Alembic, built in code; numbered files, one head, additive first, safe beside the release before.

The functions below are what a migration may use besides ``op``: the frame's own tables, and the protection that
every table with a branch gets in the migration that creates it.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

from services.chassis import tables

SCOPE = "coalesce(nullif(current_setting('app.branch_ids', true), ''), '{}')::int[]"
"""The caller's branches, as the first statement of the transaction set them; nothing when nobody did."""

LOCK_WAIT = "4s"
"""How long a migration waits for a lock before it gives up and leaves everything as it was."""


def scripts_of(folder: Path) -> ScriptDirectory:
    """Return the migrations in *folder*."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def upgrade(connection: Connection, folder: Path, target: str = "head") -> None:
    """Run the migrations of *folder* up to *target* on an open connection, each in a transaction of its own."""
    scripts = scripts_of(folder)

    def steps(revision: str, _context: object) -> Sequence[object]:
        return scripts._upgrade_revs(target, revision)  # noqa: SLF001 - what alembic.command.upgrade does

    with EnvironmentContext(
        Config(), scripts, fn=steps, destination_rev=target
    ) as environment:
        environment.configure(connection=connection, transaction_per_migration=True)
        with environment.begin_transaction():
            environment.run_migrations()


async def upgrade_database(dsn: str, folder: Path, target: str = "head") -> None:
    """Bring the database at *dsn* to *target*, as its owner."""
    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
    )
    async with engine.connect() as connection:
        await connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
        await connection.commit()
        await connection.run_sync(upgrade, folder, target)
        await connection.commit()
    await engine.dispose()


def migrate(service: str, dsn: str, folder: Path) -> None:
    """Bring *service*'s database to the newest form."""
    if not dsn:
        raise SystemExit(
            f"GUANHU_{service.upper()}_OWNER_DSN: migrations need the owner's data source"
        )
    asyncio.run(upgrade_database(dsn, folder))


def run_each(*statements: str) -> None:
    """Execute SQL statements one by one, as the driver wants them."""
    for statement in statements:
        op.execute(text(statement.replace(":", r"\:")))


def create_frame_tables(service: str) -> None:
    """Create the tables every service has, with their indexes and protection."""
    for table in tables.frame.sorted_tables:
        op.execute(CreateTable(table))
        if table.name in tables.REFERENCE:
            grant(table.name, service)
        else:
            protect(table.name, service, append_only=table.name in tables.APPEND_ONLY)
    run_each(
        "CREATE INDEX errands_due ON errands (branch_id, due_time) WHERE done_time IS NULL",
        "CREATE INDEX parked_open ON parked_events (branch_id, source, sequence) WHERE done_time IS NULL",
        "CREATE INDEX audit_records_newest ON audit_records (branch_id, create_time, sequence)",
    )


def protect(
    table: str, service: str, *, append_only: bool = False, movable: bool = False
) -> None:
    """
    Put row-level security, forced, on a table with a branch, and grant what the service's roles may do.

    Rows of an *append_only* table are for ever, except that those of a *movable* one go along when a resource
    moves to another branch.
    """
    condition = f"branch_id = ANY ((SELECT {SCOPE})::int[]) OR (SELECT {SCOPE} = '{{-1}}'::int[])"
    run_each(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY branches ON {table} USING ({condition}) WITH CHECK ({condition})",
    )
    grant(table, service, append_only=append_only, movable=movable)


def grant(
    table: str, service: str, *, append_only: bool = False, movable: bool = False
) -> None:
    """Grant what the roles may do: deleting is for the bulk role alone, and rows that are for ever are only added."""
    rights = "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE"
    more = ", DELETE" if movable or not append_only else ""
    run_each(
        f"GRANT {rights} ON {table} TO guanhu_{service}",
        f"GRANT {rights}{more} ON {table} TO guanhu_{service}_bulk",
    )
