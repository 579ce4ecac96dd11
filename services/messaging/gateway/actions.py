"""Commands on gateways: hold one back, let it go on; and what settings and workers tell about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.db import UnitOfWork
from services.chassis.errors import Stale, Unready
from services.messaging.gateway import queries
from services.messaging.gateway.rules import SMPP, VERDICTS, LinkState, State
from services.messaging.gateway.tables import Gateway

CONFIGURED = """
    INSERT INTO gateways AS g (gateway, display_name, protocol, configured, state, send_window, rate, update_time,
                               version)
    SELECT line.gateway, line.display_name, line.protocol, true, 1, line.send_window, line.rate, $1, 1
    FROM unnest($2::text[], $3::text[], $4::integer[], $5::integer[], $6::smallint[])
        AS line (gateway, display_name, send_window, rate, protocol)
    ON CONFLICT (gateway) DO UPDATE
    SET display_name = excluded.display_name, protocol = excluded.protocol, configured = true,
        send_window = excluded.send_window, rate = excluded.rate"""
FORGOTTEN = "UPDATE gateways SET configured = false WHERE configured AND gateway <> ALL ($1::text[])"
REPORTED = """
    UPDATE gateways SET report_time = $2, bound_time = CASE WHEN $3 THEN $2 ELSE bound_time END
    WHERE gateway = $1"""
ABLE = """
    UPDATE gateways SET hears_receipts = $2, can_query = $3
    WHERE gateway = $1 AND (hears_receipts, can_query) IS DISTINCT FROM ($2, $3)"""

TOLD = """
    INSERT INTO gateway_links (gateway, worker, state, reason, unanswered, sent_per_second, allowed_per_second,
                               accepted_count, rejected_count, throttled_count, temporary_count, ambiguous_count,
                               report_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (gateway, worker) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, unanswered = excluded.unanswered,
        sent_per_second = excluded.sent_per_second, allowed_per_second = excluded.allowed_per_second,
        accepted_count = excluded.accepted_count, rejected_count = excluded.rejected_count,
        throttled_count = excluded.throttled_count, temporary_count = excluded.temporary_count,
        ambiguous_count = excluded.ambiguous_count, report_time = excluded.report_time"""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """
    What a worker tells about its link; rates in segments a second, ``counts`` by verdict since it started.

    ``hears`` and ``can_query`` are what its driver can do about receipts.
    """

    worker: str
    state: LinkState
    reason: str
    unanswered: int
    sent_per_second: int
    allowed_per_second: int
    counts: Mapping[str, int]
    hears: bool
    can_query: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """One gateway as the settings describe it."""

    gateway: str
    display_name: str
    window: int
    rate: int
    protocol: int = SMPP


async def configure(
    uow: UnitOfWork, caller: Caller, *, found: Sequence[Configured]
) -> None:
    """Keep the gateways that the settings name, and mark the others as no longer configured; states stay."""
    async with uow(caller) as work:
        await work.run(
            CONFIGURED,
            work.now,
            [one.gateway for one in found],
            [one.display_name or one.gateway for one in found],
            [one.window for one in found],
            [one.rate for one in found],
            [one.protocol for one in found],
        )
        await work.run(FORGOTTEN, [one.gateway for one in found])


async def report(
    uow: UnitOfWork,
    caller: Caller,
    *,
    gateway: str,
    bound: bool,
    told: LinkReport | None = None,
) -> State:
    """
    Enter that a worker has, or has not, a working link, and what it tells about it.

    Returns whether messages may be handed over.
    """
    async with uow(caller) as work:
        await work.run(REPORTED, gateway, work.now, bound)
        if told is not None:
            await work.run(ABLE, gateway, told.hears, told.can_query)
            await work.run(
                TOLD,
                gateway,
                told.worker,
                told.state,
                told.reason,
                told.unanswered,
                told.sent_per_second,
                told.allowed_per_second,
                *(told.counts.get(verdict, 0) for verdict in VERDICTS),
                work.now,
            )
        row = await work.find(Gateway, gateway)
    return State(row.state) if row and row.configured else State.PAUSED


async def switch(
    uow: UnitOfWork, caller: Caller, *, gateway: str, state: State, version: int
) -> Gateway:
    """Hold a gateway back, or let it go on; refuses NOT_FOUND, CHANGED_MEANWHILE and GATEWAY_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await queries.held(work, gateway)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        if row.state == state:
            raise Unready("GATEWAY_STATE_UNFIT", state=state.name)
        row.state, row.update_time = state, work.now
        await work.session.flush()
        work.note(f"gateways/{gateway}", branch_id=HEAD_OFFICE, state=state.name)
    return row
