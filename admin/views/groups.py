"""Customer groups: lists kept by hand and rules that find their members, who is in them, and putting people in."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import grpc
from flask import Response, abort, flash, g, jsonify, redirect, request
from flask_admin import expose
from flask_admin.helpers import get_form_data
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1 import group_pb2_grpc
from markupsafe import Markup

from admin import formats, grouping, sayings, words
from admin.channels import Channels
from admin.grouping import GroupForm, RuleForm
from admin.membership import AT_ONCE, SERVICE, put_in
from admin.people import People
from admin.remote import Page, RemoteView, Segment
from admin.rights import person, wants_json
from admin.views.contact_plans import request_id

SHOWN = 20
"""Members of one page (source: own proposal to the handbook's five)."""

NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
"""What a customer number can look like."""


def sized(members: int, quiet: int) -> str:
    """Return in words how many customers there are, and how many of them asked not to be disturbed."""
    told = ngettext(
        "%(count)s customer",
        "%(count)s customers",
        members,
        count=formats.count(members),
    )
    if not quiet:
        return str(told)
    return str(
        _(
            "%(customers)s, of which %(quiet)s asked not to be disturbed",
            customers=told,
            quiet=quiet,
        )
    )


class GroupView(RemoteView):
    """Groups in the person's sight."""

    asks: ClassVar[Mapping[str, str]] = {
        "": f"{SERVICE}.ListGroups",
        "index_view": f"{SERVICE}.ListGroups",
        "details_view": f"{SERVICE}.ListMembers",
        "peek_view": f"{SERVICE}.GetGroup",
        "create": f"{SERVICE}.CreateGroup",
        "change": f"{SERVICE}.UpdateGroup",
        "count": f"{SERVICE}.PreviewGroup",
        "put_in": f"{SERVICE}.AddMembers",
        "take_out": f"{SERVICE}.RemoveMembers",
        "remove": f"{SERVICE}.DeleteGroup",
    }
    list_template = "portal/groups.html"
    details_template = "portal/group.html"
    column_list = (
        "display_name",
        "kind",
        "create_time",
        "member_count",
        "do_not_disturb_count",
        "owner",
    )
    column_details_list = (
        "kind",
        "member_count",
        "do_not_disturb_count",
        "owner",
        "create_time",
        "update_time",
        "description",
    )
    column_labels: ClassVar[dict[str, object]] = {
        "display_name": _l("Name of the group"),
        "kind": _l("Members are found"),
        "create_time": _l("Created"),
        "member_count": _l("Members"),
        "do_not_disturb_count": _l("Not to be disturbed"),
        "owner": _l("Kept by"),
        "update_time": _l("Changed"),
        "description": _l("What it is for"),
    }
    column_sortable_list = ("display_name", "create_time", "member_count")
    column_default_sort = ("create_time", True)
    numeric = frozenset({"member_count", "do_not_disturb_count"})
    segments = (
        Segment("all", _l("All"), {}),
        Segment("lists", _l("By hand"), {"kind": pb.GROUP_KIND_STATIC}),
        Segment("rules", _l("By rule"), {"kind": pb.GROUP_KIND_RULE}),
    )
    search_hint = _l("Name of the group")

    def __init__(self, channels: Channels, people: People) -> None:
        """Show groups with the names that *people* knows."""
        self._stub = channels.stub("customer", group_pb2_grpc.GroupServiceStub)
        self._people = people
        self.title = _l("Customer groups")
        self.column_formatters = {
            "display_name": self._linked,
            "kind": lambda _v, _c, row, _n: words.chip(
                words.GROUP, row.kind, {pb.GROUP_KIND_RULE: "note"}
            ),
            "member_count": lambda _v, _c, row, _n: formats.count(row.member_count),
            "do_not_disturb_count": lambda _v, _c, row, _n: formats.count(
                row.do_not_disturb_count
            ),
            "owner": lambda _v, _c, row, _n: people.staff_name(row.owner),
        }
        self.column_formatters_detail = self.column_formatters
        super().__init__(
            pb.Group,
            name=_l("Customer groups"),
            endpoint="groups",
            menu_icon_type="own",
            menu_icon_value="flag",
        )

    @staticmethod
    def _linked(view: Any, _context: Any, row: pb.Group, _name: str) -> Markup:
        address = view.get_url(".details_view", id=row.name)
        link = Markup('<a class="strong" href="{}">{}</a>')
        return link.format(address, row.display_name)

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return a page of groups."""
        found = self._stub.ListGroups(
            pb.ListGroupsRequest(
                page_size=page_size, skip=skip, order_by=order_by, query=query, **fields
            )
        )
        return Page(found.groups, found.total_size)

    def fetch(self, name: str) -> pb.Group:
        """Return one group."""
        return self._stub.GetGroup(pb.GetGroupRequest(name=name))

    @expose("/details/")
    def details_view(self) -> str:
        """Show one group with a page of its members."""
        group = self.fetch(request.args.get("id", ""))
        quiet = request.args.get("quiet") == "1"
        at = max(0, request.args.get("page", 0, type=int))
        found = self._stub.ListMembers(
            pb.ListMembersRequest(
                group=group.name,
                page_size=SHOWN,
                skip=at * SHOWN,
                do_not_disturb=True if quiet else None,
            )
        )
        by_hand = group.kind == pb.GROUP_KIND_STATIC
        return self.render(
            self.details_template,
            model=group,
            members=found.members,
            total=found.total_size,
            at=at,
            first=at * SHOWN + 1,
            pages=max(1, -(-found.total_size // SHOWN)),
            quiet=quiet,
            by_hand=by_hand,
            filters=list(grouping.in_words(group.rule, self._people.staff_name)),
            details_columns=self._details_columns,
            get_value=self.get_detail_value,
            return_url=self.get_url(".index_view"),
            may_take_out=by_hand and self.allows("take_out"),
        )

    @expose("/create/", methods=("GET", "POST"))
    def create(self) -> Any:
        """Let the person make a group: a list that is filled later, or a rule."""
        by_rule = request.values.get("kind") == "rule"
        form = self._form(by_rule, {})
        if self._meant(form):
            group = self._told(form, by_rule)
            group.kind = pb.GROUP_KIND_RULE if by_rule else pb.GROUP_KIND_STATIC
            asked = pb.CreateGroupRequest(
                group=group, request_id=self._key("create", group)
            )
            made = self._try(lambda: self._stub.CreateGroup(asked))
            if made is not None:
                flash(_("The group was made."), "success")
                return redirect(self.get_url(".details_view", id=made.name), 303)
        return self._page(form, by_rule)

    @expose("/change/", methods=("GET", "POST"))
    def change(self) -> Any:
        """Let the person change name, purpose and rule."""
        group = self.fetch(request.values.get("id", ""))
        by_rule = group.kind == pb.GROUP_KIND_RULE
        form = self._form(by_rule, grouping.values_of(group))
        etag = request.form.get("etag", group.etag)
        if self._meant(form):
            told = self._told(form, by_rule)
            told.name, told.etag = group.name, etag
            paths = ["display_name", "description", *(["rule"] if by_rule else [])]
            asked = pb.UpdateGroupRequest(
                group=told,
                update_mask={"paths": paths},
                request_id=self._key("change", told),
            )
            if self._try(lambda: self._stub.UpdateGroup(asked)) is not None:
                flash(_("The group was changed."), "success")
                return redirect(self.get_url(".details_view", id=group.name), 303)
        return self._page(form, by_rule, group=group, etag=etag)

    def _form(self, by_rule: bool, values: Mapping[str, Any]) -> GroupForm:
        """Return the posted form, or one that holds *values*."""
        form = (RuleForm if by_rule else GroupForm)(get_form_data(), data=values)
        if by_rule:
            form.owners.choices = self._owners(values.get("owners") or ())
        return form

    def _owners(self, held: Sequence[str]) -> list[tuple[str, str]]:
        """Return who can be chosen as owner: the branch's staff, and whoever the rule or the page names already."""
        someone = person()
        staff = {}
        if someone is not None and self._wide():
            staff = self._people.staff(can_own=True, branch_id=someone.branch_id)
        named = dict.fromkeys([*held, *request.form.getlist("owners")])
        more = [name for name in named if name not in staff]
        return [
            *((one.name, one.display_name) for one in staff.values()),
            *((name, str(self._people.staff_name(name))) for name in more),
        ]

    @staticmethod
    def _wide() -> bool:
        """Say whether the person sees more than own customers."""
        someone = person()
        return someone is not None and someone.scope != "OWN"

    @staticmethod
    def _meant(form: GroupForm) -> bool:
        """Say whether the form was posted to be saved and is right; one that is not right is answered with 422."""
        if request.method != "POST" or request.form.get("only") == "count":
            return False
        if form.validate():
            return True
        g.status = 422
        return False

    @staticmethod
    def _told(form: GroupForm, by_rule: bool) -> pb.Group:
        group = pb.Group(
            display_name=form.display_name.data.strip(),
            description=(form.description.data or "").strip(),
        )
        if by_rule:
            group.rule.CopyFrom(grouping.rule_from(form))
        return group

    @staticmethod
    def _key(deed: str, group: pb.Group) -> str:
        content = group.SerializeToString(deterministic=True).hex()
        return request_id(deed, content, request.form.get("nonce", ""))

    @staticmethod
    def _try(call: Any) -> Any:
        """Return the answer of *call*; None, with the sentence on the page, where what was typed can be mended."""
        try:
            return call()
        except grpc.RpcError as error:
            g.status = sayings.http_status(error)
            if g.status not in {409, 422, 429}:
                raise
            flash(sayings.sentence(error), "danger")
            return None

    def _page(
        self, form: GroupForm, by_rule: bool, group: Any = None, etag: str = ""
    ) -> str:
        name = group.name if group else ""
        return self.render(
            "portal/group_form.html",
            form=form,
            by_rule=by_rule,
            model=group,
            etag=etag,
            parts=grouping.PARTS,
            wide=self._wide(),
            counted=self._counted(form, name) if by_rule else "",
            return_url=self.get_url(".details_view", id=name)
            if group
            else self.get_url(".index_view"),
        )

    def _counted(self, form: Any, name: str) -> str:
        """Return in words how many customers the rule on the page finds; why it finds none where it cannot be."""
        if request.method == "POST" and not form.validate():
            wrong = [form[one] for _title, names in grouping.PARTS for one in names]
            if any(one.errors for one in wrong):
                return str(_("Something in the rule is not filled in as it must be."))
        asked = pb.PreviewGroupRequest(rule=grouping.rule_from(form), group=name)
        try:
            found = self._stub.PreviewGroup(asked)
        except grpc.RpcError as error:
            return sayings.sentence(error)
        return sized(found.member_count, found.do_not_disturb_count)

    @expose("/count/", methods=("POST",))
    def count(self) -> Response:
        """Say how many customers the rule on the page would find, while it is being made."""
        if not wants_json():
            abort(404)
        name = request.form.get("id", "")
        form = self._form(by_rule=True, values={})
        return jsonify(text=self._counted(form, name))

    @expose("/put-in/", methods=("POST",))
    def put_in(self) -> Any:
        """Put the customers in whose numbers were pasted, in any form that tells them apart."""
        name = request.form.get("id", "")
        numbers = list(
            dict.fromkeys(
                re.split(r"[\s,;，；、]+", request.form.get("numbers", "").strip())
            )
        )
        wrong = [one for one in numbers if not NUMBER.fullmatch(one)]
        if wrong:
            flash(_("These are no customer numbers: nobody was put in."), "danger")
        else:
            customers = [f"customers/{one}" for one in numbers]
            put_in(self._stub, name, customers, request.form.get("nonce", ""))
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/take-out/", methods=("POST",))
    def take_out(self) -> Any:
        """Take the ticked customers out."""
        form = request.form
        name, customers = form.get("id", ""), form.getlist("rowid")[:AT_ONCE]
        key = request_id("out", name, *customers, form.get("nonce", ""))
        asked = pb.RemoveMembersRequest(group=name, customers=customers, request_id=key)
        answer = self._try(lambda: self._stub.RemoveMembers(asked))
        if answer is not None:
            told = ngettext(
                "%(num)d customer was taken out.",
                "%(num)d customers were taken out.",
                answer.removed_count,
            )
            flash(told, "success")
        return redirect(self.get_url(".details_view", id=name), 303)

    @expose("/remove/", methods=("POST",))
    def remove(self) -> Any:
        """Delete the group."""
        form = request.form
        name, etag = form.get("id", ""), form.get("etag", "")
        asked = pb.DeleteGroupRequest(
            name=name, etag=etag, request_id=request_id("delete", name, etag)
        )
        if self._try(lambda: self._stub.DeleteGroup(asked)) is None:
            return redirect(self.get_url(".details_view", id=name), 303)
        flash(_("The group was deleted; its customers stay."), "success")
        return redirect(self.get_url(".index_view"), 303)
