"""What the world told about messages: receipts of the SMS centres, and refusals of customers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Integer, LargeBinary, SmallInteger, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("messaging")


class Receipt(Row):  # type: ignore[valid-type,misc]
    """
    One final receipt as it was heard, stored before it is acknowledged, under branch 0.

    Whose it is is found out afterwards; ``end_time`` is set once that is done. The identifier is made of the
    receipt's own values, so that one told twice is one row.
    """

    __tablename__ = "receipts"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    receipt_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    gateway: Mapped[str] = mapped_column(Text)
    gateway_message: Mapped[str] = mapped_column(Text)
    mobile_index: Mapped[bytes] = mapped_column(LargeBinary)
    source: Mapped[str] = mapped_column(Text)
    client_ref: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[int] = mapped_column(SmallInteger)
    code: Mapped[str] = mapped_column(Text)
    receipt_time: Mapped[datetime] = mapped_column(Moment)
    end_time: Mapped[datetime | None] = mapped_column(Moment)


class Refusal(Row):  # type: ignore[valid-type,misc]
    """
    The newest act of one customer about one thing, channel and purpose; 0 stands for every channel or purpose.

    ``place`` is the act's place in the customer's ledger: greater is later.
    """

    __tablename__ = "refusals"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    about: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False
    )
    channel: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False
    )
    purpose: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False
    )
    act: Mapped[int] = mapped_column(SmallInteger)
    place: Mapped[str] = mapped_column(Text)
    update_time: Mapped[datetime] = mapped_column(Moment)


class OptOut(Row):  # type: ignore[valid-type,misc]
    """
    What the holder of a number last said by answering a message, for one purpose; for the whole bank.

    A number that was indexed under several keys has a row for each. ``inbound_id`` is the answer.
    """

    __tablename__ = "opt_outs"

    mobile_index: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False
    )
    refused: Mapped[bool] = mapped_column(Boolean)
    inbound_id: Mapped[UUID] = mapped_column(Uuid)
    receive_time: Mapped[datetime] = mapped_column(Moment)
