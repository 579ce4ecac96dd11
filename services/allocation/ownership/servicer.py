"""Ownerships on the wire: unpack, act, pack."""

from typing import Any

from guanhu.allocation.v1 import ownership_pb2 as pb
from guanhu.allocation.v1 import ownership_pb2_grpc

from services.allocation.ownership import queries, wire
from services.allocation.ownership.actions import give
from services.allocation.ownership.rules import Cause
from services.chassis.calls import Context
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.server import Frame


class OwnershipServicer(ownership_pb2_grpc.OwnershipServiceServicer):
    """Gives customers to owners and takes them back."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def ListUnassigned(
        self, request: pb.ListUnassignedRequest, context: Context
    ) -> pb.ListUnassignedResponse:
        """Return a page of the queue."""
        filters = wire.queue_from(request)
        return pb.ListUnassignedResponse(
            **await self._page(queries.QUEUE, filters, request, context)
        )

    async def ListOwnerships(
        self, request: pb.ListOwnershipsRequest, context: Context
    ) -> pb.ListOwnershipsResponse:
        """Return a page of ownerships."""
        filters = wire.filters_from(request)
        return pb.ListOwnershipsResponse(
            **await self._page(queries.LISTING, filters, request, context)
        )

    async def _page(
        self, listing: Any, filters: Any, request: Any, context: Context
    ) -> dict[str, Any]:
        async with self._uow.read(context.caller) as work:
            statement = queries.listed(work, filters)
            rows, token, total = await listing.read(
                work, self._pager, request, statement
            )
        return {
            "ownerships": map(wire.ownership_to, rows),
            "next_page_token": token,
            "total_size": total,
        }

    async def AssignCustomers(
        self, request: pb.AssignCustomersRequest, context: Context
    ) -> pb.AssignCustomersResponse:
        """Give customers to an owner."""
        outcome = await give.assign(
            self._uow,
            context.caller,
            batch=wire.batch_from(request),
            owner=key_of("staff", request.owner),
            mode=request.mode,
        )
        return pb.AssignCustomersResponse(
            assigned_count=outcome.changed,
            skipped=wire.skipped_to(outcome.skipped),
            load=wire.loads_to(outcome)[0],
        )

    async def HoldCustomers(
        self, request: pb.HoldCustomersRequest, context: Context
    ) -> pb.HoldCustomersResponse:
        """Hold customers under the branch manager."""
        outcome = await give.hold(
            self._uow,
            context.caller,
            batch=wire.batch_from(request),
            owner=optional_key("staff", request.owner),
        )
        return pb.HoldCustomersResponse(
            owner=name_of("staff", outcome.owner),
            held_count=outcome.changed,
            skipped=wire.skipped_to(outcome.skipped),
        )

    async def TransferCustomers(
        self, request: pb.TransferCustomersRequest, context: Context
    ) -> pb.TransferCustomersResponse:
        """Give customers from their owners to another one."""
        outcome = await give.transfer(
            self._uow,
            context.caller,
            batch=wire.batch_from(request),
            owner=key_of("staff", request.owner),
            mode=request.mode,
        )
        return pb.TransferCustomersResponse(
            transferred_count=outcome.changed,
            skipped=wire.skipped_to(outcome.skipped),
            loads=wire.loads_to(outcome),
        )

    async def RecallCustomers(
        self, request: pb.RecallCustomersRequest, context: Context
    ) -> pb.RecallCustomersResponse:
        """Take customers back."""
        outcome = await give.recall(
            self._uow,
            context.caller,
            batch=wire.batch_from(request),
            cause=Cause(request.cause),
        )
        return pb.RecallCustomersResponse(
            recalled_count=outcome.changed,
            skipped=wire.skipped_to(outcome.skipped),
            loads=wire.loads_to(outcome),
        )

    async def GetOwnership(
        self, request: pb.GetOwnershipRequest, context: Context
    ) -> pb.Ownership:
        """Return one ownership."""
        async with self._uow.read(context.caller) as work:
            row = await queries.ownership(work, wire.number_from(request.name))
        return wire.ownership_to(row)

    async def ListOwnershipHistory(
        self, request: pb.ListOwnershipHistoryRequest, context: Context
    ) -> pb.ListOwnershipHistoryResponse:
        """Return a page of what happened to one ownership."""
        async with self._uow.read(context.caller) as work:
            row = await queries.ownership(work, wire.number_from(request.ownership))
            rows, token, total = await queries.HISTORY.read(
                work, self._pager, request, queries.history(row)
            )
        return pb.ListOwnershipHistoryResponse(
            ownership_changes=map(wire.change_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def ExplainOwnership(
        self, request: pb.ExplainOwnershipRequest, context: Context
    ) -> pb.ExplainOwnershipResponse:
        """Return why a customer has the owner they have."""
        async with self._uow.read(context.caller) as work:
            row = await queries.ownership(work, wire.number_from(request.name))
            change = await queries.last_change(work, row)
        return wire.explained_to(row, change, change.inputs.get("proposer", ""))
