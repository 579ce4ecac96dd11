"""
How a view lists: page, order, search, tabs and typed filters become one List request; a bulk action is about exactly
what the person saw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from flask import abort, flash, g, redirect, request
from flask_admin import expose
from flask_admin.model import BaseModelView
from flask_admin.model.filters import BaseFilter
from flask_babel import gettext as _
from google.type import date_pb2

from admin import formats, sayings, searches
from admin.fields import plain
from admin.seals import seal, unseal

FARTHEST = 100_000
"""Lists are not paged beyond this; services count no further either."""

QUERY_LENGTH = 64

KEPT_ARGUMENTS = ("tab", "sort", "desc", "page_size")
"""What stays in the address of a list when something else is searched for in it."""

Rows = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and how many rows there are in all."""

    rows: Rows
    total: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A tab above a list: fields of the List request under a key and a label."""

    key: str
    label: object
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a bulk action is about: named rows, or everything that the list showed when the box was ticked."""

    names: tuple[str, ...]
    everything: bool
    fields: Mapping[str, Any]
    query: str
    total: int


class RemoteFilter(BaseFilter):  # type: ignore[misc]
    """One typed field of the List request, filled from the filter box."""

    def __init__(
        self,
        field: str,
        label: object,
        *,
        parse: Callable[[str], Any] = str,
        options: object = None,
        kind: str = "text",
        operation: object = "",
    ) -> None:
        """
        Fill *field* of the request.

        Args:
            field: Name of the request's field.
            label: What the person reads.
            parse: Turns what was typed into the field's value; ValueError when it cannot.
            options: Pairs of value and label to choose from, or a callable that returns them; it is asked only while
                a request is served, never when the view is made.
            kind: ``text``, ``number`` or ``date``.
            operation: Word between label and value, such as "at least".

        """
        super().__init__(label, options=options, data_type=kind)
        self.field = field
        self._parse = parse
        self._operation = operation

    def operation(self) -> object:
        """Return the word between label and value."""
        return self._operation

    def get_options(self, view: Any) -> Any:
        """Return what can be chosen; nothing while no request is served, so that no call is made at the start."""
        return super().get_options(view) if request else None

    def clean(self, value: str) -> Any:
        """Return the typed value; raises ValueError."""
        return self._parse(value)

    def apply(self, query: dict[str, Any], value: str) -> dict[str, Any]:
        """Set the field among those of the request."""
        query[self.field] = self.clean(value)
        return query


class Listing(BaseModelView):  # type: ignore[misc]
    """Turns Flask-Admin's page, sort, search and filters into a List request."""

    search_hint: object = ""
    search_private = False
    """Whether what is searched for may be a personal value: it is posted then, and addresses hold a key to it."""
    segments: tuple[Segment, ...] = ()

    def list_page(
        self,
        *,
        page_size: int,
        skip: int,
        order_by: str,
        query: str,
        fields: Mapping[str, Any],
    ) -> Page:
        """Return one page; *fields* are the typed fields of the request that filters and the tab ask for."""
        raise NotImplementedError

    def kept(self) -> dict[str, str]:
        """Return what of the address says which list this is, and stays whatever else is asked of it."""
        return {}

    def init_search(self) -> bool:
        """Say whether the list can be searched."""
        return bool(self.search_hint)

    def search_placeholder(self) -> str:
        """Return what can be searched for."""
        return str(self.search_hint)

    def sought(self, search: str | None) -> str:
        """Return what is searched for, given what the address says about it."""
        asked = (search or "").strip()
        if asked and self.search_private:
            found = searches.recall(asked)
            if found is None:
                flash(_("This search has ended; search again."), "warning")
            asked = found or ""
        return asked[:QUERY_LENGTH]

    @expose("/find/", methods=("POST",))
    def find(self) -> Any:
        """Take what is searched for out of a form, keep it, and show the list under an address without it."""
        if not self.search_private:
            abort(404)
        query = request.form.get("search", "").strip()[:QUERY_LENGTH]
        kept = {
            name: value
            for name, value in request.form.items()
            if value and (name in KEPT_ARGUMENTS or name.startswith("flt"))
        }
        key = searches.keep(query) if query else None
        return redirect(self.get_url(".index_view", search=key, **kept), 303)

    def get_filter_arg(self, index: int, flt: RemoteFilter) -> str:
        """Return the filter's name in addresses: the field's, which stays when filters are added or renamed."""
        return flt.field

    def _get_list_filter_args(self) -> list[tuple[int, str, str]]:
        """Return the filters in the address, ``flt0_field=value``, in the order of the filter box."""
        asked = []
        for key, value in request.args.items():
            field = key.partition("_")[2] if key.startswith("flt") else ""
            if field in (self._filter_args or {}) and value:
                index, found = self._filter_args[field]
                if found.validate(value):
                    asked.append((index, str(found.name), value))
                else:
                    told = _(
                        "“%(value)s” does not fit %(filter)s.",
                        value=value,
                        filter=found.name,
                    )
                    flash(told, "danger")
        return sorted(asked)

    def _get_list_extra_args(self) -> Any:
        found = super()._get_list_extra_args()
        names = [column for column, _label in self._list_columns]
        wanted = request.args.get("sort", "")
        sortable = wanted in names and wanted in self._sortable_columns
        return found.clone(
            sort=names.index(wanted) if sortable else None,
            page=max(0, min(found.page or 0, FARTHEST)),
        )

    def _get_list_url(self, view_args: Any) -> str:
        size = self.get_safe_page_size(view_args.page_size)
        column = self._get_column_by_idx(view_args.sort)
        return self.get_url(
            ".index_view",
            page=view_args.page or None,
            sort=column[0] if column else None,
            desc=1 if view_args.sort_desc else None,
            search=view_args.search or None,
            page_size=None if size == self.page_size else size,
            **view_args.extra_args,
            **self._get_filters(view_args.filters),
        )

    def segment(self) -> Segment | None:
        """Return the tab that is open, or None where there are no tabs."""
        wanted = request.args.get("tab", "")
        first = self.segments[0] if self.segments else None
        return next((tab for tab in self.segments if tab.key == wanted), first)

    def fields_asked(
        self, filters: Sequence[tuple[int, str, str]] | None
    ) -> dict[str, Any]:
        """Return the typed fields of the List request that the tab and the filters ask for."""
        tab = self.segment()
        fields = dict(tab.fields) if tab else {}
        for index, _label, value in filters or ():
            self._filters[index].apply(fields, value)
        return fields

    def order(self, field: str | None, *, descending: bool) -> tuple[str, bool]:
        """Return by which column the list is sorted, and whether downward; never by one that cannot be sorted by."""
        if field in self._sortable_columns:
            return str(field), descending
        chosen = self._get_default_order()
        return chosen[0] if chosen else ("", False)

    def get_list(
        self,
        page: int | None,
        sort_field: str | None,
        sort_desc: int | None,
        search: str | None,
        filters: Sequence[tuple[int, str, str]] | None,
        page_size: int | None = None,
    ) -> tuple[int, Rows]:
        """Return how many rows there are and those of one page; a list asked for wrongly is empty and says why."""
        size = min(page_size or self.page_size, 500)
        field, down = self.order(sort_field, descending=bool(sort_desc))
        column = self._sortable_columns.get(field, field)
        fields = self.fields_asked(filters)
        query = self.sought(search)
        told = self._template_args
        told["order"], told["segment"], told["selection"] = (
            (field, down),
            self.segment(),
            "",
        )
        told["sought"] = query
        try:
            found = self.list_page(
                page_size=size,
                skip=min((page or 0) * size, FARTHEST),
                order_by=f"{column}{' desc' if down else ''}" if column else "",
                query=query,
                fields=fields,
            )
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            flash(sayings.sentence(error), "danger")
            g.status = 422
            return 0, []
        told["selection"] = seal(
            f"{self.endpoint} selection", [_jsonable(fields), query, found.total]
        )
        return found.total, found.rows

    def selected(self) -> Selection | None:
        """
        Return what the posted bulk form is about; None, with a message, when the list has changed meanwhile.

        "Everything" is exactly the query the person saw, sealed into the page, and as many rows as they saw.
        """
        names = tuple(request.form.getlist("rowid"))
        if request.form.get("everything") != "1":
            return Selection(
                names, everything=False, fields={}, query="", total=len(names)
            )
        fields, query, total = unseal(
            f"{self.endpoint} selection", request.form.get("selection", "")
        )
        now = self.list_page(
            page_size=1, skip=0, order_by="", query=query, fields=_typed(fields)
        )
        if now.total != total:
            flash(
                _(
                    "The list has changed from %(before)s to %(now)s; look at it again.",
                    before=total,
                    now=now.total,
                ),
                "warning",
            )
            return None
        return Selection(
            (), everything=True, fields=_typed(fields), query=query, total=total
        )

    @expose("/action/", methods=("POST",))
    def action_view(self) -> Any:
        """Run a bulk action; one that is unknown is not found, one that is not allowed is refused."""
        name = request.form.get("action", "")
        if name not in self._actions_data:
            abort(404)
        if not self.is_action_allowed(name):
            abort(403)
        return self.handle_action()


def _jsonable(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"day": plain(formats.day_of(value))}
        if isinstance(value, date_pb2.Date)
        else value
        for name, value in fields.items()
    }


def _typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            year, month, day = map(int, value["day"].split("-"))
            return date_pb2.Date(year=year, month=month, day=day)
        return value

    return {name: typed(value) for name, value in fields.items()}
