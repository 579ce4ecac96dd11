"""
Loads the demonstration bank the way a bank would be loaded: branches, staff, snapshots, groups, through the contracts.

It may be broken off and begun again: the id of every request follows from what it asks for.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import grpc
from google.type.date_pb2 import Date
from grpc_health.v1 import health_pb2, health_pb2_grpc
from guanhu.allocation.v1 import branch_pb2, staff_pb2
from guanhu.allocation.v1.branch_pb2_grpc import BranchServiceStub
from guanhu.allocation.v1.staff_pb2_grpc import StaffServiceStub
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from guanhu.policy.v1 import policy_pb2

from admin.folders import Contents, Folder, header_of
from deploy.demo import ties
from deploy.demo.bank import BRANCHES, PLACES, Bank, Member, Place
from deploy.demo.history import store_history
from deploy.demo.snapshots import write_folder
from deploy.demo.speaking import Demo, Line, Speaker, at_once, request_id
from deploy.first import FirstOperator, let_in
from deploy.processes import Fleet, is_taken, rows
from services.chassis.clock import day_of, system_clock

SOURCE = ACCOUNT = "core-banking"

TERMINAL = {"auditor": "AUDITOR", "operator": "OPERATOR"}
"""The accounts that the ``guanhu`` command asks with unless it is told another, and the role of each."""

WAIT_SECONDS = 30
IMPORT_SECONDS = 120

STEPS = (
    ("customer", "guanhu.customer.v1.ConsentService", ties.note_wishes),
    ("allocation", "guanhu.allocation.v1.OwnershipService", ties.assign),
    ("customer", "guanhu.customer.v1.GroupService", ties.make_groups),
    ("messaging", "guanhu.messaging.v1.TemplateService", ties.make_templates),
)
"""What comes after the customers, and whose contract it needs; a service that does not offer it is passed over."""


def secret(folder: Path, name: str, length: int) -> str:
    """Return a secret of the installation; a fresh one of *length* random bytes is kept when there is none."""
    path = folder / name
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(length))
    return path.read_text().strip()


def begun(folder: Path) -> date:
    """Return the day on which the load began: one that is taken up a day later goes on with the same bank."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "anchor"
    if not path.exists():
        path.write_text(day_of(system_clock()).isoformat())
    return date.fromisoformat(path.read_text())


def load_bank(
    told: Mapping[str, str], state: Path, say: Callable[[str], None]
) -> list[dict[str, str]]:
    """Load the bank into the services that *told* names; return one operator per post, as people sign in."""
    keep = Path(told["GUANHU_SECRETS_DIR"])
    password = secret(keep, "demonstration-password", 9)
    bank = Bank(begun(state / "demonstration"))
    line = Line(told)
    managers = {
        one.branch_id: Speaker(line, one.staff_id, password)
        for one in bank.staff
        if one.post == "BRANCH_MANAGER"
    }
    demo = Demo(line, bank, managers, say)
    try:
        first = let_first_in(demo, told, keep, password)
        make_places(demo, first)
        make_staff(demo, first, password)
        wait_for_branches(demo, secret(keep, f"account-{ACCOUNT}", 24))
        import_days(
            demo, state / "demonstration", secret(keep, f"account-{ACCOUNT}", 24)
        )
        past = asyncio.run(store_history(told["GUANHU_CUSTOMER_BULK_DSN"], bank))
        say(f"{past} positions of the months before")
        with running("messaging", told, state / "logs", say):
            for service, contract, step in STEPS:
                if serves(line, service, contract):
                    step(demo)
    finally:
        line.close()
    return shown(bank, password)


@contextmanager
def running(
    name: str, told: Mapping[str, str], logs: Path, say: Callable[[str], None]
) -> Iterator[None]:
    """Run the service *name*, without its worker, while steps need it; one that runs already is left alone."""
    absent = [
        replace(row, run=[part for part in row.run if part != "--work"])
        for row in rows(told)
        if row.name == name and not is_taken(row.host, row.port)
    ]
    fleet = Fleet(told, logs, say)
    try:
        fleet.start(absent)
        yield
    finally:
        fleet.stop()


def serves(line: Line, service: str, contract: str) -> bool:
    """Say whether *service* offers *contract* now."""
    request = health_pb2.HealthCheckRequest(service=contract)
    stub = health_pb2_grpc.HealthStub(line.to(service))
    try:
        stub.Check(request, timeout=5, wait_for_ready=True)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return False
        raise
    return True


def let_first_in(
    demo: Demo, told: Mapping[str, str], keep: Path, password: str
) -> Speaker:
    """Make the accounts and the first operator, whose password is changed as anybody would; return the operator."""
    member = next(one for one in demo.bank.staff if one.post == "OPERATOR")
    first = FirstOperator(member.staff_id, member.display_name, member.branch_id)
    once = secrets.token_urlsafe(12)
    dsn = told["GUANHU_ALLOCATION_DSN"]
    account = secret(keep, f"account-{ACCOUNT}", 24)
    if asyncio.run(let_in(dsn, first, once, account=ACCOUNT, secret=account)):
        change = identity_pb2.SetPasswordRequest(
            old_password=once,
            new_password=password,
            request_id=request_id("password", once),
        )
        speaker = Speaker(demo.line, member.staff_id, once)
        speaker.call("allocation", IdentityServiceStub, "SetPassword", change)
    for name, role in TERMINAL.items():
        account = secret(keep, f"account-{name}", 24)
        asyncio.run(let_in(dsn, first, once, account=name, secret=account, role=role))
    return Speaker(demo.line, member.staff_id, password)


def make_places(demo: Demo, operator: Speaker) -> None:
    """Create offices and branches, the upper ones first."""

    def make(place: Place) -> None:
        branch = branch_pb2.Branch(
            parent=f"branches/{place.parent}" if place.parent else "",
            display_name=place.display_name,
            branch_type=branch_pb2.BranchType.Value(f"BRANCH_TYPE_{place.branch_type}"),
            time_zone="Asia/Shanghai",
        )
        request = branch_pb2.CreateBranchRequest(
            branch_id=place.branch_id,
            branch=branch,
            request_id=request_id("branch", place.branch_id),
        )
        operator.call("allocation", BranchServiceStub, "CreateBranch", request)

    for place in PLACES:
        make(place)
    demo.say(f"{len(PLACES)} offices and branches")


def make_staff(demo: Demo, operator: Speaker, password: str) -> None:
    """Create everybody who works in the bank, each with a log-in."""

    def make(member: Member) -> None:
        staff = staff_pb2.Staff(
            branch=f"branches/{member.branch_id}",
            display_name=member.display_name,
            operator_no=member.staff_id,
            posts=[policy_pb2.Role.Value(f"ROLE_{member.post}")],
            specialities=[member.speciality] if member.speciality else [],
            capacity=member.capacity,
        )
        request = staff_pb2.CreateStaffRequest(
            staff_id=member.staff_id,
            staff=staff,
            initial_password=password,
            request_id=request_id("staff", member.staff_id),
        )
        operator.call("allocation", StaffServiceStub, "CreateStaff", request)

    operator.pairs()
    at_once(make, [one for one in demo.bank.staff if one.post != "OPERATOR"])
    demo.say(f"{len(demo.bank.staff)} members of staff")


def feed_pairs(demo: Demo, account_secret: str) -> list[tuple[str, str]]:
    """Return the metadata of a call by core banking's account."""
    request = identity_pb2.IssueAccountTokenRequest(
        account=ACCOUNT, secret=account_secret
    )
    token = (
        IdentityServiceStub(demo.line.to("allocation"))
        .IssueAccountToken(request, timeout=10)
        .token
    )
    return [("authorization", f"Bearer {token}")]


def wait_for_branches(demo: Demo, account_secret: str) -> None:
    """Return when the customer service knows every branch; raises TimeoutError after half a minute."""
    pairs = feed_pairs(demo, account_secret)
    stub = SnapshotServiceStub(demo.line.to("customer"))
    day = demo.bank.anchor
    lines = [
        pb.CustomerLine(
            number=f"1{place.branch_id}", branch_id=place.branch_id, display_name="试"
        )
        for place in BRANCHES
    ]
    header = pb.SnapshotHeader(
        source=SOURCE, snapshot_date=Date(year=day.year, month=day.month, day=day.day)
    )
    chunk = pb.SnapshotChunk(sequence=1, customers=pb.CustomerLines(lines=lines))
    parts = [
        pb.ValidateSnapshotRequest(header=header),
        pb.ValidateSnapshotRequest(chunk=chunk),
    ]
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if not stub.ValidateSnapshot(
            iter(parts), metadata=pairs, timeout=10
        ).fault_count:
            return
        time.sleep(0.2)
    raise TimeoutError(
        f"the customer service did not learn of the branches in {WAIT_SECONDS} seconds"
    )


def import_days(demo: Demo, folder: Path, account_secret: str) -> None:
    """Write the folder of each recent day, and import it as `guanhu import` would."""
    stub = SnapshotServiceStub(demo.line.to("customer"))
    pairs = feed_pairs(demo, account_secret)

    def prepare(day: date) -> tuple[date, Folder, Contents]:
        found = Folder(write_folder(demo.bank, day, folder / day.isoformat()))
        return day, found, found.read_through()

    done = days_taken_in(stub, pairs)
    asked = [day for day in demo.bank.recent_days if day not in done]
    demo.known = len(demo.bank.people)
    with ThreadPoolExecutor(1) as pool:  # the next day is written while one is taken in
        for day, found, contents in pool.map(prepare, asked):
            header = header_of(
                SOURCE, day, contents, request_id("import", day, contents.digest)
            )
            answer: Any = stub.ImportSnapshot(
                messages(header, found), metadata=pairs, timeout=IMPORT_SECONDS
            )
            stored = sum(count.stored_count for count in answer.counts)
            demo.say(
                f"snapshot of {day}: {contents.lines} lines, {stored} new or changed"
            )


def days_taken_in(stub: Any, pairs: list[tuple[str, str]]) -> set[date]:
    """Return the days that a load before this one has brought: they are not taken twice."""
    request = pb.ListImportsRequest(
        page_size=100, query=SOURCE, state=pb.IMPORT_STATE_SUCCEEDED
    )
    found = stub.ListImports(request, metadata=pairs, timeout=10).imports
    days = [one.snapshot_date for one in found]
    return {date(day.year, day.month, day.day) for day in days}


def messages(
    header: pb.SnapshotHeader, folder: Folder
) -> Iterator[pb.ImportSnapshotRequest]:
    """Yield the messages of a snapshot's stream."""
    yield pb.ImportSnapshotRequest(header=header)
    for chunk in folder.chunks():
        yield pb.ImportSnapshotRequest(chunk=chunk)


def shown(bank: Bank, password: str) -> list[dict[str, str]]:
    """Return the first operator of every post, with the password that all of them have."""
    found = {}
    for member in bank.staff:
        found.setdefault(
            member.post,
            {
                "post": member.post.lower(),
                "operator_no": member.staff_id,
                "password": password,
                "display_name": member.display_name,
            },
        )
    return list(found.values())
