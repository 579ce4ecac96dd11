"""The work log on the wire: unpack, act, pack."""

from guanhu.engagement.v1 import work_log_pb2 as pb
from guanhu.engagement.v1 import work_log_pb2_grpc

from services.chassis.calls import Context
from services.chassis.server import Frame
from services.engagement.work_log import actions, queries, wire


class WorkLogServicer(work_log_pb2_grpc.WorkLogServiceServicer):
    """Records contacts."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def RecordContact(
        self, request: pb.RecordContactRequest, context: Context
    ) -> pb.RecordContactResponse:
        """Record one contact."""
        found = await actions.record(
            self._uow,
            context.caller,
            contact=wire.contact_from(request),
            note=wire.note_from(request),
        )
        return wire.recorded_to(found)

    async def RecordBatchContacts(
        self, request: pb.RecordBatchContactsRequest, context: Context
    ) -> pb.RecordBatchContactsResponse:
        """Record whom a batch reached."""
        recorded, repeated = await actions.record_batch(
            self._uow, context.caller, batch=wire.batch_from(request)
        )
        return pb.RecordBatchContactsResponse(
            recorded_count=recorded, repeated_count=repeated
        )

    async def ListWorkLogs(
        self, request: pb.ListWorkLogsRequest, context: Context
    ) -> pb.ListWorkLogsResponse:
        """Return a page of entries."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListWorkLogsResponse(
            work_logs=map(wire.work_log_to, rows),
            next_page_token=token,
            total_size=total,
        )
