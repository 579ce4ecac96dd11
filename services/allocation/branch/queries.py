"""Reads of the tree."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from services.allocation.branch.tables import Branch
from services.chassis.caller import Branch as Node
from services.chassis.caller import Tree
from services.chassis.db import Work

NODE = select(
    Branch.branch_id, Branch.parent_branch_id, Branch.time_zone, Branch.display_name
).where(Branch.state == "OPEN")


async def nodes(work: Work) -> Sequence[Row[Any]]:
    """Return every open branch, ascending."""
    return (await work.execute(NODE.order_by(Branch.branch_id))).all()


async def tree(work: Work) -> Tree:
    """Return the tree of open branches."""
    return Tree(
        {
            row.branch_id: Node(
                row.branch_id,
                row.parent_branch_id,
                row.time_zone,
                row.display_name,
            )
            for row in await nodes(work)
        }
    )
