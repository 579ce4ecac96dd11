"""Messages of customers on the wire: unpack, act, pack."""

from guanhu.allocation.v1 import staff_pb2, staff_pb2_grpc
from guanhu.messaging.v1 import inbound_pb2 as pb
from guanhu.messaging.v1 import inbound_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of, number_of
from services.chassis.server import Frame
from services.messaging.inbound import queries, wire
from services.messaging.inbound.actions import change
from services.messaging.inbound.actions.change import Colleague
from services.messaging.inbound.actions.hear import text_of


class InboundServicer(inbound_pb2_grpc.InboundServiceServicer):
    """Shows what customers answered."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager
        self._vault = frame.vault
        self._staff = staff_pb2_grpc.StaffServiceStub(frame.peers.channel("allocation"))

    async def GetInbound(
        self, request: pb.GetInboundRequest, context: Context
    ) -> pb.Inbound:
        """Return one message with its text."""
        async with self._uow.read(context.caller) as work:
            row = await queries.held(work, wire.id_from(request.name))
        return wire.inbound_to(row, text_of(self._vault, row))

    async def ListInbound(
        self, request: pb.ListInboundRequest, context: Context
    ) -> pb.ListInboundResponse:
        """Return a page of messages."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListInboundResponse(
            inbounds=map(wire.inbound_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def AssignInbound(
        self, request: pb.AssignInboundRequest, context: Context
    ) -> pb.Inbound:
        """Give a message to somebody, of whom the branch is asked before anything is written."""
        asked = staff_pb2.GetStaffRequest(name=request.assignee)
        found = await self._staff.GetStaff(asked)
        row = await change.assign(
            self._uow,
            context.caller,
            seen=wire.seen_from(request),
            to=Colleague(
                key_of("staff", found.name),
                number_of("branches", found.branch),
                active=found.state == staff_pb2.STAFF_STATE_ACTIVE,
            ),
        )
        return wire.inbound_to(row)

    async def CloseInbound(
        self, request: pb.CloseInboundRequest, context: Context
    ) -> pb.Inbound:
        """Close a message."""
        seen, remark = wire.seen_from(request), request.remark
        row = await change.close(self._uow, context.caller, seen=seen, remark=remark)
        return wire.inbound_to(row)
