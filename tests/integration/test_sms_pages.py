"""Pages of batch SMS in a browser: the question, results, messages, gateways and what waits, over real services."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect

from services.allocation.__main__ import SERVICE as ALLOCATION
from services.customer.__main__ import SERVICE as CUSTOMER
from services.messaging.__main__ import SERVICE
from tests.builders import a_branch, a_member_of_staff, an_operator, put
from tests.messages import (
    MARKETING,
    Sender,
    a_group,
    approved,
    change,
    confirm,
    consent,
    mobile_of,
    plan,
    refuse,
    set_parameter,
)
from tests.portals import Portal, Window, chromium
from tests.snapshots import a_customer_line, import_day
from tests.town import Town

NUMBERS = [f"{number:02}" for number in range(1, 13)]
POSTS = {
    "teller": "OPEN_COUNTER_TELLER",
    "manager": "BRANCH_MANAGER",
    "operator": "OPERATOR",
}
REFUSED = "拒绝：密码错误"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(bank, tmp_path_factory):
    """A branch with a teller, its manager and an operator, twelve customers, and batches in every state."""
    town = await Town(bank).start(ALLOCATION, CUSTOMER, SERVICE)
    people = [
        a_member_of_staff(name, posts=[post], display_name=f"{name}员")
        for name, post in POSTS.items()
    ]
    await put(
        town.allocation,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        *people,
        *map(an_operator, POSTS),
    )
    lines = [
        a_customer_line(one, mobile=mobile_of(one), display_name=f"王小{one}")
        for one in NUMBERS
    ]
    await import_day(town.customer, customers=lines)
    await town.customer.sql("UPDATE customers SET owner = 'teller'")
    await town.customer.sql(
        "UPDATE customers SET display_name = '=1+1' WHERE number = '11'"
    )
    await refuse(town, "12")
    await set_parameter(town, "sms_hours", '{"from": 0, "to": 24}')
    found = SimpleNamespace(
        town=town, **await batches_of(town, tmp_path_factory.mktemp("flight"))
    )
    addresses = {name: running.address for name, running in town.served.items()}
    found.portal = Portal(
        tmp_path_factory.mktemp("portal"),
        bank.secrets,
        {**addresses, "engagement": "127.0.0.1:1"},
    )
    yield found
    found.sender.close()
    await found.portal.stop()
    await town.stop()


async def batches_of(town, folder):
    """Return a batch that was sent with all that can happen, one that waits for an answer, one for a second person."""
    service = await approved(town, name="到期提醒")
    marketing = await approved(town, name="理财节", purpose=MARKETING)
    everybody = await a_group(town, *NUMBERS, name="到期客户")
    few = await a_group(town, "01", "02", name="理财客户")
    await consent(town, "01", "02")
    sent = await confirm(town, await plan(town, service, everybody))

    def judge(message):
        return "rejected" if message.dest[-2:] == "03" else "accepted"

    sender = await Sender(town, folder, judge=judge).open()
    await sender.send()
    taken = {one.dest[-2:]: key for key, one in sender.gateway.taken.items()}
    sender.gateway.report(taken["01"], "delivered")
    sender.gateway.report(taken["02"], "failed", code="MK:0001")
    await sender.station.take_receipts(sender.link)
    await sender.station.sort_receipts(sender.link)
    await town.messaging.sql("DELETE FROM outcomes WHERE ordinal = 4")
    await town.messaging.sql(
        "INSERT INTO unknowns (branch_id, batch_id, ordinal, attempt, sent_time, fence_time)"
        " SELECT branch_id, batch_id, 4, 1, now(), now() + interval '1 hour' FROM batches"
    )
    await town.messaging.sql(
        "UPDATE chunks SET sent_count = sent_count - 1, unknown_count = 1"
    )
    planned = await plan(town, service, everybody)
    waiting = await confirm(town, await plan(town, marketing, few))
    return {"sent": sent, "planned": planned, "waiting": waiting, "sender": sender}


@pytest_asyncio.fixture(loop_scope="session")
async def chrome(place):
    """A browser of one test."""
    async with chromium() as opened:
        yield opened


def page_of(kind, name, **more):
    """Return the address of a page about one resource."""
    rest = "".join(f"&{key}={value}" for key, value in more.items())
    return f"/admin/{kind}{quote(name, safe='')}{rest}"


async def test_the_question_tells_cost_bills_samples_and_time(place, chrome):
    """A planned batch shows what it costs, how it is billed, when it goes out, the longest and ordinary texts."""
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to(page_of("batches/details/?id=", place.planned.name))
    text = await window.text()
    await window.close()

    assert "CNY 0.55" in text
    assert "11 人 × 1 条" in text
    assert "不限时段" in text
    assert "最长的短信" in text
    assert "抽样短信" in text
    assert "免打扰" in text
    assert not window.faults


async def test_results_are_shown_by_state_with_their_reasons(place, chrome):
    """Each tab holds those in its state with why, the search narrows them, and the figures lead to their tabs."""
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to(page_of("batches/details/?id=", place.sent.name))
    await window.page.locator("a.figure", has_text="失败").click()
    failed = await window.text()
    await window.page.locator(".tabs a", has_text="未知").click()
    unknown = await window.text()
    await window.page.locator(".tabs a", has_text="不发送").click()
    excluded = await window.text()
    await window.page.locator(".tabs a").first.click()
    await window.page.locator("input[data-here]").fill("07")
    await window.page.keyboard.press("Enter")
    await expect(window.page.locator("tbody tr")).to_have_count(1)
    found = await window.text()
    await window.page.get_by_role("link", name="王小07").click()
    one = await window.text()
    await window.close()

    assert "王小02" in failed
    assert "号码为空号" in failed
    assert "王小03" in failed
    assert "王小04" in unknown
    assert "未收到应答" in unknown
    assert "王小12" in excluded
    assert "免打扰" in excluded
    assert "138****0007" in found
    assert "【农业银行】" in one
    assert mobile_of("07") not in found + one
    assert not window.faults


async def test_an_export_opens_as_what_it_is(place, chrome):
    """The table has the mark of UTF-8, masked mobiles, reasons in Chinese, and no cell that a spreadsheet reckons."""
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to(page_of("results/?batch=", place.sent.name))
    async with window.page.expect_download() as taking:
        await window.page.get_by_role("button", name="导出表格").click()
    download = await taking.value
    with open(await download.path(), encoding="utf-8", newline="") as file:  # noqa: ASYNC230, PTH123 - a small file
        raw = file.read()
    await window.close()
    rows = list(csv.reader(io.StringIO(raw.removeprefix("\ufeff"))))
    by_number = {row[1]: row for row in rows[1:]}
    audited = await place.town.messaging.sql(
        "SELECT actor FROM audit_records WHERE method LIKE '%ExportMessages'"
    )

    assert raw.startswith("\ufeff")
    assert download.suggested_filename.startswith("到期提醒-")
    assert rows[0][:4] == ["序号", "客户号", "客户", "手机号"]
    assert [row[0] for row in rows[1:]] == [str(place_) for place_ in range(1, 13)]
    assert by_number["11"][2] == "'=1+1"
    assert by_number["12"][4:6] == ["不发送", "免打扰"]
    assert by_number["02"][8] == "MK:0001"
    assert all(mobile_of(one) not in raw for one in NUMBERS)
    assert [row["actor"] for row in audited] == ["staff/teller"]


async def test_messages_are_found_over_all_batches(place, chrome):
    """One customer's messages of all batches stand together; a wrong number is told, a day is taken whole."""
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to("/admin/messages/?flt0_customer=01")
    one = await window.page.locator("tbody tr").count()
    await window.to("/admin/messages/?tab=unknown")
    doubt = await window.text()
    day = place.sent.create_time.ToDatetime().strftime("%Y-%m-%d")
    await window.to(f"/admin/messages/?flt0_start_time={day}&flt1_end_time=2020-01-01")
    reversed_ = await window.text()
    await window.to("/admin/messages/?flt0_customer=%E7%8E%8B")
    wrong = await window.text()
    await window.close()

    assert one == 3
    assert "王小04" in doubt
    assert "回执即可确定" in doubt
    assert "结束时间早于开始时间" in reversed_
    assert "王" in wrong


async def test_a_second_person_finds_what_waits_on_the_first_page(place, chrome):
    """The manager sees the batch that needs approval, opens it and approves; its sender is not asked."""
    window = await Window.open(place.portal, chrome, "op-manager")
    first = await window.text()
    teller = await Window.open(place.portal, chrome, "op-teller")
    own = await teller.text()
    await teller.close()
    await window.page.get_by_role("link", name="理财节").click()
    asked = await window.text()
    await window.page.get_by_role("button", name="通过").click()
    done = await window.text()
    await window.close()

    assert "待我处理" in first
    assert "CNY 0.10" in first
    assert "理财节" in first
    assert "理财节" not in own
    assert "费用 CNY 0.10" in asked
    assert "发送中" in done


async def test_an_operator_sees_alarms_and_holds_a_gateway_back(place, chrome):
    """A refused link is on the first page and on the gateway's; pausing asks first; others see no buttons."""
    place.sender.link.link_changed("refused", REFUSED)
    await place.sender.station.beat()
    window = await Window.open(place.portal, chrome, "op-operator")
    first = await window.text()
    await window.page.locator("main").get_by_role("link", name="拒绝了本行凭据").click()
    alarm = await window.text()
    await window.page.get_by_role("button", name="暂停").click()
    await window.page.get_by_role("button", name="确认").click()
    await window.page.get_by_role("status").first.wait_for()
    held = await window.text()
    await window.page.locator("form button.main").click()
    again = await window.text()
    teller = await Window.open(place.portal, chrome, "op-teller")
    await teller.to(page_of("gateways/details/?id=", "gateways/demo"))
    buttons = await teller.page.locator("main form button").count()
    await teller.close()
    await window.close()
    place.sender.link.link_changed("bound", "")
    await place.sender.station.beat()

    assert REFUSED in first
    assert REFUSED in alarm
    assert "凭据被拒" in alarm
    assert "网关已暂停" in held
    assert "网关已恢复" in again
    assert buttons == 0


async def test_a_batch_is_planned_for_a_time(place, chrome):
    """A moment that is none is told and nothing is lost; a right one stands in the question with the policy chosen."""
    day = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%d")
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to("/admin/batches/plan/")
    await window.page.get_by_label("到期提醒").check()
    await window.page.get_by_label("到期客户").check()
    await window.page.get_by_label("发送时间").fill("明天")
    await window.page.get_by_role("button", name="检查发送对象").click()
    wrong = await window.text()
    kept = await window.page.get_by_label("到期客户").is_checked()
    await window.page.get_by_label("发送时间").fill(f"{day} 15:00")
    await window.page.get_by_label("结果不明时").select_option("2")
    await window.page.get_by_role("button", name="检查发送对象").click()
    asked = await window.text()
    await window.page.get_by_role("button", name="是，发送").click()
    await window.page.locator("progress").wait_for()
    waits = await window.text()
    await window.page.reload()
    again = await window.text()
    await window.close()

    assert "“明天”不是有效时间" in wrong
    assert kept
    assert f"{day} 15:00" in asked
    assert "不再重发" in asked
    assert "待发送" in waits
    assert "0 / 12" in again or "1 / 12" in again


async def test_a_stale_page_changes_nothing(place, chrome):
    """Two windows on one gateway: the second to press is told that somebody was faster."""
    windows = [await Window.open(place.portal, chrome, "op-operator") for _ in range(2)]
    for window in windows:
        await window.to(page_of("gateways/details/?id=", "gateways/demo"))
    for window in windows:
        await window.page.get_by_role("button", name="暂停").click()
        await window.page.get_by_role("button", name="确认").click()
        await window.page.locator(".notice").first.wait_for()
    first, second = [await window.text() for window in windows]
    await windows[0].page.locator("form button.main").click()
    statuses = [await windows[0].to("/admin/results/")]
    for window in windows:
        await window.close()

    assert "网关已暂停" in first
    assert "网关已暂停" not in second
    assert "内容刚刚被他人修改" in second
    assert statuses == [403]


async def test_the_first_page_opens_while_messaging_is_away(place, chrome, tmp_path):
    """What waits cannot be known then, and is left out; everything else is there."""
    served = place.town.served
    addresses = {name: served[name].address for name in ("allocation", "customer")}
    away = dict.fromkeys(("engagement", "messaging"), "127.0.0.1:1")
    portal = Portal(tmp_path, place.town.bank.secrets, {**addresses, **away})
    window = await Window.open(portal, chrome, "op-manager")
    status, text = await window.to("/admin/"), await window.text()
    await window.close()
    await portal.stop()

    assert status == 200
    assert "待我处理" not in text
    assert "批量短信" in text


async def test_results_belong_to_a_batch(place, chrome):
    """Without a batch there is no such page, and a batch of others is not found."""
    window = await Window.open(place.portal, chrome, "op-teller")
    none = await window.to("/admin/results/")
    unknown = await window.to(
        "/admin/results/?batch=batches/" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12
    )
    await window.close()

    assert (none, unknown) == (404, 404)


PAGES = {
    "home": "/admin/",
    "batches": "/admin/batches/",
    "new": "/admin/batches/plan/",
    "messages": "/admin/messages/",
    "unknown": "/admin/messages/?tab=unknown",
    "gateways": "/admin/gateways/",
    "gateway": "/admin/gateways/details/?id=gateways%2Fdemo",
}


async def test_a_form_on_its_way_is_not_cut_off_by_its_own_page(place, chrome):
    """The page of a batch comes anew when the state changes, but not before what was pressed has had its answer."""
    town = place.town
    group = await a_group(town, "05", name="续发客户")
    template = await approved(town, name="续发")
    batch = await confirm(town, await plan(town, template, group))
    await change(town, "Pause", batch)
    window = await Window.open(place.portal, chrome, "op-teller")
    await window.to(page_of("batches/details/?id=", batch.name))

    async def late(route):
        if route.request.method == "POST":
            await change(town, "Resume", batch)
            await asyncio.sleep(2.5)
        await route.continue_()

    await window.page.route("**/batches/**", late)
    await window.page.get_by_role("button", name="继续发送").click()
    await expect(window.page.get_by_text("不能进行此操作")).to_be_visible()
    await window.close()


@pytest.mark.parametrize("language", ["zh_Hans_CN", "en"])
async def test_axe_finds_nothing_wrong(place, chrome, language):
    """Every page of batch SMS is free of faults that axe knows, in both languages, and says nothing of the other."""
    window = await Window.open(place.portal, chrome, "op-teller", language=language)
    message = f"messages/{place.sent.name.partition('/')[2]}.1"
    pages = {
        **PAGES,
        "question": page_of("batches/details/?id=", place.planned.name),
        "batch": page_of("batches/details/?id=", place.sent.name),
        "results": page_of("results/?batch=", place.sent.name),
        "empty": page_of("results/?batch=", place.sent.name, tab="cancelled"),
        "message": page_of("messages/details/?id=", message),
    }
    statuses, faults = {}, {}
    for name, path in pages.items():
        statuses[name] = await window.to(path)
        faults[name] = await window.violations()
    await window.close()

    assert set(statuses.values()) == {200}, statuses
    assert {name: found for name, found in faults.items() if found} == {}
    assert not window.faults
