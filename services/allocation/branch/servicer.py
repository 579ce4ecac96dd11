"""Branches on the wire: unpack, act, pack."""

from guanhu.allocation.v1 import branch_pb2 as pb
from guanhu.allocation.v1 import branch_pb2_grpc

from services.allocation.branch import actions, queries, wire
from services.chassis.calls import Context
from services.chassis.names import number_of
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from


class BranchServicer(branch_pb2_grpc.BranchServiceServicer):
    """Keeps the tree of branches."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def GetBranch(
        self, request: pb.GetBranchRequest, context: Context
    ) -> pb.Branch:
        """Return one branch."""
        async with self._uow.read(context.caller) as work:
            row = await queries.branch(work, number_of("branches", request.name))
        return wire.branch_to(row)

    async def ListBranches(
        self, request: pb.ListBranchesRequest, context: Context
    ) -> pb.ListBranchesResponse:
        """Return a page of branches."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListBranchesResponse(
            branches=map(wire.branch_to, rows), next_page_token=token, total_size=total
        )

    async def CreateBranch(
        self, request: pb.CreateBranchRequest, context: Context
    ) -> pb.Branch:
        """Found a branch."""
        row = await actions.create(
            self._uow,
            context.caller,
            branch_id=request.branch_id,
            fields=wire.fields_from(request.branch),
        )
        return wire.branch_to(row)

    async def UpdateBranch(
        self, request: pb.UpdateBranchRequest, context: Context
    ) -> pb.Branch:
        """Change a branch."""
        row = await actions.update(
            self._uow,
            context.caller,
            branch_id=number_of("branches", request.branch.name),
            version=version_from(request.branch.etag),
            fields=wire.fields_from(request.branch, request.update_mask.paths),
        )
        return wire.branch_to(row)
