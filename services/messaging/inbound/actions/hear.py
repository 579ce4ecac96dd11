"""
Hear customers: store what they sent before it is acknowledged, and obey what refuses or allows, in one transaction.

A number is the same for the whole bank: what its holder refuses is refused in every branch at once. So the
transaction is the bank's, and each of its statements names its branches.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.vault import Vault, digits_of, mask_value
from services.messaging.batch.actions.plan import MASK_MOBILE, MOBILE
from services.messaging.batch.rules import mobile_of as valid_mobile
from services.messaging.delivery.actions.refusals import (
    Told,
    learn_answer,
    learn_refusals,
)
from services.messaging.delivery.rules import SMS, Act
from services.messaging.gateways import Inbound as Message
from services.messaging.inbound import events, queries, rules
from services.messaging.inbound.rules import (
    REPEATED,
    Confirmation,
    Kind,
    Known,
    State,
)
from services.messaging.inbound.tables import Inbound
from services.messaging.template.rules import Purpose

ENTERED = """
    INSERT INTO directory (kind, id, branch_id) VALUES ('inbounds', $1, $2) ON CONFLICT DO NOTHING RETURNING 1"""
TEXT_PLACE = "inbounds.text|{}"
MOBILE_PLACE = "inbounds.mobile|{}"
"""What a sealed text and a sealed mobile are bound to: the message."""

DIGESTED = "inbounds.text"
CONSENTS = "/guanhu.customer.v1.ConsentService/{}"
WORDS = {Kind.OPT_OUT: "opt_out_confirmation", Kind.OPT_IN: "opt_in_confirmation"}
"""The parameters with the words of confirmations."""


@dataclass(frozen=True, slots=True)
class Heard:
    """
    One message with whom it is from.

    ``indexes`` are the mobile's under every key, the first one that new rows are written under; ``known`` is where
    the number stands among recipients, ``answer`` the message that it answers.
    """

    message: Message
    indexes: Sequence[bytes]
    known: Sequence[Known]
    answer: Known | None

    @property
    def branch_id(self) -> int:
        """Return the branch whose message it answers, or the head office."""
        return self.answer.branch_id if self.answer else HEAD_OFFICE

    def customers(self) -> Mapping[int, set[str]]:
        """Return everybody who was ever planned for under the number, by branch."""
        found: dict[int, set[str]] = defaultdict(set)
        for one in self.known:
            found[one.branch_id].add(one.number)
        return found


async def hear(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    gateway: str,
    access: str,
    messages: Sequence[Message],
) -> int:
    """
    Store *messages* of *gateway*, whose own number is *access*, in one transaction; return how many were new.

    One that was told before changes nothing.
    """
    indexes = [_indexes(vault, one.source) for one in messages]
    async with uow(caller) as work:
        branch_ids = await queries.branches(work)
        places = await queries.known(
            work, branch_ids, list(chain.from_iterable(indexes))
        )
        count = 0
        for message, own in zip(messages, indexes, strict=True):
            known = [one for index in own for one in places.get(index, ())]
            answer = rules.answered(known, dest=message.dest, access=access)
            heard = Heard(message, own, known, answer)
            count += await _take(work, vault, gateway, branch_ids, heard=heard)
    return count


def _indexes(vault: Vault, mobile: str) -> list[bytes]:
    """Return the indexes of a mobile under every key, that of the newest first."""
    first = vault.index(mobile, MOBILE)
    return [first, *(one for one in vault.indexes(mobile, MOBILE) if one != first)]


async def _take(
    work: Work, vault: Vault, gateway: str, branch_ids: Sequence[int], *, heard: Heard
) -> int:
    """Store one message and do what it asks for; return 0 when it was told before."""
    message, branch_id = heard.message, heard.branch_id
    kind = rules.kind_of(
        message.text,
        refusing=await work.parameter("opt_out_words", branch_id),
        allowing=await work.parameter("opt_in_words", branch_id),
    )
    spoken = f"{heard.indexes[-1].hex()}|{message.dest}|{message.text}"
    digest = vault.digest(spoken, DIGESTED)
    since = message.heard_at - REPEATED
    recent = await queries.recent(work, branch_ids, heard.indexes, since)
    if rules.told_before(kind, digest, recent):
        return 0
    inbound_id = rules.key_of(digest, next(iter(recent), b""), message.heard_at)
    if not await work.run(ENTERED, str(inbound_id), branch_id):
        return 0
    if kind is not Kind.REPLY:
        await _obey(work, heard, kind, inbound_id)
    words = kind in WORDS and await work.parameter(WORDS[kind], branch_id)
    confirms = words and valid_mobile(message.source)
    work.add(
        Inbound(
            branch_id=branch_id,
            inbound_id=inbound_id,
            gateway=gateway,
            text_digest=digest,
            kind=kind,
            state=State.OPEN if kind is Kind.REPLY else State.CLOSED,
            confirmation=Confirmation.WAITING if confirms else Confirmation.NONE,
            update_time=work.now,
            **_sealed(vault, inbound_id, heard),
            **_whose(heard.answer),
        )
    )
    await work.session.flush()
    return 1


def _sealed(vault: Vault, inbound_id: UUID, heard: Heard) -> dict[str, Any]:
    """Return what a message says, as it is stored."""
    message = heard.message
    return {
        "dest": message.dest,
        "mobile": vault.seal(message.source, MOBILE_PLACE.format(inbound_id)),
        "mobile_mask": mask_value(digits_of(message.source), MASK_MOBILE),
        "mobile_index": heard.indexes[0],
        "text": vault.seal(message.text, TEXT_PLACE.format(inbound_id)),
        "whole": message.whole,
        "receive_time": message.heard_at,
    }


def _whose(answer: Known | None) -> dict[str, Any]:
    """Return what is stored of the message that one answers; its sender is to deal with it."""
    return {
        "batch_id": answer.batch_id if answer else None,
        "template_display_name": answer.template_display_name if answer else "",
        "number": answer.number if answer else "",
        "display_name": answer.display_name if answer else "",
        "assignee": answer.sender if answer else "",
        "closer": "",
        "close_remark": "",
    }


def text_of(vault: Vault, row: Any) -> str:
    """Return the text of a stored message."""
    return vault.open(row.text, TEXT_PLACE.format(row.inbound_id))


def mobile_of(vault: Vault, row: Any) -> str:
    """Return the mobile that a stored message came from, with the country's code."""
    return vault.open(row.mobile, MOBILE_PLACE.format(row.inbound_id))


@dataclass(frozen=True, slots=True)
class Said:
    """What the holder of a number refused, or allowed again, by one message."""

    kind: Kind
    purposes: Sequence[int]
    inbound_id: UUID
    moment: datetime

    @property
    def refused(self) -> bool:
        """Say whether it was a refusal."""
        return self.kind is Kind.OPT_OUT


async def _obey(work: Work, heard: Heard, kind: Kind, inbound_id: UUID) -> None:
    """Refuse, or allow again: for the number at once, for its customers here and in the customer service's ledger."""
    before = await queries.refused(work, heard.indexes)
    purposes = rules.purposes_of(kind, heard.answer, before)
    said = Said(kind, purposes, inbound_id, heard.message.heard_at)
    await learn_answer(
        work,
        heard.indexes,
        purposes,
        refused=said.refused,
        inbound_id=inbound_id,
        moment=said.moment,
    )
    for branch_id, numbers in sorted(heard.customers().items()):
        await learn_refusals(work, branch_id, _marks(numbers, said))
        for number in sorted(numbers):
            await _tell(work, branch_id, number, said)
    if said.refused:
        _publish(work, heard, said)


def _marks(numbers: set[str], said: Said) -> list[Told]:
    """Return what is entered about customers until their own ledger tells it."""
    act = Act.DO_NOT_DISTURB_SET if said.refused else Act.DO_NOT_DISTURB_LIFTED
    acts = [(act, purpose) for purpose in said.purposes]
    acts += [] if said.refused else [(Act.GRANTED, int(Purpose.MARKETING))]
    return [
        Told(number, act, SMS, purpose, str(uuid7()))
        for number in sorted(numbers)
        for act, purpose in acts
    ]


async def _tell(work: Work, branch_id: int, number: str, said: Said) -> None:
    """Have the customer service enter what one customer said, with the message as evidence."""
    for purpose in said.purposes:
        request = events.do_not_disturb(
            number,
            purpose,
            refused=said.refused,
            inbound_id=said.inbound_id,
            moment=said.moment,
        )
        work.errand(CONSENTS.format("SetDoNotDisturb"), request, branch_id=branch_id)
    if not said.refused:
        grant = events.granted(
            number,
            inbound_id=said.inbound_id,
            moment=said.moment,
            text_version=await work.parameter("opt_in_text_version", branch_id),
        )
        work.errand(CONSENTS.format("GrantConsent"), grant, branch_id=branch_id)


def _publish(work: Work, heard: Heard, said: Said) -> None:
    """Publish a refusal in every branch that has customers of the number, and where the message lies."""
    customers, answer = heard.customers(), heard.answer
    for branch_id in sorted({heard.branch_id, *customers}):
        here = answer if answer and answer.branch_id == branch_id else None
        fact = events.opt_out_received(
            said.inbound_id,
            said.moment,
            batch_id=here.batch_id if here else None,
            customers=customers.get(branch_id, ()),
            purposes=said.purposes,
        )
        work.publish(fact, branch_id=branch_id)
