"""
Confirm refusals and permissions to the customer, through the link they came by, at most once.

A confirmation is committed as being handed over before its octets are written. One whose answer nobody heard, because
the link or the process ended, is not sent again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.vault import Vault
from services.messaging.delivery.actions.link import Link
from services.messaging.gateways import GatewayEnded, Outgoing, SubmitResult
from services.messaging.gateways.encoding import billed_segments
from services.messaging.inbound import queries, rules
from services.messaging.inbound.actions.hear import WORDS, mobile_of
from services.messaging.inbound.rules import Confirmation, Kind

AT_ONCE = 20
ROOM_SECONDS = 1.0
STALE = timedelta(days=1)
"""A confirmation that could not be handed over for so long would only puzzle the customer."""

SILENT = timedelta(minutes=10)
"""After so long nobody will hear any more what became of a confirmation that was handed over."""

LAPSED = """
    UPDATE inbounds SET confirmation = CASE WHEN confirmation = 1 THEN 4 ELSE 5 END, version = version + 1
    WHERE branch_id = $1 AND gateway = $2
      AND (confirmation = 1 AND receive_time < $3 OR confirmation = 2 AND confirm_time < $4)"""
CLAIMED = """
    WITH first AS MATERIALIZED (
        SELECT inbound_id FROM inbounds
        WHERE branch_id = $1 AND gateway = $2 AND confirmation = 1
        ORDER BY receive_time LIMIT $3 FOR UPDATE SKIP LOCKED)
    UPDATE inbounds AS taken SET confirmation = 2, confirm_time = $4, version = version + 1
    FROM first WHERE taken.branch_id = $1 AND taken.inbound_id = first.inbound_id
    RETURNING taken.inbound_id, taken.kind, taken.dest, taken.mobile"""
SETTLED = """
    UPDATE inbounds AS i SET confirmation = line.state, version = version + 1
    FROM unnest($2::uuid[], $3::smallint[]) AS line (inbound_id, state)
    WHERE i.branch_id = $1 AND i.inbound_id = line.inbound_id AND i.confirmation = 2"""


class Answers:
    """What becomes of some confirmations, by place; implements the link's Asker."""

    def __init__(self, count: int) -> None:
        """Keep what becomes of *count* confirmations; those that are not written wait again."""
        self.found = [Confirmation.WAITING] * count
        self.whole = asyncio.Event()
        self._came = 0
        self._written = count

    def expect(self, written: int) -> None:
        """Wait for as many answers as were *written*."""
        self._written = written
        self._look()

    def accepted(
        self, places: Sequence[int], numbers: Sequence[str | None], moment: float
    ) -> None:
        """Take that the centre took some."""
        for place in places:
            self._take(place, rules.confirmed("accepted"))

    def refused(self, place: int, result: SubmitResult, moment: float) -> None:
        """Take that it did not take one."""
        self._take(place, rules.confirmed(result.verdict))

    def lost(self, place: int) -> None:
        """Take that nobody knows about one."""
        self._take(place, Confirmation.UNKNOWN)

    def _take(self, place: int, state: Confirmation) -> None:
        self.found[place] = state
        self._came += 1
        self._look()

    def _look(self) -> None:
        if self._came >= self._written:
            self.whole.set()


@dataclass(frozen=True, slots=True)
class Due:
    """One confirmation to hand over."""

    inbound_id: Any
    message: Outgoing


async def confirm(uow: UnitOfWork, caller: Caller, vault: Vault, *, link: Link) -> int:
    """Hand over what waits for *link*, branch by branch; return how many were handed over."""
    if not link.open:
        return 0
    async with uow.read(caller) as work:
        rows = await work.run(queries.UNCONFIRMED, link.name)
    count = 0
    for row in rows:
        here = caller.in_branch(row.branch_id)
        async with uow(here) as work:
            await _lapse(work, row.branch_id, link.name)
            due = await _claimed(work, vault, row.branch_id, link)
        found: list[Confirmation] = []
        if due:
            found = await _hand_over(link, [one.message for one in due])
            async with uow(here) as work:
                keys = [one.inbound_id for one in due]
                await work.run(SETTLED, row.branch_id, keys, found)
        count += sum(one is not Confirmation.WAITING for one in found)
    return count


async def _hand_over(link: Link, messages: Sequence[Outgoing]) -> list[Confirmation]:
    """Write *messages* as the link has room, and return what became of each; what was not written waits again."""
    answers = Answers(len(messages))
    written = 0
    while written < len(messages) and (
        granted := await _room(link, len(messages) - written)
    ):
        places = range(written, written + granted)
        batch = [
            messages[place]._replace(token=token)
            for place, token in zip(places, link.tokens(granted), strict=True)
        ]
        link.hand_over(answers, places, batch)
        written += granted
    answers.expect(written)
    await answers.whole.wait()
    return answers.found


async def _room(link: Link, wanted: int) -> int:
    """Return how many of *wanted* may be handed over now, after a while of waiting; 0 when none may."""
    ends = asyncio.get_running_loop().time() + ROOM_SECONDS
    while link.open and asyncio.get_running_loop().time() < ends:
        if granted := link.grant(wanted):
            return granted
        if wait := link.wait():
            await asyncio.sleep(min(wait, ROOM_SECONDS))
            continue
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                await link.gateway.wait_room()
        except (TimeoutError, GatewayEnded):
            return 0
    return 0


async def _lapse(work: Work, branch_id: int, gateway: str) -> None:
    """Give up what waited too long, and what nobody will hear of."""
    await work.run(LAPSED, branch_id, gateway, work.now - STALE, work.now - SILENT)


async def _claimed(work: Work, vault: Vault, branch_id: int, link: Link) -> list[Due]:
    """Take confirmations of one branch in hand; from the commit on they are being handed over."""
    rows = await work.run(CLAIMED, branch_id, link.name, AT_ONCE, work.now)
    signature = await work.parameter("sms_signature", branch_id)
    found, empty = [], []
    for row in rows:
        words = await work.parameter(WORDS[Kind(row.kind)], branch_id)
        if words:
            message = _outgoing(vault, link, row, f"【{signature}】{words}", work)
            found.append(Due(row.inbound_id, message))
        else:
            empty.append(row.inbound_id)
    nothing = [Confirmation.NONE] * len(empty)
    await work.run(SETTLED, branch_id, empty, nothing)
    return found


def _outgoing(vault: Vault, link: Link, row: Any, text: str, work: Work) -> Outgoing:
    """Return one confirmation, from the number that the customer wrote to; no receipt is asked for."""
    return Outgoing(
        token=0,
        dest=mobile_of(vault, row),
        source=row.dest,
        text=text,
        encoding="ucs2",
        client_ref=row.inbound_id.bytes,
        segments=billed_segments(text),
        want_receipt=False,
        valid_until=work.now + timedelta(seconds=link.terms.validity),
    )
