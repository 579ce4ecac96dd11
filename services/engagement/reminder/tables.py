"""Reminders: one row per fact that calls for attention."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Date, Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("engagement")


class Reminder(Row):  # type: ignore[valid-type,misc]
    """
    One fact about one customer, shown to whoever looks after the customer.

    (branch_id, number, kind, fact_key) makes a fact unique. ``amount`` is in minor units of ``currency``.
    """

    __tablename__ = "reminders"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    reminder_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    category: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[int] = mapped_column(SmallInteger)
    event_type: Mapped[int] = mapped_column(SmallInteger)
    fact_key: Mapped[str] = mapped_column(Text)
    fact_date: Mapped[date] = mapped_column(Date)
    show_date: Mapped[date] = mapped_column(Date)
    end_date: Mapped[date] = mapped_column(Date)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    holding: Mapped[str] = mapped_column(Text)
    product: Mapped[str] = mapped_column(Text)
    state: Mapped[int] = mapped_column(SmallInteger)
    dismiss_reason: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
