"""What this noun publishes: contacts. Never what was said."""

from collections.abc import Iterable, Sequence
from typing import Any

from guanhu.engagement.v1 import engagement_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to


def contacts_recorded(rows: Sequence[Any]) -> pb.ContactRecorded:
    """Return the event of up to 1,000 entries of one branch."""
    return pb.ContactRecorded(lines=_lines(rows))


def _lines(rows: Sequence[Any]) -> Iterable[pb.ContactRecorded.Line]:
    for row in rows:
        yield pb.ContactRecorded.Line(
            work_log=name_of("workLogs", row.work_log_id),
            customer=name_of("customers", row.number),
            staff=name_of("staff", row.staff),
            contact_time=time_to(row.contact_time),
            channel=row.channel,
            result=row.result,
            event_type=row.event_type,
            batch=name_of("batches", row.batch_id),
        )
