"""Positions on the wire: unpack, read, pack."""

from guanhu.customer.v1 import position_pb2 as pb
from guanhu.customer.v1 import position_pb2_grpc

from services.chassis.calls import Context
from services.chassis.errors import Invalid
from services.chassis.names import key_of
from services.chassis.server import Frame
from services.chassis.wiretypes import date_from
from services.customer.customer.queries import customer
from services.customer.position import queries, wire
from services.customer.position.rules import reversed_range


class PositionServicer(position_pb2_grpc.PositionServiceServicer):
    """Shows the history of positions."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def ListPositions(
        self, request: pb.ListPositionsRequest, context: Context
    ) -> pb.ListPositionsResponse:
        """Return a page of one customer's positions."""
        first = date_from(request.from_date, "from_date")
        last = date_from(request.to_date, "to_date")
        if reversed_range(first, last):
            raise Invalid("RANGE_REVERSED")
        async with self._uow.read(context.caller) as work:
            found = await customer(work, key_of("customers", request.customer))
            listing, statement = queries.listed(found, request.grain, first, last)
            rows, token, total = await listing.read(
                work, self._pager, request, statement
            )
        return pb.ListPositionsResponse(
            positions=[wire.position_to(row) for row in rows],
            next_page_token=token,
            total_size=total,
        )
