"""What this noun publishes: changes of staff, without names."""

from collections.abc import Sequence
from typing import Any

from guanhu.allocation.v1 import allocation_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.policy import roles_named


def staff_changed(
    row: Any, *, previous_branch: int, previous_posts: Sequence[str]
) -> pb.StaffChanged:
    """Return the event of somebody who is as *row* says now."""
    return pb.StaffChanged(
        staff=name_of("staff", row.staff_id),
        branch_id=row.branch_id,
        previous_branch_id=previous_branch,
        posts=roles_named(row.posts),
        previous_posts=roles_named(previous_posts),
        capacity=row.capacity,
        state=f"STAFF_STATE_{row.state}",
        version=row.version,
    )
