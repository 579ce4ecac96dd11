"""What this noun publishes, and what it tells engagement: messages that were settled. Never a number or a text."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from guanhu.engagement.v1 import reminder_pb2, work_log_pb2
from guanhu.messaging.v1 import messaging_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.messaging.batch.rules import RecipientState
from services.messaging.template.rules import Purpose

OCCASIONS = {
    Purpose.SERVICE: reminder_pb2.CONTACT_EVENT_TYPE_BEHAVIOUR,
    Purpose.CARE: reminder_pb2.CONTACT_EVENT_TYPE_LIFE,
    Purpose.MARKETING: reminder_pb2.CONTACT_EVENT_TYPE_ACTIVITY,
}
"""Why a customer was contacted, by what the batch is for."""


MOST_CUSTOMERS = 1000
"""As many as one event and one call about contacts name."""


class Settled(NamedTuple):
    """Customers, by name, whose messages came to the same state at the same moment."""

    state: RecipientState
    moment: datetime
    customers: Sequence[str]


def portions(told: Iterable[Settled]) -> Iterator[list[Settled]]:
    """Yield *told* in portions that one event and one call about contacts may carry."""
    portion, free = list[Settled](), MOST_CUSTOMERS
    for state, moment, customers in told:
        start = 0
        while start < len(customers):
            some = customers[start : start + free]
            portion.append(Settled(state, moment, some))
            start, free = start + len(some), free - len(some)
            if not free:
                yield portion
                portion, free = [], MOST_CUSTOMERS
    if portion:
        yield portion


def message_settled(batch: Any, told: Sequence[Settled]) -> pb.MessageSettled:
    """Return the event of up to 1,000 messages of one batch."""
    fact = pb.MessageSettled(
        batch=name_of("batches", batch.batch_id), purpose=batch.purpose
    )
    for state, moment, customers in told:
        fact.lines.add(
            state=state,  # type: ignore[arg-type]
            settle_time=time_to(moment),
            customers=customers,
        )
    return fact


def batch_contacts(
    batch: Any, reached: Sequence[Settled]
) -> work_log_pb2.RecordBatchContactsRequest:
    """Return the request that enters customers who were reached in the work log, up to 1,000 of one branch."""
    request = work_log_pb2.RecordBatchContactsRequest(
        branch_id=batch.branch_id,
        batch=name_of("batches", batch.batch_id),
        staff=name_of("staff", batch.confirmer),
        template_display_name=batch.template_display_name,
        event_type=OCCASIONS[batch.purpose],
    )
    for _, moment, customers in reached:
        request.contacts.add(contact_time=time_to(moment), customers=customers)
    return request
