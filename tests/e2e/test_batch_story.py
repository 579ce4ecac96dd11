"""
A batch from the teller's choice to the customers' answers, as a branch sees it in the browser.

On the demonstration bank, in a branch of its own: a teller plans, the branch manager approves, an operator holds the
gateway back. The steps follow one another.
"""

import csv
import io
import re
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import consent_pb2, customer_pb2, group_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.messaging.v1 import batch_pb2, inbound_pb2
from guanhu.messaging.v1.batch_pb2_grpc import SmsBatchServiceStub
from guanhu.messaging.v1.inbound_pb2_grpc import InboundServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub
from playwright.sync_api import expect

from tests.builders import request_id
from tests.desks import Desk, bring, sound, until

BRANCH = 1102
MANAGER, TELLER = "110201", "110207"
REFUSES, ASKS, TWIN, OTHER_TWIN, QUIET = map(str, range(6999000021, 6999000026))
NEW = {
    REFUSES: ("拒收人", "13800980002"),
    ASKS: ("发问人", "13800980003"),
    TWIN: ("孪生甲", "13800980077"),
    OTHER_TWIN: ("孪生乙", "13800980077"),
    QUIET: ("静养人", "13800980078"),
}
"""Customers of this story, whose mobiles end as the demonstration centre's answers want it."""

BY_RULE, BY_HAND = "全部金卡客户", "沙龙常客"
OFFER, NOTICE = "财富沙龙邀请", "网点服务通知"
UNASKED = 4
"""Customers of the rule who never agreed to offers."""

GOLD = 2
SIDE_BY_SIDE = 7
"""Between the numbers of one customer of the demonstration bank and the next."""

FAIL = ("0000", "0001")
"""Endings of mobiles that the demonstration centre does not reach."""

ENGLISH = {"SMPP", "demo", "handover"}
"""Words that a Chinese page may hold."""


@pytest.fixture(scope="module")
def story(demonstration, chromium, tmp_path_factory):
    """The people of a branch, with a teller's customers in two groups, and no hour of the day to wait for."""
    found = SimpleNamespace(
        start=demonstration,
        teller=Desk(demonstration, chromium, "open_counter_teller", TELLER),
        manager=Desk(demonstration, chromium, "branch_manager", MANAGER),
        operator=Desk(demonstration, chromium, "operator"),
    )
    hours = parameter_pb2.SetParameterRequest(
        name="parameters/sms_hours",
        value_json='{"from": 0, "to": 24}',
        branch_id=BRANCH,
        request_id=request_id(),
    )
    found.operator.ask("messaging", ParameterServiceStub, "SetParameter", hours)
    bring(demonstration, tmp_path_factory.mktemp("story"), newcomers(), "story")
    given_away(found)
    own = until(lambda: customers_of(found.teller), lambda held: set(NEW) <= set(held))
    gold = {key: one for key, one in own.items() if one.tier == GOLD}
    found.hand = {key: own[key] for key in [*NEW, *sorted(gold)[:5]]}
    found.people = gold | found.hand
    wishes(found)
    groups(found)
    return found


def newcomers():
    """Return the lines of the story's own customers."""
    return [
        {
            "number": number,
            "branch_id": BRANCH,
            "display_name": name,
            "gender": "FEMALE",
            "birth_day": date(1980, 1, 9),
            "mobile": mobile,
            "source": "SYSTEM",
        }
        for number, (name, mobile) in NEW.items()
    ]


def given_away(story):
    """Let the branch manager give the newcomers to the teller, once they wait for an owner."""
    waiting = ownership_pb2.ListUnassignedRequest(query=QUIET)
    until(
        lambda: story.manager.ask(
            "allocation", OwnershipServiceStub, "ListUnassigned", waiting
        ),
        lambda page: page.total_size == 1,
    )
    request = ownership_pb2.AssignCustomersRequest(
        customers=[
            ownership_pb2.SeenCustomer(customer=f"customers/{one}") for one in NEW
        ],
        owner=story.teller.staff,
        mode=customer_pb2.MAINTENANCE_MODE_BATCH,
        reason="客户指定",
        request_id=request_id(),
    )
    story.manager.ask("allocation", OwnershipServiceStub, "AssignCustomers", request)


def customers_of(desk):
    """Return the customers in somebody's sight, by number."""
    request = customer_pb2.ListCustomersRequest(page_size=500)
    found = desk.ask("customer", CustomerServiceStub, "ListCustomers", request)
    return {one.name.partition("/")[2]: one for one in found.customers}


def wishes(story):
    """Let one newcomer ask not to be disturbed, and all but a few of the others agree to offers."""
    quiet = consent_pb2.SetDoNotDisturbRequest(
        customer=f"customers/{QUIET}", do_not_disturb=True, request_id=request_id()
    )
    story.manager.ask("customer", ConsentServiceStub, "SetDoNotDisturb", quiet)
    story.quiet = {QUIET} | {
        key for key, one in story.people.items() if one.do_not_disturb
    }
    free = sorted(set(story.people) - story.quiet)
    asked = (one for one in free if one not in story.hand and not agreed(story, one))
    story.unasked = {next(asked) for _ in range(UNASKED)}
    evidence = consent_pb2.Evidence(
        kind=consent_pb2.EVIDENCE_KIND_PAPER_FORM,
        reference="授权书",
        text_version="2026-01",
    )
    for number in set(free) - story.unasked:
        request = consent_pb2.GrantConsentRequest(
            customer=f"customers/{number}",
            channel=customer_pb2.CHANNEL_SMS,
            purpose=consent_pb2.PURPOSE_MARKETING,
            evidence=evidence,
            request_id=request_id(),
        )
        story.manager.ask("customer", ConsentServiceStub, "GrantConsent", request)


def agreed(story, number):
    """Say whether a customer has agreed to anything."""
    request = consent_pb2.ListConsentsRequest(customer=f"customers/{number}")
    answer = story.manager.ask("customer", ConsentServiceStub, "ListConsents", request)
    return bool(answer.consents)


def groups(story):
    """Let the teller make a group by rule and one by hand, some in both."""
    by_rule = group_pb2.Group(
        display_name=BY_RULE,
        kind=group_pb2.GROUP_KIND_RULE,
        rule=group_pb2.GroupRule(tiers=[GOLD]),
    )
    by_hand = group_pb2.Group(display_name=BY_HAND, kind=group_pb2.GROUP_KIND_STATIC)
    for group in (by_rule, by_hand):
        request = group_pb2.CreateGroupRequest(group=group, request_id=request_id())
        made = story.teller.ask("customer", GroupServiceStub, "CreateGroup", request)
    members = group_pb2.AddMembersRequest(
        group=made.name,
        customers=[f"customers/{one}" for one in story.hand],
        request_id=request_id(),
    )
    story.teller.ask("customer", GroupServiceStub, "AddMembers", members)


def planned(story, template, *names):
    """Let the teller choose a template and groups, and return the page with the question."""
    page = story.teller.open("批量短信")
    page.get_by_role("link", name="新建批次").click()
    page.get_by_role("radio", name=template).check()
    for name in names:
        page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name="检查发送对象").click()
    expect(page.get_by_role("heading", name="询问")).to_be_visible()
    return page


def the_batch(story):
    """Return the teller's newest batch."""
    request = batch_pb2.ListBatchesRequest(sender=story.teller.staff)
    found = story.teller.ask("messaging", SmsBatchServiceStub, "ListBatches", request)
    return found.batches[0]


def twins(story):
    """
    Return who gets no message because the customer before has the same mobile.

    Mobiles are masked here; whose are really the same, spouses and this story's twins, have numbers side by side.
    """
    free = sorted(map(int, set(story.people) - story.quiet - story.unasked))
    mobile = {number: story.people[str(number)].mobile for number in free}
    return {
        str(later)
        for earlier, later in pairwise(free)
        if later - earlier <= SIDE_BY_SIDE and mobile[earlier] == mobile[later]
    }


def behind(page, reason):
    """Open a reason for leaving people out; return their customer numbers, as they are listed behind it."""
    shown = page.locator("details").filter(has=page.locator(".chip", has_text=reason))
    shown.locator("summary").click()
    return set(shown.locator("li .mut").all_inner_texts())


def figure(page, name):
    """Return one count of the page."""
    return int(page.locator(f"[data-part={name}]").inner_text().replace(",", ""))


def moved(page):
    """Return how many the bar says are dealt with, and hold it to the words below it."""
    bar = page.locator("progress").evaluate("one => [one.value, one.max]")
    told = page.locator("[data-job=done]"), page.locator("[data-job=total]")
    assert bar[1] == int(told[1].inner_text())
    return int(bar[0])


def taken(story):
    """Return how many messages the SMS centre says it has taken since its start."""
    log = Path(story.start.told["GUANHU_STATE"], "logs", "smsc.log")
    counts = re.findall(r"(\d+) taken", log.read_text(encoding="utf-8"))
    return int(counts[-1]) if counts else 0


def replies(story, **filters):
    """Return what came, by customer, the newest last."""
    request = inbound_pb2.ListInboundRequest(order_by="receive_time", **filters)
    answer = story.manager.ask("messaging", InboundServiceStub, "ListInbound", request)
    return {one.customer.partition("/")[2]: one for one in answer.inbounds}


def no_english(page):
    """Say that a Chinese page speaks no English; letters that hexadecimal identifiers are made of are no words."""
    words = set(re.findall(r"[A-Za-z]{4,}", page.locator("main").inner_text()))
    told = {word for word in words if not re.fullmatch("[a-f]+", word)}

    assert told <= ENGLISH, page.url


def test_1_the_question_tells_who_is_left_out_and_why(story):
    """Two groups, one of them a rule, become one list of people; each reason shows exactly those it holds for."""
    page = planned(story, OFFER, BY_RULE, BY_HAND)
    batch = the_batch(story)
    gets = set(story.people) - story.quiet - story.unasked - twins(story)

    assert batch.total_count == len(story.people)
    assert behind(page, "免打扰") == story.quiet
    assert behind(page, "未取得同意") == story.unasked
    assert behind(page, "号码重复") == twins(story)
    assert OTHER_TWIN in twins(story)
    assert batch.total_count - batch.excluded_count == len(gets)
    told = page.locator("main").inner_text()
    assert f"共 {len(story.people)} 人，将发送 {len(gets)} 人" in told
    assert f"费用 CNY {batch.segment_count * 0.05:.2f}。" in told
    assert "不限时段" in told
    sample = page.get_by_role("region", name="最长的短信").get_by_role("listitem").first
    expect(sample).to_contain_text(
        re.compile(r"【农业银行】尊敬的.+东湖网点.+拒收请回复R")
    )
    sound(page)
    no_english(page)


def test_2_the_answer_is_yes_and_a_second_person_is_waited_for(story):
    """The question speaks of those not to be disturbed first; its sender has no way to approve, here or elsewhere."""
    page = story.teller.page
    expect(page.get_by_text("群组内有免打扰客户")).to_be_visible()
    page.get_by_role("button", name="是，发送").click()
    expect(page.locator("[data-job=state]")).to_have_text("待审批")
    expect(page.get_by_role("button", name="通过")).to_have_count(0)
    sound(page)
    batch = the_batch(story)
    request = batch_pb2.ApproveBatchRequest(
        name=batch.name, digest=batch.digest, etag=batch.etag, request_id=request_id()
    )
    with pytest.raises(grpc.RpcError) as refused:
        story.teller.ask("messaging", SmsBatchServiceStub, "ApproveBatch", request)

    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert batch.state == batch_pb2.BATCH_STATE_AWAITING_APPROVAL


def test_3_the_manager_finds_it_on_the_first_page_and_approves(story):
    """What waits names the batch with its cost; the page behind it asks once more, and then it goes out."""
    story.before = taken(story)
    page = story.manager.at("")
    waiting = page.get_by_role("region", name="待我处理")
    expect(waiting).to_contain_text("CNY")
    sound(page)
    no_english(page)
    waiting.get_by_role("link", name=OFFER).click()
    expect(page.get_by_text("费用 CNY").first).to_be_visible()
    sound(page)
    page.get_by_role("button", name="通过").click()
    expect(page.get_by_text("批次已通过审批。")).to_be_visible()

    assert the_batch(story).state == batch_pb2.BATCH_STATE_SENDING


def test_4_progress_is_kept_over_a_reload_and_is_the_same_for_others(story):
    """Held back in the middle, the bar stands there, for the teller after a reload as for the manager."""
    page, other = story.teller.page, story.manager.page
    expect(page.locator("[data-job=state]")).to_have_text("发送中")
    until(lambda: taken(story) - story.before, lambda count: count > 0)
    page.get_by_role("button", name="暂停").click()
    expect(page.get_by_text("批次已暂停。")).to_be_visible()
    batch = until(lambda: the_batch(story), lambda found: not found.submitting_count)
    done = batch.total_count - batch.waiting_count
    page.reload()
    expect(page.locator("[data-job=state]")).to_have_text("已暂停")
    expect(other.locator("[data-job=state]")).to_have_text("已暂停")
    expect(other.locator("[data-job=done]")).to_have_text(str(done))
    shown = moved(page), moved(other)
    sound(page)

    assert batch.excluded_count < done < batch.total_count
    assert shown == (done, done)


def test_5_it_goes_on_and_ends_with_the_centre_s_counts(story):
    """Resumed and reloaded, the bar goes on from where it stood; what was handed over is what the centre took."""
    page = story.teller.page
    stood = moved(page)
    page.get_by_role("button", name="继续发送").click()
    expect(page.get_by_text("批次已继续发送。")).to_be_visible()
    page.reload()
    went_on = moved(page)
    for desk in (story.teller, story.manager):
        state = desk.page.locator("[data-job=state]")
        expect(state).to_have_text("已完成", timeout=60_000)
    batch = until(
        lambda: the_batch(story), lambda found: not found.sent_count, seconds=60
    )
    confirmed = until(
        lambda: [one for one in replies(story).values() if one.confirmation_state],
        lambda found: found and all(one.confirmation_state == 3 for one in found),
    )
    expected = batch.segment_count + len(confirmed)
    until(lambda: taken(story) - story.before, lambda count: count == expected)
    page.reload()
    gets = set(story.people) - story.quiet - story.unasked - twins(story)
    lost = [one for one in gets if story.people[one].mobile.endswith(FAIL)]

    assert stood <= went_on
    assert figure(page, "failed_count") == len(lost)
    assert figure(page, "delivered_count") == len(gets) - len(lost)
    assert figure(page, "waiting_count") == figure(page, "unknown_count") == 0
    assert moved(page) == batch.total_count == len(story.people)


def test_6_results_are_looked_through_and_taken_along(story):
    """By state with the reason, by number, and as a table with everybody once."""
    page = story.teller.page
    page.get_by_role("link", name="发送结果").click()
    tabs = page.get_by_role("navigation", name="列表视图")
    tabs.get_by_role("link", name="不发送").click()
    expect(page.get_by_role("row").filter(has_text=QUIET)).to_contain_text("免打扰")
    sound(page)
    tabs.get_by_role("link", name="全部").click()
    box = page.get_by_role("searchbox", name="在列表中搜索")
    box.fill(TWIN)
    box.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("已送达")
    no_english(page)
    page.get_by_role("link", name="重置").click()
    with page.expect_download() as taking:
        page.get_by_role("button", name="导出表格").click()
    table = Path(taking.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table)))

    assert {row["客户号"] for row in rows} == set(story.people)
    assert len(rows) == len(story.people)
    assert not [mobile for _, mobile in NEW.values() if mobile in table]


def test_7_messages_and_the_customer_s_page_show_it(story):
    """The message is found among all messages, reads as it was sent, and is in the customer's history."""
    page = story.teller.open("短信明细")
    sound(page)
    no_english(page)
    box = page.get_by_role("searchbox", name="在列表中搜索")
    box.fill(TWIN)
    box.press("Enter")
    page.get_by_role("link", name=NEW[TWIN][0]).click()
    expect(page.get_by_role("region", name="正文")).to_contain_text("【农业银行】")
    sound(page)
    no_english(page)
    address = f"customers/details/?id=customers/{TWIN}"
    until(
        lambda: story.teller.at(address).get_by_text(OFFER).count(),
        lambda count: count == 1,
    )
    sound(page)


def test_8_a_question_lies_in_the_inbox_is_handed_on_and_closed(story):
    """The teller who sent the batch hands the question to the manager, who closes it with a remark."""
    found = replies(story)
    page = story.teller.open("客户回复")
    sound(page)
    no_english(page)
    page.get_by_role("link", name=NEW[ASKS][0]).click()
    expect(page.get_by_text("请问什么时候办理？")).to_be_visible()
    sound(page)
    page.get_by_label("同事").select_option(f"staff/{MANAGER}")
    page.get_by_role("button", name="转交").click()
    expect(page.get_by_text("回复已转交。")).to_be_visible()
    expect(page.get_by_role("link", name=NEW[ASKS][0])).to_have_count(0)
    page = story.manager.open("客户回复")
    page.get_by_role("link", name=NEW[ASKS][0]).click()
    page.get_by_label("处理情况").fill("已电话答复")
    page.get_by_role("button", name="办结").click()
    expect(page.get_by_text("回复已办结。")).to_be_visible()
    sound(page)

    assert found[REFUSES].kind == inbound_pb2.INBOUND_KIND_OPT_OUT
    assert found[ASKS].assignee == story.teller.staff
    assert replies(story)[ASKS].state == inbound_pb2.INBOUND_STATE_CLOSED


def test_9_who_refused_gets_no_offer_any_more(story):
    """The next marketing batch leaves out who answered R as not to be disturbed, and can be discarded."""
    page = planned(story, OFFER, BY_HAND)
    quiet = behind(page, "免打扰")
    sound(page)
    page.get_by_role("button", name="否，放弃").click()
    expect(page.get_by_text("批次已取消。")).to_be_visible()
    sound(page)

    assert quiet == {REFUSES} | (story.quiet & set(story.hand))
    assert the_batch(story).state == batch_pb2.BATCH_STATE_CANCELLED


def test_10_a_gateway_held_back_holds_a_service_batch_back(story):
    """A notice goes to who refused offers too; while the operator pauses the gateway it waits, then it goes out."""
    page, operator = planned(story, NOTICE, BY_HAND), story.operator.open("短信网关")
    sound(operator)
    no_english(operator)
    operator.get_by_role("link", name="演示短信中心").click()
    operator.get_by_role("button", name="暂停").click()
    operator.get_by_role("dialog").get_by_role("button", name="确认").click()
    expect(operator.get_by_text("网关已暂停，不再向其提交短信。")).to_be_visible()
    sound(operator)
    page.get_by_role("button", name="是，发送").click()
    expect(page.locator("[data-job=state]")).to_have_text("发送中")
    page.wait_for_timeout(1500)
    waited = the_batch(story)
    operator.get_by_role("button", name="继续发送").click()
    expect(operator.get_by_text("网关已恢复。")).to_be_visible()
    no_english(operator)
    expect(page.locator("[data-job=state]")).to_have_text("已完成", timeout=30_000)
    page.get_by_role("link", name="发送结果").click()
    expect(page.get_by_role("row").filter(has_text=REFUSES)).to_contain_text(
        re.compile("已提交|已送达")
    )

    assert waited.sent_count + waited.delivered_count == 0
    assert waited.waiting_count + waited.submitting_count > 0


def test_11_every_page_is_sound_in_english_and_spoke_no_chinese(story):
    """Pages of batch SMS in the other language: labels are English, and no script failed on any page before."""
    page = story.teller.at("")
    page.get_by_role("button", name="English").click()
    batch = the_batch(story).name
    chinese = {}
    for path in (
        "batches/",
        "batches/plan/",
        f"batches/details/?id={batch}",
        f"results/?batch={batch}",
        f"messages/details/?id=messages/{batch.partition('/')[2]}.1",
        "messages/",
        "messages/?tab=unknown",
        "inbox/?tab=all",
        "groups/",
        "templates/",
        "gateways/",
        "gateways/details/?id=gateways%2Fdemo",
    ):
        story.teller.at(path)
        sound(page)
        labels = page.locator(
            "main h2, main th, main dt, main .what, main button, main .tabs a"
        ).all_inner_texts()
        chinese[path] = [one for one in labels if re.search(r"[\u4e00-\u9fff]", one)]
    page.get_by_role("button", name="中文").click()

    assert not any(chinese.values()), chinese
    assert story.teller.faults + story.manager.faults + story.operator.faults == []
