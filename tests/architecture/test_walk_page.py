"""The walk's page names files, functions and steps that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "walk.md"
WALK = ROOT / "tests" / "e2e" / "test_walk.py"
NAMED = re.compile(r"`([\w/]+\.(?:py|proto|md))`(?:(?: \(|, )((?:`\w+`(?:, )?)+)\)?)?")
STEP = re.compile(r"^(?:(\d+)\. |\s+- (\d+b)\. )\*\*", re.MULTILINE)


def names_in(path):
    """Return what a file defines: functions and classes of a module, RPCs and messages of a contract."""
    text = path.read_text()
    if path.suffix == ".proto":
        return set(
            re.findall(r"^\s*(?:rpc|message|service|enum) (\w+)", text, re.MULTILINE)
        )
    return {
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def untrue(text):
    """Return every file and name of *text* that does not exist."""
    found = []
    for path, listed in NAMED.findall(text):
        file = ROOT / path
        if not file.is_file():
            found.append(path)
            continue
        known = names_in(file) if listed else set()
        wanted = re.findall(r"\w+", listed)
        found += [f"{path} {name}" for name in wanted if name not in known]
    return found


def unknown_facts(text):
    """Return the names of facts that no contract holds."""
    known = set()
    for path in (ROOT / "protos" / "guanhu").rglob("*_events.proto"):
        known |= names_in(path)
    told = re.findall(r"Written.*?$", text, re.MULTILINE)
    return sorted(set(re.findall(r"`([A-Z]\w+)`", " ".join(told))) - known)


def steps_of(text):
    """Return the numbers of the steps, in the order of the page."""
    return [one or other for one, other in STEP.findall(text)]


def walked():
    """Return the steps that the test of the walk takes, by the names of its tests."""
    found = []
    for name in re.findall(r"^def test_(\w+)", WALK.read_text(), re.MULTILINE):
        numbers = re.match(r"(\d+b?)(?:_and_(\d+b?))?_", name)
        found += [one for one in numbers.groups() if one] if numbers else []
    return found


def test_every_file_and_name_of_the_page_exists():
    """A file that was moved or a function that was renamed is told."""
    assert untrue(PAGE.read_text()) == []


def test_every_fact_that_is_written_is_in_a_contract():
    """What a step says it writes is published under that name."""
    assert unknown_facts(PAGE.read_text()) == []
    assert unknown_facts("Written: `CustomersVanished` in the outbox.") == [
        "CustomersVanished"
    ]


def test_the_page_and_the_test_take_the_same_steps_in_the_same_order():
    """What the page tells is what is walked in a browser and over gRPC."""
    steps = steps_of(PAGE.read_text())

    assert steps == walked()
    assert [int(one) for one in steps if one.isdigit()] == list(range(1, 13))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`services/nowhere.py`", "services/nowhere.py"),
        ("`docs/walk.md` and `docs/run.md`", "docs/run.md"),
        ("`services/chassis/feed.py` (`Feeder`)", "services/chassis/feed.py Feeder"),
        (
            "`services/chassis/outbox.py` (`write`, `wrote`)",
            "services/chassis/outbox.py wrote",
        ),
        (
            "`protos/guanhu/policy/v1/policy.proto` (`Nobody`)",
            "protos/guanhu/policy/v1/policy.proto Nobody",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told(text, fault):
    """The check can fail: a wrong file or name is found, and nothing else."""
    assert untrue(text) == [fault]
