"""What customers hold, and money that moved."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Boolean, Date, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Holding(Row):  # type: ignore[valid-type,misc]
    """One holding of one customer; ``announced_date`` is the maturity that followers were told of."""

    __tablename__ = "holdings"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    holding_id: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    product_code: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    start_date: Mapped[date | None] = mapped_column(Date)
    maturity_date: Mapped[date | None] = mapped_column(Date)
    closed: Mapped[bool] = mapped_column(Boolean)
    announced_date: Mapped[date | None] = mapped_column(Date)
    update_time: Mapped[datetime] = mapped_column(Moment)


class Movement(Row):  # type: ignore[valid-type,misc]
    """Money that came in (positive) or went out (negative), in minor units, as core banking reported it."""

    __tablename__ = "movements"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    movement_id: Mapped[str] = mapped_column(Text, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    day: Mapped[date] = mapped_column(Date)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    snapshot_date: Mapped[date] = mapped_column(Date)
