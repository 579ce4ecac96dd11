"""Plans, and the customers of each."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    Integer,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("allocation")


class AssignmentPlan(Row):  # type: ignore[valid-type,misc]
    """
    One plan of one branch, with what it was drafted with and how far it got.

    ``loads`` are the owners' loads before and after, ascending by owner, and both fairnesses follow from them; all
    three hold the fields of the rules' classes of that name. ``drafter``, ``applier`` and ``undoer`` are keys of staff.
    """

    __tablename__ = "assignment_plans"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    plan_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    principle: Mapped[int] = mapped_column(SmallInteger)
    limit_per_owner: Mapped[int] = mapped_column(Integer)
    tiers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    owners: Mapped[list[str]] = mapped_column(ARRAY(Text))
    mode: Mapped[int] = mapped_column(SmallInteger)
    include_pending: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[int] = mapped_column(SmallInteger)
    item_count: Mapped[int] = mapped_column(Integer)
    assign_count: Mapped[int] = mapped_column(Integer)
    leave_count: Mapped[int] = mapped_column(Integer)
    edited_count: Mapped[int] = mapped_column(Integer)
    applied_count: Mapped[int] = mapped_column(Integer)
    skipped_count: Mapped[int] = mapped_column(Integer)
    restored_count: Mapped[int] = mapped_column(Integer)
    kept_count: Mapped[int] = mapped_column(Integer)
    loads: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    fairness_before: Mapped[dict[str, int]] = mapped_column(JSONB)
    fairness_after: Mapped[dict[str, int]] = mapped_column(JSONB)
    rule_version: Mapped[int] = mapped_column(Integer)
    input_digest: Mapped[str] = mapped_column(Text)
    drafter: Mapped[str] = mapped_column(Text)
    applier: Mapped[str] = mapped_column(Text)
    apply_time: Mapped[datetime | None] = mapped_column(Moment)
    undoer: Mapped[str] = mapped_column(Text)
    undo_time: Mapped[datetime | None] = mapped_column(Moment)
    undo_reason: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class PlanItem(Row):  # type: ignore[valid-type,misc]
    """
    One customer of a plan, as they were at the draft, and what was decided about them.

    ``current_version`` is the ownership's version at the draft, ``applied_version`` the one that applying led to;
    0 when it did not. No ``proposed_owner`` leaves the customer as they are. Amounts are minor units.
    """

    __tablename__ = "plan_items"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    plan_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    rank: Mapped[int] = mapped_column(Integer)
    current_owner: Mapped[str] = mapped_column(Text)
    current_state: Mapped[int] = mapped_column(SmallInteger)
    current_version: Mapped[int] = mapped_column(BigInteger)
    proposed_owner: Mapped[str] = mapped_column(Text)
    mode: Mapped[int] = mapped_column(SmallInteger)
    cultivation_end_date: Mapped[date | None] = mapped_column(Date)
    rule: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, str]] = mapped_column(JSONB)
    tier: Mapped[int] = mapped_column(SmallInteger)
    customer_type: Mapped[int] = mapped_column(SmallInteger)
    source: Mapped[int] = mapped_column(SmallInteger)
    financial_assets: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    edited: Mapped[bool] = mapped_column(Boolean)
    edit_reason: Mapped[str] = mapped_column(Text)
    outcome: Mapped[int] = mapped_column(SmallInteger)
    applied_version: Mapped[int] = mapped_column(BigInteger)
