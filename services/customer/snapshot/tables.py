"""Imports of snapshots and the faults of their lines; kept at the head office, whatever branches the lines are of."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, Integer, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Import(Row):  # type: ignore[valid-type,misc]
    """
    One snapshot of one source; ``counts`` holds received, stored, unchanged and faulty by entity number.

    ``taker`` is the stream that may write: the last that came.
    """

    __tablename__ = "imports"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    import_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    snapshot_date: Mapped[date] = mapped_column(Date)
    digest: Mapped[str] = mapped_column(Text)
    state: Mapped[int] = mapped_column(SmallInteger)
    totals: Mapped[dict[str, int]] = mapped_column(JSONB)
    counts: Mapped[dict[str, dict[str, int]]] = mapped_column(JSONB)
    last_chunk: Mapped[int] = mapped_column(Integer)
    failure_reason: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(Text)
    taker: Mapped[UUID] = mapped_column(Uuid)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    end_time: Mapped[datetime | None] = mapped_column(Moment)


class Fault(Row):  # type: ignore[valid-type,misc]
    """
    What is wrong with one line.

    The value at fault is not kept, it may be personal; ``detail`` is the branch or the limit that the sentence names.
    """

    __tablename__ = "import_faults"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    import_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    entity: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    line_number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    field: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    warning: Mapped[bool] = mapped_column(Boolean)
    detail: Mapped[str] = mapped_column(Text)
