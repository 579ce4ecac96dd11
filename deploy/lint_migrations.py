"""Write out the SQL of every migration and have squawk read it: nothing may lock or break the release before."""

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext

from services.chassis.migrate import scripts_of

EXCLUDED = (
    "prefer-robust-stmts",  # every migration runs in a transaction
    "require-timeout-settings",  # set once for all in services/chassis/migrate.py
    "prefer-bigint-over-smallint",  # enumerations of the contract
    "prefer-bigint-over-int",  # branch numbers and small counts are integers by contract
    "require-concurrent-index-creation",  # only tables that the same migration creates
)


def sql_of(folder: Path) -> str:
    """Return the SQL of all migrations in *folder*, as it would run on an empty database."""
    scripts, out = scripts_of(folder), io.StringIO()
    with EnvironmentContext(
        Config(),
        scripts,
        fn=lambda rev, _: scripts._upgrade_revs("head", rev),
        as_sql=True,
        destination_rev="head",
    ) as environment:
        environment.configure(
            dialect_name="postgresql",
            as_sql=True,
            output_buffer=out,
            dialect_opts={"paramstyle": "named"},
        )
        with environment.begin_transaction():
            environment.run_migrations()
    text = out.getvalue()
    return re.sub(r"CREATE TABLE alembic_version \(.*?\);", "", text, flags=re.DOTALL)


def main() -> int:
    """Return squawk's verdict over all services."""
    squawk = Path(sys.executable).with_name("squawk")
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        for migrations in sorted(Path("services").glob("*/migrations")):
            script = Path(folder) / f"{migrations.parent.name}.sql"
            script.write_text(sql_of(migrations))
            command = [
                str(squawk),
                f"--exclude={','.join(EXCLUDED)}",
                str(script),
            ]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(done.stdout, done.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
