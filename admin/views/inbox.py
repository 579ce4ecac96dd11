"""The inbox: what customers answered to messages, given to colleagues and closed."""

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from flask import flash, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from guanhu.messaging.v1 import batch_pb2, batch_pb2_grpc, inbound_pb2_grpc
from guanhu.messaging.v1 import inbound_pb2 as pb
from markupsafe import Markup

from admin import formats, sayings, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteFilter, RemoteView, Segment
from admin.rights import may, person
from admin.views.contact_plans import request_id

SERVICE = "guanhu.messaging.v1.InboundService"
LIST = f"{SERVICE}.ListInbound"
CUSTOMER = "guanhu.customer.v1.CustomerService.GetCustomer"
BATCH = "guanhu.messaging.v1.SmsBatchService.GetBatch"
BATCHES = "guanhu.messaging.v1.SmsBatchService.ListBatches"
NEWEST = 50
"""Batches that the list can be narrowed to on the page."""


def named(collection: str) -> Any:
    """Return what makes the name of a resource of *collection* out of what was typed, its name or its key."""

    def parse(typed: str) -> str:
        key = typed.strip().removeprefix(f"{collection}/")
        if not key:
            raise ValueError(typed)
        return f"{collection}/{key}"

    return parse


class InboxView(RemoteView):
    """Messages of customers in the person's sight."""

    asks: ClassVar[Mapping[str, str]] = {
        "": LIST,
        "index_view": LIST,
        "details_view": f"{SERVICE}.GetInbound",
        "peek_view": f"{SERVICE}.GetInbound",
        "assign": f"{SERVICE}.AssignInbound",
        "close": f"{SERVICE}.CloseInbound",
    }
    details_template = "portal/inbound.html"
    list_template = "portal/inbox.html"
    column_list = (
        "customer",
        "mobile",
        "kind",
        "state",
        "template_display_name",
        "assignee",
        "confirmation_state",
        "receive_time",
    )
    column_details_list = (
        "customer",
        "mobile",
        "text",
        "kind",
        "template_display_name",
        "assignee",
        "receive_time",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "customer": _l("Customer"),
        "mobile": _l("Mobile"),
        "text": _l("Text"),
        "kind": _l("Taken for"),
        "state": _l("State"),
        "template_display_name": _l("Answers"),
        "assignee": _l("For"),
        "confirmation_state": _l("Confirmation"),
        "receive_time": _l("Received"),
    }
    column_sortable_list = ("receive_time",)
    column_default_sort = ("receive_time", True)
    segments = (
        Segment("open", _l("To be dealt with"), {"state": pb.INBOUND_STATE_OPEN}),
        Segment("refused", _l("Refusals"), {"kind": pb.INBOUND_KIND_OPT_OUT}),
        Segment("all", _l("All"), {}),
    )
    search_hint = _l("Customer number")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show messages with the names that *people* knows."""
        self._stub = channels.stub("messaging", inbound_pb2_grpc.InboundServiceStub)
        self._batches = channels.stub("messaging", batch_pb2_grpc.SmsBatchServiceStub)
        self._people = people
        self.title = _l("Replies of customers")
        self.column_filters = self._narrowings()
        self.column_formatters = {
            "customer": self._linked,
            "mobile": lambda _v, _c, row, _n: Markup(
                '<span class="num">{}</span>'
            ).format(row.mobile),
            "kind": lambda _v, _c, row, _n: words.chip(
                words.INBOUND, row.kind, words.INBOUND_TONES
            ),
            "state": lambda _v, _c, row, _n: words.chip(
                words.INBOUND_STATE, row.state, words.INBOUND_STATE_TONES
            ),
            "assignee": lambda _v, _c, row, _n: people.staff_name(row.assignee),
            "confirmation_state": lambda _v, _c, row, _n: words.chip(
                words.CONFIRMATION, row.confirmation_state, words.CONFIRMATION_TONES
            ),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Inbound,
            name=_l("Inbox"),
            endpoint="inbox",
            menu_icon_type="own",
            menu_icon_value="inbox",
        )

    def _narrowings(self) -> tuple[RemoteFilter, ...]:
        """Return what the list can be narrowed to."""
        return (
            RemoteFilter(
                "kind", _l("Taken for"), parse=int, options=words.options(words.INBOUND)
            ),
            RemoteFilter("assignee", _l("For"), options=self._colleagues),
            RemoteFilter("customer", _l("Customer number"), parse=named("customers")),
            RemoteFilter(
                "batch",
                _l("Batch SMS"),
                parse=named("batches"),
                options=self._choices,
            ),
        )

    def _colleagues(self) -> list[tuple[str, str]]:
        """Return the staff in sight, to choose from."""
        return [
            (name, str(one.display_name)) for name, one in self._people.staff().items()
        ]

    def _choices(self) -> list[tuple[str, str]]:
        """Return the newest batches in sight, to choose from; none where they cannot be asked for."""
        if not may(BATCHES):
            return []
        asked = batch_pb2.ListBatchesRequest(page_size=NEWEST)
        try:
            found = self._batches.ListBatches(asked).batches
        except grpc.RpcError:
            return []
        return [
            (
                one.name,
                f"{one.template_display_name} · {formats.moment(one.create_time)}",
            )
            for one in found
        ]

    def _linked(self, view: Any, _context: Any, row: pb.Inbound, _name: str) -> Markup:
        address = view.get_url(".details_view", id=row.name)
        link = Markup('<a class="strong" href="{}">{}</a>')
        return link.format(address, self.label_of(row))

    def label_of(self, message: pb.Inbound) -> str:
        """Return the customer's name, or what is known of the sender."""
        return str(message.customer_display_name or message.mobile or _("Unknown"))

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of messages."""
        found = self._stub.ListInbound(
            pb.ListInboundRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(found.inbounds, found.total_size)

    def fetch(self, name: str) -> pb.Inbound:
        """Return one message with its text."""
        return self._stub.GetInbound(pb.GetInboundRequest(name=name))

    @expose("/details/")
    def details_view(self) -> str:
        """Show one message: what it says, whom it answers, and what can be done about it."""
        found = self.fetch(request.args.get("id", ""))
        waits = found.state == pb.INBOUND_STATE_OPEN
        branch_id = int(found.branch.partition("/")[2] or 0)
        return self.render(
            self.details_template,
            model=found,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            words=words,
            staff_name=self._people.staff_name,
            colleagues=self._people.staff(branch_id=branch_id) if branch_id else {},
            may_assign=waits and bool(branch_id) and self.allows("assign"),
            may_close=waits and self.allows("close"),
            may_see_customer=may(CUSTOMER),
            may_see_batch=may(BATCH),
        )

    def _do(self, call: str, kind: Any, done: str, **fields: str) -> Any:
        """Change the message that the form names, and go back to it, or to the list where it is out of sight now."""
        name, etag = request.form.get("id", ""), request.form.get("etag", "")
        key = request_id(call, name, etag, *fields.values())
        try:
            found = getattr(self._stub, call)(
                kind(name=name, etag=etag, request_id=key, **fields)
            )
            flash(done, "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
            return redirect(self.get_url(".details_view", id=name), 303)
        someone = person()
        gone = someone is not None and someone.scope == "OWN"
        if gone and found.assignee != someone.staff:  # type: ignore[union-attr]
            return redirect(self.get_url(".index_view"), 303)
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/assign/", methods=("POST",))
    def assign(self) -> Any:
        """Give a message to a colleague."""
        return self._do(
            "AssignInbound",
            pb.AssignInboundRequest,
            _("The reply was handed on."),
            assignee=request.form.get("assignee", ""),
        )

    @expose("/close/", methods=("POST",))
    def close(self) -> Any:
        """Close a message with a remark."""
        return self._do(
            "CloseInbound",
            pb.CloseInboundRequest,
            _("The reply was closed."),
            remark=request.form.get("remark", ""),
        )
