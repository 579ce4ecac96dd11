"""Contact plans on the wire: unpack, act, pack."""

from guanhu.engagement.v1 import contact_plan_pb2 as pb
from guanhu.engagement.v1 import contact_plan_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of
from services.chassis.server import Frame
from services.chassis.wiretypes import date_from
from services.engagement.contact_plan import actions, queries, wire
from services.engagement.contact_plan.rules import PlanState


class ContactPlanServicer(contact_plan_pb2_grpc.ContactPlanServiceServicer):
    """Keeps contact plans."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def DraftPlan(
        self, request: pb.DraftPlanRequest, context: Context
    ) -> pb.ContactPlan:
        """Draft the caller's plan of a day."""
        day = date_from(request.plan_date, "plan_date")
        return wire.plan_to(*await actions.draft(self._uow, context.caller, day=day))

    async def GetContactPlan(
        self, request: pb.GetContactPlanRequest, context: Context
    ) -> pb.ContactPlan:
        """Return one plan with its items."""
        async with self._uow.read(context.caller) as work:
            found = await queries.shown(work, wire.id_from(request.name))
        return wire.plan_to(*found)

    async def ListContactPlans(
        self, request: pb.ListContactPlansRequest, context: Context
    ) -> pb.ListContactPlansResponse:
        """Return a page of plans."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListContactPlansResponse(
            contact_plans=map(wire.plan_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def AddItem(
        self, request: pb.AddItemRequest, context: Context
    ) -> pb.ContactPlan:
        """Put a customer in."""
        found = await actions.add_item(
            self._uow, context.caller, **wire.item_from(request)
        )
        return wire.plan_to(*found)

    async def RemoveItem(
        self, request: pb.RemoveItemRequest, context: Context
    ) -> pb.ContactPlan:
        """Take a customer out."""
        found = await actions.remove_item(
            self._uow,
            context.caller,
            seen=wire.seen_from(request),
            number=key_of("customers", request.customer),
        )
        return wire.plan_to(*found)

    async def SubmitPlan(
        self, request: pb.SubmitPlanRequest, context: Context
    ) -> pb.ContactPlan:
        """Submit a plan."""
        seen = wire.seen_from(request)
        return wire.plan_to(*await actions.submit(self._uow, context.caller, seen=seen))

    async def ApprovePlan(
        self, request: pb.ApprovePlanRequest, context: Context
    ) -> pb.ContactPlan:
        """Approve a plan."""
        return await self._review(request, context, PlanState.APPROVED)

    async def ReturnPlan(
        self, request: pb.ReturnPlanRequest, context: Context
    ) -> pb.ContactPlan:
        """Return a plan to its owner."""
        return await self._review(request, context, PlanState.RETURNED)

    async def _review(
        self,
        request: pb.ApprovePlanRequest | pb.ReturnPlanRequest,
        context: Context,
        state: PlanState,
    ) -> pb.ContactPlan:
        found = await actions.review(
            self._uow,
            context.caller,
            seen=wire.seen_from(request),
            state=state,
            remark=request.remark,
        )
        return wire.plan_to(*found)
