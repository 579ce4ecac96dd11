"""``guanhu sms``: plan a batch and read the question, answer it, and watch how far it comes."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from guanhu.customer.v1 import group_pb2
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.messaging.v1 import batch_pb2 as pb
from guanhu.messaging.v1 import template_pb2
from guanhu.messaging.v1.batch_pb2_grpc import SmsBatchServiceStub
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub
from rich.table import Table

from admin.commands.terminal import (
    ANSWER_SECONDS,
    REFUSED,
    OperatorOption,
    Pairs,
    UndoneError,
    calling,
    channel_to,
    out,
    progress_of,
    sentence,
    sentence_of,
    sentences,
    stop,
)
from admin.formats import amount, cents_of
from admin.settings import PortalSettings, read_settings

NOT_ALL, ENDED_EARLY = 3, 4
"""How a command ends when not everything went out, or waits for somebody; and when a batch was ended before its end."""

PLAN_SECONDS = 60
STREAM_SECONDS = 6 * 3600
TRIES = 5
"""How often a broken stream is taken up again."""

TOKEN = "GUANHU_TOKEN"  # noqa: S105 - the name of a variable
"""Holds the token of a member of staff, for programs that have signed in already."""

COUNTS = (
    "excluded",
    "waiting",
    "submitting",
    "sent",
    "delivered",
    "failed",
    "unknown",
    "cancelled",
)

Policy = StrEnum(
    "Policy",
    {
        name: name.lower().replace("_", "-")
        for name in ("FENCE", "AT_MOST_ONCE", "AT_LEAST_ONCE")
    },
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Plan a batch of messages, confirm it and watch it.",
)

BatchArgument = Annotated[
    str, typer.Argument(metavar="BATCH", help="The batch, as the plan named it.")
]


@contextmanager
def signed_in(settings: PortalSettings, operator: str) -> Iterator[Pairs]:
    """
    Let calls be made as *operator*, or with the token of the environment where there is none.

    Raises UndoneError when nobody is let in.
    """
    if operator:
        with calling(settings, "", operator) as pairs:
            yield pairs
        return
    token = os.environ.get(TOKEN, "")
    if not token:
        raise UndoneError(f"Say who you are: --operator NUMBER, or a token in {TOKEN}.")
    yield lambda: [("authorization", f"Bearer {token}")]


class Desk:
    """The services behind the command; refusals end it, and services that are away are told by name."""

    def __init__(self, settings: PortalSettings, pairs: Pairs) -> None:
        """Reach the services that *settings* name with what *pairs* gives."""
        self._settings, self._pairs = settings, pairs
        messaging = channel_to(settings, "messaging")
        self.batches = SmsBatchServiceStub(messaging)
        self._templates = TemplateServiceStub(messaging)
        self._groups = GroupServiceStub(channel_to(settings, "customer"))

    def ask(
        self,
        call: Callable[..., Any],
        request: Any,
        *,
        seconds: float = ANSWER_SECONDS,
        service: str = "messaging",
    ) -> Any:
        """Return the answer of one call; a refusal ends the command, UndoneError is raised for a service away."""
        try:
            return call(request, metadata=self._pairs(), timeout=seconds)
        except grpc.RpcError as error:
            if error.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.UNAUTHENTICATED,
            ):
                raise UndoneError(sentence_of(error, self._settings, service)) from None
            stop(sentence(error), REFUSED)

    def template(self, told: str) -> str:
        """Return the name of an approved template, told by name or by what it is called; raises UndoneError."""
        if told.startswith("templates/"):
            return told
        request = template_pb2.ListTemplatesRequest(
            query=told, state=template_pb2.TEMPLATE_STATE_APPROVED, page_size=500
        )
        page = self.ask(self._templates.ListTemplates, request)
        return called(told, page.templates, "approved template")

    def group(self, told: str) -> str:
        """Return the name of a group, told by name or by what it is called; raises UndoneError."""
        if told.startswith("groups/"):
            return told
        request = group_pb2.ListGroupsRequest(query=told, page_size=500)
        page = self.ask(self._groups.ListGroups, request, service="customer")
        return called(told, page.groups, "group")

    def batch(self, name: str) -> pb.Batch:
        """Return a batch with its samples."""
        return self.ask(self.batches.GetBatch, pb.GetBatchRequest(name=name))

    def watch(self, name: str) -> Iterator[pb.Batch]:
        """Yield a batch whenever it moves, until its end; a stream that breaks is taken up again."""
        request, tries = pb.WatchBatchRequest(name=name), 0
        while True:
            try:
                for batch in self.batches.WatchBatch(
                    request, metadata=self._pairs(), timeout=STREAM_SECONDS
                ):
                    tries = 0
                    yield batch
            except grpc.RpcError as error:
                tries += 1
                if error.code() != grpc.StatusCode.UNAVAILABLE or tries == TRIES:
                    text = sentence_of(error, self._settings, "messaging")
                    raise UndoneError(text) from None
                time.sleep(2 ** (tries - 1))
            else:
                return


def called(told: str, found: Sequence[Any], kind: str) -> str:
    """Return the name of the one resource that is called *told*; raises UndoneError when there is none, or several."""
    names = [one.name for one in found if one.display_name == told]
    if len(names) != 1:
        what = "no" if not names else "more than one"
        raise UndoneError(f"There is {what} {kind} called {told}.")
    return str(names[0])


def word(kind: Any, value: int) -> str:
    """Return how a value of an enumeration reads."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.DESCRIPTOR.name).upper()
    return str(kind.Name(value).removeprefix(f"{prefix}_").replace("_", " ").lower())


def table(heads: tuple[str, str], rows: Sequence[tuple[str, int]]) -> Table:
    """Return words with their counts as a table."""
    found = Table(show_edge=False, pad_edge=False)
    found.add_column(heads[0])
    found.add_column(heads[1], justify="right")
    for name, count in rows:
        found.add_row(name, f"{count:,}")
    return found


def show(batch: pb.Batch, zone: ZoneInfo) -> None:
    """Print the question: who is left out and why, what it costs, when it goes out, and how it reads."""
    people = batch.total_count - batch.excluded_count
    tell(
        f"{batch.name}: {batch.template_display_name}, {word(pb.BatchState, batch.state)}"
    )
    tell(f"{people:,} of {batch.total_count:,} people get the message.")
    if batch.exclusions:
        left_out = [
            (word(pb.ExclusionReason, one.reason), one.count)
            for one in batch.exclusions
        ]
        out.print(table(("left out", "people"), left_out))
    bills = [(str(one.segments), one.count) for one in batch.segment_counts]
    out.print(table(("billed as", "messages"), bills))
    price = f"{batch.cost.currency_code} {amount(cents_of(batch.cost))}"
    tell(f"{batch.segment_count:,} segments cost {price}.")
    if batch.HasField("send_window"):
        window = batch.send_window
        start = window.start_time.ToDatetime(UTC).astimezone(zone)
        hours = f"between {window.from_hour} and {window.to_hour} o'clock"
        whole = window.to_hour - window.from_hour == 24
        tell(
            f"Goes out from {start:%Y-%m-%d %H:%M}, {'at any hour' if whole else hours}."
        )
    for title, samples in (
        ("longest", batch.samples),
        ("ordinary", batch.ordinary_samples),
    ):
        for one in samples:
            tell(f"{title} ({one.segments}): {one.text}")
    tell(f"digest {batch.digest}")


def moment_of(at: datetime | None, zone: ZoneInfo) -> Timestamp | None:
    """Return a moment that was typed by the clocks of *zone*; None for none."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at.replace(tzinfo=zone))
    return stamp


def tell(text: str) -> None:
    """Print one line as it is, however narrow the terminal."""
    out.print(text, markup=False, soft_wrap=True)


@app.command()
def plan(
    *,
    groups: Annotated[
        list[str],
        typer.Option(help="A group, by name or by what it is called; may be repeated."),
    ],
    template: Annotated[
        str, typer.Option(help="The template, by name or by what it is called.")
    ],
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d %H:%M"], help="When to send; at once unless told."
        ),
    ] = None,
    gateway: Annotated[
        str, typer.Option(help="The gateway; the first that runs unless told.")
    ] = "",
    unknown: Annotated[
        Policy, typer.Option(help="What happens to messages of which nobody knows.")
    ] = Policy.FENCE,
    operator: OperatorOption = "",
) -> None:
    """
    Plan a batch and print the question: who is left out and why, what it costs, how it reads. Nothing is sent.

    Ends with 0, with 1 when the plan was refused, and with 2 when it could not be asked for.
    """
    settings = read_settings()
    zone = ZoneInfo(settings.portal_time_zone)
    with sentences(), signed_in(settings, operator) as pairs:
        desk = Desk(settings, pairs)
        request = pb.PlanBatchRequest(
            template=desk.template(template),
            groups=[desk.group(one) for one in groups],
            schedule_time=moment_of(at, zone),
            gateway=f"gateways/{gateway.removeprefix('gateways/')}" if gateway else "",
            unknown_policy=f"UNKNOWN_POLICY_{unknown.name}",
            request_id=str(uuid4()),
        )
        found = desk.ask(desk.batches.PlanBatch, request, seconds=PLAN_SECONDS)
    show(found, zone)


@app.command()
def confirm(
    batch: BatchArgument,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needs --digest.")
    ] = False,
    digest: Annotated[str, typer.Option(help="The digest that the plan printed.")] = "",
    operator: OperatorOption = "",
) -> None:
    """
    Show the question of a planned batch again and answer it. What is confirmed is exactly what the digest stands for.

    Ends with 0 when the batch goes out, at once or at its time; with 3 when it waits for a second person; with 1 when
    it was refused or the answer was no; and with 2 when it could not be asked for.
    """
    settings = read_settings()
    with sentences(), signed_in(settings, operator) as pairs:
        if yes and not digest:
            raise UndoneError("--yes needs the --digest that the plan printed.")
        desk = Desk(settings, pairs)
        shown = desk.batch(batch)
        show(shown, ZoneInfo(settings.portal_time_zone))
        if not yes and not typer.confirm("Send it?", default=False, err=True):
            stop("Nothing was confirmed.", REFUSED)
        request = pb.ConfirmBatchRequest(
            name=shown.name,
            digest=digest or shown.digest,
            etag=shown.etag,
            request_id=str(uuid4()),
        )
        found = desk.ask(desk.batches.ConfirmBatch, request)
    tell(f"{found.name} is {word(pb.BatchState, found.state)}")
    if found.state == pb.BATCH_STATE_AWAITING_APPROVAL:
        raise typer.Exit(NOT_ALL)


@app.command()
def watch(batch: BatchArgument, *, operator: OperatorOption = "") -> None:
    """
    Watch a batch with a progress bar until its end.

    Ends with 0 when every message was accepted; with 3 when some failed, or nobody knows about them; with 4 when the
    batch was cancelled or rejected; with 1 when it cannot be seen; and with 2 when it could not be watched to its end.
    """
    settings = read_settings()
    with sentences(), signed_in(settings, operator) as pairs:
        desk = Desk(settings, pairs)
        found = desk.batch(batch)
        with progress_of("sending", found.total_count) as moved:
            for found in desk.watch(found.name):  # noqa: B020 - the newest is what counts
                moved(found.total_count - found.waiting_count - found.submitting_count)
    counts = [(name, getattr(found, f"{name}_count")) for name in COUNTS]
    out.print(table(("messages", "count"), [one for one in counts if one[1]]))
    tell(f"{found.name} is {word(pb.BatchState, found.state)}")
    if found.state != pb.BATCH_STATE_FINISHED:
        raise typer.Exit(ENDED_EARLY)
    if found.failed_count or found.unknown_count:
        raise typer.Exit(NOT_ALL)
