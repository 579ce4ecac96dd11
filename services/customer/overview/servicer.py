"""Overviews on the wire: unpack, read, pack."""

from guanhu.customer.v1 import overview_pb2 as pb
from guanhu.customer.v1 import overview_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of, optional_key
from services.chassis.server import Frame
from services.customer.customer.queries import customer
from services.customer.overview import queries, wire


class OverviewServicer(overview_pb2_grpc.OverviewServiceServicer):
    """Puts together what other parts of the service keep."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow

    async def GetCustomerOverview(
        self, request: pb.GetCustomerOverviewRequest, context: Context
    ) -> pb.CustomerOverview:
        """Return one customer's page."""
        async with self._uow.read(context.caller) as work:
            found = await customer(work, key_of("customers", request.name))
            page = await queries.gathered(work, found)
        return wire.overview_to(page)

    async def AggregateCustomers(
        self, request: pb.AggregateCustomersRequest, context: Context
    ) -> pb.AggregateCustomersResponse:
        """Return counts and sums of the customers in scope."""
        async with self._uow.read(context.caller) as work:
            rows = await queries.aggregated(
                work,
                context.caller,
                by=request.by,
                branch_id=request.branch_id,
                owner=optional_key("staff", request.owner),
            )
        return wire.aggregates_to(rows, request.by)
