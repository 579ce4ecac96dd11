"""Batches on the wire: unpack, act, pack."""

import asyncio
from collections.abc import AsyncIterator

from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import batch_pb2_grpc
from uuid_utils.compat import uuid7

from services.chassis.calls import Context
from services.chassis.clock import HOME_ZONE
from services.chassis.server import Frame
from services.messaging.batch import queries, wire
from services.messaging.batch.actions import change, plan
from services.messaging.batch.actions.plan import Crowd
from services.messaging.batch.rules import ENDED, State
from services.messaging.batch.servicer.people import People
from services.messaging.template.rules import MATURITY

WATCH_SECONDS = 0.5
"""Between two looks at a batch that is watched."""


class SmsBatchServicer(batch_pb2_grpc.SmsBatchServiceServicer):
    """Plans and sends batches."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._bulk = frame.bulk
        self._pager = frame.pager
        self._vault = frame.vault
        self._keyring = frame.keyring
        self._people = People(frame.peers)

    async def PlanBatch(
        self, request: pb.PlanBatchRequest, context: Context
    ) -> pb.Batch:
        """Plan a batch; others are asked before anything is written."""
        caller, asked, batch_id = context.caller, wire.asked_from(request), uuid7()
        ready = await plan.prepare(self._uow, caller, asked=asked)
        await self._people.check_groups(caller, asked.groups)
        members = await self._people.members(
            caller.branch_id,
            asked.groups,
            batch_id=batch_id,
            limit=ready.limit,
            seconds=context.wire.time_remaining(),
            maturities=bool(MATURITY.intersection(ready.text.fields)),
        )
        moment = plan.goes_out(ready, self._zone(caller.branch_id))
        people = await self._people.judged(
            caller.branch_id, members, purpose=ready.purpose, moment=moment
        )
        named = "owner_name" in ready.text.fields
        owners = await self._people.staff_names(caller.branch_id) if named else {}
        branch = self._keyring.tree.branches.get(caller.branch_id)
        draft = await plan.draft(
            self._uow,
            caller,
            self._vault,
            batch_id=batch_id,
            asked=asked,
            ready=ready,
            crowd=Crowd(people, branch.title if branch else "", owners),
        )
        found = await plan.write(
            self._bulk, caller, asked=asked, ready=ready, draft=draft
        )
        async with self._uow.read(caller) as work:
            found = await queries.with_window(work, found, self._zone(caller.branch_id))
        return wire.batch_to(found, self._vault)

    def _zone(self, branch_id: int) -> str:
        branch = self._keyring.tree.branches.get(branch_id)
        return branch.zone if branch else HOME_ZONE

    async def ConfirmBatch(
        self, request: pb.ConfirmBatchRequest, context: Context
    ) -> pb.Batch:
        """Confirm a batch."""
        seen = wire.seen_from(request)
        found = await change.confirm(self._uow, context.caller, seen=seen)
        return wire.batch_to(found, self._vault)

    async def ApproveBatch(
        self, request: pb.ApproveBatchRequest, context: Context
    ) -> pb.Batch:
        """Approve a batch."""
        seen = wire.seen_from(request)
        found = await change.approve(self._uow, context.caller, seen=seen)
        return wire.batch_to(found, self._vault)

    async def RejectBatch(
        self, request: pb.RejectBatchRequest, context: Context
    ) -> pb.Batch:
        """Reject a batch."""
        seen, remark = wire.seen_from(request), request.remark
        found = await change.reject(self._uow, context.caller, seen=seen, remark=remark)
        return wire.batch_to(found, self._vault)

    async def PauseBatch(
        self, request: pb.PauseBatchRequest, context: Context
    ) -> pb.Batch:
        """Hold a batch back."""
        batch_id = wire.id_from(request.name)
        found = await change.pause(self._uow, context.caller, batch_id=batch_id)
        return wire.batch_to(found, self._vault)

    async def ResumeBatch(
        self, request: pb.ResumeBatchRequest, context: Context
    ) -> pb.Batch:
        """Let a batch go on."""
        batch_id = wire.id_from(request.name)
        found = await change.resume(self._uow, context.caller, batch_id=batch_id)
        return wire.batch_to(found, self._vault)

    async def CancelBatch(
        self, request: pb.CancelBatchRequest, context: Context
    ) -> pb.Batch:
        """End a batch."""
        batch_id = wire.id_from(request.name)
        found = await change.cancel(self._uow, context.caller, batch_id=batch_id)
        return wire.batch_to(found, self._vault)

    async def GetBatch(self, request: pb.GetBatchRequest, context: Context) -> pb.Batch:
        """Return one batch with samples."""
        async with self._uow.read(context.caller) as work:
            row = await queries.held(work, wire.id_from(request.name))
            found = await queries.shown(work, row, samples=True)
            found = await queries.with_window(work, found, self._zone(row.branch_id))
        return wire.batch_to(found, self._vault)

    async def ListBatches(
        self, request: pb.ListBatchesRequest, context: Context
    ) -> pb.ListBatchesResponse:
        """Return a page of batches."""
        statement = queries.listed(context.caller, wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
            found = await queries.counts(work, rows)
        return pb.ListBatchesResponse(
            batches=[wire.batch_to(one, self._vault) for one in found],
            next_page_token=token,
            total_size=total,
        )

    async def ListRecipients(
        self, request: pb.ListRecipientsRequest, context: Context
    ) -> pb.ListRecipientsResponse:
        """Return a page of a batch's people, mobiles masked."""
        filters = wire.recipient_filters_from(request)
        async with self._uow.read(context.caller) as work:
            batch = await queries.held(work, wire.id_from(request.batch))
            rows, token, total = await queries.RECIPIENTS.read(
                work, self._pager, request, queries.recipients(batch, filters)
            )
        return pb.ListRecipientsResponse(
            recipients=map(wire.recipient_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def WatchBatch(
        self, request: pb.WatchBatchRequest, context: Context
    ) -> AsyncIterator[pb.Batch]:
        """Yield a batch whenever it has moved, until its end."""
        said, moving = None, True
        while moving:
            async with self._uow.read(context.caller) as work:
                row = await queries.held(work, wire.id_from(request.name))
                found = wire.batch_to(await queries.shown(work, row), self._vault)
            if found != said:
                yield found
            said = found
            moving = State(row.state) not in ENDED or bool(found.submitting_count)
            if moving:
                await asyncio.sleep(WATCH_SECONDS)
