"""Customers: the list, and one customer with figures, reminders, opportunities and every contact."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import grpc
from flask import flash, redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from guanhu.customer.v1 import consent_pb2, consent_pb2_grpc, customer_pb2_grpc
from guanhu.customer.v1 import customer_pb2 as pb
from markupsafe import Markup
from wtforms import DateField, SelectField, StringField, TextAreaField
from wtforms.fields import SelectChoice
from wtforms.validators import Length, Optional

from admin import formats, sayings, searches, words
from admin.channels import Channels
from admin.forms import Form
from admin.listing import QUERY_LENGTH
from admin.membership import SERVICE as GROUPS
from admin.membership import Gathering
from admin.people import People
from admin.portrait import Portrait, assets_chart
from admin.remote import Page, RemoteFilter, RemoteView, Segment
from admin.rights import may

SERVICE = "guanhu.customer.v1.CustomerService"
LIST, SEARCH = f"{SERVICE}.ListCustomers", f"{SERVICE}.SearchCustomers"
CONSENT = "guanhu.customer.v1.ConsentService.SetDoNotDisturb"

SHORTEST = 2
"""Characters that a search needs at least."""

SEARCH_ORDERS = ("number", "financial_assets")
"""What the answer of a search can be sorted by."""

EXACT = re.compile(r"\d{4}|(?:\+?86)?1[3-9]\d{9}")
"""What is searched for as a number of a telephone, whole or its last four digits."""


def one_of(label: object, names: Mapping[int, object]) -> SelectField:
    """Return a field of which one of *names*, or none, can be chosen."""
    return SelectField(
        label,
        coerce=int,
        choices=[
            SelectChoice(0, "—"),
            *(SelectChoice(code, name) for code, name in names.items()),
        ],
    )


class SheetForm(Form):
    """The profile sheet."""

    occupation = StringField(_l("Occupation"), [Length(max=100)])
    employer = StringField(_l("Employer"), [Length(max=100)])
    household_finances = TextAreaField(_l("Household finances"), [Length(max=500)])
    preferences = TextAreaField(_l("Preferences"), [Length(max=500)])
    family_notes = TextAreaField(_l("Family"), [Length(max=500)])
    preferred_channel = one_of(_l("Preferred channel"), words.CHANNEL)
    preferred_time = one_of(_l("Preferred time"), words.TIME)
    contact_frequency = one_of(_l("Contact at most"), words.FREQUENCY)
    next_contact_on = DateField(_l("Next contact"), [Optional()])


def named(view: Any, _context: Any, row: pb.Customer, _name: str) -> Markup:
    """Return the customer's name as the way to the page, with the flag of those not to be disturbed."""
    address = view.get_url(".details_view", id=row.name)
    link = Markup('<a class="strong" href="{}">{}</a>').format(
        address, row.display_name
    )
    if not row.do_not_disturb:
        return link
    return Markup("{} {}").format(link, formats.chip(_("Not to be disturbed"), "warn"))


def changed(_view: Any, _context: Any, row: pb.Customer, _name: str) -> Markup:
    """Return how the assets compare with the ten-day period before."""
    before = row.previous_financial_assets
    return formats.delta(
        formats.cents_of(row.financial_assets),
        formats.cents_of(before) if before.ListFields() else None,
    )


def written(people: People) -> dict[str, Any]:
    """Return how each column of a customer reads."""
    return {
        "display_name": named,
        "name": lambda _v, _c, row, _n: row.name.partition("/")[2],
        "tier": lambda _v, _c, row, _n: formats.tier(row.tier),
        "change": changed,
        "owner": lambda _v, _c, row, _n: people.staff_name(row.owner),
        "gender": lambda _v, _c, row, _n: {1: _("Female"), 2: _("Male")}.get(
            row.gender, formats.NONE
        ),
        "birth_date": lambda _v, _c, row, _n: formats.bare_day(row.birth_date),
        "open_date": lambda _v, _c, row, _n: formats.bare_day(row.open_date),
        "customer_type": lambda _v, _c, row, _n: words.chip(
            words.TYPE, row.customer_type
        ),
        "card_category": lambda _v, _c, row, _n: words.word(
            words.CARD, row.card_category
        ),
        "maintenance_mode": lambda _v, _c, row, _n: words.word(
            words.MODE, row.maintenance_mode
        ),
    }


class CustomerView(Gathering, RemoteView):
    """Customers in the person's sight."""

    asks: ClassVar[Mapping[str, str]] = {
        "": SEARCH,
        "index_view": SEARCH,
        "find": SEARCH,
        "seek": SEARCH,
        "details_view": f"{SERVICE}.GetCustomer",
        "peek_view": f"{SERVICE}.GetCustomer",
        "edit_view": f"{SERVICE}.UpdateCustomer",
        "reveal": f"{SERVICE}.RevealCustomerField",
        "disturb": CONSENT,
        "group": f"{GROUPS}.AddMembers",
        "action_view": f"{GROUPS}.AddMembers",
    }
    can_edit = True
    search_private = True
    details_template = "portal/customer.html"
    column_list = (
        "display_name",
        "name",
        "tier",
        "financial_assets",
        "change",
        "owner",
        "last_contact.contact_time",
        "profile_sheet.next_contact_on",
        "mobile",
    )
    column_details_list = (
        "name",
        "gender",
        "birth_date",
        "mobile",
        "id_number",
        "home_address",
        "tier",
        "customer_type",
        "card_category",
        "owner",
        "maintenance_mode",
        "open_date",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "display_name": _l("Customer"),
        "name": _l("Customer number"),
        "tier": _l("Tier"),
        "financial_assets": _l("Financial assets"),
        "change": _l("Against the period before"),
        "owner": _l("Owner"),
        "last_contact.contact_time": _l("Last contact"),
        "profile_sheet.next_contact_on": _l("Next contact"),
        "mobile": _l("Mobile"),
        "gender": _l("Gender"),
        "birth_date": _l("Birthday"),
        "id_number": _l("Identity document"),
        "home_address": _l("Address"),
        "customer_type": _l("Type"),
        "card_category": _l("Card"),
        "maintenance_mode": _l("Looked after"),
        "open_date": _l("Customer since"),
    }
    column_sortable_list = (
        ("name", "number"),
        "tier",
        "financial_assets",
        ("last_contact.contact_time", "last_contact_time"),
        ("profile_sheet.next_contact_on", "next_contact_on"),
    )
    column_default_sort = ("financial_assets", True)
    numeric = frozenset({"financial_assets", "change"})
    column_filters = (
        RemoteFilter("tier", _l("Tier"), parse=int, options=words.options(words.TIER)),
        RemoteFilter(
            "customer_type", _l("Type"), parse=int, options=words.options(words.TYPE)
        ),
        RemoteFilter(
            "not_contacted_days", _l("Days without contact"), parse=int, kind="number"
        ),
    )
    segments = (
        Segment("all", _l("All"), {}),
        Segment("unassigned", _l("Without owner"), {"unassigned": True}),
        Segment("quiet", _l("Not to be disturbed"), {"do_not_disturb": True}),
    )
    search_hint = _l("Name, customer number, mobile or its last four digits")
    form = SheetForm
    update_fields = (
        "occupation",
        "employer",
        "household_finances",
        "preferences",
        "family_notes",
        "preferred_channel",
        "preferred_time",
        "contact_frequency",
        "next_contact_on",
    )

    def __init__(self, channels: Channels, people: People) -> None:
        """Show customers with the names that *people* knows."""
        self._stub = channels.stub("customer", customer_pb2_grpc.CustomerServiceStub)
        self._consents = channels.stub("customer", consent_pb2_grpc.ConsentServiceStub)
        self._portrait = Portrait(channels)
        self.gather_over(channels)
        self._people = people
        self.title = _l("Customers")
        self.column_formatters = written(people)
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Customer,
            name=_l("Customers"),
            endpoint="customers",
            menu_icon_type="own",
            menu_icon_value="users",
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
        """Return a page of customers; telephones are searched for by their index, and some posts may only search."""
        if not query and not may(LIST):
            return Page([], 0)
        if EXACT.fullmatch(query) or not may(LIST):
            asked = pb.SearchCustomersRequest(
                query=query,
                page_size=page_size,
                skip=skip,
                order_by=order_by
                if order_by.split(" ", maxsplit=1)[0] in SEARCH_ORDERS
                else "",
            )
            found = self._stub.SearchCustomers(asked)
        else:
            found = self._stub.ListCustomers(
                pb.ListCustomersRequest(
                    page_size=page_size,
                    skip=skip,
                    order_by=order_by,
                    query=query,
                    **fields,
                )
            )
        return Page(found.customers, found.total_size)

    @expose("/seek/", methods=("POST",))
    def seek(self) -> Any:
        """Search from the top of any page: one customer is opened at once, several are listed."""
        query = request.form.get("search", "").strip()[:QUERY_LENGTH]
        if len(query) < SHORTEST:
            flash(_("Search with at least two characters."), "warning")
            return redirect(self.get_url(".index_view"), 303)
        try:
            found = self._stub.SearchCustomers(
                pb.SearchCustomersRequest(query=query, page_size=SHORTEST)
            )
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            flash(sayings.sentence(error), "danger")
            return redirect(self.get_url(".index_view"), 303)
        if found.total_size == 1:
            name = found.customers[0].name
            return redirect(self.get_url(".details_view", id=name), 303)
        key = searches.keep(query)
        return redirect(self.get_url(".index_view", search=key), 303)

    def fetch(self, name: str) -> pb.Customer:
        """Return one customer."""
        return self._stub.GetCustomer(pb.GetCustomerRequest(name=name))

    def part(self, message: pb.Customer) -> pb.ProfileSheet:
        """Return the sheet, which is what staff write."""
        return message.profile_sheet

    def store(
        self, changed: pb.Customer, mask: Sequence[str], request_id: str
    ) -> pb.Customer:
        """Write the sheet."""
        return self._stub.UpdateCustomer(
            pb.UpdateCustomerRequest(
                customer=changed, update_mask={"paths": mask}, request_id=request_id
            )
        )

    @expose("/details/")
    def details_view(self) -> str:
        """Show one customer with what engagement knows of them."""
        name = request.args.get("id", "")
        return self._page(self.fetch(name))

    def _page(self, customer: pb.Customer, **more: Any) -> str:
        parts = self._portrait.of(customer.name)
        chart = assets_chart(
            parts.get("positions"), str(_("Financial assets of thirteen months"))
        )
        return self.render(
            self.details_template,
            model=customer,
            parts=parts,
            chart=chart,
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            words=words,
            staff_name=self._people.staff_name,
            cents=formats.cents_of,
            may_reveal=may(self.asks["reveal"]),
            may_disturb=may(CONSENT),
            **more,
        )

    @expose("/reveal/", methods=("POST",))
    def reveal(self) -> Any:
        """Show one masked field in full, once, for a reason that is kept."""
        name = request.form.get("id", "")
        field = request.form.get("field", "")
        customer = self.fetch(name)
        try:
            answer = self._stub.RevealCustomerField(
                pb.RevealCustomerFieldRequest(
                    name=name,
                    field=f"REVEAL_FIELD_{field.upper()}",
                    reason=request.form.get("reason", ""),
                )
            )
        except (grpc.RpcError, ValueError) as error:
            if isinstance(error, grpc.RpcError):
                flash(sayings.sentence(error), "danger")
            return redirect(self.get_url(".details_view", id=name), 303)
        return self._page(
            customer, revealed={field: answer.value}, left=answer.remaining_count
        )

    @expose("/disturb/", methods=("POST",))
    def disturb(self) -> Any:
        """Note that the customer asks not to be disturbed, or lift it on proof."""
        form = request.form
        name, wanted = form.get("id", ""), form.get("quiet") == "1"
        evidence = None
        if not wanted:
            evidence = consent_pb2.Evidence(
                kind=form.get("kind", 0, type=int),
                reference=form.get("reference", "").strip(),
            )
        told = consent_pb2.SetDoNotDisturbRequest(
            customer=name,
            do_not_disturb=wanted,
            evidence=evidence,
            request_id=form.get("nonce", ""),
        )
        try:
            self._consents.SetDoNotDisturb(told)
        except grpc.RpcError as error:
            flash(sayings.sentence(error), "danger")
        else:
            flash(
                _("Noted: not to be disturbed.")
                if wanted
                else _("The request not to be disturbed was lifted."),
                "success",
            )
        return redirect(self.get_url(".details_view", id=name), 303)
