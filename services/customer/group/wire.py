"""Groups and members between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.customer.v1 import group_pb2 as pb

from services.chassis.names import key_of, name_of, optional_key
from services.chassis.vault import Vault
from services.chassis.wiretypes import date_to, money_to, time_to
from services.customer.customer.actions import PLACES
from services.customer.group.queries import Filters, Piece


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a group."""
    return UUID(key_of("groups", name))


def group_to(row: Any) -> pb.Group:
    """Return one row as the contract's group."""
    return pb.Group(
        name=name_of("groups", row.group_id),
        branch=name_of("branches", row.branch_id),
        display_name=row.display_name,
        kind=row.kind,
        description=row.description,
        owner=name_of("staff", row.keeper),
        member_count=row.member_count,
        do_not_disturb_count=row.do_not_disturb_count,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def member_to(row: Any) -> pb.Member:
    """Return one row as the contract's member, the mobile as its mask."""
    return pb.Member(
        ordinal=row.ordinal,
        customer=name_of("customers", row.number),
        customer_display_name=row.display_name,
        mobile=row.mobile_mask,
        do_not_disturb=row.do_not_disturb,
        add_time=time_to(row.add_time),
    )


def recipients_to(piece: Piece, vault: Vault) -> pb.StreamMembersResponse:
    """Return members with what a message to them needs, the mobile opened."""
    return pb.StreamMembersResponse(
        recipients=[
            pb.Recipient(
                customer=name_of("customers", row.number),
                mobile=vault.open(row.mobile, PLACES["mobile"].format(row.number))
                if row.mobile
                else "",
                customer_display_name=row.display_name,
                gender=row.gender,
                do_not_disturb=row.do_not_disturb,
                owner=name_of("staff", row.owner),
                maintenance_mode=row.maintenance_mode,
                tier=row.tier,
                risk_level=row.risk_level,
                risk_expiry_date=date_to(row.risk_expiry_date),
                next_maturity=maturity_to(piece.maturities.get(row.number)),
            )
            for row in piece.rows
        ]
    )


def maturity_to(row: Any) -> pb.NextMaturity | None:
    """Return what matures next; None stays unset."""
    if row is None:
        return None
    return pb.NextMaturity(
        product_display_name=row.display_name,
        maturity_date=date_to(row.maturity_date),
        amount=money_to(row.amount, row.currency),
    )


def filters_from(request: pb.ListGroupsRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        keeper=optional_key("staff", request.owner),
        kind=request.kind,
    )
