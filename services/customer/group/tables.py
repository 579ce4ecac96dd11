"""Groups of customers, and who is in them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Group(Row):  # type: ignore[valid-type,misc]
    """
    A named list of customers of one branch, or a rule that finds them, kept by a member of staff.

    ``rule`` holds what ``rules.stored`` says, None in a static group. ``own_only`` says that it finds only customers
    whom the keeper owns: the sight of whoever made it, which nobody who changes it later widens.
    """

    __tablename__ = "customer_groups"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    group_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    kind: Mapped[int] = mapped_column(SmallInteger)
    keeper: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    delete_time: Mapped[datetime | None] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)
    rule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    own_only: Mapped[bool] = mapped_column(Boolean)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class Member(Row):  # type: ignore[valid-type,misc]
    """A customer in a group; ``remove_time`` is set when taken out."""

    __tablename__ = "group_members"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    group_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    add_time: Mapped[datetime] = mapped_column(Moment)
    remove_time: Mapped[datetime | None] = mapped_column(Moment)
    ordinal: Mapped[int] = mapped_column(Integer)
