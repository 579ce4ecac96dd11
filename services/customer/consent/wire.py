"""Ledgers between the contract's messages and values."""

from collections.abc import Mapping
from typing import Any

from guanhu.customer.v1 import consent_pb2 as pb

from services.chassis.clock import local_time
from services.chassis.names import key_of, name_of
from services.chassis.wiretypes import time_from, time_to
from services.customer.consent.actions import Told
from services.customer.consent.queries import Filters, Ledger
from services.customer.consent.rules import Act, Reach, Reason, Wishes


def told_from(request: Any, act: Act) -> Told:
    """Return what a request says that the customer said."""
    evidence = request.evidence
    return Told(
        number=key_of("customers", request.customer),
        act=act,
        channel=request.channel,
        purpose=request.purpose,
        evidence_kind=evidence.kind,
        evidence_reference=evidence.reference,
        text_version=evidence.text_version,
        evidence_time=time_from(evidence.evidence_time),
    )


def consent_to(row: Any, *, in_force: bool) -> pb.Consent:
    """Return one entry as the contract's consent."""
    message = pb.Consent(
        name=name_of("consents", row.consent_id),
        customer=name_of("customers", row.number),
        act=row.act,
        channel=row.channel,
        purpose=row.purpose,
        recorder=row.recorder,
        in_force=in_force,
        create_time=time_to(row.create_time),
    )
    if row.evidence_kind:
        message.evidence.CopyFrom(
            pb.Evidence(
                kind=row.evidence_kind,
                reference=row.evidence_reference,
                text_version=row.text_version,
                evidence_time=time_to(row.evidence_time),
            )
        )
    return message


def filters_from(request: pb.ListConsentsRequest) -> Filters:
    """Return the filters of a ledger."""
    return Filters(request.channel, request.purpose, request.in_force)


def wishes_from(ledger: Ledger, zone: str) -> Wishes:
    """Return the wishes kept beside a ledger, the last contact as the clocks in *zone* show it."""
    last = ledger.last_contact_time
    return Wishes(
        ledger.preferred_time,
        ledger.frequency,
        local_time(last, zone) if last else None,
    )


def reaches_to(numbers: list[str], found: Mapping[str, Reach]) -> pb.CheckReachResponse:
    """Return who may be reached, in the order asked for; who was not found is unknown."""
    unknown = Reach(Reason.CUSTOMER_UNKNOWN)
    answer = pb.CheckReachResponse()
    for number in numbers:
        one = found.get(number, unknown)
        line = answer.reaches.add(
            customer=name_of("customers", number),
            allowed=one.reason is None,
            reason=int(one.reason or 0),
        )
        if one.next_time is not None:
            line.next_allowed_time.CopyFrom(time_to(one.next_time))
    return answer
