"""Products on the wire: unpack, read, pack."""

from guanhu.customer.v1 import product_pb2 as pb
from guanhu.customer.v1 import product_pb2_grpc

from services.chassis.calls import Context
from services.chassis.names import key_of
from services.chassis.paging import split
from services.chassis.server import Frame
from services.customer.product import queries, wire


class ProductServicer(product_pb2_grpc.ProductServiceServicer):
    """Shows products."""

    def __init__(self, frame: Frame) -> None:
        """Stand on *frame*."""
        self._uow = frame.uow
        self._pager = frame.pager

    async def GetProduct(
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.Product:
        """Return one product."""
        async with self._uow.read(context.caller) as work:
            return wire.product_to(
                await queries.product(work, key_of("products", request.name))
            )

    async def ListProducts(
        self, request: pb.ListProductsRequest, context: Context
    ) -> pb.ListProductsResponse:
        """Return a page of products."""
        page = self._pager.page(request, context.caller, tuple(queries.ORDERS), "code")
        async with self._uow.read(context.caller) as work:
            rows, total = await queries.page(work, page, wire.filters_from(request))
        shown, token = split(
            self._pager, page, rows, lambda row: (getattr(row, page.order), row.code)
        )
        found = [wire.product_to(row) for row in shown]
        return pb.ListProductsResponse(
            products=found, next_page_token=token, total_size=total
        )
