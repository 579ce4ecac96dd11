"""Gateways as they are configured, and what workers last reported about them: reference data."""

from datetime import datetime

from sqlalchemy import Boolean, Integer, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Gateway(Row):  # type: ignore[valid-type,misc]
    """
    One link to an SMS centre; ``configured`` is false once it is no longer among the settings.

    ``bound_time`` is when a worker last had a working link. Reports do not count up the version.
    """

    __tablename__ = "gateways"

    gateway: Mapped[str] = mapped_column(Text, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    protocol: Mapped[int] = mapped_column(SmallInteger)
    configured: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[int] = mapped_column(SmallInteger)
    send_window: Mapped[int] = mapped_column(Integer)
    rate: Mapped[int] = mapped_column(Integer)
    report_time: Mapped[datetime | None] = mapped_column(Moment)
    bound_time: Mapped[datetime | None] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
