"""Templates on the wire: unpack, act, pack."""

from typing import Any

from guanhu.messaging.v1 import template_pb2 as pb
from guanhu.messaging.v1 import template_pb2_grpc

from services.chassis.calls import Context
from services.chassis.server import Frame
from services.chassis.wiretypes import version_from
from services.messaging.template import actions, queries, wire


class TemplateServicer(template_pb2_grpc.TemplateServiceServicer):
    """Keeps templates."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def CreateTemplate(
        self, request: pb.CreateTemplateRequest, context: Context
    ) -> pb.Template:
        """Write a draft."""
        draft = wire.draft_from(request.template)
        found = await actions.create(self._uow, context.caller, draft=draft)
        return wire.template_to(found.row, found.frame)

    async def GetTemplate(
        self, request: pb.GetTemplateRequest, context: Context
    ) -> pb.Template:
        """Return one template."""
        async with self._uow.read(context.caller) as work:
            row = await queries.held(work, wire.id_from(request.name))
            return wire.template_to(row, await queries.frame(work))

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: Context
    ) -> pb.ListTemplatesResponse:
        """Return a page of templates."""
        statement = queries.listed(wire.filters_from(request))
        async with self._uow.read(context.caller) as work:
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
            frame = await queries.frame(work)
        return pb.ListTemplatesResponse(
            templates=[wire.template_to(row, frame) for row in rows],
            next_page_token=token,
            total_size=total,
        )

    async def UpdateTemplate(
        self, request: pb.UpdateTemplateRequest, context: Context
    ) -> pb.Template:
        """Change a template, which makes it a draft again."""
        asked = wire.update_from(request)
        found = await actions.update(self._uow, context.caller, **asked)
        return wire.template_to(found.row, found.frame)

    async def ListTemplateRevisions(
        self, request: pb.ListTemplateRevisionsRequest, context: Context
    ) -> pb.ListTemplateRevisionsResponse:
        """Return a page of what a template said."""
        async with self._uow.read(context.caller) as work:
            row = await queries.held(work, wire.id_from(request.template))
            statement = queries.revisions(row.template_id, request.query)
            rows, token, total = await queries.REVISIONS.read(
                work, self._pager, request, statement
            )
        return pb.ListTemplateRevisionsResponse(
            revisions=map(wire.revision_to, rows),
            next_page_token=token,
            total_size=total,
        )

    async def ListTemplateFields(
        self, request: pb.ListTemplateFieldsRequest, context: Context
    ) -> pb.ListTemplateFieldsResponse:
        """Return the catalogue of fields."""
        return wire.fields_to()

    async def PreviewTemplate(
        self, request: pb.PreviewTemplateRequest, context: Context
    ) -> pb.PreviewTemplateResponse:
        """Show how a text would go out in the caller's branch."""
        branch_id = context.caller.branch_id
        async with self._uow.read(context.caller) as work:
            text: Any = wire.text_from(request)
            if request.name:
                text = await queries.held(work, wire.id_from(request.name))
            given = dict(request.values)
            return wire.preview_to(await queries.preview(work, text, given, branch_id))

    async def SubmitTemplate(
        self, request: pb.SubmitTemplateRequest, context: Context
    ) -> pb.Template:
        """Submit a template for review."""
        found = await actions.submit(
            self._uow,
            context.caller,
            template_id=wire.id_from(request.name),
            version=version_from(request.etag),
        )
        return wire.template_to(found.row, found.frame)

    async def ApproveTemplate(
        self, request: pb.ApproveTemplateRequest, context: Context
    ) -> pb.Template:
        """Approve a template."""
        found = await actions.review(
            self._uow,
            context.caller,
            template_id=wire.id_from(request.name),
            version=version_from(request.etag),
            approved=True,
        )
        return wire.template_to(found.row, found.frame)

    async def RejectTemplate(
        self, request: pb.RejectTemplateRequest, context: Context
    ) -> pb.Template:
        """Give a template back."""
        found = await actions.review(
            self._uow,
            context.caller,
            template_id=wire.id_from(request.name),
            version=version_from(request.etag),
            approved=False,
            remark=request.remark,
        )
        return wire.template_to(found.row, found.frame)
