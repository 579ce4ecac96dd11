"""The work log: one row per contact; rows are added and never changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("engagement")


class WorkLog(Row):  # type: ignore[valid-type,misc]
    """One contact with one customer; (branch_id, batch_id, number) is unique where a batch made it."""

    __tablename__ = "work_logs"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    work_log_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    staff: Mapped[str] = mapped_column(Text)
    kind: Mapped[int] = mapped_column(SmallInteger)
    contact_time: Mapped[datetime] = mapped_column(Moment)
    channel: Mapped[int] = mapped_column(SmallInteger)
    result: Mapped[int] = mapped_column(SmallInteger)
    event_type: Mapped[int] = mapped_column(SmallInteger)
    content: Mapped[str] = mapped_column(Text)
    late: Mapped[bool] = mapped_column(Boolean)
    plan_id: Mapped[UUID | None] = mapped_column(Uuid)
    opportunity_id: Mapped[UUID | None] = mapped_column(Uuid)
    batch_id: Mapped[UUID | None] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(Moment)
