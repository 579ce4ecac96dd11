"""Templates of messages, and what they said before: reference data, the same for every branch."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Template(Row):  # type: ignore[valid-type,misc]
    """One text with fields; ``fields`` are those used, in the order of first use. Each ``revision`` is kept."""

    __tablename__ = "templates"

    template_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    purpose: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[str] = mapped_column(Text)
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    state: Mapped[int] = mapped_column(SmallInteger)
    author: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(Text)
    review_remark: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class Revision(Row):  # type: ignore[valid-type,misc]
    """What a template said from one change to the next; written once and never changed."""

    __tablename__ = "template_revisions"

    template_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    revision: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    display_name: Mapped[str] = mapped_column(Text)
    purpose: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
