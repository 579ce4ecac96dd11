"""What a rule finds: one predicate of bound values, the branch first, made of the filters that the rule sets."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Integer,
    SmallInteger,
    Text,
    and_,
    any_,
    extract,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.chassis.db import Work
from services.customer.customer.tables import Customer
from services.customer.group import rules
from services.customer.group.rules import Rule
from services.customer.holding.tables import Holding
from services.customer.product.tables import Product

BIRTHDAY = extract("month", Customer.birth_date) * 100 + extract(
    "day", Customer.birth_date
)
"""A birthday as month times 100 plus day."""


def _among(column: Any, values: Sequence[Any], kind: Any = SmallInteger) -> Any:
    return column == any_(literal(list(values), ARRAY(kind)))


def _unseen_since(days: int, work: Work) -> Any:
    last = Customer.last_contact_time
    return or_(last.is_(None), last < work.now - timedelta(days=days))


CONDITIONS: Mapping[str, Callable[[Any, Work], Any]] = {
    "owners": lambda keys, _: _among(Customer.owner, keys, Text),
    "unassigned": lambda _yes, _: Customer.owner == "",
    "tiers": lambda codes, _: _among(Customer.tier, codes),
    "customer_types": lambda codes, _: _among(Customer.customer_type, codes),
    "card_categories": lambda codes, _: _among(Customer.card_category, codes),
    "sources": lambda codes, _: _among(Customer.source, codes),
    "birthday_months": lambda months, _: _among(
        extract("month", Customer.birth_date), months, Integer
    ),
    "birthday_within_days": lambda days, work: _among(
        BIRTHDAY, rules.birthdays(work.today, days), Integer
    ),
    "not_contacted_days": _unseen_since,
    "currencies": lambda codes, _: _among(Customer.currency, codes, Text),
    "financial_assets_from": lambda cents, _: Customer.financial_assets >= cents,
    "financial_assets_to": lambda cents, _: Customer.financial_assets <= cents,
    "next_contact_from": lambda day, _: Customer.next_contact_on >= day,
    "next_contact_to": lambda day, _: Customer.next_contact_on <= day,
    "groomed_before": lambda day, _: or_(
        Customer.groomed_date.is_(None), Customer.groomed_date < day
    ),
    "do_not_disturb": lambda quiet, _: Customer.do_not_disturb.is_(quiet),
}
"""What each field of a rule asks of a customer, apart from those about holdings, which are about one and the same."""


def _holds(rule: Rule, work: Work) -> Any:
    """Return the predicate of customers with an open holding of the rule's types that matures within its days."""
    held = (
        select(1)
        .where(
            (Holding.branch_id == Customer.branch_id)
            & (Holding.number == Customer.number)
            & not_(Holding.closed)
        )
        .correlate(Customer)
    )
    if rule.maturing_within_days is not None:
        last = work.today + timedelta(days=rule.maturing_within_days)
        held = held.where(Holding.maturity_date.between(work.today, last))
    if rule.product_types:
        held = held.join_from(
            Holding, Product, Product.code == Holding.product_code
        ).where(_among(Product.product_type, rule.product_types))
    return held.exists()


def matched(rule: Rule, work: Work, *, branch_id: int, owner: str) -> Any:
    """
    Return the predicate of the customers of one branch whom *rule* finds at the moment of *work*.

    With an *owner* it finds only those whom this member of staff owns; without one, all of the branch.
    """
    parts = [Customer.branch_id == branch_id]
    if owner:
        parts.append(Customer.owner == owner)
    for name, condition in CONDITIONS.items():
        value = getattr(rule, name)
        if value != rules.UNSET[name]:
            parts.append(condition(value, work))
    if rule.product_types or rule.maturing_within_days is not None:
        parts.append(_holds(rule, work))
    return and_(*parts)


def matched_by(group: Any, work: Work) -> Any:
    """Return the predicate of the customers whom the rule of *group* finds, in the sight of whoever made it."""
    owner = group.keeper if group.own_only else ""
    kept = rules.restored(group.rule)
    return matched(kept, work, branch_id=group.branch_id, owner=owner)


async def counted(work: Work, found: Any) -> tuple[int, int]:
    """Return how many customers a predicate finds, and how many of them asked not to be disturbed."""
    quiet = func.count().filter(Customer.do_not_disturb)
    row: Any = (await work.execute(select(func.count(), quiet).where(found))).one()
    return row[0], row[1]


async def counts_of(work: Work, groups: Sequence[Any]) -> dict[UUID, tuple[int, int]]:
    """Return what ``counted`` says of each of *groups* by rule, in one statement however many there are."""
    if not groups:
        return {}
    quiet = func.count().filter(Customer.do_not_disturb)
    each: list[Any] = [
        select(literal(place, Integer), func.count(), quiet).where(
            matched_by(group, work)
        )
        for place, group in enumerate(groups)
    ]
    rows: Any = await work.execute(union_all(*each))
    return {groups[place].group_id: (members, calm) for place, members, calm in rows}
