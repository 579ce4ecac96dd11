"""The glossary and the code use the same words: no word is without code, and no noun without a word."""

import itertools
import re
from collections import Counter
from functools import cache

import pytest

from tests.architecture.contracts import PROTOS, ROOT, descriptors, messages, rpcs

PAGE = ROOT / "docs" / "glossary.md"
HEAD = "| Name in code | Chinese | Meaning |"
ROW = re.compile(r"\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \| ([^|]+) \|")
CHINESE = re.compile(r"[一-鿿]")
RESOURCE = re.compile(
    r"^message (\w+) \{\n(?:  (?!string name).*\n)*?  // Resource name: .*\n  string name",
    re.MULTILINE,
)


@cache
def nouns():
    """Return the names of the noun packages below the services."""
    places = ("tables.py", "servicer.py", "servicer")
    return {
        path.parent.name
        for place in places
        for path in (ROOT / "services").glob(f"*/*/{place}")
    }


@cache
def resources():
    """Return the names of the contracts' resources: messages whose name is documented as a resource's."""
    return {
        name
        for path in PROTOS.glob("guanhu/*/v1/*.proto")
        for name in RESOURCE.findall(path.read_text(encoding="utf-8"))
    }


@cache
def names_in_code():
    """Return every name that a row may have: of messages, fields, enumerations, values, RPCs and noun packages."""
    found = set(nouns()) | {method.name for method, _ in rpcs()}
    enums = [one for file in descriptors() for one in file.enum_types_by_name.values()]
    for message in messages():
        found |= {message.name, *(field.name for field in message.fields)}
        enums += message.enum_types
    for enum in enums:
        found |= {enum.name, *enum.values_by_name}
    return found


def rows_of(text):
    """Return (names in code, Chinese, meaning) of every row, section by section; a line of another form is refused."""
    sections = []
    for part in text.split("\n## ")[1:]:
        lines = [line for line in part.splitlines()[1:] if line.strip()]
        assert lines[:2] == [HEAD, "| --- | --- | --- |"], lines[:2]
        found = [(line, ROW.fullmatch(line)) for line in lines[2:]]
        assert all(match for _, match in found), [one for one, got in found if not got]
        sections.append(
            [(re.findall(r"\w+", one[1]), one[2], one[3]) for _, one in found]
        )
    return sections


def package_of(name):
    """Return the name of the package that a message named *name* would have."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def faults(text):
    """Return what is wrong with a glossary."""
    sections = rows_of(text)
    rows = [row for section in sections for row in section]
    named = [name for names, _, _ in rows for name in names]
    covered = set(named) | {package_of(name) for name in named}
    return [
        *(f"not in code: {name}" for name in named if name not in names_in_code()),
        *(f"twice: {name}" for name, count in Counter(named).items() if count > 1),
        *(f"no row for noun: {name}" for name in sorted(nouns() - covered)),
        *(f"no row for resource: {name}" for name in sorted(resources() - set(named))),
        *(f"no Chinese: {names[0]}" for names, zh, _ in rows if not CHINESE.search(zh)),
        *(
            f"no sentence: {names[0]}"
            for names, _, meaning in rows
            if not re.fullmatch(r"[A-Z][^一-鿿.]+(?<! )\.", meaning)
        ),
        *(
            f"out of order: {name}"
            for section in sections
            for name in misplaced([names[0] for names, _, _ in section])
        ),
    ]


def misplaced(names):
    """Return the names that stand behind one that should follow them."""
    return [
        after
        for before, after in itertools.pairwise(names)
        if after.lower() < before.lower()
    ]


def test_every_word_has_its_code_and_every_noun_its_word():
    """The glossary names what exists, leaves no noun and no resource out, and is in order."""
    assert faults(PAGE.read_text(encoding="utf-8")) == []


def test_nouns_and_resources_are_read_as_they_are():
    """Nouns are found with and without tables, and a page about a resource is none itself."""
    assert nouns() >= {"customer", "overview", "identity", "delivery", "work_log"}
    assert "migrations" not in nouns()
    assert "gateways" not in nouns()
    assert resources() >= {"Customer", "WorkLog", "AssignmentPlan", "Session"}
    assert "CustomerOverview" not in resources()
    assert "ContactPlanItem" not in resources()


WORD = "| `Reminder` | 工作提醒 | Something that happened"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("| `Reminder` |", "| `Reminded` |", {"not in code: Reminded"}),
        ("| `Reminder` |", "| `Reminded` |", {"no row for resource: Reminder"}),
        ("| `Reminder` |", "| `Reminded` |", {"no row for noun: reminder"}),
        ("| `delivery` |", "| `Recipient` |", {"no row for noun: delivery"}),
        ("| `PlanItem` |", "| `plan_items` |", {"no row for resource: PlanItem"}),
        (WORD, "| `Reminder` | reminder | Something", {"no Chinese: Reminder"}),
        (WORD, "| `Reminder` | 工作提醒 | something", {"no sentence: Reminder"}),
        ("| `stale` |", "| `Opportunity` |", {"twice: Opportunity"}),
        ("| `stale` |", "| `content` |", {"out of order: content"}),
    ],
)
def test_a_faulty_glossary_is_told_by_its_fault(before, after, expected):
    """Each check can fail: a glossary with one fault more is told of it."""
    text = PAGE.read_text(encoding="utf-8")

    assert text.count(before) == 1
    assert expected <= set(faults(text.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("| `Reminder` |", "| Reminder |"),
        (HEAD, "| Code | Chinese | Meaning |"),
        ("| `Reminder` | 工作提醒 |", "| `Reminder` |"),
    ],
)
def test_a_table_of_another_form_is_refused(before, after):
    """A row that is no row of three, or another head, does not pass unseen."""
    with pytest.raises(AssertionError):
        rows_of(PAGE.read_text(encoding="utf-8").replace(before, after, 1))
