"""A page over customers, written as pages of the portal are, to try etags, tabs and bulk actions."""

from typing import ClassVar

from flask import flash
from flask_admin.actions import action
from flask_babel import gettext as _
from guanhu.customer.v1 import customer_pb2 as pb
from guanhu.customer.v1 import customer_pb2_grpc
from markupsafe import Markup
from wtforms import DateField, SelectField, StringField, TextAreaField
from wtforms.fields import SelectChoice
from wtforms.validators import Length, Optional

from admin import formats, menu
from admin.forms import Form
from admin.remote import Page, RemoteFilter, RemoteView, Segment

SERVICE = "guanhu.customer.v1.CustomerService"


class SheetForm(Form):
    occupation = StringField("职业", [Length(max=100)])
    family_notes = TextAreaField("家庭情况", [Length(max=500)])
    next_contact_on = DateField("下次联络", [Optional()])
    preferred_channel = SelectField(
        "渠道", coerce=int, choices=[SelectChoice(0, "—"), SelectChoice(1, "电话")]
    )


def named(view, _context, row, _name):
    address = view.get_url(".details_view", id=row.name)
    return Markup('<a class="strong" href="{}">{}</a>').format(
        address, row.display_name
    )


class CustomerPage(RemoteView):
    asks: ClassVar = {
        "": f"{SERVICE}.GetCustomer",
        "index_view": f"{SERVICE}.ListCustomers",
        "edit_view": f"{SERVICE}.UpdateCustomer",
        "greet": f"{SERVICE}.SetAccess",
        "count": f"{SERVICE}.ListCustomers",
    }
    can_edit = True
    column_list = (
        "display_name",
        "name",
        "tier",
        "financial_assets",
        "change",
        "profile_sheet.next_contact_on",
        "do_not_disturb",
        "mobile",
    )
    column_details_list = (
        "name",
        "tier",
        "financial_assets",
        "mobile",
        "profile_sheet.occupation",
        "profile_sheet.family_notes",
    )
    column_labels: ClassVar = {
        "display_name": "客户姓名",
        "name": "客户号",
        "tier": "等级",
        "financial_assets": "金融资产",
        "change": "比上期",
        "profile_sheet.next_contact_on": "下次联络",
        "profile_sheet.occupation": "职业",
        "profile_sheet.family_notes": "家庭情况",
        "do_not_disturb": "免打扰",
        "mobile": "手机号",
    }
    column_sortable_list = (("name", "number"), "financial_assets")
    column_default_sort = ("financial_assets", True)
    column_formatters: ClassVar = {
        "display_name": named,
        "tier": lambda _v, _c, row, _n: formats.tier(row.tier),
        "change": lambda _v, _c, row, _n: formats.delta(
            formats.cents_of(row.financial_assets),
            formats.cents_of(row.previous_financial_assets),
        ),
    }
    numeric = frozenset({"financial_assets", "change"})
    column_filters = (
        RemoteFilter(
            "tier",
            "等级",
            parse=int,
            options=lambda: [("1", "普通"), ("4", "钻石")],
        ),
        RemoteFilter("not_contacted_days", "未联络天数", parse=int, kind="number"),
    )
    segments = (
        Segment("all", "全部", {}),
        Segment("unassigned", "未指派", {"unassigned": True}),
    )
    search_hint = "姓名、客户号"
    form = SheetForm
    update_fields = (
        "occupation",
        "family_notes",
        "next_contact_on",
        "preferred_channel",
    )

    def __init__(self, channels):
        self.stub = channels.stub("customer", customer_pb2_grpc.CustomerServiceStub)
        self.title = "客户管理"
        self.picked = []
        super().__init__(
            pb.Customer,
            name="客户",
            endpoint="customers",
            menu_icon_type="own",
            menu_icon_value="users",
        )

    def list_page(self, *, page_size, skip, order_by, query, fields):
        answer = self.stub.ListCustomers(
            pb.ListCustomersRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(answer.customers, answer.total_size)

    def fetch(self, name):
        return self.stub.GetCustomer(pb.GetCustomerRequest(name=name))

    def part(self, message):
        return message.profile_sheet

    def store(self, changed, mask, request_id):
        return self.stub.UpdateCustomer(
            pb.UpdateCustomerRequest(
                customer=changed, update_mask={"paths": mask}, request_id=request_id
            )
        )

    @action("count", "计数", "确定要计数吗？")
    def count(self, names):
        picked = self.selected()
        if picked is not None:
            self.picked.append(picked)
            flash(_("Finished"), "success")

    @action("greet", "问候")
    def greet(self, names):
        raise AssertionError("nobody of the staff may do this")


def views(channels):
    """Make the trial page in place of the portal's own on customers, and after it the portal's others."""
    yield CustomerPage(channels)
    yield from (one for one in menu.views(channels) if one.endpoint != "customers")
