"""Which followed event calls which noun's action."""

from typing import Any

from guanhu.customer.v1 import customer_events_pb2 as customer

from services.chassis.db import Work
from services.chassis.feed import Reactions
from services.chassis.names import key_of
from services.messaging.delivery.actions.refusals import (
    Told,
    learn_moves,
    learn_refusals,
)


async def learn_consents(work: Work, fact: Any, event: Any) -> None:
    """Take up who refused, allowed, or took back either."""
    told = [
        Told(
            number=key_of("customers", line.customer),
            act=line.act,
            channel=line.channel,
            purpose=line.purpose,
            place=key_of("consents", line.consent),
        )
        for line in fact.lines
    ]
    await learn_refusals(work, event.branch_id, told)


async def learn_moved(work: Work, fact: Any, event: Any) -> None:
    """Take up who left the branch of the event, or came to it."""
    versions = {
        key_of("customers", one.customer): one.move_version for one in fact.lines
    }
    left = event.branch_id == fact.from_branch_id
    await learn_moves(work, event.branch_id, versions, left=left)


REACTIONS: dict[str, Reactions] = {
    "customer": {
        customer.ConsentChanged: learn_consents,
        customer.CustomerMoved: learn_moved,
    },
}
