"""Spans reach the collector, also those of a process that ends right after them."""

import time

import pytest

from services.chassis import traces
from services.chassis.traces import INTERNAL, within
from tests.collector import Collector


@pytest.fixture
def exporting(monkeypatch):
    """A collector that this process exports to."""
    found = Collector()
    monkeypatch.setattr(traces, "_collector", None)
    monkeypatch.setattr(traces, "_close", None)
    traces.open_traces("trial", found.endpoint)
    yield found
    found.close()


def test_what_was_done_last_is_told_at_the_end(exporting):
    """The end hands it on at once, in the trace it belongs to, and what failed as failed."""
    with within("ab" * 16, "first", INTERNAL):
        pass
    with pytest.raises(ZeroDivisionError), within("", "second", INTERNAL):
        raise ZeroDivisionError
    traces.close_traces()

    assert [(one.service, one.name, one.failed) for one in exporting.spans] == [
        ("guanhu-trial", "first", False),
        ("guanhu-trial", "second", True),
    ]
    assert exporting.spans[0].trace_id == "ab" * 16


def test_a_collector_that_is_gone_holds_the_end_up_for_a_few_seconds_only(exporting):
    """What it would have been told is lost, and nothing else."""
    exporting.close()
    with within("", "lost", INTERNAL):
        pass
    began = time.monotonic()
    traces.close_traces()

    assert time.monotonic() - began < 8
    assert exporting.spans == []
