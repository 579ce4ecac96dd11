"""Holdings on the wire: unpack, read, pack."""

from guanhu.customer.v1 import holding_pb2 as pb
from guanhu.customer.v1 import holding_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of
from services.chassis.server import Frame
from services.chassis.wiretypes import date_from
from services.customer.customer.queries import customer
from services.customer.holding import queries, wire


class HoldingServicer(holding_pb2_grpc.HoldingServiceServicer):
    """Shows holdings."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def ListHoldings(
        self, request: pb.ListHoldingsRequest, context: Context
    ) -> pb.ListHoldingsResponse:
        """Return a page of one customer's holdings."""
        async with self._uow.read(context.caller) as work:
            found = await customer(work, key_of("customers", request.customer))
            statement = queries.held(found, wire.held_filters_from(request))
            rows, token, total = await queries.HELD.read(
                work, self._pager, request, statement
            )
        return pb.ListHoldingsResponse(
            holdings=[wire.holding_to(row) for row in rows],
            next_page_token=token,
            total_size=total,
        )

    async def ListMaturities(
        self, request: pb.ListMaturitiesRequest, context: Context
    ) -> pb.ListMaturitiesResponse:
        """Return a page of what matured or will mature around today."""
        async with self._uow.read(context.caller) as work:
            days = await queries.maturity_days(
                work,
                date_from(request.from_date, "from_date"),
                date_from(request.to_date, "to_date"),
                request.branch_id or context.caller.branch_id,
            )
            statement = queries.maturing(
                work, days, wire.maturing_filters_from(request)
            )
            rows, token, total = await queries.MATURING.read(
                work, self._pager, request, statement
            )
        return pb.ListMaturitiesResponse(
            holdings=[wire.holding_to(row) for row in rows],
            next_page_token=token,
            total_size=total,
        )
