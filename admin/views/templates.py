"""Templates of batch messages: written with a live preview, reviewed by another, edited by revision."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import grpc
from flask import Response, flash, jsonify, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.messaging.v1 import template_pb2 as pb
from guanhu.messaging.v1 import template_pb2_grpc
from markupsafe import Markup
from wtforms import SelectField, StringField, TextAreaField
from wtforms.fields import SelectChoice
from wtforms.validators import InputRequired, Length

from admin import sayings, words
from admin.channels import Channels
from admin.forms import Form
from admin.people import People
from admin.remote import Page, RemoteFilter, RemoteView, Segment
from admin.rights import person
from admin.views.contact_plans import request_id

SERVICE = "guanhu.messaging.v1.TemplateService"

OPEN = (pb.TEMPLATE_STATE_DRAFT, pb.TEMPLATE_STATE_REJECTED)
"""States in which a template can be submitted."""

ENCODINGS = {pb.AIR_ENCODING_GSM7: "GSM-7", pb.AIR_ENCODING_UCS2: "UCS-2"}
REVISIONS = 50


def line_ends(text: str | None) -> str | None:
    """Return *text* with its lines ended as messages end them; browsers post two characters."""
    return text.replace("\r\n", "\n") if text else text


class TemplateForm(Form):
    """What the author of a template writes."""

    display_name = StringField(
        _l("Name of the template"), [InputRequired(), Length(max=80)]
    )
    purpose = SelectField(
        _l("Purpose"),
        coerce=int,
        choices=[SelectChoice(code, name) for code, name in words.PURPOSE.items()],
    )
    body = TextAreaField(
        _l("Text"),
        [InputRequired(), Length(max=400)],
        filters=[line_ends],
        description=_l(
            "At most 400 characters, without signature and words to refuse."
        ),
    )


class TemplateView(RemoteView):
    """Templates of the whole bank."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListTemplates",
        "index_view": f"{SERVICE}.ListTemplates",
        "details_view": f"{SERVICE}.GetTemplate",
        "peek_view": f"{SERVICE}.GetTemplate",
        "preview": f"{SERVICE}.PreviewTemplate",
        "create_view": f"{SERVICE}.CreateTemplate",
        "edit_view": f"{SERVICE}.UpdateTemplate",
        "submit": f"{SERVICE}.SubmitTemplate",
        "approve": f"{SERVICE}.ApproveTemplate",
        "reject": f"{SERVICE}.RejectTemplate",
    }
    can_create = True
    can_edit = True
    form = TemplateForm
    update_fields = ("display_name", "purpose", "body")
    list_template = "portal/templates.html"
    create_template = "portal/template_new.html"
    edit_template = "portal/template_edit.html"
    details_template = "portal/template.html"
    column_list = (
        "display_name",
        "purpose",
        "state",
        "full_text",
        "author",
        "revision",
        "update_time",
    )
    column_details_list = (
        "purpose",
        "state",
        "author",
        "reviewer",
        "revision",
        "update_time",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "display_name": _l("Template"),
        "purpose": _l("Purpose"),
        "state": _l("State"),
        "full_text": _l("Text"),
        "author": _l("Author"),
        "reviewer": _l("Reviewed by"),
        "revision": _l("Revision"),
        "update_time": _l("Changed"),
    }
    column_sortable_list = ("display_name", "update_time")
    column_default_sort = ("update_time", True)
    numeric = frozenset({"revision"})
    segments = (
        Segment("all", _l("All"), {}),
        Segment("draft", _l("Drafts"), {"state": pb.TEMPLATE_STATE_DRAFT}),
        Segment("review", _l("To be reviewed"), {"state": pb.TEMPLATE_STATE_SUBMITTED}),
        Segment("approved", _l("Approved"), {"state": pb.TEMPLATE_STATE_APPROVED}),
        Segment("rejected", _l("Rejected"), {"state": pb.TEMPLATE_STATE_REJECTED}),
    )
    column_filters = (
        RemoteFilter(
            "purpose",
            _l("Purpose"),
            parse=int,
            options=words.options(words.PURPOSE),
        ),
    )
    search_hint = _l("Name of the template")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show templates with the names that *people* knows."""
        self._stub = channels.stub("messaging", template_pb2_grpc.TemplateServiceStub)
        self._people = people
        self.title = _l("SMS templates")
        self.column_formatters = {
            "display_name": self._linked,
            "purpose": lambda _v, _c, row, _n: words.chip(words.PURPOSE, row.purpose),
            "state": lambda _v, _c, row, _n: words.chip(
                words.TEMPLATE, row.state, words.TEMPLATE_TONES
            ),
            "author": lambda _v, _c, row, _n: people.staff_name(row.author),
            "reviewer": lambda _v, _c, row, _n: people.staff_name(row.reviewer),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Template,
            name=_l("SMS templates"),
            endpoint="templates",
            menu_icon_type="own",
            menu_icon_value="note",
        )

    @staticmethod
    def _linked(view: Any, _context: Any, row: pb.Template, _name: str) -> Markup:
        address = view.get_url(".details_view", id=row.name)
        return Markup('<a class="strong" href="{}">{}</a>').format(
            address, row.display_name
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
        """Return a page of templates."""
        found = self._stub.ListTemplates(
            pb.ListTemplatesRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(found.templates, found.total_size)

    def fetch(self, name: str) -> pb.Template:
        """Return one template."""
        return self._stub.GetTemplate(pb.GetTemplateRequest(name=name))

    def make(self, fresh: pb.Template, request_id: str) -> pb.Template:
        """Write a draft."""
        return self._stub.CreateTemplate(
            pb.CreateTemplateRequest(template=fresh, request_id=request_id)
        )

    def store(
        self, changed: pb.Template, mask: Sequence[str], request_id: str
    ) -> pb.Template:
        """Write a new revision."""
        return self._stub.UpdateTemplate(
            pb.UpdateTemplateRequest(
                template=changed,
                update_mask=FieldMask(paths=mask),
                request_id=request_id,
            )
        )

    def get_save_return_url(self, model: Any, is_created: bool = False) -> str:  # noqa: FBT002 - Flask-Admin's own form
        """Return the way to the template that was written."""
        return str(self.get_url(".details_view", id=model.name))

    def fields(self) -> list[tuple[str, str, pb.TemplateField]]:
        """Return (field in braces, label in the person's language, field) of the catalogue."""
        found = self._stub.ListTemplateFields(pb.ListTemplateFieldsRequest()).fields
        chinese = sayings.in_chinese()
        return [
            (f"{{{{{one.field}}}}}", one.label_zh if chinese else one.label, one)
            for one in found
        ]

    @expose("/details/")
    def details_view(self) -> str:
        """Show one template: how it goes out, what may be done with it, and what it said before."""
        found = self.fetch(request.args.get("id", ""))
        shown = self._stub.PreviewTemplate(pb.PreviewTemplateRequest(name=found.name))
        page = pb.ListTemplateRevisionsRequest(template=found.name, page_size=REVISIONS)
        someone = person()
        mine = someone is not None and found.author == someone.staff
        manager = someone is not None and "BRANCH_MANAGER" in someone.roles
        waiting = found.state == pb.TEMPLATE_STATE_SUBMITTED
        return self.render(
            self.details_template,
            model=found,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            told=told_of(shown),
            revisions=self._stub.ListTemplateRevisions(page).revisions,
            staff_name=self._people.staff_name,
            words=words,
            may_edit=(mine or manager) and self.allows("edit_view"),
            may_submit=found.state in OPEN and self.allows("submit"),
            may_review=waiting and not mine and self.allows("approve"),
            own_waiting=waiting and mine,
        )

    @expose("/preview/", methods=("POST",))
    def preview(self) -> Response:
        """Say how the text of the form would go out, for the preview beside it."""
        form = request.form
        asked = pb.PreviewTemplateRequest(
            body=line_ends(form.get("body")),
            purpose=form.get("purpose", type=int) or 0,
        )
        try:
            found = self._stub.PreviewTemplate(asked)
        except grpc.RpcError as error:
            return jsonify(faults=[sayings.sentence(error)])
        told = told_of(found)
        if not asked.body:
            told["faults"] = []  # nothing is wrong before anything was written
        return jsonify(told)

    def _do(self, call: str, kind: Any, done: str, **fields: str) -> Any:
        """Move the template that the form names on, and go back to it with a sentence."""
        form = request.form
        name, etag = form.get("id", ""), form.get("etag", "")
        key = request_id(call, name, etag, form.get("nonce", "") or uuid.uuid4())
        asked = kind(name=name, etag=etag, request_id=key, **fields)
        try:
            getattr(self._stub, call)(asked)
            flash(done, "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/submit/", methods=("POST",))
    def submit(self) -> Any:
        """Submit a template for review."""
        return self._do(
            "SubmitTemplate",
            pb.SubmitTemplateRequest,
            _("The template was submitted for review."),
        )

    @expose("/approve/", methods=("POST",))
    def approve(self) -> Any:
        """Approve a template of somebody else."""
        return self._do(
            "ApproveTemplate",
            pb.ApproveTemplateRequest,
            _("The template was approved; batches may use it."),
        )

    @expose("/reject/", methods=("POST",))
    def reject(self) -> Any:
        """Give a template back with a remark."""
        return self._do(
            "RejectTemplate",
            pb.RejectTemplateRequest,
            _("The template was given back to its author."),
            remark=request.form.get("remark", ""),
        )


def told_of(found: pb.PreviewTemplateResponse) -> dict[str, Any]:
    """Return what a preview says to the person: the text, its bill, what is wrong, and what the purpose decides."""
    chinese = sayings.in_chinese()
    return {
        "text": found.full_text,
        "bill": _(
            "Characters: %(characters)s · billed messages: %(segments)s · encoding: %(encoding)s",
            characters=found.characters,
            segments=found.segments,
            encoding=ENCODINGS.get(found.encoding, "—"),
        ),
        "faults": [one.message_zh if chinese else one.message for one in found.faults],
        "meaning": list(meaning_of(found.purpose_rule)),
    }


def meaning_of(rule: pb.PurposeRule) -> Any:
    """Yield what a purpose decides, sentence by sentence."""
    yield _("Signed 【%(signature)s】 at the head.", signature=rule.signature)
    if rule.refusal_words:
        yield _("Ends with “%(words)s”.", words=rule.refusal_words)
    if rule.needs_consent:
        yield _("Only customers who agreed to marketing are written to.")
    else:
        yield _("No agreement is needed; who asked not to be disturbed is left out.")
    if rule.always_approved:
        yield _("Every batch needs a second person.")
    else:
        size = rule.approval_size
        yield _("Batches above %(count)s people need a second person.", count=size)
    if (rule.from_hour, rule.to_hour) == (0, 24):
        yield _("Handed over at every hour.")
    else:
        yield _(
            "Handed over from %(start)s:00 to %(end)s:00 only.",
            start=rule.from_hour,
            end=rule.to_hour,
        )
    if rule.week_cap:
        yield _("At most %(count)s to one customer in 7 days.", count=rule.week_cap)
    if rule.month_cap:
        yield _("At most %(count)s to one customer in 30 days.", count=rule.month_cap)
