"""The consent ledger: what customers allowed and refused, by channel and purpose; rows are added and never changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Consent(Row):  # type: ignore[valid-type,misc]
    """One act of one customer; channel or purpose 0 stands for every one. Identifiers grow with time (UUIDv7)."""

    __tablename__ = "consents"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    consent_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text)
    act: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[int] = mapped_column(SmallInteger)
    purpose: Mapped[int] = mapped_column(SmallInteger)
    evidence_kind: Mapped[int] = mapped_column(SmallInteger)
    evidence_reference: Mapped[str] = mapped_column(Text)
    text_version: Mapped[str] = mapped_column(Text)
    evidence_time: Mapped[datetime | None] = mapped_column(Moment)
    recorder: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
