"""An engagement service with customers in portfolios: what its tests stand on, told to it as its feeds would."""

from datetime import timedelta
from types import SimpleNamespace

from google.type.date_pb2 import Date
from guanhu.allocation.v1 import allocation_events_pb2 as allocation
from guanhu.customer.v1 import customer_events_pb2 as customer

from services.chassis.caller import service_caller
from services.chassis.clock import day_of
from services.engagement.reactions import REACTIONS


def wire_day(day):
    """Return a day as contracts carry it."""
    return Date(year=day.year, month=day.month, day=day.day)


def today(served):
    """Return the day in the home zone, by the service's clock."""
    return day_of(served.frame.clock())


async def tell(served, fact, branch=101):
    """Let the service react to one fact, in a transaction of its own, as a follower would."""
    source = fact.DESCRIPTOR.full_name.split(".")[1]
    caller = service_caller("engagement").in_branch(branch)
    async with served.frame.uow(caller) as work:
        await REACTIONS[source][type(fact)](
            work, fact, SimpleNamespace(branch_id=branch)
        )


async def register(served, *numbers, branch=101, tier=3, assets=60_000_000):
    """Make customers known, with assets in cents."""
    lines = [
        customer.CustomersRegistered.Line(
            customer=f"customers/{number}",
            tier=tier,
            financial_assets_minor=assets,
            currency="CNY",
        )
        for number in numbers
    ]
    await tell(served, customer.CustomersRegistered(lines=lines), branch)


async def assign(served, *numbers, owner="keeper", mode=1, version=1, branch=101):
    """Give customers to an owner; mode 1 is one to one, 2 in batches."""
    lines = [
        allocation.CustomersAssigned.Line(
            customer=f"customers/{number}",
            owner=f"staff/{owner}",
            mode=mode,
            state=3,
            version=version,
        )
        for number in numbers
    ]
    await tell(served, allocation.CustomersAssigned(lines=lines), branch)


async def move_money(
    served, number, *, amount=30_000_000, kind=2, movement="M1", ago=1, branch=101
):
    """Tell of one large movement: kind 1 in, 2 out."""
    day = wire_day(today(served) - timedelta(days=ago))
    line = customer.PositionsMoved.Line(
        customer=f"customers/{number}",
        kind=kind,
        amount_minor=amount,
        currency="CNY",
        movement_id=movement,
        movement_date=day,
        snapshot_date=day,
    )
    await tell(served, customer.PositionsMoved(lines=[line]), branch)


async def mature(served, number, holding="H1", ahead=5, branch=101):
    """Tell of one holding that matures some days ahead."""
    now = today(served)
    line = customer.HoldingsMaturing.Line(
        customer=f"customers/{number}",
        holding=f"holdings/{holding}",
        product="products/WM01",
        maturity_date=wire_day(now + timedelta(days=ahead)),
        amount_minor=5_000_000,
        currency="CNY",
    )
    fact = customer.HoldingsMaturing(detect_date=wire_day(now), lines=[line])
    await tell(served, fact, branch)
