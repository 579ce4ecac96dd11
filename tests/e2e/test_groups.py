"""Groups as a branch keeps them in the portal: made by hand and by rule, filled, looked at, changed and deleted."""

import re
from types import SimpleNamespace

import pytest
from guanhu.customer.v1 import customer_pb2, group_pb2
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from playwright.sync_api import expect

from tests.builders import request_id
from tests.desks import Desk, sound


@pytest.fixture(scope="module")
def branch(demonstration, chromium):
    """A teller, who sees own customers, and the branch manager, who sees the branch's."""
    teller = Desk(demonstration, chromium, "open_counter_teller")
    manager = Desk(demonstration, chromium, "branch_manager")
    own = teller.ask(
        "customer",
        CustomerServiceStub,
        "ListCustomers",
        customer_pb2.ListCustomersRequest(page_size=500, order_by="number"),
    )
    return SimpleNamespace(
        teller=teller,
        manager=manager,
        own=list(own.customers),
        address=demonstration.address("portal"),
    )


def opened(branch, desk, path=""):
    """Open a page of groups."""
    desk.page.goto(f"{branch.address}/admin/groups/{path}")
    return desk.page


def confirmed(page, button):
    """Press a button that asks first, and say yes."""
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="确认").click()


def numbers_of(page):
    """Return the customer numbers of the members on the page, in order."""
    return page.locator("tbody tr td:nth-last-child(3)").all_inner_texts()


def groups_of(desk, query):
    """Return the groups whose name holds *query*."""
    request = group_pb2.ListGroupsRequest(query=query)
    return desk.ask("customer", GroupServiceStub, "ListGroups", request).groups


def test_a_teller_makes_a_list_and_pastes_numbers_into_it(branch):
    """An empty list says so; numbers in any form are put in once, and those of nobody in sight are named."""
    page = opened(branch, branch.teller)
    expect(page.get_by_role("heading", name="没有符合条件的记录")).to_be_visible()
    sound(page)
    page.get_by_role("link", name="新建群组").click()
    sound(page)
    page.get_by_label("群组名称").fill("到期回访")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("heading", name="群组内还没有客户")).to_be_visible()
    sound(page)
    first, second, third = (one.name.partition("/")[2] for one in branch.own[:3])
    page.get_by_text("添加客户", exact=True).click()
    page.get_by_label("客户号").fill(f"{second}\n{first}， {third};{second} 6999999999")
    page.get_by_role("button", name="添加", exact=True).click()
    expect(page.get_by_text("已添加 3 名客户。")).to_be_visible()
    expect(page.get_by_text("6999999999")).to_be_visible()
    sound(page)

    assert numbers_of(page) == [second, first, third]
    assert re.fullmatch(
        r"1\d\d\*{4}\d{4}",
        page.locator("tbody tr td:nth-last-child(2)").first.inner_text(),
    )
    assert branch.teller.faults == []


def test_what_is_no_number_puts_nobody_in(branch):
    """A pasted sentence is refused whole, and says so."""
    page = opened(branch, branch.teller)
    page.get_by_role("link", name="到期回访").click()
    page.get_by_text("添加客户", exact=True).click()
    page.get_by_label("客户号").fill("王女士 <b>")
    page.get_by_role("button", name="添加", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("不是有效的客户号")

    assert groups_of(branch.teller, "到期回访")[0].member_count == 3


def test_ticked_members_are_taken_out_after_a_question(branch):
    """One of three is ticked and taken out; the others keep their places."""
    page = opened(branch, branch.teller)
    page.get_by_role("link", name="到期回访").click()
    before = numbers_of(page)
    page.locator("tbody input[name=rowid]").nth(1).check()
    sound(page)
    confirmed(page, "移出")
    expect(page.get_by_text("已移出 1 名客户。")).to_be_visible()

    assert numbers_of(page) == [before[0], before[2]]


def test_customers_are_gathered_from_their_list(branch):
    """Ticked rows go into a new group, and everything that a list shows into one that is there."""
    page = branch.teller.open("客户")
    for place in (0, 1):
        page.locator("tbody input[name=rowid]").nth(place).check()
    page.get_by_label("新群组名称").fill("我的客户")
    sound(page)
    page.get_by_role("button", name="加入群组").click()
    expect(page.get_by_text("已添加 2 名客户。")).to_be_visible()
    page.goto(f"{branch.address}/admin/customers/?page_size=25")
    page.get_by_label("勾选本页全部").check()
    page.get_by_role("button", name=re.compile("选择全部")).click()
    page.get_by_label("群组", exact=True).select_option(label="我的客户 · 2")
    page.get_by_role("button", name="加入群组").click()
    expect(page.get_by_text("名原已在群组中。")).to_be_visible()

    assert groups_of(branch.teller, "我的客户")[0].member_count == len(branch.own)


def test_a_rule_is_counted_while_it_is_made(branch):
    """Each tick changes the count on the page without a reload; what is saved finds as many, among own customers."""
    page = opened(branch, branch.teller, "create/?kind=rule")
    counted = page.locator("[data-counted]")
    expect(counted).to_contain_text(f"{len(branch.own)} 名客户")
    expect(page.get_by_text("范围：您名下的客户。")).to_be_visible()
    tier = branch.own[0].tier
    chosen = [one for one in branch.own if one.tier == tier]
    quiet = sum(one.do_not_disturb for one in chosen)
    page.locator(f"[name=tiers][value='{tier}']").check()
    told = f"{len(chosen)} 名客户" + (f"，其中 {quiet} 名要求免打扰" if quiet else "")
    expect(counted).to_have_text(told)
    page.get_by_label("金融资产不低于（元）").fill("9")
    page.get_by_label("金融资产不高于（元）").fill("1")
    expect(counted).to_contain_text("互相矛盾")
    sound(page)
    page.get_by_label("群组名称").fill("按等级")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("alert")).to_contain_text("互相矛盾")
    page.get_by_label("金融资产不低于（元）").fill("")
    page.get_by_label("金融资产不高于（元）").fill("")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("群组已建立。")).to_be_visible()
    sound(page)

    [group] = groups_of(branch.teller, "按等级")
    assert (group.kind, list(group.rule.tiers)) == (group_pb2.GROUP_KIND_RULE, [tier])
    assert group.member_count == len(chosen)
    assert numbers_of(page) == [one.name.partition("/")[2] for one in chosen[:20]]


def test_a_rule_that_is_filled_in_wrongly_says_where(branch):
    """Letters for days are told on the field, and in place of the count."""
    page = opened(branch, branch.teller, "create/?kind=rule")
    page.get_by_label("生日临近（天内）").fill("-3")
    expect(page.locator("[data-counted]")).to_have_text("规则中有填写不正确的内容。")
    page.get_by_role("button", name="保存").click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(2)
    sound(page)


def test_the_manager_sees_and_changes_groups_of_the_branch(branch):
    """Name and rule change with what was read; the rule stays about the teller's customers."""
    page = opened(branch, branch.manager)
    expect(page.get_by_role("link", name="到期回访")).to_be_visible()
    sound(page)
    page.get_by_role("link", name="按等级").click()
    page.get_by_role("link", name="编辑").click()
    page.get_by_label("群组名称").fill("按等级与资产")
    page.get_by_label("金融资产不低于（元）").fill("0.50")
    sound(page)
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_text("群组已修改。")).to_be_visible()
    expect(page.get_by_text("0.50")).to_be_visible()

    [group] = groups_of(branch.teller, "按等级与资产")
    assert (
        group.rule.financial_assets_from.units,
        group.rule.financial_assets_from.nanos,
    ) == (0, 500_000_000)
    assert group.member_count <= len(branch.own)


def test_a_change_over_somebody_elses_is_refused(branch):
    """Who opened the page before the group changed is told, and nothing is overwritten."""
    page = opened(branch, branch.manager)
    page.get_by_role("link", name="到期回访").click()
    page.get_by_role("link", name="编辑").click()
    [group] = groups_of(branch.teller, "到期回访")
    branch.teller.ask(
        "customer",
        GroupServiceStub,
        "UpdateGroup",
        group_pb2.UpdateGroupRequest(
            group=group_pb2.Group(
                name=group.name, etag=group.etag, description="柜员写的"
            ),
            update_mask={"paths": ["description"]},
            request_id=request_id(),
        ),
    )
    page.get_by_label("群组说明").fill("主任写的")
    page.get_by_role("button", name="保存").click()
    expect(page.get_by_role("alert")).to_be_visible()
    sound(page)

    assert groups_of(branch.teller, "到期回访")[0].description == "柜员写的"


def test_groups_read_in_english_too(branch):
    """The pages of groups speak the person's language, and axe finds nothing in it either."""
    page = opened(branch, branch.manager)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Customer groups")).to_be_visible()
    sound(page)
    page.get_by_role("link", name="按等级与资产").click()
    expect(page.get_by_role("heading", name="Rule")).to_be_visible()
    sound(page)
    opened(branch, branch.manager, "create/?kind=rule")
    expect(page.get_by_text("Of the whole branch.")).to_be_visible()
    expect(page.locator("[data-counted]")).to_contain_text("asked not to be disturbed")
    sound(page)
    chinese = re.compile(r"[\u4e00-\u9fff]")
    labels = page.locator(
        "main .line > label, main .line > .what, main h2"
    ).all_inner_texts()
    page.get_by_role("button", name="中文").click()

    assert not [one for one in labels if chinese.search(one)]


def test_a_group_is_deleted_after_a_question_and_its_customers_stay(branch):
    """The list loses the group and the teller no customer."""
    page = opened(branch, branch.teller)
    page.get_by_role("link", name="我的客户").click()
    confirmed(page, "删除")
    expect(page.get_by_text("群组已删除，客户不受影响。")).to_be_visible()
    request = customer_pb2.ListCustomersRequest(page_size=1)
    left = branch.teller.ask("customer", CustomerServiceStub, "ListCustomers", request)

    assert not groups_of(branch.teller, "我的客户")
    assert left.total_size == len(branch.own)
    assert branch.teller.faults == branch.manager.faults == []


def test_wishes_of_a_customer_are_kept_on_the_sheet(branch):
    """Channel, time and frequency are edited where the sheet is edited, and shown on the customer's page."""
    page = branch.teller.page
    name = branch.own[0].name
    page.goto(f"{branch.address}/admin/customers/details/?id={name}")
    page.get_by_role("link", name="编辑").click()
    page.get_by_label("偏好渠道").select_option(label="短信")
    page.get_by_label("偏好时段").select_option(label="工作日晚间")
    page.get_by_label("联络频率").select_option(label="每月一次")
    sound(page)
    page.get_by_role("button", name="保存").click()
    sheet = page.get_by_label("信息梳理表")
    expect(sheet).to_contain_text("工作日晚间")
    expect(sheet).to_contain_text("每月一次")
    kept = branch.teller.ask(
        "customer",
        CustomerServiceStub,
        "GetCustomer",
        customer_pb2.GetCustomerRequest(name=name),
    ).profile_sheet

    assert (kept.preferred_channel, kept.preferred_time, kept.contact_frequency) == (
        1,
        3,
        3,
    )
