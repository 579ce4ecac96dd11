"""The allocation service: the one place that wires it."""

from guanhu.allocation.v1 import (
    branch_pb2_grpc,
    ownership_pb2_grpc,
    plan_pb2_grpc,
    reason_pb2,
    staff_pb2_grpc,
)
from guanhu.identity.v1 import identity_pb2_grpc
from guanhu.identity.v1 import reason_pb2 as identity_reasons

from services.allocation.branch.servicer import BranchServicer
from services.allocation.config import PARAMETERS
from services.allocation.identity.actions.sessions import Logins
from services.allocation.identity.actions.tokens import OwnKeys, rotate_key
from services.allocation.identity.servicer import IdentityServicer
from services.allocation.ownership.servicer import OwnershipServicer
from services.allocation.plan.servicer import PlanServicer
from services.allocation.reactions import REACTIONS
from services.allocation.staff.servicer import StaffServicer
from services.chassis.caller import service_caller
from services.chassis.server import Frame, Service, Servicers, main


def servicers(frame: Frame) -> Servicers:
    """Return the servicers of allocation."""
    return (
        (
            identity_pb2_grpc.add_IdentityServiceServicer_to_server,
            IdentityServicer(frame),
        ),
        (branch_pb2_grpc.add_BranchServiceServicer_to_server, BranchServicer(frame)),
        (
            staff_pb2_grpc.add_StaffServiceServicer_to_server,
            StaffServicer(frame, Logins()),
        ),
        (
            ownership_pb2_grpc.add_OwnershipServiceServicer_to_server,
            OwnershipServicer(frame),
        ),
        (
            plan_pb2_grpc.add_AssignmentPlanServiceServicer_to_server,
            PlanServicer(frame),
        ),
    )


async def prepare(frame: Frame) -> None:
    """See to it that there is a key to sign with."""
    await rotate_key(frame.uow, service_caller("allocation"), frame.vault)


SERVICE = Service(
    name="allocation",
    reasons=(identity_reasons, reason_pb2),
    servicers=servicers,
    parameters=PARAMETERS,
    reactions=lambda frame: REACTIONS,
    keys=OwnKeys,
    prepare=prepare,
)

if __name__ == "__main__":
    main(SERVICE, "services.allocation")
