"""Groups on the wire: unpack, act, pack."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1 import group_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import keys_of, name_of
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from
from services.customer.group import actions, wire
from services.customer.group.queries import groups as queries
from services.customer.group.queries import members as people


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
        """Create a group."""
        row = await actions.create(
            self._uow, context.caller, **wire.new_from(request.group)
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
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.page(
                work, self._pager, request, wire.filters_from(request)
            )
        return pb.ListGroupsResponse(
            groups=map(wire.group_to, rows), next_page_token=token, total_size=total
        )

    async def UpdateGroup(
        self, request: pb.UpdateGroupRequest, context: Context
    ) -> pb.Group:
        """Change name, description or rule."""
        row = await actions.update(
            self._uow, context.caller, **wire.update_from(request)
        )
        return wire.group_to(row)

    async def PreviewGroup(
        self, request: pb.PreviewGroupRequest, context: Context
    ) -> pb.PreviewGroupResponse:
        """Count whom a rule finds."""
        rule = wire.rule_from(request.rule)
        actions.check_rule(rule)
        async with self._uow.read(context.caller) as work:
            members, quiet = await queries.previewed(
                work, rule, wire.optional_id(request.group)
            )
        return pb.PreviewGroupResponse(member_count=members, do_not_disturb_count=quiet)

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
            group = await queries.held(work, wire.id_from(request.group))
            listing, statement = people.members(
                group, work, query=request.query, do_not_disturb=disturb
            )
            rows, token, total = await listing.read(
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
        """Yield members with full mobiles; the frame enters the call in the audit trail before the first leaves."""
        groups = await actions.opened(
            self._uow,
            context.caller,
            branch_id=request.branch_id,
            groups=[wire.id_from(name) for name in request.groups],
        )
        async for piece in people.streamed(
            self._uow, context.caller, groups, maturities=request.maturities
        ):
            yield wire.recipients_to(piece, self._vault)
