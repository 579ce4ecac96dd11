"""Batch SMS: planned, the question answered, sent, and watched."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import grpc
from flask import Response, flash, jsonify, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.customer.v1 import group_pb2, group_pb2_grpc
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import (
    batch_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    template_pb2,
    template_pb2_grpc,
)
from markupsafe import Markup

from admin import formats, sayings, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteView, Segment
from admin.rights import may, person
from admin.views.contact_plans import request_id

SERVICE = "guanhu.messaging.v1.SmsBatchService"
GROUPS = "guanhu.customer.v1.GroupService.ListGroups"
REPLIES = "guanhu.messaging.v1.InboundService.ListInbound"
TEMPLATES = "guanhu.messaging.v1.TemplateService.ListTemplates"

GATEWAYS = "guanhu.messaging.v1.GatewayService.ListGateways"
MESSAGES = "guanhu.messaging.v1.DeliveryService.ListMessages"

CHOICES = 200
"""Groups and templates that can be chosen from on one page."""

LEFT_OUT = 100
"""People of one reason that the question lists at once."""

ENDED = (pb.BATCH_STATE_FINISHED, pb.BATCH_STATE_CANCELLED, pb.BATCH_STATE_REJECTED)
MOVING = (pb.BATCH_STATE_SCHEDULED, pb.BATCH_STATE_SENDING)
COUNTS = (
    "excluded_count",
    "waiting_count",
    "submitting_count",
    "sent_count",
    "delivered_count",
    "failed_count",
    "unknown_count",
    "cancelled_count",
)
"""The eight counts that every recipient is in exactly one of."""


def moment_typed(text: str) -> Timestamp | None:
    """Return a moment as it was typed in the portal's time zone, None for none; raises ValueError."""
    if not text.strip():
        return None
    local = datetime.strptime(text.strip(), "%Y-%m-%d %H:%M")  # noqa: DTZ007 - the zone follows
    stamp = Timestamp()
    stamp.FromDatetime(local.replace(tzinfo=formats.zone()))
    return stamp


class BatchView(RemoteView):
    """Batches in the person's sight."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListBatches",
        "index_view": f"{SERVICE}.ListBatches",
        "details_view": f"{SERVICE}.GetBatch",
        "peek_view": f"{SERVICE}.GetBatch",
        "progress": f"{SERVICE}.GetBatch",
        "plan": f"{SERVICE}.PlanBatch",
        "confirm": f"{SERVICE}.ConfirmBatch",
        "approve": f"{SERVICE}.ApproveBatch",
        "reject": f"{SERVICE}.RejectBatch",
        "pause": f"{SERVICE}.PauseBatch",
        "resume": f"{SERVICE}.ResumeBatch",
        "cancel": f"{SERVICE}.CancelBatch",
    }
    details_template = "portal/batch.html"
    list_template = "portal/batches.html"
    column_list = (
        "template_display_name",
        "purpose",
        "state",
        "total_count",
        "excluded_count",
        "accepted",
        "failed_count",
        "sender",
        "create_time",
    )
    column_details_list = ("template_display_name", "purpose", "state", "sender")
    column_labels: ClassVar[dict[str, object]] = {
        "template_display_name": _l("Template"),
        "purpose": _l("Purpose"),
        "state": _l("State"),
        "total_count": _l("People"),
        "excluded_count": _l("Left out"),
        "accepted": _l("Accepted"),
        "failed_count": _l("Failed"),
        "sender": _l("Sender"),
        "create_time": _l("Planned"),
    }
    column_sortable_list = ("create_time",)
    column_default_sort = ("create_time", True)
    numeric = frozenset({"total_count", "excluded_count", "accepted", "failed_count"})
    segments = (
        Segment("all", _l("All"), {}),
        Segment(
            "approval",
            _l("Waiting for approval"),
            {"state": pb.BATCH_STATE_AWAITING_APPROVAL},
        ),
        Segment("sending", _l("Being sent"), {"state": pb.BATCH_STATE_SENDING}),
    )
    search_hint = _l("Name of the template")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show batches with the names that *people* knows."""
        self._stub = channels.stub("messaging", batch_pb2_grpc.SmsBatchServiceStub)
        self._templates = channels.stub(
            "messaging", template_pb2_grpc.TemplateServiceStub
        )
        self._groups = channels.stub("customer", group_pb2_grpc.GroupServiceStub)
        self._gateways = channels.stub("messaging", gateway_pb2_grpc.GatewayServiceStub)
        self._people = people
        self.title = _l("Batch SMS")
        self.column_formatters = {
            "template_display_name": self._linked,
            "purpose": lambda _v, _c, row, _n: words.chip(words.PURPOSE, row.purpose),
            "state": lambda _v, _c, row, _n: words.chip(
                words.BATCH, row.state, words.BATCH_TONES
            ),
            "accepted": lambda _v, _c, row, _n: formats.count(
                row.sent_count + row.delivered_count
            ),
            "sender": lambda _v, _c, row, _n: people.staff_name(row.sender),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Batch,
            name=_l("Batch SMS"),
            endpoint="batches",
            menu_icon_type="own",
            menu_icon_value="message",
        )

    @staticmethod
    def _linked(view: Any, _context: Any, row: pb.Batch, _name: str) -> Markup:
        address = view.get_url(".details_view", id=row.name)
        link = Markup('<a class="strong" href="{}">{}</a>')
        return link.format(address, row.template_display_name)

    def label_of(self, message: pb.Batch) -> str:
        """Return the template's name."""
        return str(message.template_display_name)

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of batches."""
        found = self._stub.ListBatches(
            pb.ListBatchesRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(found.batches, found.total_size)

    def fetch(self, name: str) -> pb.Batch:
        """Return one batch."""
        return self._stub.GetBatch(pb.GetBatchRequest(name=name))

    @expose("/plan/", methods=("GET", "POST"))
    def plan(self) -> Any:
        """Let the person choose a template and groups; plan the batch of what was chosen and show the question."""
        return self._plan_it() if request.method == "POST" else self._choice()

    def _choice(self) -> str:
        templates = groups = gateways = ()
        if may(TEMPLATES):
            templates = self._templates.ListTemplates(
                template_pb2.ListTemplatesRequest(
                    state=template_pb2.TEMPLATE_STATE_APPROVED, page_size=CHOICES
                )
            ).templates
        if may(GROUPS):
            groups = self._groups.ListGroups(
                group_pb2.ListGroupsRequest(page_size=CHOICES)
            ).groups
        if may(GATEWAYS):
            gateways = self._gateways.ListGateways(
                gateway_pb2.ListGatewaysRequest()
            ).gateways
        return self.render(
            "portal/batch_new.html",
            templates=templates,
            groups=groups,
            gateways=gateways,
            words=words,
            return_url=self.get_url(".index_view"),
        )

    def _plan_it(self) -> Any:
        form = request.form
        try:
            moment = moment_typed(form.get("at", ""))
        except ValueError:
            flash(
                _("“%(text)s” is no time; write 2026-11-23 15:00.", text=form["at"]),
                "danger",
            )
            return self._choice(), 422
        try:
            found = self._stub.PlanBatch(
                pb.PlanBatchRequest(
                    template=form.get("template", ""),
                    groups=form.getlist("group"),
                    schedule_time=moment,
                    gateway=form.get("gateway", ""),
                    unknown_policy=form.get("policy", 0, type=int),  # type: ignore[arg-type]
                    request_id=form.get("nonce", ""),
                ),
                timeout=60,
            )
        except grpc.RpcError as error:
            if sayings.http_status(error) not in {409, 422}:
                raise
            flash(sayings.sentence(error), "danger")
            return self._choice(), 422
        return redirect(self.get_url(".details_view", id=found.name), 303)

    @expose("/details/")
    def details_view(self) -> str:
        """Show one batch: the question while it waits for its answer, else how far it has come."""
        found = self.fetch(request.args.get("id", ""))
        someone = person()
        mine = someone is not None and found.sender == someone.staff
        return self.render(
            self.details_template,
            model=found,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            left_out=self._left_out(found),
            counts=[(name, getattr(found, name)) for name in COUNTS],
            words=words,
            may_confirm=mine and found.state == pb.BATCH_STATE_PLANNED,
            may_review=not mine
            and self.allows("approve")
            and found.state == pb.BATCH_STATE_AWAITING_APPROVAL,
            moving=found.state in MOVING,
            held=found.state == pb.BATCH_STATE_PAUSED,
            ended=found.state in ENDED,
            staff_name=self._people.staff_name,
            may_see_replies=found.state >= pb.BATCH_STATE_SENDING and may(REPLIES),
            cents=formats.cents_of,
            may_see_results=may(MESSAGES),
        )

    def _left_out(self, batch: pb.Batch) -> list[tuple[Any, list[Any]]]:
        """Return the people left out, by reason."""
        found = []
        for one in batch.exclusions:
            request = pb.ListRecipientsRequest(
                batch=batch.name,
                exclusion_reason=one.reason,
                state=pb.RECIPIENT_STATE_EXCLUDED,
                page_size=LEFT_OUT,
            )
            found.append((one, list(self._stub.ListRecipients(request).recipients)))
        return found

    @expose("/progress/")
    def progress(self) -> Response:
        """Say how far a batch has come and what its state is called, for the bar."""
        found = self.fetch(request.args.get("id", ""))
        done = found.total_count - found.waiting_count - found.submitting_count
        return jsonify(
            done=done,
            total=found.total_count,
            failed=found.failed_count,
            finished=found.state in ENDED,
            word=words.word(words.BATCH, found.state),
            parts={name: getattr(found, name) for name in COUNTS},
        )

    def _do(self, call: str, kind: Any, done: str, *, digest: bool = True) -> Any:
        form = request.form
        name, etag = form.get("id", ""), form.get("etag", "")
        fields: dict[str, str] = {"name": name}
        if digest:
            fields |= {"digest": form.get("digest", ""), "etag": etag}
        key = request_id(call, name, etag, form.get("nonce", "") or uuid.uuid4())
        try:
            getattr(self._stub, call)(kind(request_id=key, **fields))
            flash(done, "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/confirm/", methods=("POST",))
    def confirm(self) -> Any:
        """Answer the question with yes."""
        return self._do(
            "ConfirmBatch", pb.ConfirmBatchRequest, _("The batch was confirmed.")
        )

    @expose("/approve/", methods=("POST",))
    def approve(self) -> Any:
        """Approve as the second person."""
        return self._do(
            "ApproveBatch", pb.ApproveBatchRequest, _("The batch was approved.")
        )

    @expose("/reject/", methods=("POST",))
    def reject(self) -> Any:
        """Reject as the second person."""
        form = request.form
        name = form.get("id", "")
        try:
            self._stub.RejectBatch(
                pb.RejectBatchRequest(
                    name=name,
                    etag=form.get("etag", ""),
                    remark=form.get("remark", ""),
                    request_id=request_id("reject", name, form.get("etag", "")),
                )
            )
            flash(_("The batch was rejected."), "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/pause/", methods=("POST",))
    def pause(self) -> Any:
        """Hold the batch back."""
        return self._do(
            "PauseBatch",
            pb.PauseBatchRequest,
            _("The batch is held back."),
            digest=False,
        )

    @expose("/resume/", methods=("POST",))
    def resume(self) -> Any:
        """Let the batch go on."""
        return self._do(
            "ResumeBatch", pb.ResumeBatchRequest, _("The batch goes on."), digest=False
        )

    @expose("/cancel/", methods=("POST",))
    def cancel(self) -> Any:
        """End the batch."""
        return self._do(
            "CancelBatch",
            pb.CancelBatchRequest,
            _("The batch was cancelled."),
            digest=False,
        )
