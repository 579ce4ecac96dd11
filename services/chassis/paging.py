"""
Pages: a size, an order, and where to go on; by keyset for tokens, by offset for the portal's numbered pages.

A token is sealed and bound to the caller and the other arguments of the list: it is no authority, and it cannot be
read, changed or taken to another list.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy import Row, Select, func, select, tuple_
from tink import TinkError

from services.chassis.caller import Caller
from services.chassis.errors import Invalid
from services.chassis.vault import Vault

if TYPE_CHECKING:
    from services.chassis.db import Work

DEFAULT_SIZE = 50
MOST = 500
COUNTED = 100_000
"""Totals are counted up to here; a larger list says this number."""

UNBOUND = ("page_size", "page_token", "skip")
"""Fields of a list's request that may differ from page to page."""

READERS: Mapping[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "UUID": UUID,
    "int": int,
    "str": str,
    "bool": lambda text: text == "True",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page as asked for: its size, order, and the key of the row it starts after."""

    size: int
    skip: int
    order: str
    descending: bool
    after: tuple[Any, ...] | None
    bound: bytes


class Pager:
    """Reads and writes page tokens."""

    def __init__(self, vault: Vault) -> None:
        """Seal tokens with *vault*."""
        self._vault = vault

    def page(
        self,
        request: Any,
        caller: Caller,
        orders: Sequence[str],
        default: str,
        most: int = MOST,
    ) -> Page:
        """
        Return the page that a List *request* asks for.

        *orders* are the fields one can sort by and *default* the order when none is given, ``field`` or
        ``field desc``. Refuses ORDER_UNKNOWN and PAGE_TOKEN_INVALID.
        """
        field, _, direction = (request.order_by or default).partition(" ")
        if field not in orders or direction.strip() not in ("", "asc", "desc"):
            raise Invalid("ORDER_UNKNOWN", field=field, allowed=", ".join(orders))
        bound = _binding(request, caller)
        return Page(
            size=min(request.page_size or DEFAULT_SIZE, most),
            skip=max(0, request.skip),
            order=field,
            descending=direction.strip() == "desc",
            after=self._after(request.page_token, bound)
            if request.page_token
            else None,
            bound=bound,
        )

    def _after(self, token: str, bound: bytes) -> tuple[Any, ...]:
        try:
            text = self._vault.open(base64.urlsafe_b64decode(token), bound.hex())
        except (TinkError, binascii.Error, ValueError):
            raise Invalid("PAGE_TOKEN_INVALID") from None
        return tuple(READERS[kind](value) for kind, value in json.loads(text))

    def start(self, request: Any, caller: Caller) -> tuple[Any, ...] | None:
        """Return the key after which a page of *request* starts, for lists with one order only; None for the first."""
        return (
            self._after(request.page_token, _binding(request, caller))
            if request.page_token
            else None
        )

    def seal(self, request: Any, caller: Caller, values: Sequence[Any]) -> str:
        """Return the token of the page of *request* after *values*, for lists with one order only."""
        return self._sealed(_binding(request, caller), values)

    def token(self, page: Page, values: Sequence[Any]) -> str:
        """Return the token of the page after the row whose sort key is *values*."""
        return self._sealed(page.bound, values)

    def _sealed(self, bound: bytes, values: Sequence[Any]) -> str:
        text = json.dumps([[type(value).__name__, str(value)] for value in values])
        return base64.urlsafe_b64encode(self._vault.seal(text, bound.hex())).decode()


def _binding(request: Message, caller: Caller) -> bytes:
    plain = type(request)()
    plain.CopyFrom(request)
    for field in UNBOUND:
        if field in request.DESCRIPTOR.fields_by_name:
            plain.ClearField(field)
    text = plain.SerializeToString(deterministic=True)
    return hashlib.sha256(
        f"{request.DESCRIPTOR.full_name}|{caller.subject}|".encode() + text
    ).digest()


def paged(statement: Select[Any], page: Page, keys: Sequence[Any]) -> Select[Any]:
    """
    Return *statement* cut to *page*, in the order of *keys*, with one row more to know whether there is a next.

    *keys* are the sort column and the columns that make it unique, none of them null, all in one direction.
    """
    ordered = [key.desc() if page.descending else key.asc() for key in keys]
    cut = statement.order_by(*ordered).limit(page.size + 1)
    if page.after is None:
        return cut.offset(page.skip) if page.skip else cut
    start = tuple_(*keys), tuple_(*page.after)
    return cut.where(start[0] < start[1] if page.descending else start[0] > start[1])


def split(
    pager: Pager,
    page: Page,
    rows: Sequence[Row[Any]],
    keys: Callable[[Row[Any]], Sequence[Any]],
) -> tuple[Sequence[Row[Any]], str]:
    """Return the rows of the page and the token of the next, empty when there is none."""
    if len(rows) <= page.size:
        return rows, ""
    shown = rows[: page.size]
    return shown, pager.token(page, keys(shown[-1]))


@dataclass(frozen=True, slots=True)
class Listing:
    """
    How the rows of one noun are listed.

    ``orders`` are the columns one can sort by, none of them null; ``unique`` those that make every order total,
    branch first, which the statement must select under their own names.
    """

    orders: Mapping[str, Any]
    default: str
    unique: Sequence[Any]

    async def read(
        self, work: "Work", pager: Pager, request: Any, statement: Select[Any]
    ) -> tuple[Sequence[Row[Any]], str, int]:
        """Return the rows of the page that *request* asks for, the token of the next, and how many rows there are."""
        page = pager.page(request, work.caller, tuple(self.orders), self.default)
        key = self.orders[page.order]
        found = await work.execute(
            paged(
                statement.add_columns(key.label("sort_key")), page, (key, *self.unique)
            )
        )
        total = (await work.execute(counted(statement))).scalar_one()
        shown, token = split(pager, page, found.all(), self._key)
        return shown, token, int(total)

    def _key(self, row: Row[Any]) -> tuple[Any, ...]:
        return row.sort_key, *(getattr(row, column.key) for column in self.unique)


def counted(statement: Select[Any]) -> Select[Any]:
    """Return the statement that counts the rows of *statement*, up to COUNTED."""
    return select(func.count()).select_from(
        statement.order_by(None).limit(COUNTED).subquery()
    )
