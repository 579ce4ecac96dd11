"""Every noun has the same files, keeps its edge to itself, and every service says truly what it does."""

import ast
import re

from tests.architecture.contracts import ROOT, SERVICES, descriptors

FILES = {"rules", "tables", "events", "queries", "wire", "actions", "servicer"}
"""What a noun may hold: each a module, or a package of that name with one module per subject."""

AROUND = {"__init__", "__main__", "config", "reactions", "gateways", "migrations"}

BANKING = re.compile(
    r"(?<![a-z])(customers?|portfolio|opportunit\w+|reminders?|tellers?|deposits?|"
    r"holdings?|products?|sms|messages? batch|contact plans?|ownerships?|balances?)(?![a-z])",
    re.IGNORECASE,
)

NAMED = """["'](customer|allocation|engagement|messaging)["']|customer_address"""
"""Names of services, which the chassis must know to find them."""

EDGES = {
    "services/customer/overview/wire.py": {"customer.wire", "holding.wire"},
    "services/engagement/work_log/wire.py": {
        "contact_plan.wire",
        "opportunity.wire",
    },
}
"""Where a noun's wire uses an earlier one's, because its message holds the earlier one's (decision record)."""


def promises(service):
    """Return the four lines of a service's __init__ as sets."""
    text = (ROOT / "services" / service / "__init__.py").read_text()
    found = {}
    for line in ast.get_docstring(ast.parse(text)).splitlines():
        key, _, rest = line.partition(": ")
        found[key] = {one.strip() for one in rest.split(",")} - {"-"}
    return found


def sources(service):
    """Return the source text of every module of a service, by path."""
    folder = ROOT / "services" / service
    return {path.relative_to(ROOT): path.read_text() for path in folder.rglob("*.py")}


def test_every_noun_holds_only_the_agreed_files():
    """A noun's folder has the agreed names, and nothing else stands beside the nouns."""
    for service in SERVICES:
        folder = ROOT / "services" / service
        nouns = promises(service)["Owns"]
        for path in folder.iterdir():
            name = path.stem
            if name.startswith("__pycache__"):
                continue
            if path.is_dir() and name not in AROUND:
                assert name in nouns, path
                inside = {
                    one.stem for one in path.iterdir() if one.name != "__pycache__"
                }
                assert inside - {"__init__"} <= FILES, path
            else:
                assert name in AROUND, path
        for noun in nouns:
            assert (folder / noun).is_dir(), (service, noun)


def test_a_nouns_edge_is_its_own():
    """A noun's wire and servicer are imported by nobody but their own folder, reactions and __main__."""
    pattern = re.compile(
        r"from services\.(\w+)\.(\w+)(?:\.(wire|servicer))? import (.+)"
    )
    for service in SERVICES:
        for path, text in sources(service).items():
            for owner, noun, edge, names in pattern.findall(text):
                taken = edge or next(
                    (one for one in ("wire", "servicer") if one in names.split(", ")),
                    "",
                )
                if not taken or path.name in ("reactions.py", "__main__.py"):
                    continue
                allowed = f"{noun}.{taken}" in EDGES.get(str(path), set())

                assert path.parts[2] == noun or allowed, (path, owner, noun)


def test_what_a_service_publishes_is_what_its_code_builds():
    """Publishes names every message of the service's events contract, and the code builds each."""
    for service in SERVICES:
        said = promises(service)["Publishes"]
        contract = next(
            file
            for file in descriptors()
            if file.name == f"guanhu/{service}/v1/{service}_events.proto"
        )
        top = {
            message.name
            for message in contract.message_types_by_name.values()
            if message.name in said or not message.name.endswith("Knowledge")
        }
        text = "\n".join(sources(service).values())

        assert said == top, service
        for name in said:
            assert re.search(rf"\.{name}\b", text), (service, name)


def test_what_a_service_follows_and_calls_is_true():
    """Follows is what its reactions read, Calls what its errands and channels reach; neither looks forward."""
    for service in SERVICES:
        text = "\n".join(sources(service).values())
        reactions = "\n".join(
            source
            for path, source in sources(service).items()
            if path.name == "reactions.py"
        )
        followed = set(
            re.findall(r"guanhu\.(\w+)\.v1 import \w+_events_pb2", reactions)
        )
        called = set(re.findall(r"/guanhu\.(\w+)\.v1\.\w+Service/", text))
        called |= set(re.findall(r"peers\.channel\(\s*\"(\w+)\"", text))
        said = promises(service)

        assert said["Follows"] == followed, service
        assert said["Calls"] == called, service
        earlier = set(SERVICES[: SERVICES.index(service)])
        assert followed | called <= earlier, service


def test_the_chassis_knows_no_banking_noun():
    """What every service stands on speaks of branches, callers and scopes, and of nothing else of the bank's."""
    for path in sorted((ROOT / "services" / "chassis").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = BANKING.search(re.sub(NAMED, "", line))

            assert not found, f"{path.relative_to(ROOT)}:{number} {line}"


def test_the_chassis_stays_small():
    """Fewer than 2,000 statements; docstrings, comments and imports say what is there and are not counted."""
    count = sum(
        statements(path.read_text())
        for path in (ROOT / "services" / "chassis").rglob("*.py")
    )

    assert count < 2000


def test_modules_and_functions_stay_readable():
    """No module over 400 lines (tests 600), no function over 40."""
    for folder, most in (
        ("services", 400),
        ("admin", 400),
        ("deploy", 400),
        ("tests", 600),
    ):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()

            assert len(text.splitlines()) <= most, path.relative_to(ROOT)
            if folder == "tests":
                continue
            for node in ast.walk(ast.parse(text)):
                if "migrations" in path.parts:
                    continue
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = node.end_lineno - node.lineno + 1
                    document = ast.get_docstring(node, clean=False) or ""
                    own = lines - len(document.splitlines())

                    assert own <= 40, (path.relative_to(ROOT), node.name, own)


def statements(text):
    """Return how many statements *text* holds besides docstrings and imports."""
    tree = ast.parse(text)
    documents = [
        one
        for node in ast.walk(tree)
        if isinstance(getattr(node, "body", None), list)
        for one in node.body
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    ]
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return len(found) - len(documents)
