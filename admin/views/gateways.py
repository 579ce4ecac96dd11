"""Gateways: whether they run, how their links are, what became of messages; held back and let go by operators."""

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from flask import flash, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from guanhu.messaging.v1 import gateway_pb2 as pb
from guanhu.messaging.v1 import gateway_pb2_grpc
from markupsafe import Markup

from admin import formats, sayings, words
from admin.channels import Channels
from admin.remote import Page, RemoteView

SERVICE = "guanhu.messaging.v1.GatewayService"


def named(view: Any, _context: Any, row: pb.Gateway, _name: str) -> Markup:
    """Return the gateway's name as the way to its page."""
    address = view.get_url(".details_view", id=row.name)
    link = Markup('<a class="strong" href="{}">{}</a> <span class="mut">{}</span>')
    return link.format(address, row.display_name, row.name[9:])


def health(_view: Any, _context: Any, row: pb.Gateway, _name: str) -> Markup:
    """Return how the links are: the alarm first, else whether any works."""
    if row.refused:
        return formats.chip(_("Credentials refused"), "bad")
    if row.connected:
        return formats.chip(_("Connected"), "good")
    return formats.chip(_("Not connected"), "warn")


def under_way(_view: Any, _context: Any, row: pb.Gateway, _name: str) -> str:
    """Return how much of the window is in use over all links."""
    used = sum(link.unanswered_count for link in row.links)
    return f"{used:,} / {row.window * max(1, len(row.links)):,}"


def speed(_view: Any, _context: Any, row: pb.Gateway, _name: str) -> str:
    """Return how fast messages go, and how fast they may."""
    now = sum(link.current_rate for link in row.links)
    return f"{now:,} / {row.rate or '∞'}"


def told(_view: Any, _context: Any, row: pb.Gateway, name: str) -> str:
    """Return a figure of the last 24 hours."""
    return f"{getattr(row.day_figures, name):,}"


class GatewayView(RemoteView):
    """The bank's gateways."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListGateways",
        "index_view": f"{SERVICE}.ListGateways",
        "details_view": f"{SERVICE}.GetGateway",
        "peek_view": f"{SERVICE}.GetGateway",
        "pause": f"{SERVICE}.PauseGateway",
        "resume": f"{SERVICE}.ResumeGateway",
    }
    details_template = "portal/gateway.html"
    column_list = (
        "display_name",
        "protocol",
        "state",
        "health",
        "under_way",
        "speed",
        "accepted_count",
        "delivered_count",
        "failed_count",
        "unknown_count",
    )
    column_details_list = (
        "protocol",
        "state",
        "health",
        "under_way",
        "speed",
        "report_time",
        "update_time",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "display_name": _l("Gateway"),
        "protocol": _l("Protocol"),
        "state": _l("State"),
        "health": _l("Link"),
        "under_way": _l("Under way / window"),
        "speed": _l("A second / at most"),
        "accepted_count": _l("Accepted, 24 h"),
        "delivered_count": _l("Delivered, 24 h"),
        "failed_count": _l("Failed, 24 h"),
        "unknown_count": _l("Unknown, 24 h"),
        "report_time": _l("Last told"),
        "update_time": _l("State since"),
    }
    numeric = frozenset(
        {
            "under_way",
            "speed",
            "accepted_count",
            "delivered_count",
            "failed_count",
            "unknown_count",
        }
    )
    search_hint = _l("Name of the gateway")

    def __init__(self, channels: Channels) -> None:
        """Show gateways."""
        self._stub = channels.stub("messaging", gateway_pb2_grpc.GatewayServiceStub)
        self.title = _l("SMS gateways")
        counts = ("accepted_count", "delivered_count", "failed_count", "unknown_count")
        self.column_formatters = {
            "display_name": named,
            "protocol": lambda _v, _c, row, _n: words.word(
                words.PROTOCOL, row.protocol
            ),
            "state": lambda _v, _c, row, _n: words.chip(
                words.GATEWAY, row.state, words.GATEWAY_TONES
            ),
            "health": health,
            "under_way": under_way,
            "speed": speed,
            **dict.fromkeys(counts, told),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Gateway,
            name=self.title,
            endpoint="gateways",
            menu_icon_type="own",
            menu_icon_value="send",
        )

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of gateways."""
        found = self._stub.ListGateways(
            pb.ListGatewaysRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(found.gateways, found.total_size)

    def fetch(self, name: str) -> pb.Gateway:
        """Return one gateway."""
        return self._stub.GetGateway(pb.GetGatewayRequest(name=name))

    @expose("/details/")
    def details_view(self) -> str:
        """Show one gateway with the link of every worker."""
        found = self.fetch(request.args.get("id", ""))
        return self.render(
            self.details_template,
            model=found,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            words=words,
            runs=found.state == pb.GATEWAY_STATE_RUNNING,
        )

    def _switch(self, call: str, kind: Any, done: str) -> Any:
        form = request.form
        name, etag = form.get("id", ""), form.get("etag", "")
        key = form.get("nonce", "")
        try:
            getattr(self._stub, call)(kind(name=name, etag=etag, request_id=key))
            flash(done, "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/pause/", methods=("POST",))
    def pause(self) -> Any:
        """Hold the gateway back."""
        told = _("The gateway is held back: nothing more is handed over to it.")
        return self._switch("PauseGateway", pb.PauseGatewayRequest, told)

    @expose("/resume/", methods=("POST",))
    def resume(self) -> Any:
        """Let the gateway go on."""
        told = _("The gateway goes on.")
        return self._switch("ResumeGateway", pb.ResumeGatewayRequest, told)
