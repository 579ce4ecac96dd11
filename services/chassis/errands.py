"""
Calls to other services that must happen because something was decided here.

An errand is a row, written with the decision; the worker delivers it until it holds, with the errand's id as
``request_id``. Nothing calls out inside a transaction.

An answer may say that the receiver does not know some of the resources that it was told about, in fields whose names
begin with ``unknown_``. What belongs to those has not been done, and is what is left of the errand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from uuid_utils.compat import uuid7

from services.chassis import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.chassis.db import Work

UNKNOWN = "unknown_"
"""How the fields of an answer begin that name resources which the receiver does not know."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One call to be made: the path of the RPC, and its request (whose ``request_id`` the errand fills in)."""

    method: str
    request: Message
    branch_id: int
    trace_id: str = ""
    errand_id: UUID = field(default_factory=uuid7)

    @property
    def service(self) -> str:
        """Return the service of this system that the errand goes to: the second part of its package."""
        return self.method.split(".")[1]


async def write(work: Work, found: Sequence[Errand]) -> None:
    """Write *found* down in the transaction of *work*."""
    rows = []
    for errand in found:
        if "request_id" in errand.request.DESCRIPTOR.fields_by_name:
            errand.request.request_id = str(errand.errand_id)  # type: ignore[attr-defined]
        rows.append(
            {
                "branch_id": errand.branch_id,
                "errand_id": errand.errand_id,
                "service": errand.service,
                "method": errand.method,
                "request": errand.request.SerializeToString(),
                "trace_id": errand.trace_id,
                "create_time": work.now,
                "due_time": work.now,
                "tries": 0,
                "cause": "",
            }
        )
    if rows:
        await work.execute(tables.errands.insert(), rows)


def left_over(method: str, request: bytes, answer: bytes) -> bytes | None:
    """
    Return what of *request* the receiver did not take, by its *answer*; None when it took everything.

    Left over are the lines that name something unknown, or all where none does. They go under another
    ``request_id``: the same one would only be given the same answer again.
    """
    service, _, name = method.strip("/").partition("/")
    pool: Any = descriptor_pool.Default()  # type: ignore[no-untyped-call]
    try:
        found = pool.FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return None
    told: Any = message_factory.GetMessageClass(found.output_type).FromString(answer)
    unknown = [
        value
        for one, values in told.ListFields()
        if one.name.startswith(UNKNOWN) and hasattr(values, "extend")
        for value in values
    ]
    if not unknown:
        return None
    rest: Any = message_factory.GetMessageClass(found.input_type).FromString(request)
    for _, lines in rest.ListFields():
        kept = (
            [line for line in lines if _names(line, unknown)]
            if hasattr(lines, "add")
            else []
        )
        if kept:
            del lines[:]
            lines.extend(kept)
    rest.MergeFrom(type(rest)(request_id=str(uuid7())))
    return bytes(rest.SerializeToString(deterministic=True))


def _names(line: Any, unknown: Sequence[str]) -> bool:
    return any(
        value in unknown for _, value in line.ListFields() if isinstance(value, str)
    )
