"""Measurements are run by name, and say why when they cannot."""

import json

import pytest

from tests import measure


def run(kind, name, capsys):
    """Run one that cannot, and return its last line."""
    with pytest.raises(SystemExit) as stopped:
        measure.main(kind, name)
    assert stopped.value.code == 2
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_name_that_is_not_there_is_told_with_those_that_are(capsys):
    """Whoever mistypes a name reads the right ones."""
    answer = run("bench", "ingets", capsys)

    assert answer["bench"] == "ingets"
    assert "detect, ingest, rpc" in answer["cannot_run"]


def test_what_stops_a_measurement_is_its_last_line(capsys, monkeypatch):
    """A missing tool, or a fault, is told as JSON too."""

    def stop(*_, **__):
        raise SystemExit("the load generator cannot run here: h2load is missing")

    monkeypatch.setattr(measure.runpy, "run_module", stop)

    assert run("bench", "rpc", capsys) == {
        "bench": "rpc",
        "cannot_run": "the load generator cannot run here: h2load is missing",
    }
