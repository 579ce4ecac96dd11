"""Opportunities on the wire: unpack, act, pack."""

from guanhu.engagement.v1 import opportunity_pb2 as pb
from guanhu.engagement.v1 import opportunity_pb2_grpc

from services.chassis.calls import Context
from services.chassis.server import Frame
from services.engagement.opportunity import actions, queries, wire


class OpportunityServicer(opportunity_pb2_grpc.OpportunityServiceServicer):
    """Keeps the opportunity sheet."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def CreateOpportunity(
        self, request: pb.CreateOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """Open an opportunity."""
        finding = wire.finding_from(request.opportunity)
        return wire.opportunity_to(
            await actions.create(self._uow, context.caller, finding=finding)
        )

    async def GetOpportunity(
        self, request: pb.GetOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """Return one opportunity."""
        async with self._uow.read(context.caller) as work:
            row = await queries.shown(work, wire.id_from(request.name))
        return wire.opportunity_to(row)

    async def ListOpportunities(
        self, request: pb.ListOpportunitiesRequest, context: Context
    ) -> pb.ListOpportunitiesResponse:
        """Return a page of opportunities."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListOpportunitiesResponse(
            opportunities=map(wire.opportunity_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def UpdateOpportunity(
        self, request: pb.UpdateOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """Write what is known about one."""
        step = wire.update_from(request)
        return wire.opportunity_to(
            await actions.update(self._uow, context.caller, step=step)
        )

    async def AdvanceOpportunity(
        self, request: pb.AdvanceOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """Move one to a later stage."""
        step = wire.advance_from(request, request.name)
        return wire.opportunity_to(
            await actions.advance(self._uow, context.caller, step=step)
        )

    async def WinOpportunity(
        self, request: pb.WinOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """End one as won."""
        return wire.opportunity_to(
            await actions.win(self._uow, context.caller, **wire.win_from(request))
        )

    async def LoseOpportunity(
        self, request: pb.LoseOpportunityRequest, context: Context
    ) -> pb.Opportunity:
        """End one as lost."""
        return wire.opportunity_to(
            await actions.lose(self._uow, context.caller, **wire.lose_from(request))
        )
