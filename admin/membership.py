"""Putting customers into groups: pasted numbers and ticked rows go the same way."""

from collections.abc import Sequence
from typing import Any

import grpc
from flask import flash, request
from flask_admin.actions import action
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1 import group_pb2_grpc

from admin import sayings
from admin.channels import Channels
from admin.listing import FARTHEST, Listing, Rows, Selection
from admin.rights import may
from admin.views.contact_plans import request_id

SERVICE = "guanhu.customer.v1.GroupService"

AT_ONCE = 1000
"""Customers that one call puts in; the contract takes no more."""

CHOICES = 200
"""Groups that can be chosen from at once, the newest first."""

PIECE = 500
"""Rows of one question about everything that a list showed."""

STRANGERS = 10
"""Numbers that are named at once when nobody in sight has them."""


def put_in(stub: Any, group: str, customers: Sequence[str], nonce: str) -> None:
    """Put *customers* into *group*, a thousand at once, and say on the page what came of it."""
    added = present = 0
    strangers: list[str] = []
    try:
        for start in range(0, len(customers), AT_ONCE):
            piece = customers[start : start + AT_ONCE]
            key = request_id("in", group, *piece, nonce)
            answer = stub.AddMembers(
                pb.AddMembersRequest(group=group, customers=piece, request_id=key)
            )
            added += answer.added_count
            present += answer.present_count
            strangers += answer.unknown_customers
    except grpc.RpcError as error:
        if sayings.http_status(error) not in {409, 422, 429}:
            raise
        flash(sayings.sentence(error), "danger")
    told = ngettext(
        "%(num)d customer was put in.", "%(num)d customers were put in.", added
    )
    if present:
        told = _("%(put_in)s %(count)s were in already.", put_in=told, count=present)
    flash(told, "success" if added or present else "warning")
    if strangers:
        numbers = ", ".join(one.partition("/")[2] for one in strangers[:STRANGERS])
        text = ngettext(
            "%(num)d number belongs to nobody you may put in: %(numbers)s",
            "%(num)d numbers belong to nobody you may put in: %(numbers)s",
            len(strangers),
            numbers=numbers + ("…" if len(strangers) > STRANGERS else ""),
        )
        flash(text, "warning")


class Gathering(Listing):  # type: ignore[misc]
    """A list of customers whose rows can be ticked and put into a group, one that is there or a new one."""

    bulk_template = "portal/group_add.html"

    def gather_over(self, channels: Channels) -> None:
        """Ask over *channels*."""
        self._gathered = channels.stub("customer", group_pb2_grpc.GroupServiceStub)

    def get_list(self, *given: Any, **named: Any) -> tuple[int, Rows]:
        """Return a page of the list, with the groups that its rows can be put into."""
        self._offer_groups()
        return super().get_list(*given, **named)

    def _offer_groups(self) -> None:
        """Tell the page which groups the person can put customers into; none while they cannot be asked for."""
        if not may(f"{SERVICE}.AddMembers"):
            return
        asked = pb.ListGroupsRequest(kind=pb.GROUP_KIND_STATIC, page_size=CHOICES)
        try:
            self._template_args["groups"] = self._gathered.ListGroups(asked).groups
        except grpc.RpcError:
            self._template_args["groups"] = []

    @action("group", _l("Put into the group"))
    def group(self, _names: list[str]) -> None:
        """Put the ticked customers, or everything that the list showed, into the group chosen in the bar."""
        picked = self.selected()
        if picked is None:
            return
        nonce = request.form.get("nonce", "")
        name = request.form.get("group", "") or self._new_group(nonce)
        if name:
            put_in(self._gathered, name, self._customers(picked), nonce)

    def _new_group(self, nonce: str) -> str:
        """Make the group that was named in the bar and return its name; empty, with a sentence, when it cannot be."""
        called = request.form.get("group_name", "").strip()
        if not called:
            flash(_("Choose a group, or name a new one."), "warning")
            return ""
        asked = pb.CreateGroupRequest(
            group=pb.Group(display_name=called),
            request_id=request_id("gather", called, nonce),
        )
        try:
            return str(self._gathered.CreateGroup(asked).name)
        except grpc.RpcError as error:
            if sayings.http_status(error) not in {409, 422}:
                raise
            flash(sayings.sentence(error), "danger")
            return ""

    def _customers(self, picked: Selection) -> list[str]:
        """Return whom the choice is about: the ticked rows, or every row of what the list showed."""
        if not picked.everything:
            return list(picked.names)
        found: list[str] = []
        while len(found) < min(picked.total, FARTHEST):
            rows = self.list_page(
                page_size=PIECE,
                skip=len(found),
                order_by="number",
                query=picked.query,
                fields=picked.fields,
            ).rows
            if not rows:
                break
            found += [row.name for row in rows]
        return found
