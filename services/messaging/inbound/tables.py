"""What customers answered, each message under the branch whose message it answers, or under the head office."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Inbound(Row):  # type: ignore[valid-type,misc]
    """
    One message of a customer; mobile and text are sealed, each bound to the row.

    ``dest`` is the access number with extension that it was sent to. ``number`` and ``batch_id`` tell whom of which
    batch it answers, where that is known. ``confirm_time`` is when the confirmation was handed over last.
    """

    __tablename__ = "inbounds"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    inbound_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    gateway: Mapped[str] = mapped_column(Text)
    dest: Mapped[str] = mapped_column(Text)
    mobile: Mapped[bytes] = mapped_column(LargeBinary)
    mobile_mask: Mapped[str] = mapped_column(Text)
    mobile_index: Mapped[bytes] = mapped_column(LargeBinary)
    text: Mapped[bytes] = mapped_column(LargeBinary)
    text_digest: Mapped[bytes] = mapped_column(LargeBinary)
    whole: Mapped[bool] = mapped_column(Boolean)
    kind: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[int] = mapped_column(SmallInteger)
    batch_id: Mapped[UUID | None] = mapped_column(Uuid)
    template_display_name: Mapped[str] = mapped_column(Text)
    number: Mapped[str] = mapped_column(Text)
    display_name: Mapped[str] = mapped_column(Text)
    assignee: Mapped[str] = mapped_column(Text)
    closer: Mapped[str] = mapped_column(Text)
    close_remark: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime | None] = mapped_column(Moment)
    confirmation: Mapped[int] = mapped_column(SmallInteger)
    confirm_time: Mapped[datetime | None] = mapped_column(Moment)
    receive_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
