"""Products of the bank: reference data, the same for every branch."""

from datetime import datetime

from sqlalchemy import Boolean, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("customer")


class Product(Row):  # type: ignore[valid-type,misc]
    """One product, keyed by the bank's product code."""

    __tablename__ = "products"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    display_name: Mapped[str] = mapped_column(Text)
    family: Mapped[int] = mapped_column(SmallInteger)
    product_type: Mapped[int] = mapped_column(SmallInteger)
    ebanking: Mapped[bool] = mapped_column(Boolean)
    core: Mapped[bool] = mapped_column(Boolean)
    issuer_risk_level: Mapped[int] = mapped_column(SmallInteger)
    seller_risk_level: Mapped[int] = mapped_column(SmallInteger)
    create_time: Mapped[datetime] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
