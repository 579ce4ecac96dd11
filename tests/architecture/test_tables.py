"""The classes that stand for rows equal the tables that migrations make."""

import importlib

import asyncpg
from sqlalchemy.dialects.postgresql import dialect

from services.chassis.tables import rows_of
from tests.architecture.contracts import ROOT, SERVICES

COLUMNS = """
    SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS required
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    ORDER BY 1, a.attnum"""

KEYS = """
    SELECT t.relname AS table, array_agg(a.attname ORDER BY array_position(x.indkey::int2[], a.attnum)) AS columns
    FROM pg_index AS x JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)
    WHERE x.indisprimary AND t.relnamespace = 'public'::regnamespace GROUP BY 1"""


def declared(service):
    """Return the tables that a service's classes stand for."""
    folder = ROOT / "services" / service
    for path in sorted(folder.glob("*/tables.py")):
        importlib.import_module(f"services.{service}.{path.parent.name}.tables")
    return rows_of(service).metadata.tables


async def test_models_equal_the_database(bank):
    """Every column has the same name, type and requiredness on both sides, and every key the same columns in order."""
    for service in SERVICES:
        if not (ROOT / "services" / service / "migrations").is_dir():
            continue
        connection = await asyncpg.connect(
            bank.postgres.dsn(await bank.database(service))
        )
        rows = await connection.fetch(COLUMNS)
        keys = {row["table"]: row["columns"] for row in await connection.fetch(KEYS)}
        await connection.close()
        for name, table in declared(service).items():
            stored = [
                (row["column"], row["type"], row["required"])
                for row in rows
                if row["table"] == name
            ]
            ours = [
                (
                    column.name,
                    column.type.compile(dialect()).lower(),
                    not column.nullable,
                )
                for column in table.columns
            ]

            assert ours == stored, f"{service}.{name}"
            assert [column.name for column in table.primary_key] == keys[name]
