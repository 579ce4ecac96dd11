"""CheckReach and the ledger on a real store: wishes, zones, widths, sight, opt-outs by errand, and constant work."""

import random
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest_asyncio
from guanhu.customer.v1 import consent_pb2 as pb
from guanhu.customer.v1 import customer_pb2, group_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from sqlalchemy import event

from services.chassis.caller import Tree, service_caller
from services.chassis.clock import system_clock
from services.chassis.wiretypes import time_to
from services.chassis.worker import ErrandRunner
from services.customer.__main__ import SERVICE
from services.customer.consent.rules import Entry
from tests.bank import TREE, TrialToken
from tests.builders import request_id
from tests.ledgers import CHANNELS, PURPOSES, covered, expected
from tests.snapshots import a_customer_line, import_day

MORNING = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
"""Ten on a Monday morning in Shanghai, eight in Urumqi."""

MANY = 1000
MESSAGING = service_caller("messaging").in_branch(101)
OPT_OUT = "/guanhu.customer.v1.ConsentService/SetDoNotDisturb"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """A customer service with a thousand customers of a keeper, and one in a branch two hours to the west."""
    west = replace(TREE.branches[102], zone="Asia/Urumqi")
    bank.keys.tree = Tree({**TREE.branches, 102: west})
    running = await bank.serve(SERVICE)
    lines = [a_customer_line(f"{place:04}") for place in range(MANY)]
    await import_day(running, customers=[*lines, a_customer_line("W", branch_id=102)])
    await running.sql("UPDATE customers SET owner = 'keeper' WHERE branch_id = 101")
    running.frame.settings.shared.customer_address = running.address
    for interceptor in running.frame.peers._interceptors:
        interceptor._token = TrialToken(running.keys, "messaging")
    yield running
    await running.stop()


def stub(served, who="keeper"):
    """Return the stub of somebody."""
    return served.as_(who)(ConsentServiceStub)


async def check(
    served,
    *numbers,
    purpose=2,
    channel=1,
    at=MORNING,
    branch=101,
    who="services/messaging",
):
    """Return the answers for customers in order."""
    answer = await stub(served, who).CheckReach(
        pb.CheckReachRequest(
            branch_id=branch,
            customers=[f"customers/{number}" for number in numbers],
            channel=channel,
            purpose=purpose,
            check_time=time_to(at),
        )
    )
    return answer.reaches


def said(reach):
    """Return the reason and the next time of one answer."""
    later = reach.next_allowed_time
    moment = (
        later.ToDatetime(tzinfo=UTC) if reach.HasField("next_allowed_time") else None
    )
    return pb.ReachReason.Name(reach.reason).removeprefix("REACH_REASON_"), moment


async def keep(served, number, **sheet):
    """Write the sheet of one customer and return the customer."""
    customers = served.as_("keeper")(CustomerServiceStub)
    name = f"customers/{number}"
    found = await customers.GetCustomer(customer_pb2.GetCustomerRequest(name=name))
    return await customers.UpdateCustomer(
        customer_pb2.UpdateCustomerRequest(
            customer=customer_pb2.Customer(
                name=name,
                etag=found.etag,
                profile_sheet=customer_pb2.ProfileSheet(**sheet),
            ),
            update_mask={"paths": list(sheet)},
            request_id=request_id(),
        )
    )


async def test_wishes_on_the_sheet_decide_when_greetings_may_go(served):
    """Preferred time and frequency are kept on the sheet, on record by name, and say when it may be tried."""
    number = "0001"
    shown = await keep(
        served, number, preferred_channel=1, preferred_time=5, contact_frequency=3
    )
    weekend = await check(served, number)
    await keep(served, number, preferred_time=0)
    await served.sql(
        "UPDATE customers SET last_contact_time = $1 WHERE number = '0001'",
        MORNING - timedelta(days=10),
    )
    early = await check(served, number)
    service = await check(served, number, purpose=1)
    await keep(served, number, contact_frequency=5)
    asked = await check(served, number)
    records = await served.sql(
        "SELECT detail FROM audit_records WHERE method LIKE '%UpdateCustomer' ORDER BY sequence"
    )

    assert (
        shown.profile_sheet.contact_frequency == customer_pb2.CONTACT_FREQUENCY_MONTHLY
    )
    assert said(weekend[0]) == (
        "OUTSIDE_PREFERRED_TIME",
        datetime(2026, 11, 28, 4, tzinfo=UTC),
    )
    assert said(early[0]) == ("TOO_SOON", datetime(2026, 12, 13, 1, tzinfo=UTC))
    assert said(service[0]) == ("UNSPECIFIED", None)
    assert said(asked[0]) == ("ONLY_ON_REQUEST", None)
    assert "contact_frequency" in records[0]["detail"]


async def test_hours_are_those_of_the_branch(served):
    """At the same moment one branch may greet and the other, where it is eight, is told nine on its own clocks."""
    east = await check(served, "0002")
    west = await check(served, "W", branch=102)

    assert said(east[0]) == ("UNSPECIFIED", None)
    assert said(west[0]) == ("OUTSIDE_HOURS", datetime(2026, 11, 23, 3, tzinfo=UTC))


async def test_what_stands_alone_says_no_time(served):
    """Do-not-disturb and missing consent have no next time, at night either: only the customer can change them."""
    night = MORNING + timedelta(hours=13)
    await stub(served).SetDoNotDisturb(
        pb.SetDoNotDisturbRequest(
            customer="customers/0003",
            do_not_disturb=True,
            request_id=request_id(),
        )
    )
    quiet = await check(served, "0003", at=night)
    silent = await check(served, "0004", purpose=3, at=night)

    assert said(quiet[0]) == ("DO_NOT_DISTURB", None)
    assert said(silent[0]) == ("CONSENT_MISSING", None)


def a_ledger(dice):
    """Return a random ledger as it can be recorded."""
    found = []
    for _ in range(dice.randint(0, 8)):
        act = dice.randint(1, 4)
        least = 1 if act == 3 else 0
        channel = dice.choice([one for one in range(least, 8) if one != 4])
        found.append(Entry(act, channel, dice.randint(least, 3)))
    return found


async def record(served, number, entry):
    """Record one entry as staff would."""
    evidence = pb.Evidence(kind=1, text_version="2026-01")
    told = {
        "customer": f"customers/{number}",
        "channel": entry.channel,
        "purpose": entry.purpose,
        "evidence": evidence,
        "request_id": request_id(),
    }
    if entry.act <= 2:
        request = pb.SetDoNotDisturbRequest(**told, do_not_disturb=entry.act == 1)
        return await stub(served).SetDoNotDisturb(request)
    if entry.act == 3:
        return await stub(served).GrantConsent(pb.GrantConsentRequest(**told))
    return await stub(served).WithdrawConsent(pb.WithdrawConsentRequest(**told))


async def test_random_ledgers_read_as_a_plain_walk_over_their_cells(served):
    """Forty ledgers of any width: what is in force and who may be reached equal the plain model, cell by cell."""
    dice = random.Random(7)
    ledgers = {f"{place:04}": a_ledger(dice) for place in range(100, 140)}
    wrong, noon = [], datetime(2026, 11, 23, 4, tzinfo=UTC)
    for number, entries in ledgers.items():
        for entry in entries:
            await record(served, number, entry)
        page = await stub(served).ListConsents(
            pb.ListConsentsRequest(customer=f"customers/{number}")
        )
        listed = list(page.consents)[::-1]
        held = [not covered(entries, place) for place in range(len(entries))]
        if [one.in_force for one in listed] != held:
            wrong.append((number, entries, held))
    for channel in CHANNELS:
        for purpose in PURPOSES if channel != 6 else ():
            answers = await check(
                served, *ledgers, channel=channel, purpose=purpose, at=noon
            )
            for answer, entries in zip(answers, ledgers.values(), strict=True):
                if (answer.reason or None) != expected(entries, channel, purpose):
                    wrong.append((channel, purpose, entries, answer.reason))

    assert not wrong


async def test_an_opt_out_of_messaging_travels_as_an_errand_and_is_kept_once(served):
    """The errand enters the customer's reply as evidence, once; marketing stops by itself, and service goes."""
    number, noon = "0200", datetime(2026, 11, 23, 4, tzinfo=UTC)
    await record(served, number, Entry(3, 1, 3))
    before = await check(served, number, purpose=3, at=noon)
    request = pb.SetDoNotDisturbRequest(
        customer=f"customers/{number}",
        do_not_disturb=True,
        channel=1,
        purpose=3,
        evidence=pb.Evidence(
            kind=pb.EVIDENCE_KIND_INBOUND_MESSAGE,
            reference=f"inbound/{uuid4()}",
            evidence_time=time_to(system_clock() - timedelta(minutes=1)),
        ),
    )
    async with served.frame.uow(MESSAGING) as work:
        work.errand(OPT_OUT, request, branch_id=101)
    runner = ErrandRunner(
        uow=served.frame.uow,
        caller=MESSAGING,
        peers=served.frame.peers,
        clock=system_clock,
    )
    delivered = await runner.step()
    await served.sql("UPDATE errands SET done_time = NULL, due_time = create_time")
    repeated = await runner.step()
    after = {
        purpose: (await check(served, number, purpose=purpose, at=noon))[0].reason
        for purpose in (1, 2, 3)
    }
    page = await stub(served).ListConsents(
        pb.ListConsentsRequest(customer=f"customers/{number}")
    )

    assert before[0].allowed
    assert (delivered, repeated) == (1, 1)
    assert after == {1: 0, 2: 0, 3: pb.REACH_REASON_DO_NOT_DISTURB}
    assert [(one.act, one.recorder) for one in page.consents] == [
        (1, "services/messaging"),
        (3, "staff/keeper"),
    ]
    assert page.consents[0].evidence == request.evidence


async def test_who_covers_for_the_owner_records_and_asks_as_the_owner_does(served):
    """A delegate enters a refusal and sees it in the answer; when the delegation has ended the customer is unknown."""
    number = "0300"
    grant = customer_pb2.AccessGrant(staff="staff/other_keeper")
    access = customer_pb2.Access(
        customer=f"customers/{number}",
        owner="staff/keeper",
        maintenance_mode=1,
        delegates=[grant],
        version=1,
    )
    services = served.as_("services/allocation")(CustomerServiceStub)
    asked = {"branch_id": 101, "accesses": [access], "request_id": request_id()}
    await services.SetAccess(customer_pb2.SetAccessRequest(**asked))
    told = pb.SetDoNotDisturbRequest(
        customer=f"customers/{number}", do_not_disturb=True, request_id=request_id()
    )
    await stub(served, "other_keeper").SetDoNotDisturb(told)
    during = await check(served, number, "0301", who="other_keeper")
    await served.sql(
        "UPDATE customer_readers SET until_time = $1", MORNING - timedelta(days=1)
    )
    ended = await check(served, number, who="other_keeper")

    assert [one.reason for one in during] == [
        pb.REACH_REASON_DO_NOT_DISTURB,
        pb.REACH_REASON_CUSTOMER_UNKNOWN,
    ]
    assert ended[0].reason == pb.REACH_REASON_CUSTOMER_UNKNOWN


@contextmanager
def statements(served):
    """Collect every statement about customers and settings that reaches the store meanwhile."""
    found, heard = [], []
    pool = served.frame.uow._engine.sync_engine.pool

    def log(record):
        if re.search(
            r"\b(customers|consents|parameters|customer_groups)\b", record.query
        ):
            found.append(record.query)

    def listen(connection, _record, _proxy):
        connection.driver_connection.add_query_logger(log)
        heard.append(connection.driver_connection)

    event.listen(pool, "checkout", listen)
    try:
        yield found
    finally:
        event.remove(pool, "checkout", listen)
        for connection in heard:
            connection.remove_query_logger(log)


async def test_a_thousand_customers_are_judged_in_as_many_statements_as_one(served):
    """CheckReach and a page of rule groups ask the store as many questions however much is asked of them."""
    numbers = [f"{place:04}" for place in range(MANY)]
    await check(served, "0001")
    await check(served, *numbers)
    with statements(served) as for_one:
        await check(served, "0001")
    with statements(served) as for_all:
        answers = await check(served, *numbers)
    groups = served.as_("keeper")(GroupServiceStub)
    counts = []
    for place in range(1, 13):
        await groups.CreateGroup(
            group_pb2.CreateGroupRequest(
                group=group_pb2.Group(
                    display_name=f"规则{place}",
                    kind=group_pb2.GROUP_KIND_RULE,
                    rule=group_pb2.GroupRule(tiers=[1], not_contacted_days=place),
                ),
                request_id=request_id(),
            )
        )
        with statements(served) as for_page:
            await groups.ListGroups(group_pb2.ListGroupsRequest())
        counts.append(len(for_page))

    assert len(answers) == MANY
    assert len(for_all) == len(for_one) == 2
    assert counts[0] == counts[-1]
