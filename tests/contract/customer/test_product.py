"""Products: reference data that came with the snapshot, the riskier of two levels counting."""

import pytest_asyncio
from guanhu.customer.v1 import product_pb2 as pb
from guanhu.customer.v1.product_pb2_grpc import ProductServiceStub

from services.customer.__main__ import SERVICE
from tests.refusals import refused
from tests.snapshots import a_product_line, import_day

LINES = [
    a_product_line("WM01", display_name="安心得利", product_type=3),
    a_product_line("WM02", display_name="安心快线", product_type=4, core=False),
    a_product_line(
        "CH01", display_name="手机银行", family=2, product_type=0, ebanking=True
    ),
    a_product_line(
        "TR01", display_name="信托一号", product_type=7, issuer_risk_level=5
    ),
]


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A bank with four products."""
    running = await bank.serve(SERVICE)
    await import_day(running, products=LINES)
    yield running
    await running.stop()


async def listed(served, **more):
    """Return a page as the codes of its products, with the page."""
    page = await served.as_("keeper")(ProductServiceStub).ListProducts(
        pb.ListProductsRequest(**more)
    )
    return [one.name.partition("/")[2] for one in page.products], page


async def get(served, code):
    """Return one product."""
    return await served.as_("keeper")(ProductServiceStub).GetProduct(
        pb.GetProductRequest(name=f"products/{code}")
    )


async def test_the_higher_of_two_risk_levels_counts(served):
    """Issuer and seller may differ (source: rules on suitability)."""
    seller_higher, issuer_higher = await get(served, "WM01"), await get(served, "TR01")

    assert seller_higher.effective_risk_level == pb.PRODUCT_RISK_LEVEL_R3
    assert issuer_higher.effective_risk_level == pb.PRODUCT_RISK_LEVEL_R5
    assert (issuer_higher.issuer_risk_level, issuer_higher.seller_risk_level) == (5, 3)


async def test_products_are_narrowed_by_family_type_core_and_the_beginning_of_a_name(
    served,
):
    """Filters add up; the code is as good as the name."""
    assert (await listed(served, family=pb.PRODUCT_FAMILY_CHANNEL))[0] == ["CH01"]
    assert (await listed(served, product_type=pb.PRODUCT_TYPE_TRUST))[0] == ["TR01"]
    assert (await listed(served, core=True))[0] == ["CH01", "TR01", "WM01"]
    assert (await listed(served, query="安心"))[0] == ["WM01", "WM02"]
    assert (await listed(served, query="WM", core=True))[0] == ["WM01"]


async def test_pages_end_with_the_last_product(served):
    """Every product comes once."""
    codes, page = await listed(served, page_size=3)
    rest, last = await listed(served, page_size=3, page_token=page.next_page_token)

    assert [*codes, *rest] == ["CH01", "TR01", "WM01", "WM02"]
    assert (last.next_page_token, last.total_size) == ("", 4)


async def test_a_product_that_never_came_is_not_found(served):
    """A code without the form of one is refused by its field."""
    assert await refused(get(served, "XX99")) == ("NOT_FOUND", "NOT_FOUND")
    assert (await refused(get(served, "a b"), fields=True))[2] == ["name"]
