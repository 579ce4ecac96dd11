"""Opportunities: opened, moved forward, won or lost, gone stale; each refusal by its reason."""

from datetime import timedelta

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from guanhu.engagement.v1 import engagement_events_pb2 as facts
from guanhu.engagement.v1 import opportunity_pb2 as pb
from guanhu.engagement.v1.opportunity_pb2_grpc import OpportunityServiceStub
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub

from services.chassis.caller import service_caller
from services.engagement.__main__ import SERVICE
from services.engagement.opportunity.actions import let_go_stale
from tests.builders import request_id
from tests.engagements import assign, register, today, wire_day
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """An engagement service with two portfolios."""
    running = await bank.serve(SERVICE)
    await register(running, "1", "2", "9")
    await assign(running, "1", "2")
    await assign(running, "9", owner="other_keeper")
    yield running
    await running.stop()


def stub(served, who="keeper"):
    """Return the stub of somebody."""
    return served.as_(who)(OpportunityServiceStub)


def an_opportunity(number="1", **more):
    """Return an opportunity as somebody would open it."""
    fields = {
        "opportunity_class": pb.OPPORTUNITY_CLASS_PRODUCT,
        "target_product": "products/WM01",
        "lead": "想把到期存款转为理财",
    }
    return pb.Opportunity(customer=f"customers/{number}", **{**fields, **more})


def creating(**more):
    """Return a request to open one."""
    return pb.CreateOpportunityRequest(
        opportunity=an_opportunity(**more), request_id=request_id()
    )


async def advance(served, one, stage, **more):
    """Move one to a stage."""
    return await stub(served).AdvanceOpportunity(
        pb.AdvanceOpportunityRequest(
            name=one.name,
            etag=one.etag,
            stage=stage,
            request_id=request_id(),
            **more,
        )
    )


async def told(served, kind):
    """Return the facts of one kind that were published in the branch."""
    feed = served.as_("services/messaging")(FeedServiceStub)
    events = await feed.ListEvents(
        events_pb2.ListEventsRequest(branch_id=101, page_size=100)
    )
    found = []
    for event in events.events:
        message = kind()
        if event.fact.Unpack(message):
            found.append(message)
    return found


async def test_an_opportunity_opens_as_a_lead_once(served):
    """It belongs to the customer's owner, is valid for twenty days, and is told of once."""
    wanted = creating(expected_amount=Money(currency_code="CNY", units=200_000))
    one = await stub(served).CreateOpportunity(wanted)
    again = await stub(served).CreateOpportunity(wanted)
    opened = await told(served, facts.OpportunityOpened)

    assert (one.stage, one.source) == (
        pb.OPPORTUNITY_STAGE_LEAD,
        pb.OPPORTUNITY_SOURCE_OWNER,
    )
    assert (one.owner, one.finder) == ("staff/keeper", "staff/keeper")
    assert one.expected_amount.units == 200_000
    assert not one.HasField("won_amount")
    assert one.find_date == wire_day(today(served))
    assert one.validity_date == wire_day(today(served) + timedelta(days=20))
    assert again == one
    assert [fact.opportunity for fact in opened] == [one.name]


async def test_only_customers_in_sight_can_be_spoken_of(served):
    """Another owner's customer, and another branch, are not found; the branch manager sees all of the branch."""
    foreign = await refused(stub(served).CreateOpportunity(creating(number="9")))
    one = await stub(served).CreateOpportunity(creating())
    asked = pb.GetOpportunityRequest(name=one.name)
    hidden = await refused(stub(served, "other_keeper").GetOpportunity(asked))
    far = await refused(stub(served, "far_manager").GetOpportunity(asked))
    seen = await stub(served, "manager").GetOpportunity(asked)

    assert foreign == hidden == far == ("NOT_FOUND", "NOT_FOUND")
    assert seen == one


async def test_what_does_not_fit_is_refused(served):
    """A product needs its product and only it, days ahead lie ahead, a lead is never empty."""
    yesterday = wire_day(today(served) - timedelta(days=1))
    none = await refused(stub(served).CreateOpportunity(creating(target_product="")))
    other = await refused(
        stub(served).CreateOpportunity(
            creating(opportunity_class=pb.OPPORTUNITY_CLASS_SIGNING)
        )
    )
    past = await refused(
        stub(served).CreateOpportunity(creating(follow_up_date=yesterday))
    )
    empty = await refused(stub(served).CreateOpportunity(creating(lead="")))

    assert none == other == ("INVALID_ARGUMENT", "TARGET_PRODUCT_UNFIT")
    assert past == ("INVALID_ARGUMENT", "DAY_PAST")
    assert empty == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_stages_only_move_forward(served):
    """Stages may be passed over but never gone back to; feedback is needed where the stage is called so."""
    one = await stub(served).CreateOpportunity(creating())
    confirmed = await advance(served, one, pb.OPPORTUNITY_STAGE_NEED_CONFIRMED)
    stale = await refused(advance(served, one, pb.OPPORTUNITY_STAGE_PRODUCT_PRESENTED))
    back = await refused(advance(served, confirmed, pb.OPPORTUNITY_STAGE_CONTACTED))
    mute = await refused(
        advance(served, confirmed, pb.OPPORTUNITY_STAGE_FEEDBACK_RECEIVED)
    )
    heard = await advance(
        served,
        confirmed,
        pb.OPPORTUNITY_STAGE_FEEDBACK_RECEIVED,
        feedback="希望期限短一些",
    )

    assert confirmed.stage == pb.OPPORTUNITY_STAGE_NEED_CONFIRMED
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert back == ("FAILED_PRECONDITION", "STAGE_NOT_LATER")
    assert mute == ("INVALID_ARGUMENT", "FEEDBACK_REQUIRED")
    assert heard.feedback == "希望期限短一些"


async def test_a_win_and_a_loss_close_for_good(served):
    """A product is won with its amount, a loss for another reason needs words, and nothing moves after either."""
    one = await stub(served).CreateOpportunity(creating())
    two = await stub(served).CreateOpportunity(creating(number="2"))

    def winning(**more):
        return pb.WinOpportunityRequest(
            name=one.name, etag=one.etag, request_id=request_id(), **more
        )

    def losing(**more):
        return pb.LoseOpportunityRequest(
            name=two.name, etag=two.etag, request_id=request_id(), **more
        )

    free = await refused(stub(served).WinOpportunity(winning()))
    zero = await refused(
        stub(served).WinOpportunity(winning(won_amount=Money(currency_code="CNY")))
    )
    won = await stub(served).WinOpportunity(
        winning(won_amount=Money(currency_code="CNY", units=150_000))
    )
    mute = await refused(
        stub(served).LoseOpportunity(losing(loss_reason=pb.LOSS_REASON_OTHER))
    )
    lost = await stub(served).LoseOpportunity(
        losing(loss_reason=pb.LOSS_REASON_OTHER_BANK)
    )
    closed = [
        await refused(advance(served, won, pb.OPPORTUNITY_STAGE_CONTACTED)),
        await refused(
            stub(served).LoseOpportunity(
                pb.LoseOpportunityRequest(
                    name=won.name,
                    etag=won.etag,
                    loss_reason=1,
                    request_id=request_id(),
                )
            )
        ),
        await refused(
            stub(served).WinOpportunity(
                pb.WinOpportunityRequest(
                    name=lost.name, etag=lost.etag, request_id=request_id()
                )
            )
        ),
        await refused(
            stub(served).UpdateOpportunity(
                pb.UpdateOpportunityRequest(
                    opportunity=lost,
                    update_mask=FieldMask(paths=["lead"]),
                    request_id=request_id(),
                )
            )
        ),
    ]
    wins = await told(served, facts.OpportunityWon)
    losses = await told(served, facts.OpportunityLost)

    assert free == zero == ("INVALID_ARGUMENT", "WON_AMOUNT_UNFIT")
    assert (won.stage, won.won_amount.units) == (pb.OPPORTUNITY_STAGE_WON, 150_000)
    assert mute == ("INVALID_ARGUMENT", "LOSS_REMARK_REQUIRED")
    assert lost.stage == pb.OPPORTUNITY_STAGE_LOST
    assert closed == [("FAILED_PRECONDITION", "OPPORTUNITY_CLOSED")] * 4
    assert [(fact.opportunity, fact.won_amount_minor) for fact in wins] == [
        (one.name, 15_000_000)
    ]
    assert [fact.opportunity for fact in losses] == [two.name]


async def test_an_update_writes_what_its_mask_names(served):
    """Only named fields change; unknown paths and an empty lead are refused."""
    one = await stub(served).CreateOpportunity(creating())
    one.lead = "改为购买大额存单"
    one.target_product = "products/CD01"

    def updating(*paths, **more):
        return pb.UpdateOpportunityRequest(
            opportunity=one,
            update_mask=FieldMask(paths=paths),
            **{"request_id": request_id(), **more},
        )

    unknown = await refused(stub(served).UpdateOpportunity(updating("stage")))
    changed = await stub(served).UpdateOpportunity(updating("lead"))
    one.lead = ""
    emptied = await refused(stub(served).UpdateOpportunity(updating("lead")))

    assert unknown == ("INVALID_ARGUMENT", "MASK_UNKNOWN")
    assert (changed.lead, changed.target_product) == (
        "改为购买大额存单",
        "products/WM01",
    )
    assert emptied == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_the_unfollowed_go_stale_and_a_step_revives_them(served):
    """The night after its validity an open opportunity is stale, a closed one is not; a step makes it valid anew."""
    one = await stub(served).CreateOpportunity(creating())
    two = await stub(served).CreateOpportunity(creating(number="2"))
    await stub(served).LoseOpportunity(
        pb.LoseOpportunityRequest(
            name=two.name, etag=two.etag, loss_reason=1, request_id=request_id()
        )
    )
    caller = service_caller("engagement").in_branch(101)
    async with served.frame.uow(caller) as work:
        await let_go_stale(work, 101, today(served) + timedelta(days=20))
    fresh = await stub(served).GetOpportunity(pb.GetOpportunityRequest(name=one.name))
    async with served.frame.uow(caller) as work:
        await let_go_stale(work, 101, today(served) + timedelta(days=21))
    stale = await stub(served).ListOpportunities(
        pb.ListOpportunitiesRequest(stale=True)
    )
    revived = await advance(
        served, stale.opportunities[0], pb.OPPORTUNITY_STAGE_CONTACTED
    )

    assert not fresh.stale
    assert [row.name for row in stale.opportunities] == [one.name]
    assert not revived.stale


async def test_lists_filter_and_page(served):
    """Filters by customer, stage, openness and day add up, and pages hold each once."""
    names = [
        (await stub(served).CreateOpportunity(creating(number=number))).name
        for number in ("1", "2", "1", "2", "1")
    ]
    request = pb.ListOpportunitiesRequest(page_size=2, order_by="find_date")
    seen = []
    while True:
        page = await stub(served).ListOpportunities(request)
        seen += [row.name for row in page.opportunities]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    day = wire_day(today(served))
    later = wire_day(today(served) + timedelta(days=1))

    async def size(**filters):
        return (
            await stub(served).ListOpportunities(pb.ListOpportunitiesRequest(**filters))
        ).total_size

    assert sorted(seen) == sorted(names)
    assert await size(customer="customers/1") == 3
    assert await size(open=True, query="2", found_from_date=day) == 2
    assert await size(found_from_date=later) == 0
    assert await size(found_to_date=day, stage=pb.OPPORTUNITY_STAGE_WON) == 0
    assert await size(owner="staff/other_keeper") == 0
