"""Reads of the tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Text, cast, or_, select

from services.allocation.branch.tables import Branch
from services.chassis.caller import Branch as Node
from services.chassis.caller import Caller, Tree
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing

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


LISTING = Listing(
    orders={"branch_id": Branch.branch_id, "display_name": Branch.display_name},
    default="branch_id",
    unique=(Branch.branch_id,),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    parent: int = 0
    state: str = ""


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = select(*Branch.__table__.columns).where(
        within(Branch.branch_id, caller)
    )
    if filters.query:
        number = cast(Branch.branch_id, Text)
        statement = statement.where(
            or_(
                Branch.display_name.contains(filters.query, autoescape=True),
                number.startswith(filters.query, autoescape=True),
            )
        )
    if filters.parent:
        statement = statement.where(Branch.parent_branch_id == filters.parent)
    if filters.state:
        statement = statement.where(Branch.state == filters.state)
    return statement


async def branch(work: Work, branch_id: int) -> Any:
    """Return one branch in the caller's scope; refuse NOT_FOUND otherwise."""
    statement = listed(work.caller, Filters()).where(Branch.branch_id == branch_id)
    row = (await work.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("branch", "网点")
    return row
