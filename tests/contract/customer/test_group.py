"""Groups: kept by their owner, filled and emptied, streamed with full mobiles to messaging alone."""

import json
from datetime import date, timedelta
from uuid import uuid4

import grpc
import pytest_asyncio
from guanhu.customer.v1 import group_pb2 as pb
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.chassis.clock import day_of, system_clock
from services.customer.__main__ import SERVICE
from tests.builders import request_id
from tests.refusals import read, refused
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_product_line,
    import_day,
)

NUMBERS = [f"{number:02}" for number in range(1, 9)]


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service with eight customers of a teller, one of them not to be disturbed, and one elsewhere."""
    running = await bank.serve(SERVICE)
    lines = [a_customer_line(number, mobile=f"138000000{number}") for number in NUMBERS]
    await import_day(running, customers=[*lines, a_customer_line("99", branch_id=102)])
    await running.sql("UPDATE customers SET owner = 'teller' WHERE number <> '08'")
    await running.sql("UPDATE customers SET do_not_disturb = true WHERE number = '03'")
    yield running
    await running.stop()


def stub(served, who="teller"):
    """Return the stub of somebody."""
    return served.as_(who)(GroupServiceStub)


async def a_group(served, display_name="到期客户", who="teller"):
    """Create a group."""
    return await stub(served, who).CreateGroup(
        pb.CreateGroupRequest(
            group=pb.Group(display_name=display_name, description="下周到期"),
            request_id=request_id(),
        )
    )


async def add(served, group, *numbers, who="teller"):
    """Put customers in."""
    return await stub(served, who).AddMembers(
        pb.AddMembersRequest(
            group=group.name,
            customers=[f"customers/{number}" for number in numbers],
            request_id=request_id(),
        )
    )


async def remove(served, group, *numbers):
    """Take customers out."""
    return await stub(served).RemoveMembers(
        pb.RemoveMembersRequest(
            group=group.name,
            customers=[f"customers/{number}" for number in numbers],
            request_id=request_id(),
        )
    )


async def members(served, group, who="teller", **more):
    """Return a page of members."""
    return await stub(served, who).ListMembers(
        pb.ListMembersRequest(group=group.name, **more)
    )


async def streamed(
    served, groups, who="services/messaging", branch=101, batch="", **more
):
    """Return every member that a stream brings."""
    call = stub(served, who).StreamMembers(
        pb.StreamMembersRequest(
            branch_id=branch,
            groups=[one.name for one in groups],
            batch=batch or f"batches/{uuid4()}",
            **more,
        )
    )
    return [one async for piece in call for one in piece.recipients]


async def test_a_group_is_kept_by_whoever_made_it(served):
    """Its name is once per keeper; others of the branch with own customers only do not see it, the manager does."""
    group = await a_group(served)
    twice = await refused(a_group(served))
    other = await a_group(served, who="manager")
    mine = await stub(served).ListGroups(pb.ListGroupsRequest())
    whole = await stub(served, "manager").ListGroups(pb.ListGroupsRequest())
    hidden = await refused(
        stub(served, "keeper").GetGroup(pb.GetGroupRequest(name=group.name))
    )

    assert (group.owner, group.branch, group.kind) == (
        "staff/teller",
        "branches/101",
        pb.GROUP_KIND_STATIC,
    )
    assert twice == ("ALREADY_EXISTS", "GROUP_NAME_TAKEN")
    assert [one.name for one in mine.groups] == [group.name]
    assert [one.name for one in whole.groups] == [other.name, group.name]
    assert hidden == ("NOT_FOUND", "NOT_FOUND")


async def test_members_come_and_go_and_are_shown_masked(served):
    """Who is added twice stays once, who is taken out can come back, at the end; strangers are named."""
    group = await a_group(served)
    added = await add(served, group, "03", "01", "02", "08", "99", "404")
    again = await add(served, group, "01", "04")
    removed = await remove(served, group, "01", "05")
    back = await add(served, group, "01")
    page = await members(served, group)
    calm = await members(served, group, do_not_disturb=False)
    found = await members(served, group, query="03")

    assert (added.added_count, added.present_count) == (3, 0)
    assert list(added.unknown_customers) == [
        "customers/08",
        "customers/99",
        "customers/404",
    ]
    assert (again.added_count, again.present_count) == (1, 1)
    assert removed.removed_count == 1
    assert (back.group.member_count, back.group.do_not_disturb_count) == (4, 1)
    assert [one.customer[-2:] for one in page.members] == ["03", "02", "04", "01"]
    assert page.members[0].mobile == "138****0003"
    assert [one.do_not_disturb for one in page.members] == [True, False, False, False]
    assert calm.total_size == 3
    assert [one.customer for one in found.members] == ["customers/03"]


async def test_members_page_to_the_end(served):
    """Pages of three hold each member once."""
    group = await a_group(served)
    await add(served, group, *NUMBERS[:7])
    first = await members(served, group, page_size=3)
    second = await members(served, group, page_size=3, page_token=first.next_page_token)
    third = await members(served, group, page_size=3, page_token=second.next_page_token)

    seen = [one.customer for page in (first, second, third) for one in page.members]
    assert seen == [f"customers/{number}" for number in NUMBERS[:7]]
    assert third.next_page_token == ""


async def test_a_group_holds_no_more_than_its_limit(served):
    """What would make a group too large is refused whole."""
    await served.as_("operator")(ParameterServiceStub).SetParameter(
        parameter_pb2.SetParameterRequest(
            name="parameters/group_limit", value_json="2", request_id=request_id()
        )
    )
    group = await a_group(served)
    await add(served, group, "01", "02")
    refusal = await refused(add(served, group, "03", "04"))
    page = await members(served, group)

    assert refusal == ("RESOURCE_EXHAUSTED", "GROUP_FULL")
    assert page.total_size == 2


async def test_a_deleted_group_is_gone_and_its_name_free(served):
    """Deleting needs the newest etag; customers stay."""
    group = await a_group(served)
    changed = (await add(served, group, "01")).group

    def deleting(etag):
        return pb.DeleteGroupRequest(
            name=group.name, etag=etag, request_id=request_id()
        )

    stale = await refused(stub(served).DeleteGroup(deleting(group.etag)))
    await stub(served).DeleteGroup(deleting(changed.etag))
    gone = await refused(stub(served).GetGroup(pb.GetGroupRequest(name=group.name)))
    again = await a_group(served)

    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert gone == ("NOT_FOUND", "NOT_FOUND")
    assert again.name != group.name


async def refused_stream(served, groups, **more):
    """Return what a stream is refused for."""
    try:
        return await streamed(served, groups, **more)
    except grpc.RpcError as error:
        return read(error)


async def test_only_messaging_gets_full_mobiles_each_customer_once(served):
    """Two groups that overlap give each customer once, in order; no post, no account and no other service may ask."""
    one, two = await a_group(served), await a_group(served, "理财客户")
    await add(served, one, "02", "01", "03")
    await add(served, two, "03", "04")
    found = await streamed(served, [one, two])
    others = ("teller", "manager", "auditor", "operator", "accounts/desk", "feeds/core")
    roles = {await refused_stream(served, [one], who=who) for who in others}
    services = ("services/engagement", "services/allocation", "services/customer")
    named = {await refused_stream(served, [one], who=who) for who in services}

    assert [(line.customer, line.mobile) for line in found] == [
        (f"customers/{number}", f"138000000{number}")
        for number in ("01", "02", "03", "04")
    ]
    assert [line.do_not_disturb for line in found] == [False, False, True, False]
    assert roles == {("PERMISSION_DENIED", "ROLE_MISSING")}
    assert named == {("PERMISSION_DENIED", "SERVICE_NOT_NAMED")}


async def test_each_stream_is_on_record_with_batch_groups_and_count(served):
    """The record names the batch first, then the groups, and counts the members; a refused one is no disclosure."""
    one, two = await a_group(served), await a_group(served, "理财客户")
    await add(served, one, "01", "02", "03")
    await add(served, two, "03", "04")
    batch = f"batches/{uuid4()}"
    await streamed(served, [one, two], batch=batch)
    elsewhere = await refused_stream(served, [one], branch=102)
    other = await refused_stream(served, [one], who="services/engagement")
    records = await served.sql(
        "SELECT branch_id, actor, decision, resources, detail FROM audit_records"
        " WHERE method LIKE '%StreamMembers' ORDER BY create_time"
    )

    assert elsewhere == ("INVALID_ARGUMENT", "GROUPS_OF_OTHER_BRANCH")
    assert other == ("PERMISSION_DENIED", "SERVICE_NOT_NAMED")
    assert [(row["actor"], row["decision"]) for row in records] == [
        ("services/messaging", "OK"),
        ("services/messaging", "GROUPS_OF_OTHER_BRANCH"),
        ("services/engagement", "SERVICE_NOT_NAMED"),
    ]
    assert records[0]["branch_id"] == 101
    assert records[0]["resources"].split() == [batch, one.name, two.name]
    assert json.loads(records[0]["detail"]) == {"member_count": 4}


async def test_a_record_names_the_batch_however_many_groups_there_are(served):
    """A hundred groups crowd out one another's names, never the batch."""
    groups = [await a_group(served, f"群组{place}") for place in range(100)]
    batch = f"batches/{uuid4()}"
    await streamed(served, groups, batch=batch)
    records = await served.sql(
        "SELECT resources FROM audit_records WHERE method LIKE '%StreamMembers'"
    )

    assert records[0]["resources"].split()[0] == batch
    assert records[0]["resources"].split()[-1] == "+1"


async def test_a_group_is_renamed_by_who_read_it_last(served):
    """Name and description change with the newest etag, within the keeper's names; a list takes no rule."""
    group, other = await a_group(served), await a_group(served, "理财客户")

    async def update(*paths, etag=group.etag, **values):
        return await stub(served).UpdateGroup(
            pb.UpdateGroupRequest(
                group=pb.Group(name=group.name, etag=etag, **values),
                update_mask={"paths": paths},
                request_id=request_id(),
            )
        )

    renamed = await update("display_name", "description", display_name="新名")
    stale = await refused(update("description", description="旧"))
    taken = await refused(
        update("display_name", etag=renamed.etag, display_name=other.display_name)
    )
    emptied = await refused(update("display_name", etag=renamed.etag))
    kind = await refused(update("kind", etag=renamed.etag, kind=2))
    rule = await refused(update("rule", etag=renamed.etag, rule=pb.GroupRule()))
    same = await update("display_name", etag=renamed.etag, display_name="新名")
    records = await served.sql(
        "SELECT resources, detail FROM audit_records"
        " WHERE method LIKE '%UpdateGroup' AND decision = 'OK' ORDER BY sequence"
    )

    assert (renamed.display_name, renamed.description) == ("新名", "")
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert taken == ("ALREADY_EXISTS", "GROUP_NAME_TAKEN")
    assert emptied == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert kind == ("INVALID_ARGUMENT", "MASK_UNKNOWN")
    assert rule == ("FAILED_PRECONDITION", "GROUP_WITHOUT_RULE")
    assert same.display_name == "新名"
    assert [json.loads(row["detail"])["fields"] for row in records] == [
        ["description", "display_name"],
        [],
    ]


async def test_what_matures_next_comes_along_when_it_is_asked_for(served):
    """The open holding of their own that matures first from today on; who has none, or did not ask, gets nothing."""
    today = day_of(system_clock())
    days = {"A": 30, "B": 3, "C": 3, "D": -1, "E": 1, "F": 0}
    owners = {"A": "01", "B": "01", "C": "01", "D": "02", "E": "03", "F": "04"}
    await import_day(
        served,
        day=date(2026, 11, 21),
        products=[a_product_line(), a_product_line("TD01", display_name="整存整取")],
        customers=[a_customer_line(number) for number in NUMBERS],
        holdings=[
            a_holding_line(
                one,
                owners[one],
                today + timedelta(days=away),
                product_code="TD01" if one == "B" else "WM01",
                amount_minor=1_000_050 + away,
            )
            for one, away in days.items()
        ],
    )
    await served.sql("UPDATE holdings SET closed = true WHERE holding_id = 'E'")
    group = await a_group(served)
    await add(served, group, "01", "02", "03", "04", "05")
    asked = await streamed(served, [group], maturities=True)
    plain = await streamed(served, [group])

    found = {one.customer[-2:]: one.next_maturity for one in asked}
    told = [one.customer[-2:] for one in asked if one.HasField("next_maturity")]
    soon = today + timedelta(days=3)
    assert told == ["01", "04"]
    assert found["01"] == pb.NextMaturity(
        product_display_name="整存整取",
        maturity_date={"year": soon.year, "month": soon.month, "day": soon.day},
        amount={"currency_code": "CNY", "units": 10_000, "nanos": 530_000_000},
    )
    assert found["04"].maturity_date.day == today.day
    assert not any(one.HasField("next_maturity") for one in plain)
