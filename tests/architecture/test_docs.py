"""Every document tells the truth about what it names: links, paths, targets, settings, commands, RPCs."""

import ast
import os
import re
import shlex
import tomllib
from functools import cache

import pytest
import typer
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefinedType

from admin.cli import app
from admin.settings import PortalSettings
from services.chassis import metrics
from services.chassis.config import PORTS, Own, Shared
from services.messaging.config import GatewaySettings, Outside
from tests.architecture.contracts import ROOT, SERVICES, rpcs

OPERATIONS = ROOT / "docs" / "operations.md"
DECISIONS = ROOT / "docs" / "decisions"
CHANGELOG = ROOT / "CHANGELOG.md"

FOLDERS = ("admin", "deploy", "docs", "protos", "requirements", "services", "tests")
"""Where a back-quoted path begins; what a run makes (.state, .make) is not in the repository."""

FILES = re.compile(r"[A-Z]\w+\.md|Makefile|pyproject\.toml|buf\.yaml")
SECTIONS = ("Removed", "Deprecated", "Added", "Changed", "Fixed")
PARTS = ("Context", "Decision", "Consequence")

MACHINE = re.compile(r"(?<![\w.])/(work|tmp|root|home)\b")
UNWANTED = re.compile(r"\b(TODO|FIXME|XXX|lorem ipsum)\b")

DYNAMIC = {"Own"}
"""Settings whose prefix holds the service's name."""


def documents():
    """Return every document of the repository."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def code_in(text):
    """Return what stands in back-quotes or in blocks of code, piece by piece; a block counts line by line."""
    found = []
    for place, piece in enumerate(re.split(r"^ *```.*$", text, flags=re.MULTILINE)):
        if place % 2:
            found += [line.strip() for line in piece.splitlines()]
        else:
            found += re.findall(r"`([^`\n]+)`", piece)
            found += [line.strip() for line in piece.splitlines() if line[:4].isspace()]
    return found


def broken_links(text, folder):
    """Return the relative links of *text* that lead nowhere from *folder*."""
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in target
        and not target.startswith("#")
        and not (folder / target.partition("#")[0]).exists()
    ]


def missing_paths(text, _folder):
    """Return the back-quoted paths, modules and top files of *text* that are not there."""
    pattern = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*]")
    missing = []
    for code in code_in(text):
        paths = [one for one in pattern.findall(code) if "..." not in one]
        missing += [one for one in paths if not any(ROOT.glob(one))]
        if FILES.fullmatch(code) and not (ROOT / code).exists():
            missing.append(code)
        for module in re.findall(r"python -m ([\w.]+)", code):
            place = ROOT / module.replace(".", "/")
            if module.partition(".")[0] in FOLDERS and not (
                (place / "__main__.py").exists() or place.with_suffix(".py").exists()
            ):
                missing.append(module)
    return missing


@cache
def targets():
    """Return the targets of the Makefile that have a recipe."""
    text = (ROOT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z]+):.*##", text, re.MULTILINE))


def missing_targets(text, _folder):
    """Return the targets that *text* names and the Makefile lacks, and values of T= that lead nowhere."""
    missing = []
    for code in code_in(text):
        for target, value in re.findall(r"\bmake ([a-z]+)(?: T=(\S+))?", code):
            inside = value if "/" in value else f"tests/{target}/{value}.py"
            if target not in targets() or (value and not (ROOT / inside).exists()):
                missing.append(code)
    return missing


def fields_of(kind, prefix="GUANHU_"):
    """Return the names in the environment of a class of settings."""
    return {f"{prefix}{name.upper()}" for name in kind.model_fields}


def sources():
    """Return the syntax tree of every module of ours that may read settings."""
    return {
        path: ast.parse(path.read_text())
        for folder in ("admin", "deploy", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


@cache
def settings_read():
    """Return every setting that the code reads: by classes of settings, by name, and for each row of the processes."""
    names = fields_of(Shared) | fields_of(Outside) | fields_of(PortalSettings)
    for service in SERVICES:
        names |= fields_of(Own, f"GUANHU_{service.upper()}_")
    endings = set()
    for path, tree in sources().items():
        for node in ast.walk(tree):
            value = getattr(node, "value", None)
            if isinstance(value, str) and re.fullmatch("GUANHU_[A-Z_]*[A-Z]", value):
                names.add(value)
            if isinstance(node, ast.JoinedStr) and path.name == "processes.py":
                ends = [getattr(part, "value", "") for part in node.values]
                if ends[0] == "GUANHU_" and re.fullmatch("_[A-Z_]+", str(ends[-1])):
                    endings.add(ends[-1])
    rows = tomllib.loads((ROOT / "deploy/services.toml").read_text())["process"]
    names |= {f"GUANHU_{row['name'].upper()}{end}" for row in rows for end in endings}
    return frozenset(names)


def unknown_settings(text, _folder):
    """Return the settings that *text* names and no code reads."""
    return sorted(set(re.findall(r"\bGUANHU_[A-Z_]*[A-Z]", text)) - settings_read())


def unnamed_settings(text, _folder):
    """Return the settings, entries of a gateway and figures that *text* does not name."""
    named = set(re.findall(r"`([^`\n]+)`", text))
    figures = {
        name
        for figure in (getattr(metrics, one) for one in vars(metrics) if one.isupper())
        if hasattr(figure, "_name")
        for name in REGISTRY._collector_to_names[figure]
        if not name.endswith(("_created", "_bucket", "_sum", "_count"))
        and (not hasattr(figure, "_value") or name != figure._name)
    }
    figures = {one for one in figures if f"{one}_total" not in figures}
    wanted = settings_read() | set(GatewaySettings.model_fields) | figures
    return sorted(wanted - named)


def as_told(default):
    """Return how a page tells a *default*; an empty text where it is told in words."""
    if default in (None, "") or isinstance(default, tuple | PydanticUndefinedType):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


def wrong_defaults(text, _folder):
    """Return the rows of *text*'s tables that tell another default than the code has."""
    told = {
        f"GUANHU_{name.upper()}": field.default
        for kind in (Shared, Outside, PortalSettings)
        for name, field in kind.model_fields.items()
    }
    told |= {
        f"GUANHU_CUSTOMER_{name.upper()}": field.default
        for name, field in Own.model_fields.items()
    }
    told |= {
        name: field.default for name, field in GatewaySettings.model_fields.items()
    }
    wrong = []
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.split("|")[1:-1]]
        if not cells or not as_told(told.get(cells[0])):
            continue
        cell = cells[4] if len(cells) > 4 else cells[1]
        default = re.escape(as_told(told[cells[0]]))
        if not re.match(rf"{default}(?![\w.])", cell, re.IGNORECASE):
            wrong.append(line)
    return wrong


@cache
def commands():
    """Return the ``guanhu`` command with everything below it."""
    return typer.main.get_command(app)


def unknown_commands(text, _folder):
    """Return the lines of *text* that call ``guanhu`` with a command or an option that it does not have."""
    wrong = []
    for code in code_in(text):
        found = re.search(r"(?:^|/|\s)guanhu ([a-z].*)", code)
        if found is None:
            continue
        here, words = commands(), shlex.split(found[1])
        while words and hasattr(here, "commands"):
            here = here.commands.get(words.pop(0))
        options = {name for one in getattr(here, "params", ()) for name in one.opts}
        asked = {word for word in words if word.startswith("--")}
        if here is None or hasattr(here, "commands") or not asked <= options:
            wrong.append(code)
    return wrong


def unknown_calls(text, _folder):
    """Return the RPCs that *text* names, as Service.Method, and no contract declares."""
    known = {
        f"{method.containing_service.name}.{method.name}" for method, _access in rpcs()
    }
    named = {
        f"{service}.{method}"
        for service, method in re.findall(r"\b(\w+Service)\.([A-Z]\w+)", text)
    }
    return sorted(named - known)


def forbidden_words(text, _folder):
    """Return places of one machine and marks of unfinished work in *text*."""
    return [found[0] for one in (MACHINE, UNWANTED) for found in one.finditer(text)]


def changelog_faults(text, _folder):
    """Return what is wrong with the order of a changelog: one Unreleased first, sections in their order, each once."""
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    heads = [one.partition("\n")[0] for one in releases]
    faults = [] if heads[:1] == ["[Unreleased]"] else ["Unreleased is not the first"]
    faults += ["Unreleased comes twice"] if heads.count("[Unreleased]") > 1 else []
    for head, body in zip(heads, releases, strict=True):
        found = re.findall(r"^### (.+)$", body, re.MULTILINE)
        if found != [one for one in SECTIONS if one in found]:
            faults.append(f"{head}: {found}")
    return faults


def record_faults(text, _folder):
    """Return what a decision record lacks: number and title, date, and its three parts in order, none of them empty."""
    faults = [] if re.match(r"# \d+\. \S.*\n", text) else ["title"]
    if not re.search(r"^Date: \d{4}-\d{2}$", text, re.MULTILINE):
        faults.append("date")
    parts = re.findall(r"^## (.+)\n\n\S", text, re.MULTILINE)
    return faults if parts == list(PARTS) else [*faults, f"parts: {parts}"]


def number_faults(names, listed):
    """Return gaps and repetitions in the numbers of records, and records that the list does not name."""
    numbers = [int(name[:4]) for name in names]
    faults = [] if numbers == list(range(1, len(names) + 1)) else [str(numbers)]
    return faults + [name for name in names if f"({name})" not in listed]


EVERYWHERE = (
    broken_links,
    missing_paths,
    missing_targets,
    unknown_settings,
    unknown_commands,
    unknown_calls,
    forbidden_words,
)


@pytest.mark.parametrize("check", EVERYWHERE, ids=lambda check: check.__name__)
def test_what_documents_name_is_there(check):
    """Links, paths, targets, settings, commands and RPCs exist; no document names a place of one machine."""
    faults = {
        os.fspath(path.relative_to(ROOT)): found
        for path in documents()
        if (found := check(path.read_text(), path.parent))
    }

    assert len(documents()) > 20
    assert not faults


def test_every_setting_and_figure_is_in_the_operators_page():
    """What the code reads from the environment, what a gateway takes, and every figure is told to the operator."""
    assert len(settings_read()) > 50
    assert unnamed_settings(OPERATIONS.read_text(), OPERATIONS.parent) == []
    assert wrong_defaults(OPERATIONS.read_text(), OPERATIONS.parent) == []


def test_no_settings_are_read_by_a_class_this_test_does_not_know():
    """The classes of settings in the code are those whose fields are collected here."""
    found = {
        node.name
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(getattr(base, "id", "") == "BaseSettings" for base in node.bases)
    }

    assert found == {"Shared", "Outside", "PortalSettings"} | DYNAMIC


class Channel:
    """Stands in for a channel: notes each call and answers with an empty message."""

    def __init__(self, address, calls):
        self._address = address
        self._calls = calls

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def unary_unary(self, path, serialize, parse):
        """Return the callable of one method."""

        def send(request, timeout, metadata):
            self._calls.append((self._address, path, serialize(request), metadata))
            return parse(b"")

        return send


def test_the_first_call_in_the_readme_fits_the_contracts(monkeypatch):
    """Run as it stands, it signs in and lists customers where the services listen, with fields that they know."""
    text = (ROOT / "README.md").read_text()
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    calls = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(
        "grpc.insecure_channel", lambda address: Channel(address, calls)
    )
    exec(compile(snippet, "README.md", "exec"), {})
    signed_in, listed = calls

    assert signed_in[0] == f"127.0.0.1:{PORTS['allocation']}"
    assert signed_in[1] == "/guanhu.identity.v1.IdentityService/SignIn"
    assert b"110101" in signed_in[2]
    assert listed[0] == f"127.0.0.1:{PORTS['customer']}"
    assert listed[1] == "/guanhu.customer.v1.CustomerService/ListCustomers"
    assert listed[3] == [("authorization", "Bearer ")]


def test_the_readme_tells_where_every_process_listens():
    """Each port of the table of processes is named, and so is each port of figures."""
    text = (ROOT / "README.md").read_text()
    rows = tomllib.loads((ROOT / "deploy/services.toml").read_text())["process"]
    for row in rows:
        for port in filter(None, (row["port"], row["metrics"])):
            assert str(port) in text, row["name"]


def test_decision_records_are_whole_numbered_and_listed():
    """Records count from 1 without gaps, each has its three parts, and the list names every one."""
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    listed = (DECISIONS / "README.md").read_text()

    assert number_faults([path.name for path in records], listed) == []
    for path in records:
        text = path.read_text()

        assert record_faults(text, DECISIONS) == [], path.name
        assert int(path.name[:4]) == int(text[2:].partition(".")[0]), path.name


def test_the_changelog_is_in_order():
    """One Unreleased section stands first, and the sections of a release come in the agreed order."""
    assert changelog_faults(CHANGELOG.read_text(), ROOT) == []


WHOLE = "# 1. A\n\nDate: 2026-11\n\n## Context\n\na\n\n## Decision\n\nb\n\n## Consequence\n\nc\n"
FAULTY = [
    (broken_links, "see [there](nowhere.md)"),
    (missing_paths, "in `services/customer/nothing.py`"),
    (missing_paths, "in `NOTICE.md`"),
    (missing_paths, "in `tests/architecture/test_nothing_*.py`"),
    (missing_paths, "```\npython deploy/nothing.py\n```"),
    (missing_paths, "start `python -m services.lending serve`"),
    (missing_targets, "run `make everything`"),
    (missing_targets, "```\nmake coffee\n```"),
    (missing_targets, "run `make bench T=nothing`"),
    (missing_targets, "run `make test T=tests/nothing`"),
    (unknown_settings, "set `GUANHU_CUSTOMER_COLOUR`"),
    (unnamed_settings, OPERATIONS.read_text().replace("`GUANHU_STATE`", "")),
    (unnamed_settings, OPERATIONS.read_text().replace("`GUANHU_MESSAGING_DSN`", "")),
    (unnamed_settings, OPERATIONS.read_text().replace("`password_file`", "")),
    (unnamed_settings, OPERATIONS.read_text().replace("`guanhu_feed_lag_events`", "")),
    (wrong_defaults, "| `GUANHU_STATE` | `.elsewhere` | a folder |"),
    (wrong_defaults, "| `GUANHU_PORTAL_THREADS` | 80 | threads |"),
    (wrong_defaults, "| `tls` | `true` | speak TLS |"),
    (unknown_commands, "run `guanhu export FOLDER`"),
    (unknown_commands, "run `guanhu import FOLDER --colour red`"),
    (unknown_commands, "as follows:\n\n    guanhu exports FOLDER"),
    (unknown_calls, "call `CustomerService.DropCustomer`"),
    (unknown_calls, "call `guanhu.identity.v1.IdentityService.SignUp`"),
    (forbidden_words, "it lies in " + "/" + "tmp/x"),
    (forbidden_words, "it lies in `" + "/" + "work/x`"),
    (forbidden_words, "TODO: say more"),
    (changelog_faults, "## [1.0.0]\n\n### Added\n\n- a\n"),
    (changelog_faults, "## [Unreleased]\n\n### Fixed\n\n- a\n\n### Added\n\n- b\n"),
    (changelog_faults, "## [Unreleased]\n\n### Added\n\n## [Unreleased]\n"),
    (changelog_faults, "## [Unreleased]\n\n### Improved\n\n- a\n"),
    (record_faults, WHOLE.replace("## Decision", "## Choice")),
    (record_faults, WHOLE.replace("b\n\n## Cons", "## Cons")),
    (record_faults, WHOLE.replace("Date: 2026-11", "")),
    (record_faults, WHOLE.replace("# 1. A", "# A")),
]


@pytest.mark.parametrize(("check", "text"), FAULTY)
def test_each_check_finds_what_it_is_for(check, text):
    """A text with one fault is found faulty."""
    assert check(text, ROOT)


def test_a_good_record_and_good_numbers_are_left_alone():
    """What is as it should be has no faults, and gaps, repetitions and unlisted records have."""
    names = ["0001-a.md", "0002-b.md"]
    listed = "(0001-a.md) (0002-b.md)"

    assert record_faults(WHOLE, ROOT) == []
    assert number_faults(names, listed) == []
    assert number_faults(["0001-a.md", "0003-b.md"], listed.replace("02", "03"))
    assert number_faults(["0001-a.md", "0001-b.md"], listed.replace("02", "01"))
    assert number_faults(names, "(0001-a.md)")
