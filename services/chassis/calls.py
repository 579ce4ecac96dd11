"""The call being served: what the frame and the unit of work know of it, carried in one context variable."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.chassis.traces import HERE, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.chassis.caller import Caller
    from services.chassis.db import Work
    from services.chassis.policy import Access


class Replayed(Exception):
    """The same request was answered before; its stored answer is the answer."""

    def __init__(self, answer: bytes) -> None:
        """Carry the serialised *answer*."""
        super().__init__("replayed")
        self.answer = answer


@dataclass(slots=True)
class Note:
    """What one call did in one branch, for the audit record."""

    resources: list[str] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """
    One call from start to answer.

    ``joined`` says that every unit of work opened during the call is the same transaction, which the frame commits
    together with the stored answer and the audit record. ``told`` is what a stream says about itself for its record.
    """

    access: Access
    caller: Caller
    span: Span
    joined: bool = False
    request_id: UUID | None = None
    digest: bytes = b""
    work: Work | None = None
    told: dict[str, object] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        """Return the trace that the call belongs to."""
        return self.span.trace_id


@contextmanager
def serving(call: Call) -> Iterator[None]:
    """Serve *call*: whatever is done meanwhile knows it, and its span."""
    current, here = CURRENT.set(call), HERE.set(call.span)
    try:
        yield
    finally:
        CURRENT.reset(current)
        HERE.reset(here)


@dataclass(frozen=True, slots=True)
class Context:
    """
    What a servicer's method is given beside the request.

    ``wire`` is gRPC's own context, for peers and metadata; a method that only asks and answers needs ``caller`` alone.
    ``check`` enforces the contract's rules on one message of a stream, whose messages the gate only parses: lines
    of bulk are judged one by one, not refused whole.
    """

    caller: Caller
    wire: Any
    check: Callable[[Any], None]


CURRENT: ContextVar[Call | None] = ContextVar("guanhu_call", default=None)


def tell(**detail: object) -> None:
    """Add to the audit record of the stream being served, before its first answer; never a personal value."""
    call = CURRENT.get()
    if call is not None:
        call.told.update(detail)
