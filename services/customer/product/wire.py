"""Products as the contract shows them."""

from typing import Any

from guanhu.customer.v1 import product_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.customer.product.queries import Filters


def product_to(row: Any) -> pb.Product:
    """Return one row as the contract's product; of two risk levels the higher counts (source: suitability rules)."""
    return pb.Product(
        name=name_of("products", row.code),
        display_name=row.display_name,
        family=row.family,
        product_type=row.product_type,
        ebanking=row.ebanking,
        core=row.core,
        issuer_risk_level=row.issuer_risk_level,
        seller_risk_level=row.seller_risk_level,
        effective_risk_level=max(row.issuer_risk_level, row.seller_risk_level),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def filters_from(request: pb.ListProductsRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        family=request.family,
        product_type=request.product_type,
        core=request.core,
    )
