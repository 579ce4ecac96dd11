"""``guanhu audit``: check the audit chains of the services, and keep their ends outside of the databases."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from guanhu.audit.v1 import audit_pb2
from guanhu.audit.v1.audit_pb2_grpc import AuditServiceStub

from admin.commands.chains import Chain, Fault, Seen, read_heads, write_heads
from admin.commands.terminal import (
    ANSWER_SECONDS,
    REFUSED,
    UNDONE,
    OperatorOption,
    Pairs,
    UndoneError,
    calling,
    channel_to,
    err,
    out,
    progress_of,
    sentence_of,
    sentences,
)
from admin.settings import SERVICES, PortalSettings, read_settings

TRIES = 5
"""How often a broken stream is taken up again where it broke."""

STREAM_SECONDS = 6 * 3600
OWN_HEAD = "the service's own list of heads"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Check the audit chains, and keep their ends outside of the databases.",
)

Service = StrEnum("Service", {name: name for name in SERVICES})

ServicesArgument = Annotated[
    list[Service] | None,
    typer.Argument(
        metavar="[SERVICE]...", help="Which services; all four unless told."
    ),
]
AccountOption = Annotated[
    str,
    typer.Option(
        help="The account to ask as; its secret is the file account-NAME. It needs the role AUDITOR."
    ),
]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one chain."""

    service: str
    branch_id: int
    records: int
    hash: str
    fault: Fault | None

    def line(self) -> str:
        """Return it as one line of text."""
        what = "good" if self.fault is None else f"BROKEN: {self.fault.sentence}"
        return (
            f"{self.service}, branch {self.branch_id}: {self.records:,} records, {what}"
        )

    def told(self) -> dict[str, object]:
        """Return it as schedulers read it."""
        return {
            "service": self.service,
            "branch_id": self.branch_id,
            "records": self.records,
            "hash": self.hash,
            "good": self.fault is None,
            "broken_record": self.fault.sequence if self.fault else None,
            "fault": self.fault.sentence if self.fault else None,
        }


class Trail:
    """The trail of one service: its heads, and its chains as streams that survive a broken connection."""

    def __init__(self, settings: PortalSettings, service: str, pairs: Pairs) -> None:
        """Reach *service* with what *pairs* gives."""
        self._settings = settings
        self.service = service
        self._pairs = pairs
        self._stub = AuditServiceStub(channel_to(settings, service))

    def heads(self) -> list[audit_pb2.ChainHead]:
        """Return the end of every chain; raises UndoneError when the service is away or refuses."""
        try:
            answer = self._stub.ListHeads(
                audit_pb2.ListHeadsRequest(),
                metadata=self._pairs(),
                timeout=ANSWER_SECONDS,
            )
        except grpc.RpcError as error:
            raise self._undone(error) from None
        return list(answer.heads)

    def records(self, chain: Chain, branch_id: int) -> Iterator[audit_pb2.Record]:
        """Yield the chain's records after those that *chain* has taken; raises UndoneError."""
        tries = 0
        while True:
            request = audit_pb2.ExportChainRequest(
                branch_id=branch_id, after_sequence=chain.records
            )
            stream = self._stub.ExportChain(
                request, metadata=self._pairs(), timeout=STREAM_SECONDS
            )
            try:
                for page in stream:
                    tries = 0
                    yield from page.records
                    self._pairs()
            except grpc.RpcError as error:
                tries += 1
                if error.code() != grpc.StatusCode.UNAVAILABLE or tries == TRIES:
                    raise self._undone(error) from None
                time.sleep(2 ** (tries - 1))
            else:
                return
            finally:
                stream.cancel()

    def _undone(self, error: grpc.RpcError) -> UndoneError:
        return UndoneError(sentence_of(error, self._settings, self.service))


def check(
    trail: Trail, branch_id: int, seen: list[Seen], moved: Callable[[int], None]
) -> Checked:
    """Read one chain to its end or to its first broken record; *moved* is told how many records were good."""
    chain = Chain(branch_id, seen)
    with closing(trail.records(chain, branch_id)) as records:
        for record in records:
            if not chain.take(record):
                break
            moved(chain.records)
    chain.end()
    return Checked(trail.service, branch_id, chain.records, chain.hash, chain.fault)


@dataclass(frozen=True, slots=True)
class Plan:
    """The chains of one service that are to be read, and what must stand in each."""

    trail: Trail
    chains: dict[int, list[Seen]]
    records: int


def plan_of(trail: Trail, kept: dict[int, list[Seen]]) -> Plan:
    """Ask for the chains there are; those that were *kept* must be there too. Raises UndoneError."""
    heads = trail.heads()
    chains = {branch_id: list(seen) for branch_id, seen in kept.items()}
    for head in heads:
        own = Seen(head.sequence, head.hash, OWN_HEAD)
        chains.setdefault(head.branch_id, []).append(own)
    return Plan(
        trail, dict(sorted(chains.items())), sum(head.sequence for head in heads)
    )


def kept_in(folder: Path | None, asked: list[str]) -> dict[str, dict[int, list[Seen]]]:
    """Return the heads that lie in *folder*; raises UndoneError when there are none of a service that was asked for."""
    if folder is None:
        return {}
    try:
        found = read_heads(folder)
    except (OSError, ValueError) as error:
        raise UndoneError(f"The heads cannot be read: {error}") from None
    for service in asked:
        if service not in found:
            raise UndoneError(f"{folder} holds no heads of {service}.")
    return found


class Verification:
    """One run over several services: what was checked, and which services could not be read."""

    def __init__(self, *, shown: bool) -> None:
        """Begin; a bar is *shown* unless a scheduler asks."""
        self.checked: list[Checked] = []
        self.unread: list[str] = []
        self._shown = shown

    def run(self, trails: list[Trail], kept: dict[str, dict[int, list[Seen]]]) -> None:
        """Check every chain of *trails*."""
        plans: list[Plan] = []
        for trail in trails:
            try:
                plans.append(plan_of(trail, kept.get(trail.service, {})))
            except UndoneError as error:
                self.unread.append(str(error))
        total = sum(plan.records for plan in plans)
        with progress_of("checking", total, shown=self._shown) as moved:
            for plan in plans:
                self._service(plan, moved)

    def _service(self, plan: Plan, moved: Callable[[int], None]) -> None:
        for branch_id, seen in plan.chains.items():
            before = sum(one.records for one in self.checked)
            try:
                self.checked.append(
                    check(
                        plan.trail,
                        branch_id,
                        seen,
                        lambda gone, before=before: moved(before + gone),
                    )
                )
            except UndoneError as error:
                self.unread.append(str(error))
                return

    @property
    def broken(self) -> list[Checked]:
        """Return the chains that are not good."""
        return [one for one in self.checked if one.fault is not None]

    def status(self) -> int:
        """Return how the command ends."""
        if self.broken:
            return REFUSED
        return UNDONE if self.unread else 0

    def told(self) -> dict[str, object]:
        """Return everything as schedulers read it."""
        return {
            "time": datetime.now(UTC).isoformat(),
            "good": self.status() == 0,
            "chains": [one.told() for one in self.checked],
            "not_read": self.unread,
        }

    def show(self) -> None:
        """Print one line per chain, then what is wrong."""
        for one in self.checked:
            out.print(one.line(), markup=False, soft_wrap=True)
        for text in self.unread:
            err.print(text, markup=False, soft_wrap=True)
        for first in self.broken[:1]:
            said = f"The first broken record is {first.fault.sequence} of branch {first.branch_id} in {first.service}"
            more = len(self.broken) - 1
            tail = f"; {more} more chains are broken." if more else "."
            err.print(said + tail, markup=False, soft_wrap=True)


@app.command()
def verify(
    services: ServicesArgument = None,
    *,
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Compare with the heads that `guanhu audit heads` wrote there. Without them a chain shows every"
            " change, but not that its end was cut off.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for schedulers.")
    ] = False,
    account: AccountOption = "auditor",
    operator: OperatorOption = "",
) -> None:
    """
    Compute every audit chain again, and name the first record that is not as it was written.

    Prints one line per service and branch. Ends with 0 when all chains are good, with 1 when one is broken, and with
    2 when something could not be read. Reading a chain is itself recorded.
    """
    asked = [str(one) for one in services or SERVICES]
    settings = read_settings()
    run = Verification(shown=not as_json)
    with sentences():
        kept = kept_in(heads, asked)
        with calling(settings, account, operator) as pairs:
            run.run([Trail(settings, one, pairs) for one in asked], kept)
    if as_json:
        typer.echo(json.dumps(run.told(), ensure_ascii=False))
    else:
        run.show()
    raise typer.Exit(run.status())


@app.command("heads")
def export_heads(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Where to keep them: a disk that the databases' keepers cannot write.",
            exists=True,
            file_okay=False,
        ),
    ],
    services: ServicesArgument = None,
    *,
    account: AccountOption = "auditor",
    operator: OperatorOption = "",
) -> None:
    """
    Write the newest sequence and hash of every chain into a folder, one fresh file per service.

    Files from before are left alone, and `guanhu audit verify --heads` compares with all of them. Ends with 0, or
    with 2 when something could not be read or written.
    """
    settings = read_settings()
    with sentences(), calling(settings, account, operator) as pairs:
        for one in services or SERVICES:
            found: Any = Trail(settings, str(one), pairs).heads()
            try:
                path = write_heads(folder, str(one), found, datetime.now(UTC))
            except OSError as error:
                raise UndoneError(f"The heads cannot be kept: {error}") from None
            out.print(f"{path}: {len(found)} chains", markup=False, soft_wrap=True)
