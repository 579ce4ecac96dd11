"""What this noun publishes, and what it tells the customer service: who refused or allowed, and never a text."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from guanhu.customer.v1 import consent_pb2, customer_pb2
from guanhu.messaging.v1 import messaging_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import time_to
from services.messaging.template.rules import Purpose


def opt_out_received(
    inbound_id: UUID,
    moment: datetime,
    *,
    batch_id: UUID | None,
    customers: Iterable[str],
    purposes: Iterable[int],
) -> pb.OptOutReceived:
    """Return the event that customers of one branch refused *purposes* by an answer."""
    return pb.OptOutReceived(
        inbound=name_of("inbounds", inbound_id),
        batch=name_of("batches", batch_id),
        customers=[name_of("customers", number) for number in sorted(customers)],
        purposes=list(purposes),  # type: ignore[arg-type]
        receive_time=time_to(moment),
    )


def _evidence(
    inbound_id: UUID, moment: datetime, text_version: str = ""
) -> consent_pb2.Evidence:
    return consent_pb2.Evidence(
        kind=consent_pb2.EVIDENCE_KIND_INBOUND_MESSAGE,
        reference=name_of("inbounds", inbound_id),
        text_version=text_version,
        evidence_time=time_to(moment),
    )


def do_not_disturb(
    number: str, purpose: int, *, refused: bool, inbound_id: UUID, moment: datetime
) -> consent_pb2.SetDoNotDisturbRequest:
    """Return the request that enters, or lifts, that a customer refuses messages of *purpose*."""
    return consent_pb2.SetDoNotDisturbRequest(
        customer=name_of("customers", number),
        do_not_disturb=refused,
        channel=customer_pb2.CHANNEL_SMS,
        purpose=purpose,  # type: ignore[arg-type]
        evidence=_evidence(inbound_id, moment),
    )


def granted(
    number: str, *, inbound_id: UUID, moment: datetime, text_version: str
) -> consent_pb2.GrantConsentRequest:
    """Return the request that enters that a customer agrees to offers by message."""
    return consent_pb2.GrantConsentRequest(
        customer=name_of("customers", number),
        channel=customer_pb2.CHANNEL_SMS,
        purpose=Purpose.MARKETING.value,  # type: ignore[arg-type]
        evidence=_evidence(inbound_id, moment, text_version),
    )
