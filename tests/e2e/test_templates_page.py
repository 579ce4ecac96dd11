"""
Templates in the portal: written with a preview, refused, reviewed, edited, and found again.

On the demonstration bank, by an author, a branch manager and an operator, each in a browser window of their own.
"""

from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from guanhu.messaging.v1 import template_pb2 as pb
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub
from playwright.sync_api import expect

from tests.desks import Desk

NAME = "年末到期提醒"
FORGED = "【工行】尊敬的{{customer_title}}，保 本产品{{balance}}到期。"
BODY = "尊敬的{{customer_title}}，您持有的产品将于年末到期。"
BETTER = (
    "尊敬的{{customer_title}}，您持有的产品将于12月到期，欢迎到{{branch_name}}办理。"
)


@pytest.fixture(scope="module")
def desks(demonstration, chromium):
    """The author, the reviewer, and whoever sets parameters."""
    posts = {
        "author": "customer_manager",
        "manager": "branch_manager",
        "auditor": "auditor",
        "operator": "operator",
    }
    return SimpleNamespace(
        **{name: Desk(demonstration, chromium, post) for name, post in posts.items()}
    )


def faults_of(page):
    """Return what axe finds wrong with a page, rule by rule with the first place."""
    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


def told(page, name):
    """Return one part of the preview."""
    return page.locator(f"[data-told={name}]")


def the_template(desk):
    """Return the template of this story, over gRPC."""
    request = pb.ListTemplatesRequest(query=NAME)
    page = desk.ask("messaging", TemplateServiceStub, "ListTemplates", request)
    return page.templates[0]


def at_template(desk):
    """Open the template's page from the list."""
    page = desk.open("短信模板")
    page.get_by_role("link", name=NAME).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(NAME)
    return page


def test_1_the_text_is_shown_while_it_is_written(desks):
    """Text, bill, everything wrong and what the purpose means follow the keys and the choice, without a reload."""
    page = desks.author.open("短信模板")
    page.get_by_role("link", name="新建").click()
    expect(told(page, "text")).to_have_text("【农业银行】")
    expect(told(page, "faults")).to_be_hidden()
    expect(told(page, "meaning")).to_contain_text("全天可发送")
    page.get_by_label("模板名称").fill(NAME)
    page.get_by_label("用途").select_option("营销")
    expect(told(page, "meaning")).to_contain_text("结尾加“拒收请回复R”。")
    expect(told(page, "meaning")).to_contain_text("每个批次均须双人复核")
    page.get_by_label("正文").fill(FORGED)
    expect(told(page, "faults").get_by_role("listitem")).to_have_text(
        [
            "没有名为 balance 的字段。",
            "签名和拒收用语由系统添加，请从正文中删除。",
            "正文含有禁用语“保本”。",
        ]
    )
    page.get_by_label("正文").fill("您的")
    page.get_by_role("button", name="到期金额").click()

    expect(page.get_by_label("正文")).to_have_value("您的{{maturity_amount}}")
    expect(told(page, "text")).to_have_text("【农业银行】您的200,000元拒收请回复R")
    expect(told(page, "bill")).to_have_text("共 22 字 · 按 1 条计费 · 编码 UCS-2")


def test_2_a_text_that_will_not_do_is_not_kept(desks):
    """The refusal is told, what was typed stays, and the list is as it was."""
    page = desks.author.page
    page.get_by_label("正文").fill(FORGED)
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("alert")).to_have_text("没有名为 balance 的字段。")
    expect(page.get_by_label("正文")).to_have_value(FORGED)
    request = pb.ListTemplatesRequest(query=NAME)
    found = desks.author.ask("messaging", TemplateServiceStub, "ListTemplates", request)

    assert found.total_size == 0
    assert faults_of(page) == []


def test_3_a_draft_is_kept_and_submitted(desks):
    """Saving leads to the template's own page, from which its author submits it and then can only wait."""
    page = desks.author.page
    page.get_by_label("用途").select_option("服务")
    page.get_by_label("正文").fill(BODY)
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("草稿")
    expect(
        page.get_by_text("【农业银行】尊敬的王先生，您持有的产品将于年末到期。")
    ).to_be_visible()
    page.get_by_role("button", name="提交审核").click()
    expect(page.get_by_text("模板已提交审核")).to_be_visible()
    expect(page.get_by_text("等待编写人以外的网点负责人审核")).to_be_visible()
    expect(page.get_by_role("button", name="通过")).to_have_count(0)

    assert the_template(desks.author).state == pb.TEMPLATE_STATE_SUBMITTED


def test_4_a_reviewer_gives_it_back_with_a_remark(desks):
    """It waits under its tab; without a remark it is not given back, with one its author reads why."""
    page = desks.manager.open("短信模板")
    page.get_by_role("link", name="待审核").click()
    page.get_by_role("link", name=NAME).click()
    page.get_by_role("button", name="退回").click()
    expect(page.get_by_role("alert")).to_contain_text("不符合要求")
    page.get_by_label("意见").fill("请写明月份")
    page.get_by_role("button", name="退回").click()
    expect(page.get_by_text("模板已退回编写人")).to_be_visible()
    page = at_template(desks.author)

    expect(page.get_by_text("请写明月份")).to_be_visible()


def test_5_it_is_edited_approved_and_its_revisions_stay(desks):
    """The author mends it, the reviewer approves, and both texts stand below with who wrote them."""
    page = desks.author.page
    page.get_by_role("link", name="编辑").click()
    expect(told(page, "text")).to_contain_text("将于年末到期")
    page.get_by_label("正文").fill(BETTER)
    page.get_by_role("button", name="保存").click()
    page.get_by_role("button", name="提交审核").click()
    expect(page.get_by_text("模板已提交审核")).to_be_visible()
    page = at_template(desks.manager)
    page.get_by_role("button", name="通过").click()
    expect(page.get_by_text("模板已通过，可用于批量短信。")).to_be_visible()
    rows = page.get_by_role("group", name="历史版本").get_by_role("row")

    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text(BETTER)
    expect(rows.nth(2)).to_contain_text(BODY)
    found = the_template(desks.auditor)
    assert (found.state, found.revision) == (pb.TEMPLATE_STATE_APPROVED, 2)
    assert found.reviewer == desks.manager.staff


def test_6_whoever_may_not_edit_is_offered_nothing(desks, demonstration):
    """An auditor reads template and revisions and has no button; the edit page refuses."""
    page = at_template(desks.auditor)
    expect(page.get_by_role("group", name="历史版本").get_by_role("row")).to_have_count(
        3
    )
    expect(page.get_by_role("link", name="编辑")).to_have_count(0)
    name = the_template(desks.auditor).name
    answer = page.goto(
        f"{demonstration.address('portal')}/admin/templates/edit/?id={name}"
    )

    assert answer.status == 403


def test_7_templates_are_found_by_name_purpose_and_state(desks):
    """Search and filter narrow the list and can be lifted; an empty tab says what to do."""
    page = desks.author.open("短信模板")
    box = page.get_by_role("searchbox", name="在列表中搜索")
    box.fill("年末")
    box.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="重置").click()
    page.locator("summary").filter(has_text="筛选").click()
    page.locator("select[name=flt0_purpose]").select_option("营销")
    page.get_by_role("button", name="应用").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="财富沙龙邀请")).to_be_visible()
    page = desks.author.open("短信模板")
    page.get_by_role("link", name="已退回").click()

    expect(page.get_by_text("这里还没有短信模板")).to_be_visible()
    expect(page.get_by_role("link", name="新建")).to_have_count(2)


def test_8_what_must_not_be_promised_is_a_list_that_the_operator_edits(desks):
    """A phrase put into the parameter is found from then on, whatever its width and case."""
    page = desks.operator.open("短信参数")
    page.get_by_role("link", name="forbidden_phrases").click()
    page.get_by_role("link", name="编辑").click()
    field = page.locator("[name=value_json]")
    field.fill(field.input_value().replace("[", '["Best Rate", ', 1))
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("Best Rate").first).to_be_visible()
    page = desks.author.open("短信模板")
    page.get_by_role("link", name="新建").first.click()
    page.get_by_label("正文").fill("ｂｅｓｔ　ＲＡＴＥ就在年末")

    expect(told(page, "faults")).to_contain_text("正文含有禁用语“Best Rate”。")


@pytest.mark.parametrize("language", ["中文", "English"])
def test_9_every_page_is_free_of_what_axe_finds(desks, demonstration, language):
    """List, empty list, new, edit and the template itself, in both languages; no script failed on any page before."""
    page = desks.manager.open("短信模板") if language == "中文" else desks.manager.page
    if language == "English":
        page.get_by_role("button", name="English").click()
    root, name = demonstration.address("portal"), the_template(desks.manager).name
    wrong = {}
    for path in (
        "",
        "?tab=rejected",
        "new/",
        f"edit/?id={name}",
        f"details/?id={name}",
    ):
        page.goto(f"{root}/admin/templates/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        wrong[path] = faults_of(page)

    assert not any(wrong.values()), wrong
    assert desks.author.faults + desks.manager.faults == []
