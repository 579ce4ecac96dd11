"""Which followed event calls which noun's action."""

from typing import Any

from guanhu.allocation.v1 import allocation_events_pb2 as allocation
from guanhu.allocation.v1 import ownership_pb2
from guanhu.customer.v1 import customer_events_pb2 as customer

from services.chassis.db import Work
from services.chassis.feed import Reactions
from services.chassis.names import key_of, optional_key
from services.chassis.wiretypes import date_from, time_from
from services.engagement.portfolio.actions import (
    Contacted,
    Facts,
    Owned,
    learn_contacts,
    learn_facts,
    learn_owners,
)
from services.engagement.reminder.actions import remind
from services.engagement.reminder.rules import Fact, Kind

MOVED = {
    customer.PositionsMoved.KIND_LARGE_INFLOW: Kind.LARGE_INFLOW,
    customer.PositionsMoved.KIND_LARGE_OUTFLOW: Kind.LARGE_OUTFLOW,
    customer.PositionsMoved.KIND_ASSETS_ROSE: Kind.ASSETS_ROSE,
    customer.PositionsMoved.KIND_ASSETS_FELL: Kind.ASSETS_FELL,
}
CROSSED = {
    customer.CardStandardCrossed.KIND_STANDARD_MET_WITHOUT_CARD: Kind.QUALIFIED_WITHOUT_CARD,
    customer.CardStandardCrossed.KIND_CARD_BELOW_STANDARD: Kind.CARD_BELOW_STANDARD,
    customer.CardStandardCrossed.KIND_BECAME_VIP: Kind.BECAME_VIP,
}
COMING = {
    customer.DatesComing.KIND_BIRTHDAY: Kind.BIRTHDAY,
    customer.DatesComing.KIND_BIRTHDAY_LUNAR: Kind.BIRTHDAY_LUNAR,
    customer.DatesComing.KIND_ANNIVERSARY: Kind.ANNIVERSARY,
    customer.DatesComing.KIND_FESTIVAL: Kind.FESTIVAL,
}


def number_of(line: Any) -> str:
    """Return the customer number of an event's line."""
    return key_of("customers", line.customer)


async def learn_customers(work: Work, fact: Any, event: Any) -> None:
    """Take up who became known, or what changed about whom."""
    planned = isinstance(fact, customer.CustomersChanged)
    lines = [
        Facts(
            number_of(line),
            line.tier,
            line.financial_assets_minor,
            date_from(line.next_contact_on) if planned else None,
        )
        for line in fact.lines
    ]
    await learn_facts(work, event.branch_id, lines, planned=planned)


async def learn_noted_contacts(work: Work, fact: Any, event: Any) -> None:
    """Take up contacts that the customer service noted, the newest of each customer."""
    newest = {
        number_of(line): Contacted(
            number_of(line),
            time_from(line.last_contact_time),
            planned=True,
            next_contact_on=date_from(line.next_contact_on),
        )
        for line in fact.lines
    }
    await learn_contacts(work, event.branch_id, list(newest.values()))


async def remind_of_movements(work: Work, fact: Any, event: Any) -> None:
    """Remind of money that moved."""
    facts = []
    for line in fact.lines:
        day, seen = date_from(line.movement_date), date_from(line.snapshot_date)
        if day and seen and line.kind in MOVED:
            key = line.movement_id or seen.isoformat()
            facts.append(
                Fact(
                    number_of(line),
                    MOVED[line.kind],
                    key,
                    day,
                    seen,
                    amount=line.amount_minor,
                    currency=line.currency,
                )
            )
    await remind(work, event.branch_id, facts)


async def remind_of_maturities(work: Work, fact: Any, event: Any) -> None:
    """Remind of holdings that mature."""
    seen = date_from(fact.detect_date)
    facts = []
    for line in fact.lines:
        day = date_from(line.maturity_date)
        if day and seen:
            holding = key_of("holdings", line.holding)
            facts.append(
                Fact(
                    number_of(line),
                    Kind.PRODUCT_MATURING,
                    f"{holding} {day.isoformat()}",
                    day,
                    seen,
                    amount=line.amount_minor,
                    currency=line.currency,
                    holding=holding,
                    product=optional_key("products", line.product),
                )
            )
    await remind(work, event.branch_id, facts)


async def remind_of_standards(work: Work, fact: Any, event: Any) -> None:
    """Remind of card standards that were crossed."""
    day = date_from(fact.snapshot_date)
    if day is None:
        return
    facts = [
        Fact(
            number_of(line),
            CROSSED[line.kind],
            day.isoformat(),
            day,
            day,
            amount=line.financial_assets_minor,
            currency=line.currency,
        )
        for line in fact.lines
        if line.kind in CROSSED
    ]
    await remind(work, event.branch_id, facts)


async def remind_of_dates(work: Work, fact: Any, event: Any) -> None:
    """Remind of birthdays, anniversaries and festivals."""
    seen = date_from(fact.detect_date)
    facts = []
    for line in fact.lines:
        day = date_from(line.date)
        if day and seen and line.kind in COMING:
            key = f"{day.isoformat()} {line.festival}".strip()
            facts.append(Fact(number_of(line), COMING[line.kind], key, day, seen))
    await remind(work, event.branch_id, facts)


def active(line: Any) -> bool:
    """Say whether somebody looks after the customer of a line, rather than only holds them."""
    return bool(line.state == ownership_pb2.OWNERSHIP_STATE_ACTIVE)


async def learn_assigned(work: Work, fact: Any, event: Any) -> None:
    """Take up who was given to whom, and remind the new owner of customers that are theirs to look after."""
    lines = [
        Owned(
            number_of(line),
            optional_key("staff", line.owner) if active(line) else "",
            line.mode,
            line.version,
        )
        for line in fact.lines
    ]
    news = await learn_owners(work, event.branch_id, lines)
    facts = [
        Fact(
            number_of(line),
            Kind.OWNERSHIP_CHANGED,
            str(line.version),
            work.today,
            work.today,
        )
        for line in fact.lines
        if number_of(line) in news and active(line)
    ]
    await remind(work, event.branch_id, facts)


async def learn_recalled(work: Work, fact: Any, event: Any) -> None:
    """Take up who was taken back."""
    lines = [Owned(number_of(line), "", 0, line.version) for line in fact.lines]
    await learn_owners(work, event.branch_id, lines)


REACTIONS: dict[str, Reactions] = {
    "customer": {
        customer.CustomersRegistered: learn_customers,
        customer.CustomersChanged: learn_customers,
        customer.ContactsNoted: learn_noted_contacts,
        customer.PositionsMoved: remind_of_movements,
        customer.HoldingsMaturing: remind_of_maturities,
        customer.CardStandardCrossed: remind_of_standards,
        customer.DatesComing: remind_of_dates,
    },
    "allocation": {
        allocation.CustomersAssigned: learn_assigned,
        allocation.CustomersRecalled: learn_recalled,
    },
}
