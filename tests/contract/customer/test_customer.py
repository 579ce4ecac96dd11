"""Customers: shown to those who may see them, masked, listed and searched, their sheet kept, one field revealed."""

from datetime import UTC, date, datetime, timedelta

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from guanhu.customer.v1 import customer_pb2 as pb
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.customer.__main__ import SERVICE
from tests.builders import request_id
from tests.refusals import refused
from tests.snapshots import a_customer_line, a_position_line, import_day

NUMBERS = [f"620000{number}" for number in range(1, 8)]
ASSETS = {number: 1_000_000 * (place + 1) for place, number in enumerate(NUMBERS)}
FAR = "6200009"


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Seven customers of branch 101, the first four of one keeper, and one of branch 102."""
    running = await bank.serve(SERVICE)
    lines = [
        a_customer_line(
            number, display_name=f"王小{number[-1]}", mobile=f"1380000000{number[-1]}"
        )
        for number in NUMBERS
    ]
    await import_day(
        running,
        customers=[*lines, a_customer_line(FAR, branch_id=102, mobile="13900000009")],
        positions=[
            a_position_line(number, assets) for number, assets in ASSETS.items()
        ],
    )
    await running.sql(
        "UPDATE customers SET owner = 'keeper' WHERE number = ANY ($1::text[])",
        NUMBERS[:4],
    )
    yield running
    await running.stop()


def stub(served, who="keeper"):
    """Return the stub of somebody."""
    return served.as_(who)(CustomerServiceStub)


def name(number):
    """Return the resource name of a customer."""
    return f"customers/{number}"


async def get(served, number, who="keeper"):
    """Return one customer."""
    return await stub(served, who).GetCustomer(pb.GetCustomerRequest(name=name(number)))


async def listed(served, who="manager", **more):
    """Return a page."""
    return await stub(served, who).ListCustomers(pb.ListCustomersRequest(**more))


async def search(served, query, who="manager", **more):
    """Return the numbers that a search finds."""
    page = await stub(served, who).SearchCustomers(
        pb.SearchCustomersRequest(query=query, **more)
    )
    return [one.name.partition("/")[2] for one in page.customers]


async def update(served, customer, *paths, who="keeper", etag=None, rid=None, **sheet):
    """Change the sheet of a customer as it was read."""
    changed = pb.Customer(
        name=customer.name,
        etag=customer.etag if etag is None else etag,
        profile_sheet=pb.ProfileSheet(**sheet),
    )
    return await stub(served, who).UpdateCustomer(
        pb.UpdateCustomerRequest(
            customer=changed,
            update_mask=FieldMask(paths=paths or list(sheet)),
            request_id=rid or request_id(),
        )
    )


async def reveal(served, number, field=pb.REVEAL_FIELD_MOBILE, who="keeper"):
    """Reveal one field."""
    return await stub(served, who).RevealCustomerField(
        pb.RevealCustomerFieldRequest(
            name=name(number), field=field, reason="核对预留手机"
        )
    )


def wire(day):
    """Return a day as the contract writes it."""
    return Date(year=day.year, month=day.month, day=day.day)


async def test_a_customer_leaves_masked(served):
    """Mobile, identity and address are masked; figures are the snapshot's; the rest is as core banking has it."""
    found = await get(served, NUMBERS[2])

    assert found.display_name == "王小3"
    assert found.mobile == "138****0003"
    assert found.id_number.endswith("002X")
    assert "19491231" not in found.id_number
    assert "一号" not in found.home_address
    assert found.financial_assets.units == 30_000
    assert found.deposits.units == 15_000
    assert found.branch == "branches/101"
    assert found.owner == "staff/keeper"
    assert found.tier == pb.TIER_BASIC


async def test_what_is_not_in_sight_reads_like_what_is_not_there(served):
    """A colleague's customer, a foreign branch's and a number nobody has are refused alike."""
    ways = [
        get(served, NUMBERS[5]),
        get(served, FAR),
        get(served, "7777777"),
        get(served, NUMBERS[0], "far_manager"),
    ]

    assert {await refused(way) for way in ways} == {("NOT_FOUND", "NOT_FOUND")}
    assert (await get(served, NUMBERS[5], "manager")).name == name(NUMBERS[5])
    assert (await get(served, FAR, "upper_manager")).branch == "branches/102"


async def test_a_name_without_the_form_of_one_is_refused_by_its_field(served):
    """The contract's own pattern is kept before anything is asked of the store."""
    request = pb.GetCustomerRequest(name="customers/../1")
    answer = await refused(stub(served).GetCustomer(request), fields=True)

    assert answer == ("INVALID_ARGUMENT", "FIELD_INVALID", ["name"])


async def test_many_are_given_in_the_order_asked_for(served):
    """Those that are not in sight are left out, without a word."""
    asked = [name(NUMBERS[3]), name(FAR), name(NUMBERS[1]), name(NUMBERS[6])]
    found = await stub(served).BatchGetCustomers(
        pb.BatchGetCustomersRequest(names=asked)
    )

    assert [one.name for one in found.customers] == [name(NUMBERS[3]), name(NUMBERS[1])]


async def test_pages_hold_everybody_once_to_the_end(served):
    """The most valuable come first; pages by token and pages by skip agree; the total is that of all pages."""
    by_token, token = [], ""
    while True:
        page = await listed(served, page_size=2, page_token=token)
        by_token += [one.name.partition("/")[2] for one in page.customers]
        token = page.next_page_token
        if not token:
            break
    skipped = await listed(served, page_size=2, skip=4)

    assert by_token == sorted(NUMBERS, key=ASSETS.get, reverse=True)
    assert [one.name for one in skipped.customers] == [name(n) for n in by_token[4:6]]
    assert page.total_size == len(NUMBERS)


async def test_an_owner_lists_own_customers_only(served):
    """The sight of a keeper is narrowed to what is theirs; a manager of above sees both branches."""
    own = await listed(served, "keeper")
    above = await listed(served, "upper_manager")
    elsewhere = await listed(served, "far_manager")

    assert {one.name for one in own.customers} == {name(n) for n in NUMBERS[:4]}
    assert above.total_size == len(NUMBERS) + 1
    assert elsewhere.total_size == 0


async def test_filters_narrow_and_add_up(served):
    """Each filter gives what a plain look at the customers gives."""
    await served.sql(
        "UPDATE customers SET last_contact_time = now() - interval '40 days' WHERE number = $1",
        NUMBERS[0],
    )
    await served.sql(
        "UPDATE customers SET last_contact_time = now() WHERE number = ANY ($1)",
        NUMBERS[1:4],
    )
    await served.sql(
        "UPDATE customers SET do_not_disturb = true WHERE number = $1", NUMBERS[1]
    )

    async def found(**more):
        return {one.name[-1] for one in (await listed(served, **more)).customers}

    assert await found(owner="staff/keeper") == {"1", "2", "3", "4"}
    assert await found(unassigned=True) == {"5", "6", "7"}
    assert await found(not_contacted_days=30) == {"1", "5", "6", "7"}
    assert await found(not_contacted_days=30, owner="staff/keeper") == {"1"}
    assert await found(do_not_disturb=True) == {"2"}
    assert await found(query="王小4") == {"4"}
    assert await found(query="6200006") == {"6"}
    assert await found(tier=pb.TIER_GOLD) == set()
    assert await found(branch_id=102) == set()


async def test_pages_refuse_what_cannot_be_sorted_or_paged(served):
    """An unknown order, a negative size, and a token of another list are refused by their reasons."""
    page = await listed(served, page_size=2)
    token = page.next_page_token
    orders = await refused(listed(served, order_by="mobile"))
    sizes = await refused(listed(served, page_size=-1), fields=True)
    tokens = await refused(
        listed(served, page_size=2, page_token=token, unassigned=True)
    )

    assert orders == ("INVALID_ARGUMENT", "ORDER_UNKNOWN")
    assert sizes[2] == ["page_size"]
    assert tokens == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_searches_find_by_what_staff_have_at_hand(served):
    """Number, mobile in any spelling, last four digits and a name's beginning find; others' customers stay unseen."""
    assert await search(served, NUMBERS[4]) == [NUMBERS[4]]
    assert await search(served, "13800000005") == [NUMBERS[4]]
    assert await search(served, "+8613800000005") == [NUMBERS[4]]
    assert await search(served, "0005", kind=pb.SEARCH_KIND_LAST_FOUR) == [NUMBERS[4]]
    assert await search(served, "王小") == NUMBERS
    assert await search(served, "13900000009") == []
    assert await search(served, "13800000005", who="keeper") == []
    assert await search(served, "13800000009") == []


async def test_a_name_of_one_character_is_no_search(served):
    """One character would list half of the branch."""
    answer = await refused(search(served, " 王 ", kind=pb.SEARCH_KIND_NAME))

    assert answer == ("INVALID_ARGUMENT", "SEARCH_FORM_UNFIT")


async def test_what_was_searched_for_is_in_no_log_and_no_audit_record(served):
    """A search by mobile leaves neither the number nor its end in the trail."""
    await search(served, "13800000005")
    rows = await served.sql("SELECT detail::text AS detail FROM audit_records")

    assert not [row for row in rows if "0000005" in row["detail"]]


async def test_a_sheet_is_kept_and_marked_as_gone_through(served):
    """Only what the mask names is written; the sheet counts as gone through today, the etag changes, the rest stays."""
    before = await get(served, NUMBERS[0])
    after = await update(
        served, before, "occupation", occupation="教师", preferences="不该写入"
    )

    assert after.profile_sheet.occupation == "教师"
    assert after.profile_sheet.preferences == ""
    assert after.profile_sheet.completeness_percent > 0
    assert after.profile_sheet.HasField("groomed_date")
    assert after.etag != before.etag
    assert after == await get(served, NUMBERS[0])


async def test_a_stale_or_missing_etag_is_refused(served):
    """Whoever read the customer before somebody else wrote does not overwrite it."""
    seen = await get(served, NUMBERS[1])
    await update(served, seen, occupation="医生")
    stale = await refused(update(served, seen, occupation="律师"))
    missing = await refused(update(served, seen, etag="", occupation="律师"))

    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert missing == ("INVALID_ARGUMENT", "ETAG_REQUIRED")
    assert (await get(served, NUMBERS[1])).profile_sheet.occupation == "医生"


async def test_the_same_request_writes_once(served):
    """A repetition is answered like the first; the same id with other words is refused."""
    seen, rid = await get(served, NUMBERS[2]), request_id()
    first = await update(served, seen, rid=rid, employer="第一中学")
    again = await update(served, seen, rid=rid, employer="第一中学")
    other = await refused(update(served, seen, rid=rid, employer="第二中学"))

    assert first == again
    assert other == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_a_mask_may_name_the_sheet_only(served):
    """Neither figures nor the owner can be written by staff."""
    seen = await get(served, NUMBERS[3])
    answers = {
        await refused(update(served, seen, path))
        for path in ("owner", "financial_assets", "profile_sheet.completeness_percent")
    }

    assert answers == {("INVALID_ARGUMENT", "MASK_UNKNOWN")}
    assert (await get(served, NUMBERS[3])).owner == "staff/keeper"


async def test_going_through_a_sheet_without_a_change_counts(served):
    """Whoever finds everything right says so with an empty mask, and the day is kept."""
    seen = await get(served, NUMBERS[3])
    request = pb.UpdateCustomerRequest(
        customer=pb.Customer(name=seen.name, etag=seen.etag),
        update_mask=FieldMask(),
        request_id=request_id(),
    )
    after = await stub(served).UpdateCustomer(request)

    assert not seen.profile_sheet.HasField("groomed_date")
    assert after.profile_sheet.HasField("groomed_date")


async def test_the_next_contact_is_not_planned_for_a_day_gone_by(served):
    """Today and later will do."""
    seen = await get(served, NUMBERS[3])
    today = datetime.now(UTC).date() + timedelta(days=1)
    past = await refused(update(served, seen, next_contact_on=wire(date(2020, 1, 1))))
    planned = await update(served, seen, next_contact_on=wire(today))

    assert past == ("INVALID_ARGUMENT", "NEXT_CONTACT_PAST")
    assert planned.profile_sheet.next_contact_on == wire(today)


async def test_one_field_is_revealed_for_a_reason_and_counted(served):
    """The full value leaves, the reason stays in the trail, and what is left of the day's quota goes down."""
    first = await reveal(served, NUMBERS[0])
    second = await reveal(served, NUMBERS[0], pb.REVEAL_FIELD_ID_NUMBER)
    address = await reveal(served, NUMBERS[0], pb.REVEAL_FIELD_HOME_ADDRESS)
    rows = await served.sql(
        "SELECT detail::text AS detail FROM audit_records WHERE method LIKE '%RevealCustomerField'"
    )

    assert first.value == "13800000001"
    assert second.value == "11010519491231002X"
    assert address.value == "北京市朝阳区建国路一号"
    assert first.remaining_count - 2 == address.remaining_count
    assert any("核对预留手机" in row["detail"] for row in rows)
    assert not any("13800000001" in row["detail"] for row in rows)


async def test_a_spent_quota_and_an_empty_field_are_refused(served):
    """Nothing leaves after the quota, and a field that holds nothing costs none of it."""
    await served.sql(
        "UPDATE customers SET home_address = NULL WHERE number = $1", NUMBERS[1]
    )
    empty = await refused(
        reveal(served, NUMBERS[1], pb.REVEAL_FIELD_HOME_ADDRESS, "manager")
    )
    await served.as_("operator")(ParameterServiceStub).SetParameter(
        parameter_pb2.SetParameterRequest(
            name="parameters/reveal_quota", value_json="1", request_id=request_id()
        )
    )
    allowed = await reveal(served, NUMBERS[1], who="manager")
    spent = await refused(reveal(served, NUMBERS[2], who="manager"))

    assert empty == ("FAILED_PRECONDITION", "FIELD_EMPTY")
    assert allowed.remaining_count == 0
    assert spent == ("RESOURCE_EXHAUSTED", "REVEAL_QUOTA_SPENT")


async def set_access(served, *accesses):
    """Set who may see customers of branch 101, as the allocation service does."""
    return await stub(served, "services/allocation").SetAccess(
        pb.SetAccessRequest(branch_id=101, accesses=accesses, request_id=request_id())
    )


async def test_access_follows_the_newest_version_whatever_comes_first(served):
    """A delegate sees until the time is over, an older line changes nothing, and unknown customers are named."""
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    over = Timestamp()
    over.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    row = {"customer": name(NUMBERS[6]), "owner": "staff/keeper", "maintenance_mode": 1}
    granted = await set_access(
        served,
        pb.Access(
            **row,
            version=20,
            delegates=[pb.AccessGrant(staff="staff/teller", until_time=until)],
            referral_readers=[
                pb.AccessGrant(staff="staff/other_keeper", until_time=over)
            ],
        ),
        pb.Access(customer=name("7777777"), owner="staff/keeper", version=1),
    )
    older = await set_access(
        served, pb.Access(**{**row, "owner": "staff/x"}, version=19)
    )
    seen = await get(served, NUMBERS[6], "teller")
    over_now = await refused(get(served, NUMBERS[6], "other_keeper"))
    await set_access(served, pb.Access(**row, version=21))
    gone = await refused(get(served, NUMBERS[6], "teller"))

    assert (granted.applied_count, list(granted.unknown_customers)) == (
        1,
        [name("7777777")],
    )
    assert older.ignored_count == 1
    assert seen.owner == "staff/keeper"
    assert over_now == gone == ("NOT_FOUND", "NOT_FOUND")


async def test_the_newest_contact_stays_whatever_comes_last(served):
    """A note about an older contact writes its sheet and leaves the newest contact as it is."""
    older, newer = Timestamp(), Timestamp()
    newer.FromDatetime(datetime.now(UTC))
    older.FromDatetime(datetime.now(UTC) - timedelta(days=3))

    def a_note(moment, result, **sheet):
        return pb.ContactNote(
            customer=name(NUMBERS[5]),
            contact=pb.Contact(
                contact_time=moment, channel=2, result=result, staff="staff/keeper"
            ),
            profile_sheet=pb.ProfileSheet(**sheet),
            sheet_mask=FieldMask(paths=list(sheet)),
        )

    told = stub(served, "services/engagement").NoteContacts
    for one in (
        a_note(newer, 1, preferences="围棋"),
        a_note(older, 2, employer="报社"),
    ):
        await told(
            pb.NoteContactsRequest(branch_id=101, notes=[one], request_id=request_id())
        )
    found = await get(served, NUMBERS[5], "manager")

    assert found.last_contact.result == pb.CONTACT_RESULT_REACHED
    assert found.last_contact.contact_time == newer
    assert (found.profile_sheet.preferences, found.profile_sheet.employer) == (
        "围棋",
        "报社",
    )
