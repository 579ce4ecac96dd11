"""Reads of products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select

from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Page, counted, paged
from services.customer.product.tables import Product

COLUMNS = tuple(Product.__table__.columns)
ORDERS = {"code": Product.code, "display_name": Product.display_name}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    family: int = 0
    product_type: int = 0
    core: bool = False


async def product(work: Work, code: str) -> Row[Any]:
    """Return one product; refuse NOT_FOUND."""
    row = (
        await work.execute(select(*COLUMNS).where(Product.code == code))
    ).one_or_none()
    if row is None:
        raise NotFound("product", "产品")
    return row


async def page(
    work: Work, page: Page, filters: Filters
) -> tuple[Sequence[Row[Any]], int]:
    """Return a page of products with one row more, and how many there are."""
    statement = select(*COLUMNS)
    for column, value in (
        (Product.family, filters.family),
        (Product.product_type, filters.product_type),
        (Product.core, filters.core),
    ):
        if value:
            statement = statement.where(column == value)
    if filters.query:
        starts = (
            func.starts_with(column, filters.query)
            for column in (Product.code, Product.display_name)
        )
        statement = statement.where(or_(*starts))
    rows = await work.execute(
        paged(statement, page, (ORDERS[page.order], Product.code))
    )
    return rows.all(), int((await work.execute(counted(statement))).scalar_one())
