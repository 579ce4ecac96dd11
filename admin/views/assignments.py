"""Customers without an owner, the most valuable first, and giving them away."""

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from flask import flash, request
from flask_admin.actions import action
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from guanhu.allocation.v1 import ownership_pb2 as pb
from guanhu.allocation.v1 import ownership_pb2_grpc
from markupsafe import Markup

from admin import formats, sayings, words
from admin.channels import Channels
from admin.people import People
from admin.remote import Page, RemoteFilter, RemoteView, Segment
from admin.rights import person

SERVICE = "guanhu.allocation.v1.OwnershipService"

AT_ONCE = 1000
"""Customers of one batch; the contract takes no more."""

TELLER = "OPEN_COUNTER_TELLER"


class AssignmentView(RemoteView):
    """The queue of customers who should have an owner and have none."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListUnassigned",
        "index_view": f"{SERVICE}.ListUnassigned",
        "details_view": f"{SERVICE}.GetOwnership",
        "peek_view": f"{SERVICE}.GetOwnership",
        "assign": f"{SERVICE}.AssignCustomers",
        "action_view": f"{SERVICE}.AssignCustomers",
    }
    bulk_template = "portal/assign.html"
    column_list = (
        "display_name",
        "customer",
        "tier",
        "financial_assets",
        "customer_type",
        "state",
        "previous_owner",
        "state_time",
    )
    column_details_list = (*column_list, "branch", "reason", "update_time")
    column_labels: ClassVar[dict[str, object]] = {
        "display_name": _l("Customer"),
        "customer": _l("Customer number"),
        "tier": _l("Tier"),
        "financial_assets": _l("Financial assets"),
        "customer_type": _l("Type"),
        "state": _l("State"),
        "previous_owner": _l("Owner before"),
        "state_time": _l("Waiting since"),
        "branch": _l("Branch"),
        "reason": _l("Reason"),
        "update_time": _l("Changed"),
    }
    column_sortable_list = ("tier", "financial_assets", "state_time")
    column_default_sort = ("tier", True)
    numeric = frozenset({"financial_assets"})
    column_filters = (
        RemoteFilter("tier", _l("Tier"), parse=int, options=words.options(words.TIER)),
        RemoteFilter("waiting_days", _l("Days waiting"), parse=int, kind="number"),
    )
    segments = (
        Segment("waiting", _l("Waiting"), {}),
        Segment("held", _l("Held"), {"state": pb.OWNERSHIP_STATE_PENDING}),
        Segment("recalled", _l("Taken back"), {"state": pb.OWNERSHIP_STATE_RECALLED}),
    )
    search_hint = _l("Customer number")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show the queue with the names that *people* knows."""
        self._stub = channels.stub(
            "allocation", ownership_pb2_grpc.OwnershipServiceStub
        )
        self._people = people
        self.title = _l("Customers without an owner")
        self.column_formatters = {
            "display_name": self._named,
            "customer": lambda _v, _c, row, _n: row.customer.partition("/")[2],
            "tier": lambda _v, _c, row, _n: formats.tier(row.tier),
            "customer_type": lambda _v, _c, row, _n: words.chip(
                words.TYPE, row.customer_type
            ),
            "state": lambda _v, _c, row, _n: words.chip(
                words.OWNERSHIP, row.state, {4: "warn"}
            ),
            "previous_owner": lambda _v, _c, row, _n: people.staff_name(
                row.previous_owner
            ),
        }
        self.column_formatters_detail = self.column_formatters
        self._names: dict[str, Any] = {}
        super().__init__(
            pb.Ownership,
            name=_l("Assignment"),
            endpoint="assignments",
            menu_icon_type="own",
            menu_icon_value="user-check",
        )

    def _named(self, view: Any, _context: Any, row: pb.Ownership, _name: str) -> Markup:
        known = view._template_args.get("customers", {})  # noqa: SLF001 - Flask-Admin's own way to a page's words
        found = known.get(row.customer)
        text = found.display_name if found else row.customer.partition("/")[2]
        address = view.get_url("customers.details_view", id=row.customer)
        return Markup('<a class="strong" href="{}">{}</a>').format(address, text)

    def label_of(self, message: pb.Ownership) -> str:
        """Return the customer's number."""
        return str(message.customer.partition("/")[2])

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of the queue, with the names of its customers in one question."""
        found = self._stub.ListUnassigned(
            pb.ListUnassignedRequest(
                page_size=page_size,
                skip=skip,
                order_by=order_by,
                query=query,
                **fields,
            )
        )
        told = self._template_args
        told["customers"] = self._people.customers(
            one.customer for one in found.ownerships
        )
        told["owners"] = self._owners()
        return Page(found.ownerships, found.total_size)

    def _owners(self) -> list[tuple[str, str]]:
        """Return who of the person's branch can be given customers, with how many they look after."""
        someone = person()
        if someone is None or not self.allows("assign"):
            return []
        staff = self._people.staff(can_own=True, branch_id=someone.branch_id)
        return [
            (one.name, f"{one.display_name} · {one.owned_count}/{one.capacity or '—'}")
            for one in sorted(staff.values(), key=lambda one: one.owned_count)
        ]

    def fetch(self, name: str) -> pb.Ownership:
        """Return one ownership."""
        found = self._stub.GetOwnership(pb.GetOwnershipRequest(name=name))
        told = self._template_args
        told["customers"] = self._people.customers([found.customer])
        return found

    @action("assign", _l("Assign"))
    def assign(self, names: list[str]) -> None:
        """Give the ticked customers to the owner chosen in the bar, as one batch."""
        owner = request.form.get("owner", "")
        picked = self.selected()
        if picked is None or not owner:
            if picked is not None:
                flash(_("Choose an owner first."), "warning")
            return
        seen = self._seen(picked)
        mode = request.form.get("mode", type=int) or 1
        nonce = uuid.uuid5(uuid.NAMESPACE_OID, request.form.get("selection", ""))
        wanted = f"{owner} {mode} {','.join(one.customer for one in seen)}"
        try:
            answer = self._stub.AssignCustomers(
                pb.AssignCustomersRequest(
                    customers=seen,
                    owner=owner,
                    mode=mode,
                    reason=request.form.get("reason", ""),
                    request_id=str(uuid.uuid5(nonce, wanted)),
                )
            )
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
            return
        self._tell(answer)

    def _seen(self, picked: Any) -> list[pb.SeenCustomer]:
        """Return the chosen customers with the holders the person saw: everything that matched, or the ticked."""
        if picked.everything:
            rows = self._stub.ListUnassigned(
                pb.ListUnassignedRequest(
                    page_size=500, query=picked.query, **picked.fields
                )
            ).ownerships
            return [
                pb.SeenCustomer(customer=row.customer, expected_owner=row.owner)
                for row in rows
            ]
        holders = dict(
            pair.split("=", 1) for pair in request.form.getlist("holder") if "=" in pair
        )
        return [
            pb.SeenCustomer(
                customer=f"customers/{name.partition('/')[2]}",
                expected_owner=holders.get(name, ""),
            )
            for name in picked.names[:AT_ONCE]
        ]

    def _tell(self, answer: pb.AssignCustomersResponse) -> None:
        load = answer.load
        owner = self._people.staff_name(load.owner)
        told = ngettext(
            "%(num)d customer was given to %(owner)s, who looks after %(after)s now.",
            "%(num)d customers were given to %(owner)s, who looks after %(after)s now.",
            answer.assigned_count,
            owner=owner,
            after=load.count_after,
        )
        flash(told, "success" if answer.assigned_count else "warning")
        if load.over_capacity:
            flash(
                _(
                    "%(owner)s looks after more than the capacity of %(capacity)s.",
                    owner=owner,
                    capacity=load.capacity,
                ),
                "warning",
            )
        for one in answer.skipped[:10]:
            flash(
                _(
                    "Customer %(number)s was left as it was: %(why)s.",
                    number=one.customer.partition("/")[2],
                    why=words.word(words.SKIPPED, one.reason),
                ),
                "warning",
            )
