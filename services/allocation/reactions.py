"""Which followed event calls which noun's action."""

from typing import Any

from guanhu.customer.v1 import customer_events_pb2 as customer

from services.allocation.ownership.actions.learn import (
    Facts,
    learn_contacts,
    learn_facts,
)
from services.allocation.ownership.actions.move import Moved, learn_moves
from services.chassis.db import Work
from services.chassis.feed import Reactions
from services.chassis.names import key_of
from services.chassis.wiretypes import time_from


def facts_of(line: Any) -> Facts:
    """Return what a line of an event tells of its customer."""
    return Facts(
        number=key_of("customers", line.customer),
        tier=line.tier,
        customer_type=line.customer_type,
        source=line.source,
        financial_assets=line.financial_assets_minor,
        currency=line.currency,
    )


async def learn_customers(work: Work, fact: Any, event: Any) -> None:
    """Take up who became known, or what changed about whom; the new ones wait for an owner."""
    await learn_facts(work, event.branch_id, [facts_of(line) for line in fact.lines])


async def learn_moved(work: Work, fact: Any, _event: Any) -> None:
    """Follow customers to another branch."""
    moved = [Moved(facts_of(line), line.move_version) for line in fact.lines]
    await learn_moves(work, fact.from_branch_id, fact.to_branch_id, moved)


async def learn_noted_contacts(work: Work, fact: Any, event: Any) -> None:
    """Take up when customers were last contacted."""
    contacts = {
        key_of("customers", line.customer): moment
        for line in fact.lines
        if (moment := time_from(line.last_contact_time))
    }
    await learn_contacts(work, event.branch_id, contacts)


REACTIONS: dict[str, Reactions] = {
    "customer": {
        customer.CustomersRegistered: learn_customers,
        customer.CustomersChanged: learn_customers,
        customer.ContactsNoted: learn_noted_contacts,
        customer.CustomerMoved: learn_moved,
    },
}
