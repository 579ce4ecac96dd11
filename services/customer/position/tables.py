"""Positions of customers by day: one row for every day on which a figure changed."""

from datetime import date

from sqlalchemy import BigInteger, Date, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import rows_of

Row = rows_of("customer")


class Position(Row):  # type: ignore[valid-type,misc]
    """What a customer held at the end of ``snapshot_date``, in minor units; ``before_`` is the figure before it."""

    __tablename__ = "positions"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    snapshot_date: Mapped[date] = mapped_column(Date, primary_key=True)
    financial_assets: Mapped[int] = mapped_column(BigInteger)
    aum: Mapped[int] = mapped_column(BigInteger)
    deposits: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    before_financial_assets: Mapped[int | None] = mapped_column(BigInteger)
    before_aum: Mapped[int | None] = mapped_column(BigInteger)
    before_deposits: Mapped[int | None] = mapped_column(BigInteger)
