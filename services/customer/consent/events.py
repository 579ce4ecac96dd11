"""What this noun publishes: entries of ledgers."""

from typing import Any

from guanhu.customer.v1 import customer_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to


def consent_changed(row: Any) -> pb.ConsentChanged:
    """Return the event of one entry."""
    line = pb.ConsentChanged.Line(
        customer=name_of("customers", row.number),
        consent=name_of("consents", row.consent_id),
        act=row.act,
        channel=row.channel,
        purpose=row.purpose,
        consent_time=time_to(row.create_time),
    )
    return pb.ConsentChanged(lines=[line])
