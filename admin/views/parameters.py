"""Settings of one service: what its rules read, with the value in force, for those who may set them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flask_babel import lazy_gettext
from guanhu.parameter.v1 import parameter_pb2 as pb
from guanhu.parameter.v1 import parameter_pb2_grpc
from markupsafe import Markup
from wtforms import TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from admin import formats, sayings
from admin.channels import Channels
from admin.forms import Form
from admin.remote import Page, RemoteFilter, RemoteView

SERVICE = "guanhu.parameter.v1.ParameterService"

NAMES = {
    "customer": lazy_gettext("Customer settings"),
    "allocation": lazy_gettext("Allocation settings"),
    "engagement": lazy_gettext("Engagement settings"),
    "messaging": lazy_gettext("Messaging settings"),
}


def is_json(_form: Form, field: TextAreaField) -> None:
    """Refuse a value that is not JSON."""
    try:
        json.loads(field.data or "")
    except ValueError:
        raise ValidationError(
            lazy_gettext("Write a number, a quoted text or an object, as JSON.")
        ) from None


class ParameterForm(Form):
    """The value of a setting."""

    value_json = TextAreaField(
        lazy_gettext("Value"), [InputRequired(), Length(max=4096), is_json]
    )


def described(_view: Any, _context: Any, row: pb.Parameter, _name: str) -> str:
    """Return what a setting decides, in the person's language."""
    return str(row.description_zh if sayings.in_chinese() else row.description)


def keyed(view: Any, _context: Any, row: pb.Parameter, _name: str) -> Markup:
    """Return the key as the way to the setting."""
    address = view.get_url(".details_view", id=row.name)
    return Markup('<a class="strong" href="{}">{}</a>').format(
        address, row.name.partition("/")[2]
    )


def since(_view: Any, _context: Any, row: pb.Parameter, _name: str) -> Markup:
    """Return since when the value holds; a default has always held."""
    if not row.effective_date.year:
        return formats.chip(lazy_gettext("default"))
    return formats.day(row.effective_date)


def whole_number(text: str) -> int:
    """Return a number of at least 0; raises ValueError."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


class ParameterView(RemoteView):
    """Settings of one service; a new value holds from today on, for the whole bank."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.SetParameter",
        "index_view": f"{SERVICE}.ListParameters",
        "details_view": f"{SERVICE}.GetParameter",
        "peek_view": f"{SERVICE}.GetParameter",
    }
    can_edit = True
    column_list = (
        "name",
        "description",
        "value_json",
        "default_json",
        "effective_date",
    )
    column_details_list = (*column_list, "branch_id", "update_time")
    column_sortable_list = ("name", "effective_date")
    column_default_sort = "name"
    column_labels: ClassVar[dict[str, object]] = {
        "name": lazy_gettext("Key"),
        "description": lazy_gettext("What it decides"),
        "value_json": lazy_gettext("Value"),
        "default_json": lazy_gettext("Default"),
        "effective_date": lazy_gettext("In force since"),
        "branch_id": lazy_gettext("Branch"),
        "update_time": lazy_gettext("Written"),
    }
    column_formatters: ClassVar[dict[str, Any]] = {
        "name": keyed,
        "description": described,
        "effective_date": since,
    }
    column_filters = (
        RemoteFilter(
            "branch_id", lazy_gettext("Branch"), parse=whole_number, kind="number"
        ),
    )
    search_hint = lazy_gettext("Key or words of the description")
    form = ParameterForm
    update_fields = ("value_json",)

    def __init__(self, channels: Channels, service: str, *, category: str) -> None:
        """Show the settings of *service*."""
        self._stub = channels.stub(service, parameter_pb2_grpc.ParameterServiceStub)
        self.title = NAMES[service]
        super().__init__(
            pb.Parameter,
            name=NAMES[service],
            category=category,
            endpoint=f"parameters-{service}",
            menu_icon_type="own",
            menu_icon_value="gear",
        )

    def label_of(self, message: pb.Parameter) -> str:
        """Return the key."""
        return str(message.name.partition("/")[2])

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of settings; the service sends them all, the portal searches and sorts."""
        answer = self._stub.ListParameters(pb.ListParametersRequest(**fields))
        found = [
            row
            for row in answer.parameters
            if query.casefold()
            in f"{row.name} {row.description} {row.description_zh}".casefold()
        ]
        field, _, turned = order_by.partition(" ")
        if field == "effective_date":
            found.sort(key=_effective, reverse=turned == "desc")
        else:
            found.sort(key=lambda row: row.name, reverse=turned == "desc")
        return Page(found[skip : skip + page_size], len(found))

    def fetch(self, name: str) -> pb.Parameter:
        """Return one setting as it holds for the whole bank today."""
        return self._stub.GetParameter(pb.GetParameterRequest(name=name))

    def store(
        self, changed: pb.Parameter, mask: Sequence[str], request_id: str
    ) -> pb.Parameter:
        """Set the value from today on."""
        return self._stub.SetParameter(
            pb.SetParameterRequest(
                name=changed.name, value_json=changed.value_json, request_id=request_id
            )
        )


def _effective(row: pb.Parameter) -> tuple[int, int, int]:
    found = row.effective_date
    return found.year, found.month, found.day
