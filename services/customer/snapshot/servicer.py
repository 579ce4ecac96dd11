"""Snapshots on the wire: unpack, take, pack."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1 import snapshot_pb2_grpc

from services.chassis.calls import Context
from services.chassis.paging import split
from services.chassis.server import Frame
from services.chassis.wiretypes import date_from
from services.customer.snapshot import queries, wire
from services.customer.snapshot.actions import take
from services.customer.snapshot.actions.validate import validate
from services.customer.snapshot.rules import State

WATCH_SECONDS = 0.5


class SnapshotServicer(snapshot_pb2_grpc.SnapshotServiceServicer):
    """Takes in snapshots."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._bulk = frame.bulk
        self._vault = frame.vault
        self._pager = frame.pager
        self._keyring = frame.keyring

    def _branches(self) -> frozenset[int]:
        return frozenset(self._keyring.tree.branches)

    async def ImportSnapshot(
        self, parts: AsyncIterator[Any], context: Context
    ) -> pb.Import:
        """Take in a snapshot."""
        header = await wire.header_from(parts, context.check)
        taking = await take.begin(
            self._bulk,
            context.caller,
            vault=self._vault,
            branches=self._branches(),
            header=header,
        )
        if not isinstance(taking, take.Taking):
            return wire.import_to(taking)
        return wire.import_to(await take.take(taking, wire.chunks_from(parts)))

    async def ValidateSnapshot(
        self, parts: AsyncIterator[Any], context: Context
    ) -> pb.ValidateSnapshotResponse:
        """Judge a snapshot and store nothing."""
        header = await wire.header_from(parts, context.check)
        chunks = wire.chunks_from(parts)
        found = await validate(
            self._uow,
            context.caller,
            branches=self._branches(),
            header=header,
            chunks=chunks,
        )
        return wire.checked_to(found)

    async def GetImport(
        self, request: pb.GetImportRequest, context: Context
    ) -> pb.Import:
        """Return one import."""
        async with self._uow.read(context.caller) as work:
            return wire.import_to(
                await queries.snapshot(work, wire.import_id_from(request.name))
            )

    async def ListImports(
        self, request: pb.ListImportsRequest, context: Context
    ) -> pb.ListImportsResponse:
        """Return a page of imports."""
        page = self._pager.page(
            request, context.caller, tuple(queries.ORDERS), "create_time desc"
        )
        day = date_from(request.snapshot_date)
        async with self._uow.read(context.caller) as work:
            rows, total = await queries.snapshots(
                work, page, query=request.query, day=day, state=request.state
            )
        shown, token = split(
            self._pager,
            page,
            rows,
            lambda row: (getattr(row, page.order), row.import_id),
        )
        found = [wire.import_to(row) for row in shown]
        return pb.ListImportsResponse(
            imports=found, next_page_token=token, total_size=total
        )

    async def WatchImport(
        self, request: pb.WatchImportRequest, context: Context
    ) -> AsyncIterator[pb.Import]:
        """Yield an import whenever it moved, until it has ended."""
        said = None
        while True:
            async with self._uow.read(context.caller) as work:
                row = await queries.snapshot(work, wire.import_id_from(request.name))
            if row.update_time != said:
                yield wire.import_to(row)
            if row.state in (State.SUCCEEDED, State.FAILED):
                return
            said = row.update_time
            await asyncio.sleep(WATCH_SECONDS)

    async def ListImportFaults(
        self, request: pb.ListImportFaultsRequest, context: Context
    ) -> pb.ListImportFaultsResponse:
        """Return a page of one import's faults."""
        page = self._pager.page(
            request, context.caller, ("line_number",), "line_number"
        )
        import_id = wire.import_id_from(request.snapshot_import)
        async with self._uow.read(context.caller) as work:
            await queries.snapshot(work, import_id)
            rows, total = await queries.faults(
                work,
                page,
                import_id=import_id,
                entity=request.entity,
                reason=request.reason,
                query=request.query,
            )
        shown, token = split(
            self._pager,
            page,
            rows,
            lambda row: (row.entity, row.line_number, row.field),
        )
        found = [wire.fault_to(row) for row in shown]
        return pb.ListImportFaultsResponse(
            import_faults=found, next_page_token=token, total_size=total
        )
