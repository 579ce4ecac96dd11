"""Run ``roles.sql`` without psql: the few of its conveniences that the file uses, and nothing more."""

import re
from collections.abc import Mapping
from pathlib import Path

import asyncpg

SCRIPT = Path(__file__).with_name("roles.sql")


def quoted(text: str, mark: str) -> str:
    """Return *text* as an SQL literal (mark ') or identifier (mark ")."""
    return mark + text.replace(mark, mark * 2) + mark


def statements(service: str, values: Mapping[str, str]) -> list[tuple[str, bool]]:
    """
    Return the statements of the script for *service*, in order.

    Args:
        service: Which of the four services.
        values: ``owner_password``, ``password`` and ``bulk_password``.

    Returns:
        Each statement, and whether the rows it returns are statements to be run in turn.

    """
    known = {
        **values,
        "database": f"guanhu_{service}",
        "owner": f"guanhu_{service}_owner",
        "bulk": f"guanhu_{service}_bulk",
    }
    lines = [
        line
        for line in SCRIPT.read_text().splitlines()
        if not line.startswith(("--", "\\set"))
    ]
    text = re.sub(
        r":(['\"])(\w+)\1",
        lambda found: quoted(known[found[2]], found[1]),
        "\n".join(lines),
    )
    parts = re.split(r"(;|\\gexec)\s*$", text, flags=re.MULTILINE)
    return [
        (body.strip(), end != ";")
        for body, end in zip(parts[::2], parts[1::2], strict=False)
        if body.strip()
    ]


async def create(dsn: str, service: str, values: Mapping[str, str]) -> None:
    """Create database and roles of *service*, as the superuser of *dsn*; safe to repeat."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement, again in statements(service, values):
            if not again:
                await connection.execute(statement)
                continue
            for row in await connection.fetch(statement):
                await connection.execute(row[0])
    finally:
        await connection.close()
