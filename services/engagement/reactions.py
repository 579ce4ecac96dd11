"""Which followed event calls which noun's action."""

from collections.abc import Sequence
from typing import Any

from guanhu.allocation.v1 import allocation_events_pb2 as allocation
from guanhu.allocation.v1 import ownership_pb2
from guanhu.customer.v1 import customer_events_pb2 as customer

from services.chassis.db import Work
from services.chassis.feed import Reactions
from services.chassis.move import Movable, move, refuse_unseen
from services.chassis.names import key_of, optional_key
from services.chassis.wiretypes import date_from, time_from
from services.engagement.contact_plan.actions import let_go
from services.engagement.opportunity.actions import take_along
from services.engagement.portfolio.actions import (
    Contacted,
    Facts,
    Owned,
    arrive,
    homes_of,
    learn_contacts,
    learn_facts,
    learn_owners,
    news_of_moves,
)
from services.engagement.reminder import actions as reminders
from services.engagement.reminder.actions import drop_tidings, remind
from services.engagement.reminder.rules import Fact, Kind
from services.engagement.work_log import actions as work_logs

MOVED_AWAY = "客户已转往其他网点"
"""Why somebody is not in a plan, and not somebody's, any more."""

GOING_ALONG = (
    *reminders.MOVABLES,
    *work_logs.MOVABLES,
    Movable("portfolio", "number"),
)
"""What goes along with a customer by number; opportunities have names in the directory and go apart."""

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


def facts_of(line: Any, *, planned: bool = False) -> Facts:
    """Return what a line of an event tells of its customer, the next contact among it where it is *planned*."""
    return Facts(
        number_of(line),
        line.tier,
        line.financial_assets_minor,
        date_from(line.next_contact_on) if planned else None,
    )


async def placed(work: Work, event: Any, lines: Any) -> dict[int, list[Any]]:
    """
    Return *lines* by the branch where their customers are now, which need not be the event's.

    Raises ElsewhereError where the transaction does not see one of these branches.
    """
    numbers = [number_of(line) for line in lines]
    homes = await homes_of(work, event.branch_id, numbers)
    refuse_unseen(work, homes.values())
    found: dict[int, list[Any]] = {home: [] for home in sorted(set(homes.values()))}
    for line in lines:
        found[homes[number_of(line)]].append(line)
    return found


async def remind_all(work: Work, event: Any, facts: Sequence[Fact]) -> None:
    """Remind of *facts* in the branches where their customers are now; raises ElsewhereError as placed does."""
    homes = await homes_of(work, event.branch_id, {fact.number for fact in facts})
    refuse_unseen(work, homes.values())
    for home in sorted(set(homes.values())):
        await remind(work, home, [fact for fact in facts if homes[fact.number] == home])


async def learn_customers(work: Work, fact: Any, event: Any) -> None:
    """Take up who became known, or what changed about whom; of those who moved on, what their move did not tell."""
    planned = isinstance(fact, customer.CustomersChanged)
    for home, lines in (await placed(work, event, fact.lines)).items():
        facts = [facts_of(line, planned=planned) for line in lines]
        if home == event.branch_id:
            await learn_facts(work, home, facts, planned=planned)
        elif planned:
            late = [
                Contacted(
                    one.number, None, planned=True, next_contact_on=one.next_contact_on
                )
                for one in facts
            ]
            await learn_contacts(work, home, late, late=True)


async def learn_noted_contacts(work: Work, fact: Any, event: Any) -> None:
    """Take up contacts that the customer service noted, the newest of each customer."""
    for home, lines in (await placed(work, event, fact.lines)).items():
        newest = {
            number_of(line): Contacted(
                number_of(line),
                time_from(line.last_contact_time),
                planned=True,
                next_contact_on=date_from(line.next_contact_on),
            )
            for line in lines
        }
        late = home != event.branch_id
        await learn_contacts(work, home, list(newest.values()), late=late)


async def learn_moved(work: Work, fact: Any, _event: Any) -> None:
    """
    Follow customers to another branch, with reminders, opportunities and the log of their contacts.

    Plans are their owners' days and stay; who moved is taken out of those still open.
    """
    source, target = fact.from_branch_id, fact.to_branch_id
    counts = {number_of(line): line.move_version for line in fact.lines}
    news = await news_of_moves(work, source, target, counts)
    for home in sorted(set(news.values())):
        numbers = sorted(number for number, at in news.items() if at == home)
        await let_go(work, home, numbers, MOVED_AWAY)
        if home != target:
            await take_along(work, numbers, home, target)
            way = {"keys": numbers, "source": home, "target": target}
            await move(work, GOING_ALONG, kind="customers", **way)
    facts = [facts_of(line) for line in fact.lines if number_of(line) in news]
    owned = await arrive(work, target, facts, counts)
    await drop_tidings(work, target, sorted(news), MOVED_AWAY)
    await remind(work, target, [tiding(work, *one) for one in owned.items()])
    for branch_id in sorted({source, target, *news.values()}) if news else ():
        work.note(f"branches/{branch_id}", branch_id=branch_id, moved=len(news))


def tiding(work: Work, number: str, version: int) -> Fact:
    """Return the fact that a customer is somebody's to look after, as of allocation's count."""
    day = work.today
    return Fact(number, Kind.OWNERSHIP_CHANGED, str(version), day, day)


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
    await remind_all(work, event, facts)


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
    await remind_all(work, event, facts)


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
    await remind_all(work, event, facts)


async def remind_of_dates(work: Work, fact: Any, event: Any) -> None:
    """Remind of birthdays, anniversaries and festivals."""
    seen = date_from(fact.detect_date)
    facts = []
    for line in fact.lines:
        day = date_from(line.date)
        if day and seen and line.kind in COMING:
            key = f"{day.isoformat()} {line.festival}".strip()
            facts.append(Fact(number_of(line), COMING[line.kind], key, day, seen))
    await remind_all(work, event, facts)


def active(line: Any) -> bool:
    """Say whether somebody looks after the customer of a line, rather than only holds them."""
    return bool(line.state == ownership_pb2.OWNERSHIP_STATE_ACTIVE)


async def learn_assigned(work: Work, fact: Any, event: Any) -> None:
    """Take up who was given to whom, and remind the new owner of customers that are theirs to look after."""
    for home, lines in (await placed(work, event, fact.lines)).items():
        owned = [
            Owned(
                number_of(line),
                optional_key("staff", line.owner) if active(line) else "",
                line.mode,
                line.version,
            )
            for line in lines
        ]
        news = await learn_owners(work, home, owned, event.branch_id)
        facts = [
            tiding(work, one.number, one.version)
            for one in owned
            if one.number in news and one.owner and home == event.branch_id
        ]
        await remind(work, home, facts)


async def learn_recalled(work: Work, fact: Any, event: Any) -> None:
    """Take up who was taken back."""
    for home, lines in (await placed(work, event, fact.lines)).items():
        owned = [Owned(number_of(line), "", 0, line.version) for line in lines]
        await learn_owners(work, home, owned, event.branch_id)


REACTIONS: dict[str, Reactions] = {
    "customer": {
        customer.CustomersRegistered: learn_customers,
        customer.CustomersChanged: learn_customers,
        customer.ContactsNoted: learn_noted_contacts,
        customer.CustomerMoved: learn_moved,
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
