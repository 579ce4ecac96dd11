"""Snapshots for tests: lines that are valid by default, and the stream that brings them."""

from datetime import date
from itertools import count

from google.type.date_pb2 import Date
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub

from tests.builders import request_id

EPOCH = date(1970, 1, 1)


def day_number(day):
    """Return a day as lines carry it."""
    return (day - EPOCH).days if day else 0


def a_customer_line(number="10001", branch_id=101, **more):
    """Return a customer's line."""
    fields = {
        "display_name": "王小明",
        "gender": 2,
        "birth_day": day_number(date(1980, 5, 17)),
        "mobile": "13800000001",
        "id_number": "11010519491231002X",
        "home_address": "北京市朝阳区建国路一号",
        "card_category": 1,
        "source": 1,
        "risk_level": 3,
        "risk_expiry_day": day_number(date(2027, 1, 31)),
        "open_day": day_number(date(2015, 3, 1)),
    }
    return pb.CustomerLine(number=number, branch_id=branch_id, **{**fields, **more})


def a_position_line(number="10001", assets=20_000_000, **more):
    """Return a position's line; assets in cents."""
    fields = {
        "financial_assets_minor": assets,
        "aum_minor": assets,
        "deposits_minor": assets // 2,
    }
    return pb.PositionLine(number=number, **{**fields, **more})


def a_product_line(code="WM01", **more):
    """Return a product's line."""
    fields = {
        "display_name": "安心得利",
        "family": 1,
        "product_type": 3,
        "core": True,
        "issuer_risk_level": 2,
    }
    return pb.ProductLine(code=code, **{**fields, "seller_risk_level": 3, **more})


def a_holding_line(holding_id="H1", number="10001", matures=date(2026, 11, 28), **more):
    """Return a holding's line."""
    fields = {
        "product_code": "WM01",
        "amount_minor": 5_000_000,
        "start_day": day_number(date(2026, 5, 28)),
    }
    return pb.HoldingLine(
        holding_id=holding_id,
        number=number,
        maturity_day=day_number(matures),
        **{**fields, **more},
    )


def a_movement_line(
    movement_id="M1", number="10001", day=date(2026, 11, 20), amount=6_000_000, **more
):
    """Return a movement's line; amount in cents, below 0 for money that went out."""
    return pb.MovementLine(
        movement_id=movement_id,
        number=number,
        day=day_number(day),
        amount_minor=amount,
        channel="counter",
        **more,
    )


def header(day=date(2026, 11, 20), source="core-banking", **more):
    """Return a header."""
    wire_day = Date(year=day.year, month=day.month, day=day.day)
    return pb.SnapshotHeader(
        source=source, snapshot_date=wire_day, request_id=request_id(), **more
    )


LINES = {
    "products": pb.ProductLines,
    "customers": pb.CustomerLines,
    "positions": pb.PositionLines,
    "holdings": pb.HoldingLines,
    "movements": pb.MovementLines,
}


def chunks(size=1000, **entities):
    """Return the chunks of a snapshot: lines by entity, in the contract's order."""
    numbers = count(1)
    for name, kind in LINES.items():
        lines = entities.get(name, [])
        for start in range(0, len(lines), size):
            piece = {name: kind(lines=lines[start : start + size])}
            yield pb.SnapshotChunk(
                sequence=next(numbers), first_line=start + 1, **piece
            )


def stream(head, parts, message=pb.ImportSnapshotRequest):
    """Return the messages of a stream."""
    yield message(header=head)
    for part in parts:
        yield message(chunk=part)


async def import_day(served, day=date(2026, 11, 20), size=1000, head=None, **entities):
    """Bring one snapshot and return the import."""
    stub = served.as_("feeds/core-banking")(SnapshotServiceStub)
    return await stub.ImportSnapshot(
        stream(head or header(day), chunks(size, **entities)), timeout=60
    )
