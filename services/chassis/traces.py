"""
Traces: which span the work at hand belongs to and, where a collector is told, the spans themselves.

A span is written at its end, out of what is known by then; until then nothing is carried but its ids, so that a bank
without a collector pays nothing. Names and attributes never hold what a request says.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
"""A W3C ``traceparent``."""

SERVER, CLIENT, CONSUMER, INTERNAL = "SERVER", "CLIENT", "CONSUMER", "INTERNAL"
"""Kinds of spans, by OpenTelemetry's names."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work in a trace: ids in hexadecimal, the start in nanoseconds since 1970."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    parent_id: str = ""
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    start: int = field(default_factory=time.time_ns)

    @property
    def header(self) -> str:
        """Return the ``traceparent`` of calls made within."""
        return f"00-{self.trace_id}-{self.span_id}-01"


NOWHERE = Span(trace_id="", span_id="", start=0)
HERE: ContextVar[Span] = ContextVar("guanhu_span", default=NOWHERE)
"""The span of the work at hand: facts and errands written within carry its trace."""

_collector: Any = None
_close: Any = None


def span_of(header: str) -> Span:
    """Return a span below the caller's, as its ``traceparent`` says; a trace of its own when it says nothing good."""
    found = PARENT.fullmatch(header)
    return Span(found[1], found[2]) if found else Span()


@contextmanager
def within(trace_id: str, name: str, kind: str, **attributes: str) -> Iterator[None]:
    """Do what follows as a span of its own in the trace of *trace_id*, or in a fresh one when that is empty."""
    span = Span(trace_id) if trace_id else Span()
    token, outcome = HERE.set(span), "ERROR"
    try:
        yield
        outcome = "OK"
    finally:
        HERE.reset(token)
        tell(span, name, kind, outcome, **attributes)


def tell(span: Span, name: str, kind: str, outcome: str, **attributes: str) -> None:
    """Hand an ended span to the collector, where there is one; *outcome* is OK or the name of what went wrong."""
    if _collector is not None:
        _collector(span, name, kind, outcome, attributes)


def open_traces(service: str, endpoint: str) -> None:
    """Send spans to the OTLP collector at *endpoint* from now on, in the background; empty sends none."""
    global _collector, _close
    if endpoint:
        from services.chassis.collector import collector  # noqa: PLC0415 - its packages cost a third of a start

        _collector, _close = collector(service, endpoint)


def close_traces() -> None:
    """Hand the last spans to the collector, where there is one; blocks for at most a few seconds."""
    if _close is not None:
        _close()
