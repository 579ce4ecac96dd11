"""The engagement service: the one place that wires it."""

from datetime import time

from guanhu.engagement.v1 import (
    contact_plan_pb2_grpc,
    opportunity_pb2_grpc,
    reason_pb2,
    reminder_pb2_grpc,
    work_log_pb2_grpc,
)

from services.chassis.server import Frame, Service, Servicers, main
from services.chassis.worker import Due
from services.engagement.config import PARAMETERS
from services.engagement.contact_plan.actions import (
    CLOSE_TASK,
    DRAFT_TASK,
    close_plans,
    draft_plans,
)
from services.engagement.contact_plan.servicer import ContactPlanServicer
from services.engagement.opportunity.actions import STALE_TASK, let_go_stale
from services.engagement.opportunity.servicer import OpportunityServicer
from services.engagement.reactions import REACTIONS
from services.engagement.reminder.servicer import ReminderServicer
from services.engagement.work_log.servicer import WorkLogServicer


def servicers(frame: Frame) -> Servicers:
    """Return the servicers of engagement."""
    return (
        (
            reminder_pb2_grpc.add_ReminderServiceServicer_to_server,
            ReminderServicer(frame),
        ),
        (
            opportunity_pb2_grpc.add_OpportunityServiceServicer_to_server,
            OpportunityServicer(frame),
        ),
        (
            contact_plan_pb2_grpc.add_ContactPlanServiceServicer_to_server,
            ContactPlanServicer(frame),
        ),
        (
            work_log_pb2_grpc.add_WorkLogServiceServicer_to_server,
            WorkLogServicer(frame),
        ),
    )


SERVICE = Service(
    name="engagement",
    reasons=(reason_pb2,),
    servicers=servicers,
    parameters=PARAMETERS,
    reactions=lambda frame: REACTIONS,
    due=lambda frame: (
        Due(STALE_TASK, time(0, 15), let_go_stale),
        Due(CLOSE_TASK, time(0, 30), close_plans),
        Due(DRAFT_TASK, time(7, 0), draft_plans),
    ),
)

if __name__ == "__main__":
    main(SERVICE, "services.engagement")
