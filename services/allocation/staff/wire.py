"""Staff between the contract's messages and values."""

from typing import Any

from guanhu.allocation.v1 import staff_pb2 as pb

from services.allocation.staff.actions import Person
from services.allocation.staff.queries import Filters
from services.chassis.db import chosen
from services.chassis.names import key_of, name_of, number_of
from services.chassis.policy import names_of_roles, roles_named
from services.chassis.wiretypes import time_to

STATE = "STAFF_STATE_"


def staff_to(row: Any) -> pb.Staff:
    """Return one row as the contract's member of staff."""
    return pb.Staff(
        name=name_of("staff", row.staff_id),
        branch=name_of("branches", row.branch_id),
        display_name=row.display_name,
        operator_no=row.operator_no,
        posts=roles_named(row.posts),
        specialities=row.specialities,
        capacity=row.capacity,
        owned_count=row.owned_count,
        present=row.present,
        state=STATE + row.state,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def person_from(request: pb.CreateStaffRequest) -> Person:
    """Return whom a request takes on."""
    message = request.staff
    return Person(
        staff_id=request.staff_id,
        branch_id=number_of("branches", message.branch),
        display_name=message.display_name,
        operator_no=message.operator_no,
        posts=names_of_roles(message.posts),
        specialities=list(message.specialities),
        capacity=message.capacity,
    )


def update_from(request: pb.UpdateStaffRequest) -> dict[str, Any]:
    """Return what an update writes, by column; refuses MASK_UNKNOWN."""
    message, paths = request.staff, request.update_mask.paths
    branch = "branch" in paths
    values: dict[str, object] = {
        "branch": number_of("branches", message.branch) if branch else 0,
        "display_name": message.display_name,
        "operator_no": message.operator_no,
        "posts": names_of_roles(message.posts),
        "specialities": list(message.specialities),
        "capacity": message.capacity,
    }
    wanted = chosen(values, paths)
    if branch:
        wanted["branch_id"] = wanted.pop("branch")
    return wanted


def filters_from(request: pb.ListStaffRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        post=names_of_roles([request.post])[0] if request.post else "",
        present=request.present,
        state=pb.StaffState.Name(request.state).removeprefix(STATE)
        if request.state
        else "",
        can_own=request.can_own,
    )


def id_from(name: str) -> str:
    """Return the staff number in a name."""
    return key_of("staff", name)
