"""Commands on ledgers: refuse, allow, withdraw; each one entry, never changed."""

from dataclasses import asdict, dataclass
from datetime import datetime

from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork
from services.chassis.errors import Invalid
from services.customer.consent import events, queries, rules
from services.customer.consent.rules import Act, Channel
from services.customer.consent.tables import Consent
from services.customer.customer.actions import held


@dataclass(frozen=True, slots=True)
class Told:
    """What a customer said: channel or purpose 0 stands for every one; evidence as far as there is any."""

    number: str
    act: Act
    channel: int = 0
    purpose: int = 0
    evidence_kind: int = 0
    evidence_reference: str = ""
    text_version: str = ""
    evidence_time: datetime | None = None


async def record(uow: UnitOfWork, caller: Caller, *, told: Told) -> Consent:
    """
    Enter what a customer said, and keep the customer's do-not-disturb flag true to the ledger.

    Refuses NOT_FOUND, EVIDENCE_REQUIRED, EVIDENCE_IN_FUTURE and CHANNEL_NOT_REFUSABLE.
    Source: consent is kept with its evidence; a refusal holds until the customer takes it back.
    """
    if told.channel == Channel.ON_SITE:
        raise Invalid("CHANNEL_NOT_REFUSABLE", channel=Channel.ON_SITE.name)
    async with uow(caller) as work:
        customer = await held(work, told.number)
        reason, missing = rules.evidence_fault(
            told.act,
            kind=told.evidence_kind,
            text_version=told.text_version,
            moment=told.evidence_time,
            now=work.now,
        )
        if reason:
            raise Invalid(reason, missing=missing)
        row = Consent(
            **asdict(told),
            branch_id=customer.branch_id,
            consent_id=uuid7(),
            recorder=caller.subject,
            create_time=work.now,
        )
        work.add(row)
        entries = await queries.entries(work, customer.branch_id, told.number)
        customer.do_not_disturb = bool(rules.refusals_in_force(entries))
        customer.update_time = work.now
        work.publish(events.consent_changed(row), branch_id=customer.branch_id)
        work.note(
            f"customers/{told.number}",
            branch_id=customer.branch_id,
            act=told.act.name,
            channel=told.channel,
            purpose=told.purpose,
        )
    return row
