"""The inbox as a branch uses it: two customers answer a batch, one refuses, one asks; the question is dealt with."""

from datetime import date
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from guanhu.customer.v1 import consent_pb2, group_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.messaging.v1 import batch_pb2, inbound_pb2, template_pb2
from guanhu.messaging.v1.batch_pb2_grpc import SmsBatchServiceStub
from guanhu.messaging.v1.inbound_pb2_grpc import InboundServiceStub
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub
from playwright.sync_api import expect

from tests.builders import request_id
from tests.desks import Desk, bring, until

REFUSES, ASKS = "6999000011", "6999000012"
MOBILES = {REFUSES: "13800990002", ASKS: "13800990003"}
NAMES = {REFUSES: "拒绝者", ASKS: "提问者"}


@pytest.fixture(scope="module")
def branch(demonstration, chromium, tmp_path_factory):
    """The head of a branch and the reviewer of templates, with two customers that core banking has just brought."""
    bring(demonstration, tmp_path_factory.mktemp("inbox"), customers(), "inbox")
    manager = Desk(demonstration, chromium, "branch_manager")
    teller = Desk(demonstration, chromium, "open_counter_teller")
    return SimpleNamespace(start=demonstration, manager=manager, teller=teller)


def customers():
    """Return the lines of two customers who answer every message."""
    return [
        {
            "number": number,
            "branch_id": 1101,
            "display_name": NAMES[number],
            "gender": "FEMALE",
            "birth_day": date(1980, 1, 9),
            "mobile": mobile,
            "source": "SYSTEM",
        }
        for number, mobile in MOBILES.items()
    ]


def an_approved_template(branch):
    """Let the teller write a template and the head of the branch approve it."""
    asked = template_pb2.Template(
        display_name="回复演示",
        body="尊敬的{{customer_title}}，您的业务已办妥。",
        purpose=1,
    )
    made = branch.teller.ask(
        "messaging",
        TemplateServiceStub,
        "CreateTemplate",
        template_pb2.CreateTemplateRequest(template=asked, request_id=request_id()),
    )
    for desk, verb in ((branch.teller, "Submit"), (branch.manager, "Approve")):
        kind = getattr(template_pb2, f"{verb}TemplateRequest")
        made = desk.ask(
            "messaging",
            TemplateServiceStub,
            f"{verb}Template",
            kind(name=made.name, etag=made.etag, request_id=request_id()),
        )
    return made


def sent(branch):
    """Let the head of the branch write to both customers, and return the batch."""
    ask = branch.manager.ask
    group = ask(
        "customer",
        GroupServiceStub,
        "CreateGroup",
        group_pb2.CreateGroupRequest(
            group=group_pb2.Group(
                display_name="回复演示", kind=group_pb2.GROUP_KIND_STATIC
            ),
            request_id=request_id(),
        ),
    )
    ask(
        "customer",
        GroupServiceStub,
        "AddMembers",
        group_pb2.AddMembersRequest(
            group=group.name,
            customers=[f"customers/{number}" for number in MOBILES],
            request_id=request_id(),
        ),
    )
    batch = ask(
        "messaging",
        SmsBatchServiceStub,
        "PlanBatch",
        batch_pb2.PlanBatchRequest(
            template=an_approved_template(branch).name,
            groups=[group.name],
            request_id=request_id(),
        ),
    )
    return ask(
        "messaging",
        SmsBatchServiceStub,
        "ConfirmBatch",
        batch_pb2.ConfirmBatchRequest(
            name=batch.name,
            digest=batch.digest,
            etag=batch.etag,
            request_id=request_id(),
        ),
    )


def replies(branch, **filters):
    """Return what came, as the head of the branch sees it."""
    request = inbound_pb2.ListInboundRequest(**filters)
    answer = branch.manager.ask("messaging", InboundServiceStub, "ListInbound", request)
    return {one.customer.partition("/")[2]: one for one in answer.inbounds}


def faultless(page):
    """Say what a check for people who do not see the page finds; nothing is good."""
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def test_an_empty_inbox_says_so(branch):
    """Before anything came, the page says that nobody waits; axe finds nothing."""
    page = branch.manager.open("客户回复")

    expect(page.get_by_text("暂无待处理的客户回复。")).to_be_visible()
    assert faultless(page) == []


def test_answers_come_in_and_the_refusal_holds_in_the_customer_service(branch):
    """The question waits for whoever sent the batch; the refusal is confirmed, and is in the customer's ledger."""
    batch = sent(branch)
    until(lambda: replies(branch), lambda found: len(found) == 2)
    found = until(
        lambda: replies(branch),
        lambda found: (
            found[REFUSES].confirmation_state == inbound_pb2.CONFIRMATION_STATE_SENT
        ),
    )
    request = consent_pb2.ListConsentsRequest(customer=f"customers/{REFUSES}")
    ledger = until(
        lambda: (
            branch.manager.ask(
                "customer", ConsentServiceStub, "ListConsents", request
            ).consents
        ),
        bool,
    )

    assert {one.batch for one in found.values()} == {batch.name}
    assert {one.assignee for one in found.values()} == {branch.manager.staff}
    assert found[REFUSES].kind == inbound_pb2.INBOUND_KIND_OPT_OUT
    assert found[ASKS].kind == inbound_pb2.INBOUND_KIND_REPLY
    assert ledger[0].evidence.reference == found[REFUSES].name
    assert (ledger[0].channel, ledger[0].purpose) == (1, 3)


def test_a_question_is_read_and_closed(branch):
    """The first page counts it, its page shows the text with batch and customer, and a remark closes it."""
    page = branch.manager.page
    page.goto(branch.start.address("portal") + "/admin/")
    waiting = page.get_by_role("link", name="客户回复 1 等待回复")
    expect(waiting).to_be_visible()
    first = faultless(page)
    waiting.click()
    expect(page.get_by_role("link", name=NAMES[ASKS])).to_be_visible()
    expect(page.get_by_role("link", name=NAMES[REFUSES])).to_have_count(0)
    listed = faultless(page)
    page.get_by_role("link", name=NAMES[ASKS]).click()
    expect(page.get_by_text("请问什么时候办理？")).to_be_visible()
    shown = faultless(page)
    page.get_by_role("main").get_by_role("link", name="批量短信").click()
    expect(page.get_by_role("heading", name="回复演示").first).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="客户回复").click()
    expect(page.get_by_role("link", name=NAMES[REFUSES])).to_be_visible()
    page.get_by_role("link", name=NAMES[ASKS]).click()
    page.get_by_label("处理情况").fill("已电话答复客户")
    page.get_by_role("button", name="办结").click()
    expect(page.get_by_text("回复已办结。")).to_be_visible()
    closed = faultless(page)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_text("What the customer wrote")).to_be_visible()
    english = faultless(page)
    page.get_by_role("button", name="中文").click()
    page.goto(branch.start.address("portal") + "/admin/")

    expect(page.get_by_role("link", name="客户回复 0 等待回复")).to_be_visible()
    assert first == listed == shown == closed == english == []
    assert branch.manager.faults == []
    assert replies(branch)[ASKS].close_remark == "已电话答复客户"
