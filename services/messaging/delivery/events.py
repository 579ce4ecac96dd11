"""What this noun publishes, and what it tells engagement: messages that were settled. Never a number or a text."""

from collections.abc import Iterable, Sequence
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
    return pb.MessageSettled(
        batch=name_of("batches", batch.batch_id),
        purpose=batch.purpose,
        lines=_lines(lines),
    )


def _lines(lines: Iterable[Settled]) -> Iterable[pb.MessageSettled.Line]:
    for number, state, moment in lines:
        yield pb.MessageSettled.Line(
            customer=name_of("customers", number),
            state=state,  # type: ignore[arg-type]
            settle_time=time_to(moment),
        )


def batch_contacts(
    batch: Any, lines: Sequence[Settled]
) -> work_log_pb2.RecordBatchContactsRequest:
    """Return the request that enters customers who were reached in the work log, up to 1,000 of one branch."""
    return work_log_pb2.RecordBatchContactsRequest(
        branch_id=batch.branch_id,
        batch=name_of("batches", batch.batch_id),
        staff=name_of("staff", batch.confirmer),
        template_display_name=batch.template_display_name,
        event_type=OCCASIONS[batch.purpose],
        contacts=[
            work_log_pb2.BatchContact(
                customer=name_of("customers", number), contact_time=time_to(moment)
            )
            for number, _, moment in lines
        ],
    )
