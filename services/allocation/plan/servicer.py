"""Plans on the wire: unpack, act, pack."""

from guanhu.allocation.v1 import plan_pb2 as pb
from guanhu.allocation.v1 import plan_pb2_grpc

from services.allocation.plan import queries, wire
from services.allocation.plan.actions import carry_out
from services.allocation.plan.actions.draft import draft
from services.allocation.plan.actions.edit import edit
from services.chassis.calls import Context
from services.chassis.server import Frame


class PlanServicer(plan_pb2_grpc.AssignmentPlanServiceServicer):
    """Drafts, applies and undoes plans."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def DraftPlan(
        self, request: pb.DraftPlanRequest, context: Context
    ) -> pb.AssignmentPlan:
        """Draft a plan for one branch."""
        row = await draft(
            self._uow,
            context.caller,
            parameters=wire.parameters_from(request),
            display_name=request.display_name,
        )
        return wire.plan_to(row, row.loads)

    async def GetPlan(
        self, request: pb.GetPlanRequest, context: Context
    ) -> pb.AssignmentPlan:
        """Return one plan."""
        async with self._uow.read(context.caller) as work:
            row = await queries.plan(work, wire.id_from(request.name))
        return wire.plan_to(row, row.loads)

    async def ListPlans(
        self, request: pb.ListPlansRequest, context: Context
    ) -> pb.ListPlansResponse:
        """Return a page of plans, without their loads."""
        async with self._uow.read(context.caller) as work:
            statement = queries.listed(work, wire.filters_from(request))
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListPlansResponse(
            plans=map(wire.plan_to, rows), next_page_token=token, total_size=total
        )

    async def ListPlanItems(
        self, request: pb.ListPlanItemsRequest, context: Context
    ) -> pb.ListPlanItemsResponse:
        """Return a page of the customers of one plan."""
        async with self._uow.read(context.caller) as work:
            found = await queries.plan(work, wire.id_from(request.plan))
            statement = queries.items(found, wire.item_filters_from(request))
            rows, token, total = await queries.ITEMS.read(
                work, self._pager, request, statement
            )
        return pb.ListPlanItemsResponse(
            plan_items=map(wire.item_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def EditPlanItem(
        self, request: pb.EditPlanItemRequest, context: Context
    ) -> pb.PlanItem:
        """Change whom one customer of a draft is to be given to."""
        read, change = wire.edit_from(request)
        item = await edit(self._uow, context.caller, read=read, change=change)
        return wire.item_to(item)

    async def ApplyPlan(
        self, request: pb.ApplyPlanRequest, context: Context
    ) -> pb.AssignmentPlan:
        """Give the customers of a draft to the owners proposed."""
        read = wire.read_from(request)
        row = await carry_out.apply(self._uow, context.caller, read=read)
        return wire.plan_to(row, row.loads)

    async def UndoPlan(
        self, request: pb.UndoPlanRequest, context: Context
    ) -> pb.AssignmentPlan:
        """Put the customers of an applied plan back as they were before it."""
        read = wire.read_from(request)
        row = await carry_out.undo(
            self._uow, context.caller, read=read, reason=request.reason
        )
        return wire.plan_to(row, row.loads)
