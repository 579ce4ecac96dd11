"""
Batches: whom they are for, in which chunks they are handed over, and what became of each message.

Recipients, outcomes and deliveries are written once and never changed. A recipient has at most one outcome by its
key; the counts of a chunk are those of its rows, written in the same transactions.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Batch(Row):  # type: ignore[valid-type,misc]
    """
    One text to many customers of one branch.

    Counts are those of planning, ``exclusions`` by the reason's number from 1, ``segment_counts`` by the number of
    segments from 1. ``samples`` are the ordinals of the longest messages, ``ordinary_samples`` of others that are
    shown; ``cost`` is in minor units; ``told`` says that the end of the batch was published.
    """

    __tablename__ = "batches"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sender: Mapped[str] = mapped_column(Text)
    confirmer: Mapped[str] = mapped_column(Text)
    approver: Mapped[str] = mapped_column(Text)
    review_remark: Mapped[str] = mapped_column(Text)
    template_id: Mapped[UUID] = mapped_column(Uuid)
    template_display_name: Mapped[str] = mapped_column(Text)
    purpose: Mapped[int] = mapped_column(SmallInteger)
    groups: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    gateway: Mapped[str] = mapped_column(Text)
    state: Mapped[int] = mapped_column(SmallInteger)
    schedule_time: Mapped[datetime | None] = mapped_column(Moment)
    unknown_policy: Mapped[int] = mapped_column(SmallInteger)
    digest: Mapped[str] = mapped_column(Text)
    total_count: Mapped[int] = mapped_column(Integer)
    excluded_count: Mapped[int] = mapped_column(Integer)
    exclusions: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    segment_count: Mapped[int] = mapped_column(Integer)
    samples: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    told: Mapped[bool] = mapped_column(Boolean)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    finish_time: Mapped[datetime | None] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)
    template_revision: Mapped[int] = mapped_column(Integer)
    cost: Mapped[int] = mapped_column(BigInteger)
    segment_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    ordinary_samples: Mapped[list[int]] = mapped_column(ARRAY(Integer))

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class Recipient(Row):  # type: ignore[valid-type,misc]
    """
    One person of a batch; ``exclusion_reason`` 0 means that a message is to go out.

    ``message`` seals the mobile and the text together, bound to the row; receipts are matched by ``mobile_index``.
    ``chunk`` is 0 for who is left out.
    """

    __tablename__ = "recipients"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[str] = mapped_column(Text)
    display_name: Mapped[str] = mapped_column(Text)
    mobile_mask: Mapped[str] = mapped_column(Text)
    mobile_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    message: Mapped[bytes | None] = mapped_column(LargeBinary)
    exclusion_reason: Mapped[int] = mapped_column(SmallInteger)
    segments: Mapped[int] = mapped_column(Integer)
    chunk: Mapped[int] = mapped_column(Integer)


class Chunk(Row):  # type: ignore[valid-type,misc]
    """
    Messages of a batch, ordinals ``low`` to ``high``, that one worker hands over under one lease.

    ``boot`` tells whether the worker's machine was started anew since, which empties what was only in memory.
    ``delivered_count`` and ``undelivered_count`` are parts of ``sent_count``. ``letters`` seals its messages together
    until it is done: those that wait again afterwards are opened one by one.
    """

    __tablename__ = "chunks"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    chunk: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    low: Mapped[int] = mapped_column(Integer)
    high: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(Integer)
    state: Mapped[int] = mapped_column(SmallInteger)
    worker: Mapped[str] = mapped_column(Text)
    boot: Mapped[str] = mapped_column(Text)
    lease_time: Mapped[datetime | None] = mapped_column(Moment)
    excluded_count: Mapped[int] = mapped_column(Integer)
    sent_count: Mapped[int] = mapped_column(Integer)
    failed_count: Mapped[int] = mapped_column(Integer)
    unknown_count: Mapped[int] = mapped_column(Integer)
    delivered_count: Mapped[int] = mapped_column(Integer)
    undelivered_count: Mapped[int] = mapped_column(Integer)
    letters: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class Outcome(Row):  # type: ignore[valid-type,misc]
    """What became of one message for good: accepted, failed, or left out at the last moment."""

    __tablename__ = "outcomes"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[int] = mapped_column(SmallInteger)
    exclusion_reason: Mapped[int] = mapped_column(SmallInteger)
    gateway_message: Mapped[str] = mapped_column(Text)
    failure_code: Mapped[str] = mapped_column(Text)
    settle_time: Mapped[datetime] = mapped_column(Moment)


class Unknown(Row):  # type: ignore[valid-type,misc]
    """
    One attempt of which nobody knows whether it was accepted; ``end_time`` is set once it no longer matters.

    ``cause`` says why nobody knows, with the contract's numbers. Where the centre is asked about it, ``ask_time`` is
    when it is asked next, ``ask_count`` how often it was, and ``found`` that it said it had taken the message.
    """

    __tablename__ = "unknowns"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sent_time: Mapped[datetime] = mapped_column(Moment)
    fence_time: Mapped[datetime] = mapped_column(Moment)
    end_time: Mapped[datetime | None] = mapped_column(Moment)
    cause: Mapped[int] = mapped_column(SmallInteger)
    ask_time: Mapped[datetime | None] = mapped_column(Moment)
    ask_count: Mapped[int] = mapped_column(Integer)
    found: Mapped[bool] = mapped_column(Boolean)


class Delivery(Row):  # type: ignore[valid-type,misc]
    """The final receipt of one accepted message, by the contract's state."""

    __tablename__ = "deliveries"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    batch_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[int] = mapped_column(SmallInteger)
    code: Mapped[str] = mapped_column(Text)
    receipt_time: Mapped[datetime] = mapped_column(Moment)
