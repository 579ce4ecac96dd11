"""Holdings as the contract shows them."""

from typing import Any

from guanhu.customer.v1 import holding_pb2 as pb

from services.chassis.names import name_of, optional_key
from services.chassis.wiretypes import date_to, money_to, time_to
from services.customer.holding.queries import CLOSED, OPEN, Filters


def holding_to(row: Any) -> pb.Holding:
    """Return one row, with its customer and product, as the contract's holding."""
    return pb.Holding(
        name=name_of("holdings", row.holding_id),
        customer=name_of("customers", row.number),
        customer_display_name=row.customer_display_name,
        customer_type=row.customer_type,
        tier=row.tier,
        owner=name_of("staff", row.owner),
        branch=name_of("branches", row.branch_id),
        product=name_of("products", row.product_code),
        product_display_name=row.product_display_name,
        family=row.family,
        product_type=row.product_type,
        amount=money_to(row.amount, row.currency),
        start_date=date_to(row.start_date),
        maturity_date=date_to(row.maturity_date),
        state=CLOSED if row.closed else OPEN,  # type: ignore[arg-type]
        update_time=time_to(row.update_time),
    )


def held_filters_from(request: pb.ListHoldingsRequest) -> Filters:
    """Return the filters of a list of one customer's holdings."""
    return Filters(
        query=request.query,
        product=optional_key("products", request.product),
        family=request.family,
        state=request.state,
    )


def maturing_filters_from(request: pb.ListMaturitiesRequest) -> Filters:
    """Return the filters of a list of maturities."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        product=optional_key("products", request.product),
        product_type=request.product_type,
        tier=request.tier,
    )
