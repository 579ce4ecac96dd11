"""Contact plans and their items."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Date, Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("engagement")


class ContactPlan(Row):  # type: ignore[valid-type,misc]
    """Whom one owner contacts on one day; (branch_id, owner, plan_date) is unique."""

    __tablename__ = "contact_plans"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    plan_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    plan_date: Mapped[date] = mapped_column(Date)
    state: Mapped[int] = mapped_column(SmallInteger)
    minimum_count: Mapped[int] = mapped_column(Integer)
    review_remark: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(Text)
    submit_time: Mapped[datetime | None] = mapped_column(Moment)
    late: Mapped[bool] = mapped_column(Boolean)
    review_time: Mapped[datetime | None] = mapped_column(Moment)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class ContactPlanItem(Row):  # type: ignore[valid-type,misc]
    """One customer of a plan, at a ``place`` in its order."""

    __tablename__ = "contact_plan_items"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    plan_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    state: Mapped[int] = mapped_column(SmallInteger)
    causes: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    event_types: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    reminders: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    reminder_kinds: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    execution_note: Mapped[str] = mapped_column(Text)
    channel: Mapped[int] = mapped_column(SmallInteger)
    work_log_id: Mapped[UUID | None] = mapped_column(Uuid)
    update_time: Mapped[datetime] = mapped_column(Moment)
