"""The ``guanhu`` command: the same contracts as the portal's, for terminals and schedulers."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import grpc
import typer
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub
from rich.table import Table

from admin.commands import audit, events, keys, sms
from admin.commands.terminal import (
    UndoneError,
    account_token,
    channel_to,
    err,
    out,
    progress_of,
    sentence,
    stop,
)
from admin.folders import Contents, Folder, UnreadableError, header_of
from admin.settings import read_settings

LEFT_OUT = 3
"""How an import ends when some lines were left out; 1 means that nothing was done."""

TRIES = 5
"""How often a broken stream is taken up again; what is stored is passed over."""

SHOWN_FAULTS = 20
STREAM_SECONDS = 6 * 3600

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Guanhu, from a terminal.",
)
app.add_typer(audit.app, name="audit")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
app.add_typer(sms.app, name="sms")


@app.callback()
def guanhu() -> None:
    """Look after the bank's customers from a terminal."""


def parts(
    kind: Any, header: pb.SnapshotHeader, folder: Folder, sent: Callable[[int], None]
) -> Iterator[Any]:
    """Yield the messages of a stream, telling *sent* how many lines have gone."""
    yield kind(header=header)
    gone = 0
    for chunk in folder.chunks():
        yield kind(chunk=chunk)
        gone += len(getattr(chunk, chunk.WhichOneof("lines")).lines)
        sent(gone)


class Sending:
    """One snapshot on its way: the folder, and who sends it from which system."""

    def __init__(
        self, folder: Folder, contents: Contents, source: str, day: date
    ) -> None:
        """Send what *folder* holds as the snapshot of *day* of *source*."""
        self.folder = folder
        self.contents = contents
        self._source = source
        self._day = day

    def messages(self, kind: Any, sent: Callable[[int], None]) -> Iterator[Any]:
        """Yield the messages of one try."""
        header = header_of(self._source, self._day, self.contents, str(uuid4()))
        return parts(kind, header, self.folder, sent)

    def check(
        self, stub: Any, pairs: Any, sent: Callable[[int], None]
    ) -> pb.ValidateSnapshotResponse:
        """Let the service judge every line and store nothing."""
        stream = self.messages(pb.ValidateSnapshotRequest, sent)
        return stub.ValidateSnapshot(stream, metadata=pairs(), timeout=STREAM_SECONDS)

    def bring(self, stub: Any, pairs: Any, sent: Callable[[int], None]) -> pb.Import:
        """Import; a stream that breaks is taken up again where it stopped."""
        number = 1
        while True:
            stream = self.messages(pb.ImportSnapshotRequest, sent)
            try:
                return stub.ImportSnapshot(
                    stream, metadata=pairs(), timeout=STREAM_SECONDS
                )
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or number == TRIES:
                    raise
            time.sleep(2 ** (number - 1))
            number += 1


def shown(counts: Any, *, dry_run: bool) -> Table:
    """Return what became of the lines as a table."""
    table = Table(show_edge=False, pad_edge=False)
    heads = (
        "lines of",
        "received",
        "good" if dry_run else "stored",
        "unchanged",
        "faulty",
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "lines of" else "right")
    for count in counts:
        name = (
            pb.SnapshotEntity.Name(count.entity)
            .removeprefix("SNAPSHOT_ENTITY_")
            .lower()
        )
        figures = (
            count.received_count,
            count.stored_count,
            count.unchanged_count,
            count.faulty_count,
        )
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    return table


def show_faults(faults: Any, total: int) -> None:
    """Print the first faults, one a line, by entity, line and field; values are never shown."""
    for fault in faults[:SHOWN_FAULTS]:
        entity = (
            pb.SnapshotEntity.Name(fault.entity)
            .removeprefix("SNAPSHOT_ENTITY_")
            .lower()
        )
        mark = "warning" if fault.warning else "fault"
        err.print(
            f"{mark}: {entity} line {fault.line_number}, {fault.field}: {fault.sentence}",
            markup=False,
            soft_wrap=True,
        )
    if total > SHOWN_FAULTS:
        err.print(f"... and {total - SHOWN_FAULTS:,} more")


FolderArgument = Annotated[
    Path,
    typer.Argument(
        help="Folder with the files of one day.", exists=True, file_okay=False
    ),
]
DayOption = Annotated[
    datetime,
    typer.Option(formats=["%Y-%m-%d"], help="The day at whose end the snapshot holds."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Judge every line and store nothing.")
]
SourceOption = Annotated[str, typer.Option(help="The system it comes from.")]
AccountOption = Annotated[
    str,
    typer.Option(
        help="The account to send it as; its secret is the file account-NAME."
    ),
]


@app.command("import")
def import_folder(
    folder: FolderArgument,
    date: DayOption,
    *,
    dry_run: DryRunOption = False,
    source: SourceOption = "core-banking",
    account: AccountOption = "core-banking",
) -> None:
    """
    Import one day's snapshot from a folder of CSV or Parquet files.

    Ends with 0 when every line was taken, with 3 when some were left out, and with 1 when nothing was done. The same
    folder sent again goes on where it stopped, or changes nothing.
    """
    try:
        there = Folder(folder)
        sending = Sending(there, there.read_through(), source, date.date())
    except UnreadableError as error:
        stop(str(error))
    settings = read_settings()
    stub = SnapshotServiceStub(channel_to(settings, "customer"))

    def pairs() -> list[tuple[str, str]]:
        try:
            token = account_token(settings, account)
        except UndoneError as error:
            stop(str(error))
        return [("authorization", f"Bearer {token}")]

    act = sending.check if dry_run else sending.bring
    said = "checking" if dry_run else "importing"
    with progress_of(said, sending.contents.lines) as moved:
        try:
            answer = act(stub, pairs, moved)
        except grpc.RpcError as error:
            stop(sentence(error))
    raise typer.Exit(tell(answer, stub, pairs, dry_run=dry_run))


def tell(answer: Any, stub: Any, pairs: Any, *, dry_run: bool) -> int:
    """Print what came of it, and return how the command ends."""
    out.print(shown(answer.counts, dry_run=dry_run))
    if dry_run:
        show_faults(answer.import_faults, answer.fault_count + answer.warning_count)
    else:
        asked = pb.ListImportFaultsRequest(
            snapshot_import=answer.name, page_size=SHOWN_FAULTS
        )
        page = stub.ListImportFaults(asked, metadata=pairs(), timeout=10)
        show_faults(page.import_faults, page.total_size)
        took = (
            answer.end_time.ToDatetime(UTC) - answer.create_time.ToDatetime(UTC)
        ).total_seconds()
        out.print(f"{answer.name} took {took:.1f} s")
    return LEFT_OUT if any(count.faulty_count for count in answer.counts) else 0
