"""Reminders on the wire: unpack, act, pack."""

from guanhu.engagement.v1 import reminder_pb2 as pb
from guanhu.engagement.v1 import reminder_pb2_grpc

from services.chassis.calls import Context
from services.chassis.server import Frame
from services.engagement.reminder import actions, queries, wire


class ReminderServicer(reminder_pb2_grpc.ReminderServiceServicer):
    """Shows reminders."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def ListReminders(
        self, request: pb.ListRemindersRequest, context: Context
    ) -> pb.ListRemindersResponse:
        """Return a page of reminders."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListRemindersResponse(
            reminders=map(wire.reminder_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def CountReminders(
        self, request: pb.CountRemindersRequest, context: Context
    ) -> pb.CountRemindersResponse:
        """Return how many reminders call for something."""
        async with self._uow.read(context.caller) as work:
            filters = wire.counted_from(request, work.today)
            kinds, customers = await queries.counts(work, filters)
        return wire.counts_to(kinds, customers)

    async def DismissReminder(
        self, request: pb.DismissReminderRequest, context: Context
    ) -> pb.Reminder:
        """Dismiss one reminder."""
        row = await actions.dismiss(
            self._uow, context.caller, **wire.dismiss_from(request)
        )
        return wire.reminder_to(row)
