"""Gateways on the wire: unpack, act, pack."""

from guanhu.messaging.v1 import gateway_pb2 as pb
from guanhu.messaging.v1 import gateway_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from
from services.messaging.gateway import actions, queries, wire
from services.messaging.gateway.rules import State


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Shows gateways and holds them back."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def GetGateway(
        self, request: pb.GetGatewayRequest, context: Context
    ) -> pb.Gateway:
        """Return one gateway."""
        async with self._uow.read(context.caller) as work:
            row = await queries.held(work, key_of("gateways", request.name))
            [found] = await queries.shown(work, [row])
            return wire.gateway_to(found, work.now)

    async def ListGateways(
        self, request: pb.ListGatewaysRequest, context: Context
    ) -> pb.ListGatewaysResponse:
        """Return a page of gateways."""
        statement = queries.listed(request.query)
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
            found = await queries.shown(work, rows)
        return pb.ListGatewaysResponse(
            gateways=[wire.gateway_to(one, work.now) for one in found],
            next_page_token=token,
            total_size=total,
        )

    async def PauseGateway(
        self, request: pb.PauseGatewayRequest, context: Context
    ) -> pb.Gateway:
        """Hold a gateway back."""
        return await self._switch(request, context, State.PAUSED)

    async def ResumeGateway(
        self, request: pb.ResumeGatewayRequest, context: Context
    ) -> pb.Gateway:
        """Let a gateway go on."""
        return await self._switch(request, context, State.RUNNING)

    async def _switch(
        self,
        request: pb.PauseGatewayRequest | pb.ResumeGatewayRequest,
        context: Context,
        state: State,
    ) -> pb.Gateway:
        row = await actions.switch(
            self._uow,
            context.caller,
            gateway=key_of("gateways", request.name),
            state=state,
            version=version_from(request.etag),
        )
        async with self._uow.read(context.caller) as work:
            [found] = await queries.shown(work, [row])
            return wire.gateway_to(found, work.now)
