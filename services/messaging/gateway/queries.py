"""Reads of gateways."""

from typing import Any

from sqlalchemy import Select, select

from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.gateway.rules import State
from services.messaging.gateway.tables import Gateway

LISTING = Listing(
    orders={"gateway": Gateway.gateway}, default="gateway", unique=(Gateway.gateway,)
)


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
