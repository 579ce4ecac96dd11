"""
Calls to other services that must happen because something was decided here.

An errand is a row, written with the decision; the worker delivers it until it holds, with the errand's id as
``request_id``. Nothing calls out inside a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from google.protobuf.message import Message
from uuid_utils.compat import uuid7

from services.chassis import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.chassis.db import Work


@dataclass(frozen=True, slots=True)
class Errand:
    """One call to be made: the path of the RPC, and its request (whose ``request_id`` the errand fills in)."""

    method: str
    request: Message
    branch_id: int
    errand_id: UUID = field(default_factory=uuid7)

    @property
    def service(self) -> str:
        """Return the service of this system that the errand goes to: the second part of its package."""
        return self.method.split(".")[1]


async def write(work: Work, found: Sequence[Errand], trace_id: str) -> None:
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
                "trace_id": trace_id,
                "create_time": work.now,
                "due_time": work.now,
                "tries": 0,
                "cause": "",
            }
        )
    if rows:
        await work.execute(tables.errands.insert(), rows)
