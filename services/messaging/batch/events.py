"""What this noun publishes: the ends of batches."""

from typing import Any

from guanhu.messaging.v1 import messaging_events_pb2 as pb

from services.chassis.names import name_of
from services.messaging.batch.rules import Counts


def batch_finished(row: Any, counts: Counts) -> pb.BatchFinished:
    """Return the event of a batch that is finished, cancelled or rejected."""
    return pb.BatchFinished(
        batch=name_of("batches", row.batch_id),
        state=row.state,
        total_count=row.total_count,
        accepted_count=counts.sent,
        failed_count=counts.failed,
        excluded_count=row.excluded_count + counts.excluded,
        unknown_count=counts.unknown,
    )
