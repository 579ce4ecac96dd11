"""
The one way rows move between branches: delete and insert, in one transaction, under the bulk role.

No statement updates ``branch_id`` (a spread database refuses it). Audit records and events stay where they are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.chassis import tables
from services.chassis.db import Work

COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ORDER BY attnum"""

MOVED = """
    WITH gone AS (DELETE FROM {table} WHERE branch_id = $1 AND {column} = ANY ($3) RETURNING {kept})
    INSERT INTO {table} (branch_id, {kept}) SELECT $2, {kept} FROM gone ON CONFLICT DO NOTHING RETURNING 1"""
"""Filled in with names from the code only."""


@dataclass(frozen=True, slots=True)
class Movable:
    """A table whose rows go with a resource: by which column they belong to it."""

    table: str
    column: str


class ElsewhereError(Exception):
    """
    What a fact is about lies in branches that the transaction does not see.

    The follower takes the transaction back, and handles the fact again, alone, under the bulk role, with those
    branches in scope as well.
    """

    def __init__(self, branches: Collection[int]) -> None:
        """Name the *branches* that are needed."""
        super().__init__("facts of other branches")
        self.branches = frozenset(branches)


def refuse_unseen(work: Work, branches: Collection[int]) -> None:
    """Raise ElsewhereError unless *work* sees all of *branches*."""
    if not all(work.caller.sees(branch_id) for branch_id in branches):
        raise ElsewhereError(branches)


async def move(
    work: Work,
    found: Sequence[Movable],
    *,
    kind: str,
    keys: Sequence[str],
    source: int,
    target: int,
) -> dict[str, int]:
    """
    Move the rows of *keys* in the tables of *found* from branch *source* to *target*; return how many by table.

    Both branches must be in the scope of *work*. Tables come parents last, so that no foreign key is left
    without what it points to; the directory follows in the same transaction.
    """
    moved = {}
    for one in found:
        names = [row["attname"] for row in await work.run(COLUMNS, one.table)]
        kept = [name for name in names if name != "branch_id"]
        sql = MOVED.format(table=one.table, column=one.column, kept=", ".join(kept))
        rows = await work.run(sql, source, target, list(keys))
        moved[one.table] = len(rows)
    where = (tables.directory.c.kind == kind) & tables.directory.c.id.in_(list(keys))
    await work.execute(tables.directory.update().where(where).values(branch_id=target))
    return moved
