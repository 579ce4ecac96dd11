"""Opportunities, as they are now; what happened to them is in the audit trail and the outbox."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("engagement")


class Opportunity(Row):  # type: ignore[valid-type,misc]
    """
    Something a customer may need.

    Amounts are minor units of ``currency``. ``stale`` is set the night after ``validity_date`` while it is open.
    """

    __tablename__ = "opportunities"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    opportunity_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    opportunity_class: Mapped[int] = mapped_column(SmallInteger)
    stage: Mapped[int] = mapped_column(SmallInteger)
    target_product: Mapped[str] = mapped_column(Text)
    lead: Mapped[str] = mapped_column(Text)
    feedback: Mapped[str] = mapped_column(Text)
    source: Mapped[int] = mapped_column(SmallInteger)
    reminder_id: Mapped[UUID | None] = mapped_column(Uuid)
    currency: Mapped[str] = mapped_column(Text)
    expected_amount: Mapped[int | None] = mapped_column(BigInteger)
    expected_date: Mapped[date | None] = mapped_column(Date)
    won_amount: Mapped[int | None] = mapped_column(BigInteger)
    follow_up_date: Mapped[date | None] = mapped_column(Date)
    validity_date: Mapped[date] = mapped_column(Date)
    stale: Mapped[bool] = mapped_column(Boolean)
    loss_reason: Mapped[int] = mapped_column(SmallInteger)
    loss_remark: Mapped[str] = mapped_column(Text)
    find_date: Mapped[date] = mapped_column(Date)
    finder: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime | None] = mapped_column(Moment)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
