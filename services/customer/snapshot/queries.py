"""Reads of imports and their faults."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from services.chassis.caller import HEAD_OFFICE
from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Page, counted, paged
from services.customer.snapshot.tables import Fault, Import

ORDERS = {"create_time": Import.create_time, "snapshot_date": Import.snapshot_date}


async def snapshot(work: Work, import_id: UUID) -> Import:
    """Return one import; refuse NOT_FOUND."""
    row = await work.find(Import, HEAD_OFFICE, import_id)
    if row is None:
        raise NotFound("import", "导入")
    return row


async def same(work: Work, source: str, day: date) -> Import | None:
    """Return the import of *source* for *day*, locked for this transaction, or None."""
    where = (
        (Import.branch_id == HEAD_OFFICE)
        & (Import.source == source)
        & (Import.snapshot_date == day)
    )
    return (
        await work.session.execute(select(Import).where(where).with_for_update())
    ).scalar_one_or_none()


async def newest(work: Work, source: str, state: int) -> date | None:
    """Return the newest day of *source* in *state*, or None."""
    where = (
        (Import.branch_id == HEAD_OFFICE)
        & (Import.source == source)
        & (Import.state == state)
    )
    statement = (
        select(Import.snapshot_date)
        .where(where)
        .order_by(Import.snapshot_date.desc())
        .limit(1)
    )
    return (await work.execute(statement)).scalar_one_or_none()


async def snapshots(
    work: Work, page: Page, *, query: str, day: date | None, state: int
) -> tuple[Sequence[Row[Any]], int]:
    """Return a page of imports with one row more, and how many there are."""
    statement = select(*Import.__table__.columns).where(Import.branch_id == HEAD_OFFICE)
    if query:
        statement = statement.where(Import.source.startswith(query, autoescape=True))
    if day:
        statement = statement.where(Import.snapshot_date == day)
    if state:
        statement = statement.where(Import.state == state)
    return await _page(work, statement, page, (ORDERS[page.order], Import.import_id))


async def faults(
    work: Work, page: Page, *, import_id: UUID, entity: int, reason: str, query: str
) -> tuple[Sequence[Row[Any]], int]:
    """Return a page of one import's faults with one row more, and how many there are."""
    statement = select(*Fault.__table__.columns)
    statement = statement.where(
        (Fault.branch_id == HEAD_OFFICE) & (Fault.import_id == import_id)
    )
    if entity:
        statement = statement.where(Fault.entity == entity)
    if reason:
        statement = statement.where(Fault.reason == reason)
    if query:
        statement = statement.where(Fault.key.startswith(query, autoescape=True))
    return await _page(
        work, statement, page, (Fault.entity, Fault.line_number, Fault.field)
    )


async def _page(
    work: Work, statement: Select[Any], page: Page, keys: Sequence[Any]
) -> tuple[Sequence[Row[Any]], int]:
    rows = await work.execute(paged(statement, page, keys))
    return rows.all(), int((await work.execute(counted(statement))).scalar_one())
