"""Staff on the wire: unpack, act, pack."""

from guanhu.allocation.v1 import staff_pb2 as pb
from guanhu.allocation.v1 import staff_pb2_grpc

from services.allocation.staff import actions, queries, wire
from services.chassis.calls import Context
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from


class StaffServicer(staff_pb2_grpc.StaffServiceServicer):
    """Keeps the staff."""

    def __init__(self, frame: Frame, logins: actions.Logins) -> None:
        """Stand on *frame*, and let staff sign in by *logins*."""
        self._uow = frame.uow
        self._bulk = frame.bulk
        self._pager = frame.pager
        self._logins = logins

    async def GetStaff(self, request: pb.GetStaffRequest, context: Context) -> pb.Staff:
        """Return one member of staff."""
        async with self._uow.read(context.caller) as work:
            return wire.staff_to(await queries.shown(work, wire.id_from(request.name)))

    async def ListStaff(
        self, request: pb.ListStaffRequest, context: Context
    ) -> pb.ListStaffResponse:
        """Return a page of staff."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListStaffResponse(
            staff=map(wire.staff_to, rows), next_page_token=token, total_size=total
        )

    async def CreateStaff(
        self, request: pb.CreateStaffRequest, context: Context
    ) -> pb.Staff:
        """Take somebody on."""
        row = await actions.create(
            self._uow,
            context.caller,
            self._logins,
            person=wire.person_from(request),
            password=request.initial_password,
        )
        return wire.staff_to(row)

    async def UpdateStaff(
        self, request: pb.UpdateStaffRequest, context: Context
    ) -> pb.Staff:
        """Change what somebody is."""
        row = await actions.update(
            self._bulk,
            context.caller,
            self._logins,
            staff_id=wire.id_from(request.staff.name),
            version=version_from(request.staff.etag),
            fields=wire.update_from(request),
        )
        return wire.staff_to(row)

    async def SetPresence(
        self, request: pb.SetPresenceRequest, context: Context
    ) -> pb.Staff:
        """Say whether somebody is on the floor."""
        row = await actions.set_presence(
            self._uow,
            context.caller,
            staff_id=wire.id_from(request.name),
            present=request.present,
        )
        return wire.staff_to(row)
