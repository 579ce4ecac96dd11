"""
Views of resources that lie behind gRPC: list, show, make and edit.

The model is the contract's own message, its ``name`` the primary key. Only ``grpc.RpcError`` is caught here; anything
else is a bug and must be seen.
"""

from typing import Any, ClassVar

import grpc
from flask import abort, request
from flask_admin import expose
from google.protobuf import timestamp_pb2
from google.type import date_pb2, money_pb2

from admin import formats, sayings
from admin.editing import Editing
from admin.forms import Form
from admin.listing import Listing, Page, RemoteFilter, Segment, Selection
from admin.rights import Guarded

__all__ = ["Page", "RemoteFilter", "RemoteView", "Segment", "Selection"]


class RemoteView(Guarded, Listing, Editing):  # type: ignore[misc]
    """
    Lists, shows and edits one kind of resource through its standard methods.

    A page is its columns, a form and three or four short methods: ``list_page``, ``fetch``, ``store`` and, where the
    contract has it, ``make``. ``asks`` names the RPC behind each endpoint.
    """

    can_create = False
    can_edit = False
    can_delete = False
    can_export = False
    can_view_details = True
    can_set_page_size = True
    named_filter_urls = True
    page_size = 50
    page_size_options = (25, 50, 100, 200)
    column_display_actions = False

    title: object = ""
    numeric: frozenset[str] = frozenset()
    bulk_template = ""
    column_type_formatters: ClassVar[dict[type, Any]] = {
        bool: lambda _view, value, _name: formats.yes_no(value),
        date_pb2.Date: lambda _view, value, _name: formats.day(value),
        timestamp_pb2.Timestamp: lambda _view, value, _name: formats.moment(value),
        money_pb2.Money: lambda _view, value, _name: formats.money(value),
        str: lambda _view, value, _name: formats.text(value),
    }
    column_type_formatters_detail = column_type_formatters

    def label_of(self, message: Any) -> str:
        """Return what people call the resource."""
        return str(getattr(message, "display_name", "") or message.name)

    def get_pk_value(self, model: Any) -> str:
        """Return the resource name."""
        return str(model.name)

    def scaffold_list_columns(self) -> list[str]:
        """Return every field of the message."""
        return [field.name for field in self.model.DESCRIPTOR.fields]

    def scaffold_sortable_columns(self) -> dict[str, str]:
        """Return nothing: what can be sorted by is named by the page."""
        return {}

    def scaffold_form(self) -> type[Form]:
        """Return an empty form, for pages that edit nothing."""
        return Form

    def is_action_allowed(self, name: str) -> bool:
        """Say whether the person may run the bulk action."""
        return super().is_action_allowed(name) and self.allows(name)

    def get_one(self, id: str) -> Any:  # noqa: A002  the name is Flask-Admin's
        """Return the resource; while its service is away, an empty one to keep on the page what was typed."""
        try:
            return self.fetch(id)
        except grpc.RpcError as error:
            if request.method == "POST" and error.code() in sayings.AWAY:
                return self.model(name=id)
            raise

    @expose("/peek/")
    def peek_view(self) -> str:
        """Show the resource in short, for the drawer beside the list."""
        return self.render(
            "admin/model/peek.html",
            model=self.fetch(request.args.get("id", "")),
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
        )

    @expose("/export/<export_type>/")
    def export(self, export_type: str) -> Any:
        """Refuse: exports are not part of a list unless its page makes one of its own."""
        abort(404)
