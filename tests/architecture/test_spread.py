"""Schema and SQL can be spread by branch: read from the catalogue of every service's database, and from the code."""

import ast
import re
from pathlib import Path

import asyncpg
import pytest_asyncio

from services.chassis.tables import REFERENCE
from tests.architecture.contracts import ROOT, SERVICES

LOOK_UP = {
    "customer": {"products"},
    "allocation": {
        "branches",
        "operators",
        "sessions",
        "accounts",
        "signing_keys",
        "revocations",
    },
    "engagement": set(),
    "messaging": {
        "templates",
        "template_revisions",
        "gateways",
        "gateway_links",
        "opt_outs",
    },
}
"""Tables without a branch: small, read by all, reference tables when the data is spread."""

COLUMNS = """
    SELECT c.relname AS table, a.attname AS column, a.attnum AS place, a.attidentity AS identity
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
    ORDER BY 1, 3"""
INDEXES = """
    SELECT t.relname AS table, i.relname AS index, x.indisunique AS is_unique,
           (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum = x.indkey[0]) AS first
    FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'alembic_version'"""
FORCED = """
    SELECT relname AS table FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity"""
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
ROLES = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'guanhu%' AND (rolbypassrls OR rolsuper)"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def catalogues(bank):
    """A connection to a migrated database of each service that has one."""
    found = {}
    for service in SERVICES:
        if (ROOT / "services" / service / "migrations").is_dir():
            name = await bank.database(service)
            found[service] = await asyncpg.connect(bank.postgres.dsn(name))
    yield found
    for connection in found.values():
        await connection.close()


async def test_every_table_has_its_branch_first_or_is_for_look_up(catalogues):
    """branch_id is the first column of every table that is not named as a reference table."""
    for service, connection in catalogues.items():
        first = {}
        for row in await connection.fetch(COLUMNS):
            first.setdefault(row["table"], row["column"])
        plain = {table for table, column in first.items() if column != "branch_id"}
        allowed = LOOK_UP[service] | (set(REFERENCE) - {"parameters"})

        assert plain <= allowed <= set(first) | {"parameters"}, service


async def test_every_key_and_index_begins_with_the_branch(catalogues):
    """Primary keys, unique keys and indexes of tables with a branch lead with branch_id."""
    for service, connection in catalogues.items():
        for row in await connection.fetch(INDEXES):
            if row["table"] in LOOK_UP[service] | set(REFERENCE):
                continue

            assert row["first"] == "branch_id", (service, row["index"])


async def test_row_level_security_is_forced_on_every_table_with_a_branch(catalogues):
    """No table with a branch is without policies, not even for its owner; no role passes them by."""
    for service, connection in catalogues.items():
        tables = {row["table"] for row in await connection.fetch(COLUMNS)}
        forced = {row["table"] for row in await connection.fetch(FORCED)}

        assert tables - forced == LOOK_UP[service] | set(REFERENCE), service
        assert not await connection.fetch(ROLES)


async def test_there_are_no_triggers_and_no_identity_columns(catalogues):
    """What a spread database refuses is not there."""
    for connection in catalogues.values():
        identities = [
            row for row in await connection.fetch(COLUMNS) if row["identity"] != b"\x00"
        ]

        assert not await connection.fetch(TRIGGERS)
        assert not identities


def text_of(node):
    """Return the text that a node of the syntax tree stands for; what is filled in reads as ?."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "?" for part in node.values)
    value = getattr(node, "value", None)
    return value if isinstance(node, ast.Constant) and isinstance(value, str) else ""


def statements():
    """Return every text in the code that reads like SQL, with the file it stands in."""
    found = []
    for path in sorted(Path(ROOT / "services").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in ast.walk(tree):
            if id(node) in inner:
                continue
            text = " ".join(text_of(node).split())
            if re.match(r"(INSERT INTO|UPDATE|DELETE|SELECT|WITH|MERGE)\b", text):
                found.append((path.relative_to(ROOT), text))
    return found


def test_statements_bind_their_values_and_keep_branches_apart():
    """No set_config, no now() or random in SQL, no update of branch_id, and ON CONFLICT with INSERT ... SELECT."""
    found = statements()

    assert len(found) > 30
    for path, text in found:
        where = f"{path}: {text[:80]}"

        assert "set_config" not in text, where
        assert not re.search(
            r"\b(now|clock_timestamp|random|gen_random_uuid)\(", text
        ), where
        assert not re.search(r"SET (\w+ = [^,]+, )*branch_id =", text), where
        if re.search(r"INSERT INTO .*\bSELECT\b", text):
            assert "ON CONFLICT" in text, where
        if re.search(r"SKIP LOCKED", text):
            assert "branch_id = $1" in text, where


def test_scope_is_set_in_one_place():
    """Only the unit of work sets the caller's branches."""
    setters = [
        path.relative_to(ROOT)
        for path in sorted(Path(ROOT / "services").rglob("*.py"))
        if re.search(r"SET (LOCAL|SESSION) app\.", path.read_text())
    ]

    assert [str(path) for path in setters] == ["services/chassis/db.py"]


def test_errors_are_told_apart_by_their_state_never_by_a_name():
    """No code looks at the name of a constraint."""
    for path in Path(ROOT / "services").rglob("*.py"):
        assert "constraint_name" not in path.read_text(), path
