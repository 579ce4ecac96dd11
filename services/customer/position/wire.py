"""Positions as the contract shows them."""

from typing import Any

from guanhu.customer.v1 import position_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import date_to, money_to
from services.customer.position.queries import FIGURES
from services.customer.position.rules import period_of


def position_to(row: Any) -> pb.Position:
    """Return one row as the contract's position; figures before it stay unset where there are none."""
    period = period_of(row.snapshot_date)
    message = pb.Position(
        name=name_of("positions", f"{row.number}.{row.snapshot_date:%Y%m%d}"),
        customer=name_of("customers", row.number),
        snapshot_date=date_to(row.snapshot_date),
        period=pb.TenDayPeriod(
            year=period.year,
            month=period.month,
            ten_day=period.third,  # type: ignore[arg-type]
        ),
    )
    for name in (*FIGURES, *(f"previous_{name}" for name in FIGURES)):
        amount = getattr(row, name)
        if amount is not None:
            getattr(message, name).CopyFrom(money_to(amount, row.currency))
    return message
