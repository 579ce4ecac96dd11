"""What this noun publishes, and what it tells engagement: messages that were settled. Never a number or a text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from guanhu.engagement.v1 import reminder_pb2, work_log_pb2
from guanhu.messaging.v1 import messaging_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.messaging.template.rules import Purpose

OCCASIONS = {
    Purpose.SERVICE: reminder_pb2.CONTACT_EVENT_TYPE_BEHAVIOUR,
    Purpose.CARE: reminder_pb2.CONTACT_EVENT_TYPE_LIFE,
    Purpose.MARKETING: reminder_pb2.CONTACT_EVENT_TYPE_ACTIVITY,
}
"""Why a customer was contacted, by what the batch is for."""

Settled = tuple[str, int, datetime]
"""Customer number, state, and when."""


def message_settled(batch: Any, lines: Sequence[Settled]) -> pb.MessageSettled:
    """Return the event of up to 1,000 messages of one batch."""
    fact = pb.MessageSettled(
        batch=name_of("batches", batch.batch_id), purpose=batch.purpose
    )
    made: dict[tuple[int, datetime], pb.MessageSettled.Line] = {}
    for number, state, moment in lines:
        line = made.get((state, moment))
        if line is None:
            line = pb.MessageSettled.Line(state=state, settle_time=time_to(moment))  # type: ignore[arg-type]
            made[state, moment] = line
        # what is appended is a copy: the next message of the same moment differs in its customer alone
        line.customer = name_of("customers", number)
        fact.lines.append(line)
    return fact


def batch_contacts(
    batch: Any, lines: Sequence[Settled]
) -> work_log_pb2.RecordBatchContactsRequest:
    """Return the request that enters customers who were reached in the work log, up to 1,000 of one branch."""
    request = work_log_pb2.RecordBatchContactsRequest(
        branch_id=batch.branch_id,
        batch=name_of("batches", batch.batch_id),
        staff=name_of("staff", batch.confirmer),
        template_display_name=batch.template_display_name,
        event_type=OCCASIONS[batch.purpose],
    )
    made: dict[datetime, work_log_pb2.BatchContact] = {}
    for number, _, moment in lines:
        contact = made.get(moment)
        if contact is None:
            contact = work_log_pb2.BatchContact(contact_time=time_to(moment))
            made[moment] = contact
        contact.customer = name_of("customers", number)
        request.contacts.append(contact)
    return request
