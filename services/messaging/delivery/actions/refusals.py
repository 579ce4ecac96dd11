"""Keep what customers refused since: the newest act of each kind, so that sending needs to ask nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.chassis.db import Work
from services.messaging.delivery import rules
from services.messaging.delivery.rules import CAME, LEFT, SMS, About

LEARNT = """
    INSERT INTO refusals AS r (branch_id, number, about, channel, purpose, act, place, update_time)
    SELECT DISTINCT ON (number, about, channel, purpose) $1, number, about, channel, purpose, act, place, $2
    FROM unnest($3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[], $8::text[])
        AS line (number, about, channel, purpose, act, place)
    ORDER BY number, about, channel, purpose, place DESC
    ON CONFLICT (branch_id, number, about, channel, purpose) DO UPDATE
    SET act = excluded.act, place = excluded.place, update_time = excluded.update_time
    WHERE r.place < excluded.place"""
ANSWERED = """
    INSERT INTO opt_outs AS o (mobile_index, purpose, refused, inbound_id, receive_time)
    SELECT line.mobile_index, line.purpose, $3, $4, $5
    FROM unnest($1::bytea[], $2::smallint[]) AS line (mobile_index, purpose)
    ON CONFLICT (mobile_index, purpose) DO UPDATE
    SET refused = excluded.refused, inbound_id = excluded.inbound_id, receive_time = excluded.receive_time
    WHERE o.receive_time <= excluded.receive_time"""


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of a customer's ledger; ``place`` is greater for a later one (identifiers grow with time)."""

    number: str
    act: int
    channel: int
    purpose: int
    place: str


async def learn_refusals(work: Work, branch_id: int, told: Sequence[Told]) -> None:
    """Take up entries of ledgers of one branch that are about messages; older than known ones are dropped."""
    matter = [one for one in told if one.channel in (0, SMS)]
    await work.run(
        LEARNT,
        branch_id,
        work.now,
        [one.number for one in matter],
        [rules.about(one.act) for one in matter],
        [one.channel for one in matter],
        [one.purpose for one in matter],
        [one.act for one in matter],
        [one.place for one in matter],
    )


async def learn_moves(
    work: Work, branch_id: int, versions: Mapping[str, int], *, left: bool
) -> None:
    """Take up who left a branch or came to it, by the counts of their moves: batches of the old branch skip them."""
    count = len(versions)
    await work.run(
        LEARNT,
        branch_id,
        work.now,
        list(versions),
        [About.BRANCH] * count,
        [0] * count,
        [0] * count,
        [LEFT if left else CAME] * count,
        [f"{version:020d}" for version in versions.values()],
    )


async def learn_answer(
    work: Work,
    indexes: Sequence[bytes],
    purposes: Sequence[int],
    *,
    refused: bool,
    inbound_id: UUID,
    moment: datetime,
) -> None:
    """Take up that a number's holder refused, or allowed again, *purposes* at *moment*; what was said later stays."""
    rows = [(index, purpose) for index in indexes for purpose in purposes]
    await work.run(
        ANSWERED,
        [index for index, _ in rows],
        [purpose for _, purpose in rows],
        refused,
        inbound_id,
        moment,
    )
