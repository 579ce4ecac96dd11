"""Who looks after whom: this service's own small copy of what others publish, so that it asks nobody in a loop."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Integer, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("engagement")


class Portfolio(Row):  # type: ignore[valid-type,misc]
    """
    One customer in somebody's portfolio, or in nobody's (``owner`` empty).

    ``ownership_version`` is allocation's count, ``move_version`` the customer service's of moves; what is not above
    them is dropped. ``told_owner`` is whom allocation last named, for the branch ``told_branch``; who looks after the
    customer, the ``owner``, is that one as long as the customer is in that branch. Amounts are minor units.
    """

    __tablename__ = "portfolio"

    branch_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False
    )
    number: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    maintenance_mode: Mapped[int] = mapped_column(SmallInteger)
    ownership_version: Mapped[int] = mapped_column(BigInteger)
    tier: Mapped[int] = mapped_column(SmallInteger)
    financial_assets: Mapped[int] = mapped_column(BigInteger)
    next_contact_on: Mapped[date | None] = mapped_column(Date)
    last_contact_time: Mapped[datetime | None] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)
    move_version: Mapped[int] = mapped_column(BigInteger, default=0)
    told_owner: Mapped[str] = mapped_column(Text, default="")
    told_branch: Mapped[int] = mapped_column(Integer, default=0)
