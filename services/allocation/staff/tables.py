"""Staff of the branches: posts, capacity, presence."""

from datetime import datetime

from sqlalchemy import ARRAY, Boolean, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("allocation")


class Staff(Row):  # type: ignore[valid-type,misc]
    """
    One member of staff.

    ``posts`` are names of ``guanhu.policy.v1.Role`` without their prefix, ascending; several per person.
    ``capacity`` is the number of customers the person can look after well; 0 means no limit is set.
    """

    __tablename__ = "staff"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    staff_id: Mapped[str] = mapped_column(Text, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    operator_no: Mapped[str] = mapped_column(Text)
    posts: Mapped[list[str]] = mapped_column(ARRAY(Text))
    specialities: Mapped[list[str]] = mapped_column(ARRAY(Text))
    capacity: Mapped[int] = mapped_column(Integer)
    present: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
