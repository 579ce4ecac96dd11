"""``guanhu events``: what services could not handle of others' events, and how it is sent through again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Annotated
from uuid import uuid4

import grpc
import typer
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from admin.commands.audit import Service
from admin.commands.terminal import (
    ANSWER_SECONDS,
    OperatorOption,
    Pairs,
    UndoneError,
    calling,
    channel_to,
    err,
    out,
    sentence_of,
    sentences,
)
from admin.settings import SERVICES, PortalSettings, read_settings

MOST = 500
"""How many parked events one call lists at most."""

HEADS = ("source", "branch", "sequence", "kind", "cause", "tries", "parked at")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look after events that a service could not handle and has put aside.",
)

ServiceArgument = Annotated[
    Service, typer.Argument(help="The service that could not handle them.")
]
AccountOption = Annotated[
    str,
    typer.Option(
        help="The account to ask as; its secret is the file account-NAME. It needs the role OPERATOR; AUDITOR may list."
    ),
]


class Feed:
    """The feed servicer of one service, called with refusals told as sentences."""

    def __init__(self, settings: PortalSettings, service: str, pairs: Pairs) -> None:
        """Reach *service* with what *pairs* gives."""
        self._settings = settings
        self._service = service
        self._pairs = pairs
        self._stub = FeedServiceStub(channel_to(settings, service))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise UndoneError(
                sentence_of(error, self._settings, self._service)
            ) from None

    def parked(self) -> Sequence[events_pb2.ParkedEvent]:
        """Return the events put aside, at most MOST; raises UndoneError."""
        request = events_pb2.ListParkedRequest(page_size=MOST)
        with self._told():
            answer = self._stub.ListParked(
                request, metadata=self._pairs(), timeout=ANSWER_SECONDS
            )
        return answer.parked_events

    def redrive(self, source: str, branch_id: int) -> int:
        """Have what *source* published handled again; return how many events. Raises UndoneError."""
        request = events_pb2.RedriveEventsRequest(
            source=source, branch_id=branch_id, request_id=str(uuid4())
        )
        with self._told():
            answer = self._stub.RedriveEvents(
                request, metadata=self._pairs(), timeout=ANSWER_SECONDS
            )
        return int(answer.redriven_count)


def row_of(parked: events_pb2.ParkedEvent) -> tuple[str, ...]:
    """Return what may be shown of a parked event: where it came from and what it was, never what it says."""
    event = parked.event
    return (
        parked.source,
        str(event.branch_id),
        str(event.sequence),
        event.fact.TypeName().rpartition(".")[2],
        parked.cause,
        str(parked.tries),
        f"{parked.park_time.ToDatetime(UTC):%Y-%m-%d %H:%M:%SZ}",
    )


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield *rows* as lines whose columns stand below one another, however narrow the terminal is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


@app.command("parked")
def list_parked(
    service: ServiceArgument,
    *,
    account: AccountOption = "operator",
    operator: OperatorOption = "",
) -> None:
    """
    List the events of other services that a service tried five times and put aside.

    Shows where each came from, what kind of fact it is, and what kind of error it met; nothing of what it says. Ends
    with 0, or with 2 when they could not be listed.
    """
    settings = read_settings()
    with sentences(), calling(settings, account, operator) as pairs:
        found = Feed(settings, service, pairs).parked()
    if not found:
        err.print(f"{service} has put nothing aside.")
        return
    for line in aligned([HEADS, *map(row_of, found)]):
        out.print(line, markup=False, soft_wrap=True)
    if len(found) == MOST:
        err.print(f"These are the first {MOST}; there may be more.")


@app.command()
def redrive(
    service: ServiceArgument,
    *,
    source: Annotated[
        Service | None,
        typer.Option(help="Only what this service published; all sources unless told."),
    ] = None,
    branch: Annotated[
        int,
        typer.Option(min=0, help="Only events of this branch; 0 means every branch."),
    ] = 0,
    account: AccountOption = "operator",
    operator: OperatorOption = "",
) -> None:
    """
    Have parked events handled again by the service's worker, which takes them up within a second or so.

    Mend the cause first: what fails again stays parked with the new cause, as `guanhu events parked` then shows. Ends
    with 0, also when there was nothing to do, or with 2 when it could not be asked for.
    """
    settings = read_settings()
    with sentences(), calling(settings, account, operator) as pairs:
        feed = Feed(settings, service, pairs)
        sources = [str(source)] if source else sources_of(feed, service)
        counts = {one: feed.redrive(one, branch) for one in sources}
    for one, count in counts.items():
        out.print(f"{one}: {count} events", markup=False)
    total = sum(counts.values())
    out.print(f"{service} will handle {total} events again", markup=False)


def sources_of(feed: Feed, service: str) -> list[str]:
    """Return the services whose events are parked; every other service where there are too many to see them all."""
    found = feed.parked()
    if len(found) == MOST:
        return [one for one in SERVICES if one != service]
    return sorted({one.source for one in found})
