"""Messages on the wire: unpack, act, pack."""

from collections.abc import AsyncIterator
from dataclasses import replace

from guanhu.messaging.v1 import delivery_pb2 as pb
from guanhu.messaging.v1 import delivery_pb2_grpc

from services.chassis.calls import Context
from services.chassis.server import Frame
from services.messaging.delivery import queries, wire

PIECE = 500
"""Messages of one answer of an export."""


class DeliveryServicer(delivery_pb2_grpc.DeliveryServiceServicer):
    """Shows what became of messages."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager
        self._vault = frame.vault

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.Message:
        """Return one message with its text."""
        async with self._uow.read(context.caller) as work:
            row = await queries.message(work, *wire.place_from(request.name))
            return wire.whole_message_to(row, work.now, self._vault)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        """Return a page of messages."""
        filters = wire.filters_from(request)
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.page_of_messages(
                work, self._pager, request, filters
            )
            found = [wire.message_to(row, work.now) for row in rows]
        return pb.ListMessagesResponse(
            messages=found, next_page_token=token, total_size=total
        )

    async def ListUnknown(
        self, request: pb.ListUnknownRequest, context: Context
    ) -> pb.ListUnknownResponse:
        """Return a page of messages of which nobody knows."""
        filters = wire.unknown_filters_from(request)
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.page_of_messages(
                work, self._pager, request, filters
            )
            found = [wire.message_to(row, work.now) for row in rows]
        return pb.ListUnknownResponse(
            messages=found, next_page_token=token, total_size=total
        )

    async def ExportMessages(
        self, request: pb.ExportMessagesRequest, context: Context
    ) -> AsyncIterator[pb.ExportMessagesResponse]:
        """Yield the messages of a batch, each piece as it stands when it is read."""
        filters, last = wire.export_filters_from(request), 0
        async with self._uow.read(context.caller) as work:
            branch_id = await queries.branch_of(work, filters)
        filters = replace(filters, branch_id=branch_id)
        while True:
            async with self._uow.read(context.caller) as work:
                rows = await queries.after(work, filters, last, PIECE)
                found = [wire.message_to(row, work.now) for row in rows]
            if found:
                yield pb.ExportMessagesResponse(messages=found)
            if len(rows) < PIECE:
                return
            last = rows[-1].ordinal
