"""Who is in groups, asked of the customer service on behalf of whoever plans; and what owners are called."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guanhu.allocation.v1 import staff_pb2, staff_pb2_grpc
from guanhu.customer.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    customer_pb2,
    group_pb2,
    group_pb2_grpc,
)

from services.chassis.caller import Caller
from services.chassis.client import HOP_SECONDS, Peers
from services.chassis.errors import NotFound
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import date_from, minor_from, time_to
from services.messaging.batch.actions.plan import check_size
from services.messaging.batch.rules import Exclusion, Maturity, Person
from services.messaging.template.rules import Amount

ASKED = 1000
"""Customers of one question who may be reached."""

AT_ONCE = 4
STREAM_SECONDS = 60.0
PAGE = 500

REASONS = {
    consent_pb2.REACH_REASON_CUSTOMER_UNKNOWN: Exclusion.NOT_OWNED,
    consent_pb2.REACH_REASON_ADDRESS_MISSING: Exclusion.NO_MOBILE,
    consent_pb2.REACH_REASON_ADDRESS_INVALID: Exclusion.INVALID_MOBILE,
    consent_pb2.REACH_REASON_DO_NOT_DISTURB: Exclusion.DO_NOT_DISTURB,
    consent_pb2.REACH_REASON_CONSENT_MISSING: Exclusion.CONSENT_MISSING,
    consent_pb2.REACH_REASON_CONSENT_WITHDRAWN: Exclusion.CONSENT_WITHDRAWN,
    consent_pb2.REACH_REASON_OUTSIDE_PREFERRED_TIME: Exclusion.OTHER_WISHES,
    consent_pb2.REACH_REASON_TOO_SOON: Exclusion.OTHER_WISHES,
    consent_pb2.REACH_REASON_ONLY_ON_REQUEST: Exclusion.OTHER_WISHES,
}
"""What stands against a message at the moment it can go out; the hour is no reason, a message waits for it."""


class People:
    """Asks other services about the people of batches; never within a unit of work."""

    def __init__(self, peers: Peers) -> None:
        """Ask through *peers*."""
        self._groups = group_pb2_grpc.GroupServiceStub(peers.channel("customer"))
        self._consents = consent_pb2_grpc.ConsentServiceStub(peers.channel("customer"))
        self._staff = staff_pb2_grpc.StaffServiceStub(peers.channel("allocation"))

    async def check_groups(self, caller: Caller, groups: Sequence[UUID]) -> None:
        """Refuse NOT_FOUND when a group is not of the caller's branch, or is kept by another where that matters."""
        names = [name_of("groups", group) for group in groups]
        found = await asyncio.gather(
            *(self._groups.GetGroup(group_pb2.GetGroupRequest(name=n)) for n in names)
        )
        for group in found:
            mine = group.owner == caller.subject or not caller.own_only
            if group.branch != name_of("branches", caller.branch_id) or not mine:
                raise NotFound("group", "群组")

    async def members(
        self,
        branch_id: int,
        groups: Sequence[UUID],
        *,
        batch_id: UUID,
        limit: int,
        seconds: float | None,
        maturities: bool,
    ) -> list[Any]:
        """
        Return the members of *groups* with full mobiles, each customer once; refuse more than *limit*.

        What matures next comes along only where the text speaks of it: *maturities*.
        """
        request = group_pb2.StreamMembersRequest(
            branch_id=branch_id,
            groups=[name_of("groups", group) for group in groups],
            batch=name_of("batches", batch_id),
            maturities=maturities,
        )
        left = min(STREAM_SECONDS, (seconds or STREAM_SECONDS) - HOP_SECONDS)
        found: list[Any] = []
        async for piece in self._groups.StreamMembers(request, timeout=left):
            found += piece.recipients
            check_size(len(found), limit)
        check_size(len(found), limit)
        return found

    async def judged(
        self, branch_id: int, members: Sequence[Any], *, purpose: int, moment: datetime
    ) -> list[Person]:
        """Return *members* with what stands against a message for *purpose* at *moment*."""
        pieces = [members[at : at + ASKED] for at in range(0, len(members), ASKED)]
        reasons: dict[str, int] = {}
        for at in range(0, len(pieces), AT_ONCE):
            asked = (
                self._consents.CheckReach(
                    consent_pb2.CheckReachRequest(
                        branch_id=branch_id,
                        customers=[one.customer for one in piece],
                        channel=customer_pb2.CHANNEL_SMS,
                        purpose=purpose,  # type: ignore[arg-type]
                        check_time=time_to(moment),
                    )
                )
                for piece in pieces[at : at + AT_ONCE]
            )
            for answer in await asyncio.gather(*asked):
                reasons |= {
                    one.customer: REASONS.get(one.reason, 0) for one in answer.reaches
                }
        return [person_from(one, reasons.get(one.customer, 0)) for one in members]

    async def staff_names(self, branch_id: int) -> dict[str, str]:
        """Return what the staff of a branch are called, by key."""
        found: dict[str, str] = {}
        request = staff_pb2.ListStaffRequest(branch_id=branch_id, page_size=PAGE)
        while True:
            page = await self._staff.ListStaff(request)
            found |= {key_of("staff", one.name): one.display_name for one in page.staff}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def person_from(member: Any, reason: int) -> Person:
    """Return a member as plans take it."""
    return Person(
        number=key_of("customers", member.customer),
        mobile=member.mobile,
        display_name=member.customer_display_name,
        gender=member.gender,
        owner=optional_key("staff", member.owner),
        reason=reason,
        tier=member.tier,
        maturity=maturity_from(member),
    )


def maturity_from(member: Any) -> Maturity | None:
    """Return what of a member's own matures next, None when nothing does."""
    if not member.HasField("next_maturity"):
        return None
    found = member.next_maturity
    amount = Amount(minor_from(found.amount), found.amount.currency_code)
    return Maturity(found.product_display_name, date_from(found.maturity_date), amount)
