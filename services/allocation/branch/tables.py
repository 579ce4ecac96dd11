"""The tree of branches: reference data, read by all, without row-level security."""

from datetime import datetime

from sqlalchemy import Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("allocation")


class Branch(Row):  # type: ignore[valid-type,misc]
    """One branch of the bank, keyed by its institution number."""

    __tablename__ = "branches"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    parent_branch_id: Mapped[int] = mapped_column(Integer)
    display_name: Mapped[str] = mapped_column(Text)
    branch_type: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
