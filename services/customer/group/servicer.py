"""Groups on the wire: unpack, act, pack."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1 import group_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import keys_of, name_of
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from
from services.customer.group import actions, queries, wire


class GroupServicer(group_pb2_grpc.GroupServiceServicer):
    """Keeps groups and their members."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager
        self._vault = frame.vault

    async def CreateGroup(
        self, request: pb.CreateGroupRequest, context: Context
    ) -> pb.Group:
        """Create an empty group."""
        row = await actions.create(
            self._uow,
            context.caller,
            display_name=request.group.display_name,
            description=request.group.description,
        )
        return wire.group_to(row)

    async def GetGroup(self, request: pb.GetGroupRequest, context: Context) -> pb.Group:
        """Return one group."""
        async with self._uow.read(context.caller) as work:
            return wire.group_to(await queries.shown(work, wire.id_from(request.name)))

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: Context
    ) -> pb.ListGroupsResponse:
        """Return a page of groups."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListGroupsResponse(
            groups=map(wire.group_to, rows), next_page_token=token, total_size=total
        )

    async def DeleteGroup(
        self, request: pb.DeleteGroupRequest, context: Context
    ) -> Empty:
        """Delete a group."""
        await actions.delete(
            self._uow,
            context.caller,
            group_id=wire.id_from(request.name),
            version=version_from(request.etag),
        )
        return Empty()

    async def AddMembers(
        self, request: pb.AddMembersRequest, context: Context
    ) -> pb.AddMembersResponse:
        """Put customers in."""
        numbers = keys_of("customers", list(request.customers))
        row, added, unknown = await actions.add_members(
            self._uow,
            context.caller,
            group_id=wire.id_from(request.group),
            numbers=numbers,
        )
        return pb.AddMembersResponse(
            group=wire.group_to(row),
            added_count=added,
            present_count=len(numbers) - added - len(unknown),
            unknown_customers=[name_of("customers", number) for number in unknown],
        )

    async def RemoveMembers(
        self, request: pb.RemoveMembersRequest, context: Context
    ) -> pb.RemoveMembersResponse:
        """Take customers out."""
        row, removed = await actions.remove_members(
            self._uow,
            context.caller,
            group_id=wire.id_from(request.group),
            numbers=keys_of("customers", list(request.customers)),
        )
        return pb.RemoveMembersResponse(group=wire.group_to(row), removed_count=removed)

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        """Return a page of members, mobiles masked."""
        asked = request.HasField("do_not_disturb")
        disturb = request.do_not_disturb if asked else None
        async with self._uow.read(context.caller) as work:
            group = await queries.shown(work, wire.id_from(request.group))
            statement = queries.members(group, request.query, disturb)
            rows, token, total = await queries.MEMBERS.read(
                work, self._pager, request, statement
            )
        return pb.ListMembersResponse(
            members=map(wire.member_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def StreamMembers(
        self, request: pb.StreamMembersRequest, context: Context
    ) -> AsyncIterator[pb.StreamMembersResponse]:
        """Yield members with full mobiles; the frame has entered the call in the audit trail before."""
        groups = [wire.id_from(name) for name in request.groups]
        branch = request.branch_id
        await actions.check_branch(
            self._uow, context.caller, branch_id=branch, groups=groups
        )
        async for piece in queries.streamed(
            self._uow,
            context.caller,
            branch,
            groups,
            maturities=request.maturities,
        ):
            yield wire.recipients_to(piece, self._vault)
