"""The customer service: the one place that wires it."""

from datetime import date, time

from guanhu.customer.v1 import (
    consent_pb2_grpc,
    customer_pb2_grpc,
    group_pb2_grpc,
    holding_pb2_grpc,
    overview_pb2_grpc,
    position_pb2_grpc,
    product_pb2_grpc,
    reason_pb2,
    snapshot_pb2_grpc,
)

from services.chassis.db import Work
from services.chassis.server import Frame, Service, Servicers, main
from services.chassis.worker import Due
from services.customer.config import PARAMETERS
from services.customer.consent.servicer import ConsentServicer
from services.customer.customer.servicer import CustomerServicer
from services.customer.group.servicer import GroupServicer
from services.customer.holding.servicer import HoldingServicer
from services.customer.overview.servicer import OverviewServicer
from services.customer.position.servicer import PositionServicer
from services.customer.product.servicer import ProductServicer
from services.customer.snapshot.actions.detection import DATES, detect_dates
from services.customer.snapshot.servicer import SnapshotServicer


def servicers(frame: Frame) -> Servicers:
    """Return the servicers of the customer service."""
    return (
        (
            customer_pb2_grpc.add_CustomerServiceServicer_to_server,
            CustomerServicer(frame),
        ),
        (consent_pb2_grpc.add_ConsentServiceServicer_to_server, ConsentServicer(frame)),
        (group_pb2_grpc.add_GroupServiceServicer_to_server, GroupServicer(frame)),
        (product_pb2_grpc.add_ProductServiceServicer_to_server, ProductServicer(frame)),
        (
            position_pb2_grpc.add_PositionServiceServicer_to_server,
            PositionServicer(frame),
        ),
        (holding_pb2_grpc.add_HoldingServiceServicer_to_server, HoldingServicer(frame)),
        (
            overview_pb2_grpc.add_OverviewServiceServicer_to_server,
            OverviewServicer(frame),
        ),
        (
            snapshot_pb2_grpc.add_SnapshotServiceServicer_to_server,
            SnapshotServicer(frame),
        ),
    )


async def tell_dates(work: Work, branch_id: int, day: date) -> None:
    """Tell what the calendar brings, every morning before opening."""
    await detect_dates(work, branch_id, day)


SERVICE = Service(
    name="customer",
    reasons=(reason_pb2,),
    servicers=servicers,
    parameters=PARAMETERS,
    due=lambda frame: (Due(DATES, time(5, 0), tell_dates, bulk=True, makes_up=True),),
)

if __name__ == "__main__":
    main(SERVICE, "services.customer")
