"""Ledgers: what customers refused and allowed, in force and replaced, and who may be reached."""

from datetime import UTC, datetime, timedelta

import pytest_asyncio
from guanhu.customer.v1 import consent_pb2 as pb
from guanhu.customer.v1 import customer_events_pb2 as facts
from guanhu.customer.v1 import customer_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub

from services.chassis.wiretypes import time_to
from services.customer.__main__ import SERVICE
from tests.builders import request_id
from tests.contract.customer.test_snapshot import told
from tests.refusals import refused
from tests.snapshots import a_customer_line, import_day

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)
"""Noon and half past nine in the evening in Shanghai."""


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """A customer service with three customers: one without a mobile, one with a landline."""
    running = await bank.serve(SERVICE)
    await import_day(
        running,
        customers=[
            a_customer_line("1"),
            a_customer_line("2", mobile=""),
            a_customer_line("3", mobile="010-62201234"),
        ],
    )
    await running.sql("UPDATE customers SET owner = 'keeper' WHERE number = '1'")
    yield running
    await running.stop()


def stub(served, who="keeper"):
    """Return the stub of somebody."""
    return served.as_(who)(ConsentServiceStub)


async def disturb(served, *, lift=False, number="1", who="keeper", **more):
    """Set or lift do-not-disturb."""
    return await stub(served, who).SetDoNotDisturb(
        pb.SetDoNotDisturbRequest(
            customer=f"customers/{number}",
            do_not_disturb=not lift,
            request_id=request_id(),
            **more,
        )
    )


async def grant(served, channel=1, purpose=3, **evidence):
    """Grant consent."""
    fields = {"kind": 1, "text_version": "2026-01", "reference": "表单 7"}
    return await stub(served).GrantConsent(
        pb.GrantConsentRequest(
            customer="customers/1",
            channel=channel,
            purpose=purpose,
            evidence=pb.Evidence(**{**fields, **evidence}),
            request_id=request_id(),
        )
    )


async def withdraw(served, **more):
    """Withdraw consent."""
    return await stub(served).WithdrawConsent(
        pb.WithdrawConsentRequest(
            customer="customers/1", request_id=request_id(), **more
        )
    )


async def reach(served, *numbers, purpose=3, channel=1, at=NOON, who="manager"):
    """Return (allowed, reason) by customer in order."""
    answer = await stub(served, who).CheckReach(
        pb.CheckReachRequest(
            branch_id=101,
            customers=[f"customers/{number}" for number in numbers or ("1",)],
            channel=channel,
            purpose=purpose,
            check_time=time_to(at),
        )
    )
    return [
        (one.allowed, pb.ReachReason.Name(one.reason)[13:]) for one in answer.reaches
    ]


async def flag(served):
    """Return the customer's do-not-disturb flag."""
    found = await served.as_("keeper")(CustomerServiceStub).GetCustomer(
        customer_pb2.GetCustomerRequest(name="customers/1")
    )
    return found.do_not_disturb


async def test_a_refusal_holds_until_it_is_lifted_with_evidence(served):
    """Do-not-disturb shows on the customer, stops greetings, and is lifted only with evidence; each is told of."""
    before = await reach(served, purpose=2)
    one = await disturb(served)
    stopped = await reach(served, purpose=2)
    bare = await refused(disturb(served, lift=True))
    shown = await flag(served)
    await disturb(served, lift=True, evidence=pb.Evidence(kind=5))
    after = await reach(served, purpose=2)
    events = await told(served, facts.ConsentChanged)

    assert before == after == [(True, "UNSPECIFIED")]
    assert stopped == [(False, "DO_NOT_DISTURB")]
    assert bare == ("INVALID_ARGUMENT", "EVIDENCE_REQUIRED")
    assert (shown, await flag(served)) == (True, False)
    assert one.recorder == "staff/keeper"
    assert [line.act for line in events] == [1, 2]


async def test_marketing_needs_consent_and_a_withdrawal_ends_it(served):
    """Silence is no consent; a withdrawal of everything ends what needs consent, and service messages still go."""
    silent = await reach(served)
    await grant(served)
    granted = await reach(served)
    other = await reach(served, channel=2)
    await withdraw(served)
    withdrawn = await reach(served)
    service = await reach(served, purpose=1)
    care = await reach(served, purpose=2)

    assert silent == other == [(False, "CONSENT_MISSING")]
    assert granted == service == care == [(True, "UNSPECIFIED")]
    assert withdrawn == [(False, "CONSENT_WITHDRAWN")]


async def test_a_narrow_refusal_stops_only_what_it_names(served):
    """Refusing calls leaves messages; lifting everything lifts what is narrower too."""
    await disturb(served, channel=2)
    call, sms = (
        await reach(served, purpose=2, channel=2),
        await reach(served, purpose=2),
    )
    await disturb(served, lift=True, evidence=pb.Evidence(kind=5))
    lifted = await reach(served, purpose=2, channel=2)

    assert (call, sms) == ([(False, "DO_NOT_DISTURB")], [(True, "UNSPECIFIED")])
    assert lifted == [(True, "UNSPECIFIED")]


async def test_reach_says_the_first_thing_that_stands_against_it(served):
    """No number, a number that is no mobile, and nobody known come before all else; at night it says when."""
    got = await reach(served, "2", "3", "404", purpose=2)
    night = await stub(served, "manager").CheckReach(
        pb.CheckReachRequest(
            branch_id=101,
            customers=["customers/1"],
            channel=1,
            purpose=2,
            check_time=time_to(NIGHT),
        )
    )
    urgent = await reach(served, purpose=1, at=NIGHT)
    own = await reach(served, "1", "2", purpose=2, who="other_keeper")

    assert got == [
        (False, "ADDRESS_MISSING"),
        (False, "ADDRESS_INVALID"),
        (False, "CUSTOMER_UNKNOWN"),
    ]
    assert night.reaches[0].reason == pb.REACH_REASON_OUTSIDE_HOURS
    assert night.reaches[0].next_allowed_time == time_to(
        datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    )
    assert urgent == [(True, "UNSPECIFIED")]
    assert own == [(False, "CUSTOMER_UNKNOWN")] * 2


async def test_what_cannot_be_is_refused(served):
    """Evidence of tomorrow, a consent without text, a refusal at the counter and another's customer are refused."""
    future = time_to(served.frame.clock() + timedelta(days=1))
    late = await refused(grant(served, evidence_time=future))
    textless = await refused(grant(served, text_version=""))
    counter = await refused(disturb(served, channel=4))
    foreign = await refused(disturb(served, who="other_keeper"))

    assert late == ("INVALID_ARGUMENT", "EVIDENCE_IN_FUTURE")
    assert textless == ("INVALID_ARGUMENT", "EVIDENCE_REQUIRED")
    assert counter == ("INVALID_ARGUMENT", "CHANNEL_NOT_REFUSABLE")
    assert foreign == ("NOT_FOUND", "NOT_FOUND")


async def test_the_ledger_only_grows_and_shows_what_is_in_force(served):
    """Entries are listed newest first; a later one about the same replaces the earlier; nothing can be changed."""
    await grant(served)
    await withdraw(served, channel=1, purpose=3)
    await disturb(served)
    whole = await stub(served).ListConsents(
        pb.ListConsentsRequest(customer="customers/1")
    )
    held = await stub(served).ListConsents(
        pb.ListConsentsRequest(customer="customers/1", in_force=True, channel=1)
    )
    first = await stub(served).ListConsents(
        pb.ListConsentsRequest(customer="customers/1", page_size=2)
    )
    rest = await stub(served).ListConsents(
        pb.ListConsentsRequest(
            customer="customers/1", page_size=2, page_token=first.next_page_token
        )
    )
    rights = await served.sql(
        "SELECT has_table_privilege('guanhu_customer', 'consents', 'UPDATE') AS held"
    )

    assert [(one.act, one.in_force) for one in whole.consents] == [
        (1, True),
        (4, True),
        (3, False),
    ]
    assert [one.act for one in held.consents] == [1, 4]
    assert len(first.consents) + len(rest.consents) == whole.total_size == 3
    assert whole.consents[2].evidence.reference == "表单 7"
    assert not rights[0]["held"]
