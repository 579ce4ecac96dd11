"""Customers with their figures as last reported, and who may see them besides the owner."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Customer(Row):  # type: ignore[valid-type,misc]
    """
    One customer, keyed by branch and customer number.

    Personal fields lie sealed, beside the mask that is shown and the blind index that is searched. Amounts are
    minor units of ``currency``: as of ``snapshot_date``, as of the snapshot before (``before_``), and at the end of
    the ten-day period before (``previous_``). Enumerations hold the contract's numbers.
    """

    __tablename__ = "customers"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    gender: Mapped[int] = mapped_column(SmallInteger)
    birth_date: Mapped[date | None] = mapped_column(Date)
    mobile: Mapped[bytes | None] = mapped_column(LargeBinary)
    mobile_mask: Mapped[str] = mapped_column(Text)
    mobile_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    mobile_suffix: Mapped[bytes | None] = mapped_column(LargeBinary)
    id_number: Mapped[bytes | None] = mapped_column(LargeBinary)
    id_number_mask: Mapped[str] = mapped_column(Text)
    id_number_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    home_address: Mapped[bytes | None] = mapped_column(LargeBinary)
    home_address_mask: Mapped[str] = mapped_column(Text)
    personal_digest: Mapped[bytes] = mapped_column(LargeBinary)
    tier: Mapped[int] = mapped_column(SmallInteger)
    customer_type: Mapped[int] = mapped_column(SmallInteger)
    card_category: Mapped[int] = mapped_column(SmallInteger)
    source: Mapped[int] = mapped_column(SmallInteger)
    risk_level: Mapped[int] = mapped_column(SmallInteger)
    risk_expiry_date: Mapped[date | None] = mapped_column(Date)
    open_date: Mapped[date | None] = mapped_column(Date)
    owner: Mapped[str] = mapped_column(Text)
    maintenance_mode: Mapped[int] = mapped_column(SmallInteger)
    access_version: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    financial_assets: Mapped[int] = mapped_column(BigInteger)
    aum: Mapped[int] = mapped_column(BigInteger)
    deposits: Mapped[int] = mapped_column(BigInteger)
    snapshot_date: Mapped[date | None] = mapped_column(Date)
    before_financial_assets: Mapped[int | None] = mapped_column(BigInteger)
    previous_financial_assets: Mapped[int | None] = mapped_column(BigInteger)
    previous_aum: Mapped[int | None] = mapped_column(BigInteger)
    previous_deposits: Mapped[int | None] = mapped_column(BigInteger)
    occupation: Mapped[str] = mapped_column(Text)
    household_finances: Mapped[str] = mapped_column(Text)
    preferences: Mapped[str] = mapped_column(Text)
    appointment_habit: Mapped[int] = mapped_column(SmallInteger)
    preferred_channel: Mapped[int] = mapped_column(SmallInteger)
    preferred_time: Mapped[int] = mapped_column(SmallInteger)
    employer: Mapped[str] = mapped_column(Text)
    family_notes: Mapped[str] = mapped_column(Text)
    next_contact_on: Mapped[date | None] = mapped_column(Date)
    groomed_date: Mapped[date | None] = mapped_column(Date)
    last_contact_time: Mapped[datetime | None] = mapped_column(Moment)
    last_contact_channel: Mapped[int] = mapped_column(SmallInteger)
    last_contact_result: Mapped[int] = mapped_column(SmallInteger)
    last_contact_staff: Mapped[str] = mapped_column(Text)
    move_version: Mapped[int] = mapped_column(Integer)
    do_not_disturb: Mapped[bool] = mapped_column(Boolean)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer)
    contact_frequency: Mapped[int] = mapped_column(SmallInteger)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


class Reader(Row):  # type: ignore[valid-type,misc]
    """Somebody besides the owner who may see a customer: a delegate, or one the customer was referred to."""

    __tablename__ = "customer_readers"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    staff: Mapped[str] = mapped_column(Text, primary_key=True)
    until_time: Mapped[datetime | None] = mapped_column(Moment)
    access_version: Mapped[int] = mapped_column(BigInteger)


class Reveal(Row):  # type: ignore[valid-type,misc]
    """How many fields a member of staff has revealed on a day."""

    __tablename__ = "reveals"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    staff: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    used: Mapped[int] = mapped_column(Integer)
