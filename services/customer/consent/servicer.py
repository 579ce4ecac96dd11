"""Ledgers on the wire: unpack, act, pack."""

from guanhu.customer.v1 import consent_pb2 as pb
from guanhu.customer.v1 import consent_pb2_grpc

from services.chassis.calls import Context
from services.chassis.clock import local_time
from services.chassis.names import key_of, keys_of
from services.chassis.server import Frame
from services.chassis.wiretypes import time_from
from services.customer.consent import actions, queries, rules, wire
from services.customer.consent.rules import Act
from services.customer.customer.queries import customer


class ConsentServicer(consent_pb2_grpc.ConsentServiceServicer):
    """Keeps what customers allowed and refused."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager
        self._keyring = frame.keyring

    async def SetDoNotDisturb(
        self, request: pb.SetDoNotDisturbRequest, context: Context
    ) -> pb.Consent:
        """Enter or lift a request not to be disturbed."""
        lifted = not request.do_not_disturb
        act = Act.DO_NOT_DISTURB_LIFTED if lifted else Act.DO_NOT_DISTURB_SET
        return await self._record(request, context, act)

    async def GrantConsent(
        self, request: pb.GrantConsentRequest, context: Context
    ) -> pb.Consent:
        """Enter a consent."""
        return await self._record(request, context, Act.GRANTED)

    async def WithdrawConsent(
        self, request: pb.WithdrawConsentRequest, context: Context
    ) -> pb.Consent:
        """Enter a withdrawal."""
        return await self._record(request, context, Act.WITHDRAWN)

    async def _record(
        self,
        request: pb.SetDoNotDisturbRequest
        | pb.GrantConsentRequest
        | pb.WithdrawConsentRequest,
        context: Context,
        act: Act,
    ) -> pb.Consent:
        row = await actions.record(
            self._uow, context.caller, told=wire.told_from(request, act)
        )
        return wire.consent_to(row, in_force=True)

    async def ListConsents(
        self, request: pb.ListConsentsRequest, context: Context
    ) -> pb.ListConsentsResponse:
        """Return a page of one customer's ledger."""
        async with self._uow.read(context.caller) as work:
            found = await customer(work, key_of("customers", request.customer))
            statement = queries.listed(found, wire.filters_from(request))
            rows, token, total = await queries.LISTING.read(
                work, self._pager, request, statement
            )
        return pb.ListConsentsResponse(
            consents=[wire.consent_to(row, in_force=row.in_force) for row in rows],
            next_page_token=token,
            total_size=total,
        )

    async def CheckReach(
        self, request: pb.CheckReachRequest, context: Context
    ) -> pb.CheckReachResponse:
        """Return who may be reached."""
        numbers = keys_of("customers", list(request.customers))
        zone = self._keyring.tree.zone(request.branch_id)
        async with self._uow.read(context.caller) as work:
            hours = await work.parameter("sms_hours", request.branch_id)
            found = await queries.ledgers(work, request.branch_id, numbers)
            moment = local_time(time_from(request.check_time) or work.now, zone)
        reaches = {
            number: rules.reach(
                ledger.entries,
                channel=request.channel,
                purpose=request.purpose,
                mobile_mask=ledger.mobile_mask,
                moment=moment,
                hours=(hours["from"], hours["to"]),
                wishes=wire.wishes_from(ledger, zone),
            )
            for number, ledger in found.items()
        }
        return wire.reaches_to(numbers, reaches)
