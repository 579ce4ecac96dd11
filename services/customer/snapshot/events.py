"""What detection publishes: moves, maturities, standards crossed, dates that come."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from guanhu.customer.v1 import customer_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import date_to
from services.customer.customer.events import chunks

Moved = pb.PositionsMoved
Crossed = pb.CardStandardCrossed
Coming = pb.DatesComing


def positions_moved(rows: Sequence[Any], day: date) -> list[pb.PositionsMoved]:
    """Return the events of large movements, rises and falls of one branch that the snapshot of *day* showed."""
    shown = date_to(day)
    return [
        Moved(
            lines=[
                Moved.Line(
                    customer=name_of("customers", row.number),
                    tier=row.tier,
                    kind=f"KIND_{row.kind}",
                    amount_minor=row.amount,
                    before_minor=row.before,
                    after_minor=row.after,
                    currency=row.currency,
                    movement_id=row.movement_id,
                    movement_date=date_to(row.day),
                    snapshot_date=shown,
                )
                for row in piece
            ]
        )
        for piece in chunks(rows)
    ]


def standards_crossed(rows: Sequence[Any], day: date) -> list[pb.CardStandardCrossed]:
    """Return the events of card standards crossed in one branch."""
    return [
        Crossed(
            snapshot_date=date_to(day),
            lines=[
                Crossed.Line(
                    customer=name_of("customers", row.number),
                    kind=f"KIND_{row.kind}",
                    tier=row.tier,
                    previous_tier=row.previous_tier,
                    card_category=row.card_category,
                    financial_assets_minor=row.financial_assets,
                    currency=row.currency,
                )
                for row in piece
            ],
        )
        for piece in chunks(rows)
    ]


def holdings_maturing(rows: Sequence[Any], day: date) -> list[pb.HoldingsMaturing]:
    """Return the events of holdings of one branch that mature soon after *day*."""
    return [
        pb.HoldingsMaturing(
            detect_date=date_to(day),
            lines=[
                pb.HoldingsMaturing.Line(
                    customer=name_of("customers", row.number),
                    tier=row.tier,
                    holding=name_of("holdings", row.holding_id),
                    product=name_of("products", row.product_code),
                    maturity_date=date_to(row.maturity_date),
                    amount_minor=row.amount,
                    currency=row.currency,
                )
                for row in piece
            ],
        )
        for piece in chunks(rows)
    ]


def dates_coming(
    rows: Iterable[tuple[Any, str, date, str, int]], day: date
) -> list[pb.DatesComing]:
    """Return the events of dates that come: (customer, kind, date, festival, years) each."""
    lines = [
        Coming.Line(
            customer=name_of("customers", row.number),
            tier=row.tier,
            kind=f"KIND_{kind}",
            date=date_to(when),
            festival=festival,
            years=years,
        )
        for row, kind, when, festival, years in rows
    ]
    return [Coming(detect_date=date_to(day), lines=piece) for piece in chunks(lines)]
