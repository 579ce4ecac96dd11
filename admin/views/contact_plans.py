"""Contact plans: drawn up by owners, reviewed by the branch manager, carried out by contacts."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import grpc
from flask import abort, flash, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.customer.v1 import customer_pb2
from guanhu.engagement.v1 import contact_plan_pb2 as pb
from guanhu.engagement.v1 import (
    contact_plan_pb2_grpc,
    work_log_pb2,
    work_log_pb2_grpc,
)
from markupsafe import Markup

from admin import formats, sayings, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteView, Segment
from admin.rights import may, person

SERVICE = "guanhu.engagement.v1.ContactPlanService"
RECORD = "guanhu.engagement.v1.WorkLogService.RecordContact"


def request_id(*parts: object) -> str:
    """Return the same UUID for the same deed on the same state of a page, so that a double click is done once."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, parts))))


class ContactPlanView(RemoteView):
    """Plans in the person's sight."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListContactPlans",
        "index_view": f"{SERVICE}.ListContactPlans",
        "details_view": f"{SERVICE}.GetContactPlan",
        "peek_view": f"{SERVICE}.GetContactPlan",
        "draft": f"{SERVICE}.DraftPlan",
        "submit": f"{SERVICE}.SubmitPlan",
        "approve": f"{SERVICE}.ApprovePlan",
        "give_back": f"{SERVICE}.ReturnPlan",
        "remove": f"{SERVICE}.RemoveItem",
        "record": RECORD,
    }
    details_template = "portal/contact_plan.html"
    list_template = "portal/contact_plans.html"
    column_list = (
        "plan_date",
        "owner",
        "state",
        "item_count",
        "done_count",
        "submit_time",
        "late",
        "review_remark",
    )
    column_details_list = ("plan_date", "owner", "state", "submit_time", "reviewer")
    column_labels: ClassVar[dict[str, object]] = {
        "plan_date": _l("Day"),
        "owner": _l("Owner"),
        "state": _l("State"),
        "item_count": _l("Customers"),
        "done_count": _l("Contacted"),
        "submit_time": _l("Submitted"),
        "late": _l("Late"),
        "review_remark": _l("Remark"),
        "reviewer": _l("Reviewed by"),
    }
    column_sortable_list = ("plan_date", "owner", "submit_time")
    column_default_sort = ("plan_date", True)
    numeric = frozenset({"item_count", "done_count"})
    segments = (
        Segment(
            "review", _l("To be reviewed"), {"state": pb.CONTACT_PLAN_STATE_SUBMITTED}
        ),
        Segment("all", _l("All"), {}),
    )

    def __init__(self, channels: Channels, people: People) -> None:
        """Show plans with the names that *people* knows."""
        self._stub = channels.stub(
            "engagement", contact_plan_pb2_grpc.ContactPlanServiceStub
        )
        self._logs = channels.stub("engagement", work_log_pb2_grpc.WorkLogServiceStub)
        self._people = people
        self.title = _l("Contact plans")
        self.column_formatters = {
            "plan_date": self._dated,
            "owner": lambda _v, _c, row, _n: people.staff_name(row.owner),
            "reviewer": lambda _v, _c, row, _n: people.staff_name(row.reviewer),
            "state": lambda _v, _c, row, _n: words.chip(
                words.PLAN, row.state, words.PLAN_TONES
            ),
            "late": lambda _v, _c, row, _n: (
                formats.chip(_("late"), "bad") if row.late else formats.NONE
            ),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.ContactPlan,
            name=_l("Contact plans"),
            endpoint="contact-plans",
            menu_icon_type="own",
            menu_icon_value="calendar",
        )

    @staticmethod
    def _dated(view: Any, _context: Any, row: pb.ContactPlan, _name: str) -> Markup:
        address = view.get_url(".details_view", id=row.name)
        day = formats.day_of(row.plan_date)
        return Markup('<a class="strong num" href="{}">{}</a>').format(address, day)

    def label_of(self, message: pb.ContactPlan) -> str:
        """Return whose plan of which day it is."""
        day = formats.day_of(message.plan_date)
        return f"{day} · {self._people.staff_name(message.owner)}"

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of plans."""
        found = self._stub.ListContactPlans(
            pb.ListContactPlansRequest(
                page_size=page_size, skip=skip, order_by=order_by, **fields
            )
        )
        return Page(found.contact_plans, found.total_size)

    def fetch(self, name: str) -> pb.ContactPlan:
        """Return one plan with its items."""
        return self._stub.GetContactPlan(pb.GetContactPlanRequest(name=name))

    @expose("/details/")
    def details_view(self) -> str:
        """Show one plan: whom it holds, why, and what became of them."""
        plan = self.fetch(request.args.get("id", ""))
        mine = person() is not None and plan.owner == person().staff  # type: ignore[union-attr]
        return self.render(
            self.details_template,
            model=plan,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            customers=self._people.customers(item.customer for item in plan.items),
            words=words,
            may_review=not mine
            and self.allows("approve")
            and plan.state == pb.CONTACT_PLAN_STATE_SUBMITTED,
            may_change=mine
            and plan.state
            in (pb.CONTACT_PLAN_STATE_DRAFT, pb.CONTACT_PLAN_STATE_RETURNED),
            may_record=mine and may(RECORD),
        )

    def _do(self, call: str, kind: Any, done: str, **fields: Any) -> Any:
        """Change the plan that the form names, and go back to it with a sentence."""
        name, etag = request.form.get("id", ""), request.form.get("etag", "")
        told = kind(
            name=name,
            etag=etag,
            request_id=request_id(call, name, etag, *fields.values()),
            **fields,
        )
        try:
            getattr(self._stub, call)(told)
            flash(done, "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/draft/", methods=("POST",))
    def draft(self) -> Any:
        """Draft the person's own plan of today, or add to it what has come since."""
        nonce = request.form.get("nonce", "") or abort(400)
        try:
            plan = self._stub.DraftPlan(
                pb.DraftPlanRequest(request_id=request_id("draft", nonce))
            )
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
            return redirect(self.get_url(".index_view"), 303)
        return redirect(self.get_url(".details_view", id=plan.name), 303)

    @expose("/submit/", methods=("POST",))
    def submit(self) -> Any:
        """Submit a plan for review."""
        return self._do(
            "SubmitPlan", pb.SubmitPlanRequest, _("The plan was submitted.")
        )

    @expose("/approve/", methods=("POST",))
    def approve(self) -> Any:
        """Approve a plan."""
        remark = request.form.get("remark", "")
        return self._do(
            "ApprovePlan",
            pb.ApprovePlanRequest,
            _("The plan was approved."),
            remark=remark,
        )

    @expose("/return/", methods=("POST",))
    def give_back(self) -> Any:
        """Return a plan to its owner with a remark."""
        remark = request.form.get("remark", "")
        return self._do(
            "ReturnPlan",
            pb.ReturnPlanRequest,
            _("The plan was returned to its owner."),
            remark=remark,
        )

    @expose("/remove/", methods=("POST",))
    def remove(self) -> Any:
        """Take a customer out of a plan."""
        customer = request.form.get("customer", "")
        return self._do(
            "RemoveItem",
            pb.RemoveItemRequest,
            _("The customer was taken out."),
            customer=customer,
        )

    @expose("/record/", methods=("POST",))
    def record(self) -> Any:
        """Record a contact with a customer of the plan: log, plan and reminders in one call."""
        form = request.form
        name, customer = form.get("id", ""), form.get("customer", "")
        moment = Timestamp()
        moment.FromDatetime(datetime.now(UTC))
        contact = customer_pb2.Contact(
            contact_time=moment,
            channel=form.get("channel", type=int) or customer_pb2.CHANNEL_CALL,
            result=form.get("result", type=int) or customer_pb2.CONTACT_RESULT_REACHED,
        )
        try:
            self._logs.RecordContact(
                work_log_pb2.RecordContactRequest(
                    customer=customer,
                    contact=contact,
                    event_type=form.get("event_type", type=int) or 6,
                    content=form.get("content", ""),
                    contact_plan=name,
                    request_id=form.get("nonce", ""),
                )
            )
            flash(_("The contact was recorded."), "success")
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        return redirect(self.get_url(".details_view", id=name), 303)
