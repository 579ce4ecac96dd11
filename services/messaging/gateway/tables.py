"""Gateways as they are configured, and what workers last reported about them: reference data."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Integer, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Gateway(Row):  # type: ignore[valid-type,misc]
    """
    One link to an SMS centre; ``configured`` is false once it is no longer among the settings.

    ``bound_time`` is when a worker last had a working link; ``hears_receipts`` and ``can_query`` are what its driver
    can do. Reports do not count up the version.
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
    hears_receipts: Mapped[bool] = mapped_column(Boolean)
    can_query: Mapped[bool] = mapped_column(Boolean)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class GatewayLink(Row):  # type: ignore[valid-type,misc]
    """
    What one worker told last about its link to a gateway; counts are of submissions since the worker started.

    ``sent_per_second`` and ``allowed_per_second`` are segments; 0 allowed means no limit.
    """

    __tablename__ = "gateway_links"

    gateway: Mapped[str] = mapped_column(Text, primary_key=True)
    worker: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str] = mapped_column(Text)
    unanswered: Mapped[int] = mapped_column(Integer)
    sent_per_second: Mapped[int] = mapped_column(Integer)
    allowed_per_second: Mapped[int] = mapped_column(Integer)
    accepted_count: Mapped[int] = mapped_column(BigInteger)
    rejected_count: Mapped[int] = mapped_column(BigInteger)
    throttled_count: Mapped[int] = mapped_column(BigInteger)
    temporary_count: Mapped[int] = mapped_column(BigInteger)
    ambiguous_count: Mapped[int] = mapped_column(BigInteger)
    report_time: Mapped[datetime] = mapped_column(Moment)
