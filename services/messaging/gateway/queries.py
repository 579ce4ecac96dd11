"""Reads of gateways."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Select, select

from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.gateway.rules import DAY, FRESH, HOUR, State
from services.messaging.gateway.tables import Gateway, GatewayLink

LISTING = Listing(
    orders={"gateway": Gateway.gateway}, default="gateway", unique=(Gateway.gateway,)
)

FIGURES = """
    SELECT b.gateway, b.update_time > $2 AS newest, sum(c.sent_count) AS accepted, sum(c.delivered_count) AS delivered,
           sum(c.failed_count + c.undelivered_count) AS failed, sum(c.unknown_count) AS unknown
    FROM batches AS b JOIN chunks AS c ON c.branch_id = b.branch_id AND c.batch_id = b.batch_id
    WHERE b.update_time > $1{scope} GROUP BY 1, 2"""
OF_BRANCHES = FIGURES.format(scope=" AND b.branch_id = ANY ($3::integer[])")
OF_THE_BANK = FIGURES.format(scope="")


@dataclass(slots=True)
class Figures:
    """What became of the messages of some batches."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0

    def add(self, row: Any) -> None:
        """Count what *row* comes to."""
        self.accepted += row["accepted"]
        self.delivered += row["delivered"]
        self.failed += row["failed"]
        self.unknown += row["unknown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A gateway with what workers told about it a moment ago, and figures of the last hour and day."""

    row: Any
    links: Sequence[Any] = ()
    hour: Figures = field(default_factory=Figures)
    day: Figures = field(default_factory=Figures)


async def held(work: Work, gateway: str) -> Gateway:
    """Return one configured gateway; refuse NOT_FOUND when there is none."""
    row = await work.find(Gateway, gateway)
    if row is None or not row.configured:
        raise NotFound("gateway", "短信网关")
    return row


def listed(query: str) -> Select[Any]:
    """Return the statement of a list."""
    statement = select(*Gateway.__table__.columns).where(Gateway.configured)
    if query:
        found = Gateway.display_name.contains(query, autoescape=True)
        statement = statement.where(found)
    return statement


async def sending(work: Work, gateway: str) -> str:
    """Return the gateway of this name if messages are handed over to it, the first such one for no name; else none."""
    found = select(Gateway.gateway).where(
        Gateway.configured & (Gateway.state == State.RUNNING)
    )
    if gateway:
        found = found.where(Gateway.gateway == gateway)
    row = (await work.execute(found.order_by(Gateway.gateway).limit(1))).first()
    return row.gateway if row else ""


async def deaf(work: Work, gateway: str) -> bool:
    """Say whether no receipt ever comes from a gateway."""
    row = await work.find(Gateway, gateway)
    return row is not None and not row.hears_receipts


async def shown(work: Work, rows: Iterable[Any]) -> list[Shown]:
    """
    Return gateways with their health.

    The figures are of batches in the caller's sight that moved lately: counts of chunks, so that no message is read.
    """
    found = {row.gateway: Shown(row) for row in rows}
    told = select(*GatewayLink.__table__.columns).where(
        GatewayLink.gateway.in_(list(found))
        & (GatewayLink.report_time > work.now - FRESH)
    )
    links: dict[str, list[Any]] = {name: [] for name in found}
    for row in await work.execute(told.order_by(GatewayLink.worker)):
        links[row.gateway].append(row)
    caller, since = work.caller, (work.now - DAY, work.now - HOUR)
    figures = (
        await work.run(OF_THE_BANK, *since)
        if caller.everywhere
        else await work.run(OF_BRANCHES, *since, list(caller.branch_ids))
    )
    for row in figures:
        if one := found.get(row["gateway"]):
            one.day.add(row)
            if row["newest"]:
                one.hour.add(row)
    return [replace(one, links=links[name]) for name, one in found.items()]
