"""Branches between the contract's messages and values."""

from collections.abc import Iterable
from typing import Any

from guanhu.allocation.v1 import branch_pb2 as pb

from services.allocation.branch.queries import Filters
from services.chassis.db import chosen
from services.chassis.names import name_of, number_of
from services.chassis.wiretypes import time_to

TYPE, STATE = "BRANCH_TYPE_", "BRANCH_STATE_"


def branch_to(row: Any) -> pb.Branch:
    """Return one row as the contract's branch."""
    return pb.Branch(
        name=name_of("branches", row.branch_id),
        parent=name_of("branches", row.parent_branch_id or ""),
        display_name=row.display_name,
        branch_type=TYPE + row.branch_type,
        time_zone=row.time_zone,
        state=STATE + row.state,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def fields_from(
    message: pb.Branch, paths: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return what callers may write of a branch by column: all, or what *paths* name; refuses MASK_UNKNOWN."""
    columns = {"parent": "parent_branch_id"}
    values: dict[str, object] = {
        "parent": number_of("branches", message.parent) if message.parent else 0,
        "display_name": message.display_name,
        "branch_type": pb.BranchType.Name(message.branch_type).removeprefix(TYPE),
        "time_zone": message.time_zone,
    }
    wanted = values if paths is None else chosen(values, paths)
    return {columns.get(name, name): value for name, value in wanted.items()}


def filters_from(request: pb.ListBranchesRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        parent=number_of("branches", request.parent) if request.parent else 0,
        state=pb.BranchState.Name(request.state).removeprefix(STATE)
        if request.state
        else "",
    )
