"""Groups and members between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.customer.v1 import group_pb2 as pb

from services.chassis.db import chosen
from services.chassis.names import key_of, keys_of, name_of, optional_key
from services.chassis.vault import Vault
from services.chassis.wiretypes import (
    date_from,
    date_to,
    minor_from,
    money_to,
    time_to,
    version_from,
)
from services.customer.customer.actions import PLACES
from services.customer.group import rules
from services.customer.group.queries.groups import Filters, Shown
from services.customer.group.queries.members import Piece
from services.customer.group.rules import Rule

CODES = (
    "tiers",
    "customer_types",
    "card_categories",
    "sources",
    "birthday_months",
    "product_types",
)
"""Fields of a rule that are lists of numbers on both sides."""

SWITCHES = ("birthday_within_days", "maturing_within_days", "do_not_disturb")
"""Fields of a rule whose zero says something; they are unset otherwise."""

AMOUNTS = ("financial_assets_from", "financial_assets_to")
DAYS = ("next_contact_from", "next_contact_to", "groomed_before")


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a group."""
    return UUID(key_of("groups", name))


def optional_id(name: str) -> UUID | None:
    """Return the identifier in the name of a group, None when there is no name."""
    return id_from(name) if name else None


def rule_from(message: pb.GroupRule) -> Rule:
    """Return a rule; refuse FIELD_INVALID for days that no calendar has."""
    amounts = [name for name in AMOUNTS if message.HasField(name)]
    money = [getattr(message, name) for name in amounts]
    told: dict[str, Any] = {name: tuple(getattr(message, name)) for name in CODES}
    told |= dict(zip(amounts, map(minor_from, money), strict=True))
    for name in SWITCHES:
        if message.HasField(name):  # type: ignore[arg-type]
            told[name] = getattr(message, name)
    for name in DAYS:
        told[name] = date_from(getattr(message, name), f"rule.{name}")
    return Rule(
        owners=tuple(keys_of("staff", list(message.owners))),
        unassigned=message.unassigned,
        not_contacted_days=message.not_contacted_days,
        currencies=tuple(dict.fromkeys(one.currency_code or "CNY" for one in money)),
        **told,
    )


def rule_to(rule: Rule) -> pb.GroupRule:
    """Return a rule as the contract's."""
    currency = "".join(rule.currencies)
    return pb.GroupRule(
        owners=[name_of("staff", key) for key in rule.owners],
        unassigned=rule.unassigned,
        not_contacted_days=rule.not_contacted_days,
        **{name: getattr(rule, name) for name in (*CODES, *SWITCHES)},
        **{
            name: money_to(getattr(rule, name), currency)
            for name in AMOUNTS
            if getattr(rule, name) is not None
        },
        **{name: date_to(getattr(rule, name)) for name in DAYS},
    )


def new_from(group: pb.Group) -> dict[str, Any]:
    """Return what a new group is to be."""
    return {
        "display_name": group.display_name,
        "description": group.description,
        "kind": group.kind,
        "rule": rule_from(group.rule) if group.HasField("rule") else None,
    }


def update_from(request: pb.UpdateGroupRequest) -> dict[str, Any]:
    """Return what an update asks for; refuse MASK_UNKNOWN for paths that cannot be updated."""
    values = new_from(request.group)
    del values["kind"]
    return {
        "group_id": id_from(request.group.name),
        "version": version_from(request.group.etag),
        "fields": chosen(values, request.update_mask.paths),
    }


def group_to(shown: Shown) -> pb.Group:
    """Return a group with its counts as the contract's."""
    row = shown.row
    return pb.Group(
        name=name_of("groups", row.group_id),
        branch=name_of("branches", row.branch_id),
        display_name=row.display_name,
        kind=row.kind,
        description=row.description,
        owner=name_of("staff", row.keeper),
        member_count=shown.member_count,
        do_not_disturb_count=shown.do_not_disturb_count,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
        rule=rule_to(rules.restored(row.rule)) if row.kind == rules.RULE else None,
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
