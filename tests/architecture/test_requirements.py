"""The table of requirements says only what holds: tests, RPCs and pages that it names are there."""

import ast
import csv
import re
from functools import cache

import pytest

from tests.architecture.contracts import ROOT, rpcs

TABLE = ROOT / "docs" / "requirements.csv"
COLUMNS = ("ID", "sentence", "rpc_or_page", "test", "state")
STATES = frozenset({"done", "part", "planned"})

FAMILIES = {
    "MOD": 10,
    "FLOW": 6,
    "COL": 12,
    "BM": 43,
    "LM": 12,
    "CM": 48,
    "RM": 4,
    "WL": 3,
    "OT": 10,
    "CT": 2,
    "LA": 2,
    "A4": 1,
    "A8": 1,
    "A12": 3,
    "D4": 10,
}
"""How many requirements each part of the handbook makes; they count from 1 without gaps."""

NUMBERED = re.compile(r"([A-Z]+\d*)-([1-9]\d*)")
RPC = re.compile(r"guanhu(?:\.\w+)+\.[A-Z]\w+\.[A-Z]\w+")
PAGE = re.compile(r"/admin/(?:[\w-]+/)*")

HERE = "tests/architecture/test_requirements.py"
FUTURE = "guanhu.allocation.v1.OwnershipService.Foresee"
"""An RPC that no contract has."""


def rows_of(path):
    """Return the rows of a table, after a look at its head."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        assert tuple(table.fieldnames) == COLUMNS
        return list(table)


@cache
def functions_in(path):
    """Return the names of the test functions of a file, those of classes as Class::method."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{m.name}" for m in node.body if isinstance(m, kinds)
            }
    return found


def is_test(node_id):
    """Say whether a pytest node id names a test function that exists; nothing is imported."""
    path, _, name = node_id.partition("::")
    file = ROOT / path
    if not re.fullmatch(r"tests/(?:\w+/)*test_\w+\.py", path) or not file.is_file():
        return False
    return name.rpartition("::")[2].startswith("test_") and name in functions_in(file)


@cache
def known_rpcs():
    """Return the full name of every RPC of the contracts."""
    return {method.full_name for method, _ in rpcs()}


def words_of(node, services=("customer", "allocation", "engagement", "messaging")):
    """Return what a text of the code can read: itself, or a formatted one with each service's name filled in."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if not isinstance(node, ast.JoinedStr):
        return []
    return [
        "".join(
            str(part.value) if isinstance(part, ast.Constant) else service
            for part in node.values
        )
        for service in services
    ]


def pages_of(tree):
    """Return the pages of one module of views: the page of each endpoint, and those that its methods expose."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    endpoints = [
        word
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "endpoint"
        for word in words_of(keyword.value)
    ]
    exposed = [
        call.args[0].value
        for call in calls
        if getattr(call.func, "id", "") == "expose" and call.args
    ]
    return {
        f"/admin/{endpoint}{path}" for endpoint in endpoints for path in ("/", *exposed)
    }


@cache
def known_pages():
    """Return the address of every page of the portal's views."""
    found = {"/admin/"}
    for path in (ROOT / "admin" / "views").glob("*.py"):
        found |= pages_of(ast.parse(path.read_text(encoding="utf-8")))
    return found


def faults_of_place(word):
    """Return what is wrong with one RPC or page of a row that claims it."""
    if PAGE.fullmatch(word):
        return [] if word in known_pages() else [f"no such page: {word}"]
    return [] if word in known_rpcs() else [f"no such RPC: {word}"]


def faults_of_claim(row):
    """Return what is wrong with what a row that claims something names."""
    places, tests = row["rpc_or_page"].split(), row["test"].split()
    found = [fault for word in places for fault in faults_of_place(word)]
    found += [f"no such test: {one}" for one in tests if not is_test(one)]
    if not places:
        found.append(f"{row['state']} without RPC or page")
    if row["state"] == "done" and not tests:
        found.append("done without a test")
    return found


def faults_of_plan(row):
    """Return what is wrong with a row that claims nothing yet."""
    found = ["planned with a test"] if row["test"] else []
    return found + [
        f"neither RPC nor page: {word}"
        for word in row["rpc_or_page"].split()
        if not RPC.fullmatch(word) and not PAGE.fullmatch(word)
    ]


def faults_of_row(row):
    """Return what is wrong with one row by itself."""
    numbered = NUMBERED.fullmatch(row["ID"])
    family, number = numbered.groups() if numbered else ("", "0")
    found = []
    if not 0 < int(number) <= FAMILIES.get(family, 0):
        found.append("malformed ID")
    if not re.fullmatch(r"[A-Z][^一-鿿]+\.", row["sentence"]):
        found.append("not a sentence")
    if row["state"] not in STATES:
        return [*found, f"unknown state: {row['state']}"]
    return found + (
        faults_of_plan(row) if row["state"] == "planned" else faults_of_claim(row)
    )


def faults(rows):
    """Return every fault of a table as "ID: fault"."""
    ids = [row["ID"] for row in rows]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    wanted = [
        f"{name}-{n}" for name, most in FAMILIES.items() for n in range(1, most + 1)
    ]
    return (
        [f"{row['ID']}: {fault}" for row in rows for fault in faults_of_row(row)]
        + [f"{one}: repeated" for one in twice]
        + [f"{one}: missing" for one in wanted if one not in ids]
    )


def test_the_table_claims_nothing_that_is_not_there():
    """Every requirement has one row, and what the row names exists."""
    assert faults(rows_of(TABLE)) == []


def a_row(**more):
    """Return a row without fault, with some fields replaced."""
    return {
        "ID": "BM-16",
        "sentence": "A queue shows who has no owner.",
        "rpc_or_page": "guanhu.allocation.v1.OwnershipService.ListUnassigned",
        "test": f"{HERE}::test_a_good_row_has_no_fault",
        "state": "done",
        **more,
    }


@pytest.mark.parametrize(
    "row",
    [
        a_row(),
        a_row(rpc_or_page="/admin/assignments/ /admin/customers/details/"),
        a_row(state="part", test=""),
        a_row(test=f"{HERE}::TestOfAClass::test_that_methods_are_found"),
        a_row(state="planned", test="", rpc_or_page=FUTURE),
        a_row(state="planned", test="", rpc_or_page=""),
        a_row(rpc_or_page="/admin/parameters-messaging/"),
    ],
)
def test_a_good_row_has_no_fault(row):
    """Claims that hold, with one or several names, and plans for what is to come are left alone."""
    assert faults_of_row(row) == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (a_row(ID="BM16"), "malformed ID"),
        (a_row(ID="BM-0"), "malformed ID"),
        (a_row(ID="BM-44"), "malformed ID"),
        (a_row(ID="ZZ-1"), "malformed ID"),
        (a_row(sentence="no sentence"), "not a sentence"),
        (a_row(sentence="A 客户 waits."), "not a sentence"),
        (a_row(state="nearly"), "unknown state: nearly"),
        (a_row(state=""), "unknown state: "),
        (a_row(test=""), "done without a test"),
        (a_row(rpc_or_page=""), "done without RPC or page"),
        (a_row(state="part", rpc_or_page=""), "part without RPC or page"),
        (a_row(test=HERE), f"no such test: {HERE}"),
        (
            a_row(test="tests/nowhere/test_it.py::test_it"),
            "no such test: tests/nowhere/test_it.py::test_it",
        ),
        (a_row(test=f"{HERE}::test_gone"), f"no such test: {HERE}::test_gone"),
        (a_row(test=f"{HERE}::faults"), f"no such test: {HERE}::faults"),
        (
            a_row(test=f"{HERE}::TestOfAClass::test_gone"),
            f"no such test: {HERE}::TestOfAClass::test_gone",
        ),
        (
            a_row(state="part", test="tests/../conftest.py::test_it"),
            "no such test: tests/../conftest.py::test_it",
        ),
        (a_row(rpc_or_page=FUTURE), f"no such RPC: {FUTURE}"),
        (a_row(state="part", rpc_or_page=FUTURE), f"no such RPC: {FUTURE}"),
        (a_row(rpc_or_page="AssignCustomers"), "no such RPC: AssignCustomers"),
        (a_row(rpc_or_page="/admin/referrals/"), "no such page: /admin/referrals/"),
        (
            a_row(rpc_or_page="/admin/assignments/new/"),
            "no such page: /admin/assignments/new/",
        ),
        (a_row(state="planned"), "planned with a test"),
        (
            a_row(state="planned", test="", rpc_or_page="Foresee"),
            "neither RPC nor page: Foresee",
        ),
    ],
)
def test_a_faulty_row_is_told_by_its_fault(row, fault):
    """Each check can fail, and names what is wrong and nothing else."""
    assert faults_of_row(row) == [fault]


def test_a_row_too_many_and_one_too_few_are_told():
    """A requirement that stands twice, and one that was left out, are found."""
    whole = [
        a_row(ID=f"{name}-{number}")
        for name, most in FAMILIES.items()
        for number in range(1, most + 1)
    ]

    assert faults(whole) == []
    assert faults([*whole, a_row()]) == ["BM-16: repeated"]
    assert faults(whole[1:]) == ["MOD-1: missing"]


def test_a_table_of_other_columns_is_refused(tmp_path):
    """A column more or less is no table of requirements."""
    path = tmp_path / "requirements.csv"
    path.write_text("ID,sentence,state\n", encoding="utf-8")

    with pytest.raises(AssertionError):
        rows_of(path)


class TestOfAClass:
    """A class whose test is named above."""

    def test_that_methods_are_found(self):
        """A method of a class is found by class and name, and by its bare name it is not."""
        name = "test_that_methods_are_found"

        assert is_test(f"{HERE}::TestOfAClass::{name}")
        assert not is_test(f"{HERE}::{name}")
