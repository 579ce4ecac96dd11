"""Who looks after whom, and everything that ever happened to it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Date, Integer, SmallInteger, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("allocation")


class Ownership(Row):  # type: ignore[valid-type,misc]
    """
    One customer with whoever looks after them, from the moment the customer is known.

    ``owner`` is empty, the holder when PENDING, or the owner when ACTIVE. What the customer service tells is kept
    beside it; amounts are minor units. ``version`` counts up with every change of owner, mode or state;
    ``move_version`` is the customer service's count of moves, and what is not above it is dropped.
    """

    __tablename__ = "ownerships"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    previous_owner: Mapped[str] = mapped_column(Text)
    relation: Mapped[int] = mapped_column(SmallInteger)
    mode: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[int] = mapped_column(SmallInteger)
    state_time: Mapped[datetime] = mapped_column(Moment)
    cultivation_end_date: Mapped[date | None] = mapped_column(Date)
    principle: Mapped[int] = mapped_column(SmallInteger)
    plan_id: Mapped[UUID | None] = mapped_column(Uuid)
    reason: Mapped[str] = mapped_column(Text)
    tier: Mapped[int] = mapped_column(SmallInteger)
    customer_type: Mapped[int] = mapped_column(SmallInteger)
    source: Mapped[int] = mapped_column(SmallInteger)
    financial_assets: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    last_contact_time: Mapped[datetime | None] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    move_version: Mapped[int] = mapped_column(BigInteger, default=0)


class OwnershipChange(Row):  # type: ignore[valid-type,misc]
    """One change of an ownership; rows are added and never changed. ``inputs`` is what the rule looked at."""

    __tablename__ = "ownership_changes"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    act: Mapped[int] = mapped_column(SmallInteger)
    change_time: Mapped[datetime] = mapped_column(Moment)
    actor: Mapped[str] = mapped_column(Text)
    branch_before: Mapped[int] = mapped_column(Integer)
    branch_after: Mapped[int] = mapped_column(Integer)
    owner_before: Mapped[str] = mapped_column(Text)
    owner_after: Mapped[str] = mapped_column(Text)
    state_before: Mapped[int] = mapped_column(SmallInteger)
    state_after: Mapped[int] = mapped_column(SmallInteger)
    mode_before: Mapped[int] = mapped_column(SmallInteger)
    mode_after: Mapped[int] = mapped_column(SmallInteger)
    principle: Mapped[int] = mapped_column(SmallInteger)
    recall_cause: Mapped[int] = mapped_column(SmallInteger)
    plan_id: Mapped[UUID | None] = mapped_column(Uuid)
    reason: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)
