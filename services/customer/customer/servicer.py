"""Customers on the wire: unpack, act, pack."""

from guanhu.customer.v1 import customer_pb2 as pb
from guanhu.customer.v1 import customer_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of
from services.chassis.paging import split
from services.chassis.server import Frame
from services.customer.customer import actions, queries, wire


class CustomerServicer(customer_pb2_grpc.CustomerServiceServicer):
    """Shows customers and keeps their sheets."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._vault = frame.vault
        self._pager = frame.pager

    async def GetCustomer(
        self, request: pb.GetCustomerRequest, context: Context
    ) -> pb.Customer:
        """Return one customer."""
        async with self._uow.read(context.caller) as work:
            row = await queries.customer(work, key_of("customers", request.name))
        return wire.customer_to(row, work.today)

    async def BatchGetCustomers(
        self, request: pb.BatchGetCustomersRequest, context: Context
    ) -> pb.BatchGetCustomersResponse:
        """Return many customers in the order asked for."""
        numbers = wire.batch_from(request)
        async with self._uow.read(context.caller) as work:
            rows = await queries.customers(work, numbers)
        found = [
            wire.customer_to(rows[number], work.today)
            for number in numbers
            if number in rows
        ]
        return pb.BatchGetCustomersResponse(customers=found)

    async def ListCustomers(
        self, request: pb.ListCustomersRequest, context: Context
    ) -> pb.ListCustomersResponse:
        """Return a page of customers."""
        page = self._pager.page(
            request, context.caller, tuple(queries.ORDERS), "financial_assets desc"
        )
        async with self._uow.read(context.caller) as work:
            statement = queries.listed(
                context.caller, wire.filters_from(request), work.now
            )
            rows, total = await queries.page_of(work, page, statement)
        shown, token = split(self._pager, page, rows, queries.sort_key)
        found = [wire.customer_to(row, work.today) for row in shown]
        return pb.ListCustomersResponse(
            customers=found, next_page_token=token, total_size=total
        )

    async def SearchCustomers(
        self, request: pb.SearchCustomersRequest, context: Context
    ) -> pb.SearchCustomersResponse:
        """Return customers by what staff have at hand."""
        page = self._pager.page(
            request, context.caller, ("number", "financial_assets"), "number"
        )
        async with self._uow.read(context.caller) as work:
            filters = queries.Filters(branch_id=request.branch_id)
            wanted = queries.looked_for(self._vault, request.query, request.kind)
            statement = queries.listed(context.caller, filters, work.now).where(wanted)
            rows, total = await queries.page_of(work, page, statement)
        shown, token = split(self._pager, page, rows, queries.sort_key)
        found = [wire.customer_to(row, work.today) for row in shown]
        return pb.SearchCustomersResponse(
            customers=found, next_page_token=token, total_size=total
        )

    async def UpdateCustomer(
        self, request: pb.UpdateCustomerRequest, context: Context
    ) -> pb.Customer:
        """Write the profile sheet."""
        row = await actions.update_sheet(
            self._uow, context.caller, **wire.update_from(request)
        )
        return wire.customer_to(row, row.update_time.date())

    async def RevealCustomerField(
        self, request: pb.RevealCustomerFieldRequest, context: Context
    ) -> pb.RevealCustomerFieldResponse:
        """Reveal one field for a reason."""
        value, left = await actions.reveal(
            self._uow,
            context.caller,
            self._vault,
            number=key_of("customers", request.name),
            field_name=wire.FIELDS[request.field],
            reason=request.reason,
        )
        return pb.RevealCustomerFieldResponse(
            customer=request.name,
            field=request.field,
            value=value,
            remaining_count=left,
        )

    async def SetAccess(
        self, request: pb.SetAccessRequest, context: Context
    ) -> pb.SetAccessResponse:
        """Learn who may see whom."""
        applied, ignored, unknown = await actions.set_access(
            self._uow,
            context.caller,
            branch_id=request.branch_id,
            accesses=wire.accesses_from(request),
        )
        return pb.SetAccessResponse(
            applied_count=applied,
            ignored_count=ignored,
            unknown_customers=wire.unknown_to(unknown),
        )

    async def NoteContacts(
        self, request: pb.NoteContactsRequest, context: Context
    ) -> pb.NoteContactsResponse:
        """Learn what contacts taught."""
        noted, unknown = await actions.note_contacts(
            self._uow,
            context.caller,
            branch_id=request.branch_id,
            notes=wire.notes_from(request),
        )
        return pb.NoteContactsResponse(
            noted_count=noted, unknown_customers=wire.unknown_to(unknown)
        )
