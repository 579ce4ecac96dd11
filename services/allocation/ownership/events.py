"""What this noun publishes, and what it has the customer service told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guanhu.allocation.v1 import allocation_events_pb2 as pb
from guanhu.customer.v1 import customer_pb2

from services.allocation.ownership.rules import State
from services.chassis.names import name_of
from services.chassis.wiretypes import date_to, time_to

CHUNK = 1000
"""Lines of one event, and of one errand, at most."""


def changed(
    piece: Sequence[tuple[Any, Any]], actor: str, moment: datetime, plan_id: UUID | None
) -> list[pb.CustomersAssigned | pb.CustomersRecalled]:
    """Return the events of up to 1,000 changes of one branch: pairs of the change and the row as now."""
    plan = name_of("plans", plan_id)
    given = [pair for pair in piece if pair[1].owner]
    taken = [pair for pair in piece if not pair[1].owner]
    found: list[pb.CustomersAssigned | pb.CustomersRecalled] = []
    if given:
        found.append(
            pb.CustomersAssigned(
                lines=[_assigned(*pair) for pair in given],
                actor=actor,
                plan=plan,
                assign_time=time_to(moment),
            )
        )
    if taken:
        found.append(
            pb.CustomersRecalled(
                lines=[_recalled(*pair) for pair in taken],
                actor=actor,
                plan=plan,
                recall_time=time_to(moment),
            )
        )
    return found


def _assigned(change: Any, row: Any) -> pb.CustomersAssigned.Line:
    return pb.CustomersAssigned.Line(
        customer=name_of("customers", row.number),
        owner=name_of("staff", row.owner),
        previous_owner=name_of("staff", change.before.owner),
        mode=row.mode,
        relation=row.relation,
        state=row.state,
        version=row.version,
        principle=row.principle,
        cultivation_end_date=date_to(row.cultivation_end_date),
    )


def _recalled(change: Any, row: Any) -> pb.CustomersRecalled.Line:
    return pb.CustomersRecalled.Line(
        customer=name_of("customers", row.number),
        previous_owner=name_of("staff", change.before.owner),
        relation=change.before.relation,
        state=row.state,
        version=row.version,
        cause=change.wanted.cause,
    )


def access(rows: Sequence[Any], branch_id: int) -> customer_pb2.SetAccessRequest:
    """Return who may see customers of one branch from now on; who only holds a customer does not look after them."""
    return customer_pb2.SetAccessRequest(
        branch_id=branch_id,
        accesses=[
            customer_pb2.Access(
                customer=name_of("customers", row.number),
                owner=name_of("staff", row.owner) if row.state == State.ACTIVE else "",
                maintenance_mode=row.mode,
                version=row.version,
            )
            for row in rows
        ],
    )
