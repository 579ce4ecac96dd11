"""What a caller may see of customers here: whole branches, or only customers of its own."""

from typing import Any

from sqlalchemy import literal

from services.chassis.caller import Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.engagement.portfolio.tables import Portfolio

FOUND = """
    SELECT branch_id, number, owner, maintenance_mode FROM portfolio WHERE branch_id = $1 AND number = $2
    FOR NO KEY UPDATE"""


def joined(table: Any) -> Any:
    """Return the condition that ties rows of *table*, by branch and number, to their portfolio."""
    return (Portfolio.branch_id == table.branch_id) & (Portfolio.number == table.number)


def visible(table: Any, caller: Caller) -> Any:
    """Return the predicate of rows of *table*, joined to portfolios, that *caller* may see."""
    own = Portfolio.owner == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    return within(table.branch_id, caller) & own


async def customer(work: Work, number: str) -> Any:
    """
    Return branch, owner and mode of one customer in the caller's sight, to write about them.

    The customer stays in that branch until the end of the transaction. Refuses NOT_FOUND.
    """
    branch_id = await work.locate("customers", number, "客户")
    rows = await work.run(FOUND, branch_id, number)
    if not rows or (work.caller.own_only and rows[0].owner != work.caller.key):
        raise NotFound("customer", "客户")
    return rows[0]
