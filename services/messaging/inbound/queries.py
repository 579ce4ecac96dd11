"""Reads of what customers answered: whose it is, what was said a moment ago, and what waits for somebody."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, literal, select

from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import Work, within
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.inbound.rules import Known
from services.messaging.inbound.tables import Inbound

LISTING = Listing(
    orders={"receive_time": Inbound.receive_time},
    default="receive_time desc",
    unique=(Inbound.branch_id, Inbound.inbound_id),
)

BRANCHES = "SELECT DISTINCT branch_id FROM batches ORDER BY 1"
KNOWN = """
    SELECT r.mobile_index, r.branch_id, r.batch_id, r.number, r.display_name, b.sender, b.purpose,
           b.template_display_name, coalesce(o.settle_time, b.create_time) AS moment,
           r.exclusion_reason = 0 AND coalesce(o.state, 4) = 4 AND b.state BETWEEN 4 AND 7 AS sent
    FROM recipients AS r
    JOIN batches AS b ON b.branch_id = r.branch_id AND b.batch_id = r.batch_id
    LEFT JOIN outcomes AS o ON o.branch_id = r.branch_id AND o.batch_id = r.batch_id AND o.ordinal = r.ordinal
    WHERE r.branch_id = ANY ($1::integer[]) AND r.mobile_index = ANY ($2::bytea[])"""
RECENT = """
    SELECT text_digest FROM inbounds
    WHERE branch_id = ANY ($1::integer[]) AND mobile_index = ANY ($2::bytea[]) AND receive_time > $3
    ORDER BY receive_time DESC, update_time DESC"""
REFUSED = "SELECT DISTINCT purpose FROM opt_outs WHERE mobile_index = ANY ($1::bytea[]) AND refused ORDER BY 1"
UNCONFIRMED = """
    SELECT DISTINCT branch_id FROM inbounds WHERE gateway = $1 AND confirmation IN (1, 2) ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    branch_id: int = 0
    assignee: str = ""
    state: int = 0
    kind: int = 0
    batch_id: UUID | None = None
    customer: str = ""


async def branches(work: Work) -> list[int]:
    """Return every branch that ever wrote to customers, and the head office."""
    return [HEAD_OFFICE, *(row.branch_id for row in await work.run(BRANCHES))]


async def known(
    work: Work, branch_ids: Sequence[int], indexes: Iterable[bytes]
) -> Mapping[bytes, list[Known]]:
    """Return where numbers stand among recipients, by the index under which each stands."""
    found: dict[bytes, list[Known]] = defaultdict(list)
    for row in await work.run(KNOWN, list(branch_ids), list(indexes)):
        fields = {key: value for key, value in row.items() if key != "mobile_index"}
        found[row.mobile_index].append(Known(**fields))
    return found


async def recent(
    work: Work, branch_ids: Sequence[int], indexes: Sequence[bytes], since: datetime
) -> list[bytes]:
    """Return the digests of what came from a number after *since*, the newest first."""
    rows = await work.run(RECENT, list(branch_ids), list(indexes), since)
    return [row.text_digest for row in rows]


async def refused(work: Work, indexes: Sequence[bytes]) -> list[int]:
    """Return the purposes that the holder of a number refused by answers."""
    return [row.purpose for row in await work.run(REFUSED, list(indexes))]


def seen(caller: Caller, *columns: Any) -> Select[Any]:
    """Return a select over messages in the caller's sight: the branches', or only those assigned to it."""
    own = Inbound.assignee == caller.key if caller.own_only else literal(True)  # noqa: FBT003 - no narrowing
    return select(*columns).where(within(Inbound.branch_id, caller) & own)


def listed(caller: Caller, filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = seen(caller, *Inbound.__table__.columns)
    for column, value in (
        (Inbound.branch_id, filters.branch_id),
        (Inbound.assignee, filters.assignee),
        (Inbound.state, filters.state),
        (Inbound.kind, filters.kind),
        (Inbound.batch_id, filters.batch_id),
        (Inbound.number, filters.customer),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        starts = Inbound.number.startswith(filters.query, autoescape=True)
        statement = statement.where(starts)
    return statement


async def held(work: Work, inbound_id: UUID, *, lock: bool = False) -> Inbound:
    """Return one message in the caller's sight, locked where it is to change; refuse NOT_FOUND otherwise."""
    branch_id = await work.locate("inbounds", str(inbound_id), "客户回复")
    key = (Inbound.branch_id == branch_id) & (Inbound.inbound_id == inbound_id)
    statement = seen(work.caller, Inbound).where(key)
    await work.session.flush()
    found = await work.session.execute(
        statement.with_for_update() if lock else statement
    )
    row: Inbound | None = found.scalar_one_or_none()
    if row is None:
        raise NotFound("inbound", "客户回复")
    return row
