"""
The walk: one line of core banking becomes customer, owner, reminders, plan, contact, opportunity and message.

It is walked on the demonstration bank as its people would walk it: the command of the operator, the portal in a
browser, and gRPC as a branch's front-line desktop speaks it. The steps are those of docs/walk.md.
"""

import csv
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf import field_mask_pb2
from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import consent_pb2, customer_pb2, group_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.engagement.v1 import (
    contact_plan_pb2,
    opportunity_pb2,
    reminder_pb2,
    work_log_pb2,
)
from guanhu.engagement.v1.contact_plan_pb2_grpc import ContactPlanServiceStub
from guanhu.engagement.v1.opportunity_pb2_grpc import OpportunityServiceStub
from guanhu.engagement.v1.reminder_pb2_grpc import ReminderServiceStub
from guanhu.engagement.v1.work_log_pb2_grpc import WorkLogServiceStub
from guanhu.messaging.v1 import batch_pb2, template_pb2
from guanhu.messaging.v1.batch_pb2_grpc import SmsBatchServiceStub
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub
from playwright.sync_api import expect

from services.chassis.clock import day_of, system_clock
from services.chassis.wiretypes import date_to, time_to
from tests.builders import request_id
from tests.collector import Collector
from tests.desks import Desk
from tests.e2e.test_local import Start, environment

GUANHU = Path(sys.executable).with_name("guanhu")
NUMBER, NAME, MOBILE = "6999000001", "行大远", "13800993317"
QUIET, QUIET_NAME = "6999000002", "静思宁"
HOLDING, PRODUCT = "6999000001-BLF180", "BLF180"
INFLOW = 80_000_000
SECONDS = 20
"""How long facts may take from one service to the next on a busy machine."""


@pytest.fixture(scope="module")
def collector():
    """Whoever watches the bank's traces."""
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory, collector):
    """The demonstration bank, started as its user starts it, with somebody who watches its traces."""
    folder = tmp_path_factory.mktemp("walk")
    folder.chmod(0o700)
    told = environment(folder / "state", GUANHU_OTLP_ENDPOINT=collector.endpoint)
    begun = Start(told)
    yield begun
    begun.stop()


@pytest.fixture(scope="module")
def walk(start, chromium, tmp_path_factory):
    """The branch's people, and what the steps leave for each other."""
    desks = {
        name: Desk(start, chromium, post)
        for name, post in {
            "manager": "branch_manager",
            "owner": "customer_manager",
            "teller": "open_counter_teller",
        }.items()
    }
    return SimpleNamespace(
        start=start,
        today=day_of(system_clock()),
        folder=tmp_path_factory.mktemp("core-banking"),
        **desks,
    )


def until(ask, fits, what):
    """Return the first answer of *ask* that fits; facts travel from one service to the next within seconds."""
    end = time.monotonic() + SECONDS
    while True:
        found = ask()
        if fits(found):
            return found
        assert time.monotonic() < end, f"{what} in {SECONDS} s"
        time.sleep(0.1)


def write(folder, name, *lines):
    """Write a file of the snapshot."""
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, lines[0])
        table.writeheader()
        table.writerows(lines)


def a_person(number, name, mobile, today):
    """Return a line about a customer whose birthday is tomorrow."""
    birthday = today + timedelta(days=1)
    return {
        "number": number,
        "branch_id": 1101,
        "display_name": name,
        "gender": "FEMALE",
        "birth_day": birthday.replace(year=1980),
        "mobile": mobile,
        "source": "SYSTEM",
    }


def a_holding(today):
    """Return a line about a holding that matures in three days."""
    return {
        "holding_id": HOLDING,
        "number": NUMBER,
        "product_code": PRODUCT,
        "amount_minor": INFLOW // 2,
        "start_day": today - timedelta(days=177),
        "maturity_day": today + timedelta(days=3),
    }


def test_1_a_line_enters_and_is_judged(walk):
    """A day's files with a faulty line are judged first: the fault is told by file and line, and nothing is stored."""
    write(
        walk.folder,
        "customers",
        a_person(NUMBER, NAME, MOBILE, walk.today),
        a_person(QUIET, QUIET_NAME, "13800993318", walk.today),
    )
    write(walk.folder, "holdings", {**a_holding(walk.today), "product_code": "NONE1"})

    done = bring(walk, "--dry-run")

    assert done.returncode == 3, done.stderr
    assert "holding line 1" in done.stdout + done.stderr
    assert NAME not in done.stdout + done.stderr
    with pytest.raises(grpc.RpcError) as refused:
        the_customer(walk.manager)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def bring(walk, *more):
    """Run the operator's command on the folder."""
    return subprocess.run(
        [GUANHU, "import", walk.folder, "--date", walk.today.isoformat(), *more],
        env={
            **walk.start.told,
            "GUANHU_SECRETS_DIR": f"{walk.start.told['GUANHU_STATE']}/secrets",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def the_customer(desk, number=NUMBER):
    """Return the customer as somebody sees them."""
    request = customer_pb2.GetCustomerRequest(name=f"customers/{number}")
    return desk.ask("customer", CustomerServiceStub, "GetCustomer", request)


def test_2_and_3_the_customer_is_stored_with_figures_holding_and_movement(walk):
    """The mended files are stored: the branch manager sees the customer, valued by assets, with the mobile masked."""
    figures = {"aum_minor": INFLOW, "deposits_minor": INFLOW}
    write(
        walk.folder,
        "positions",
        {"number": NUMBER, "financial_assets_minor": INFLOW, **figures},
        {"number": QUIET, "financial_assets_minor": INFLOW, **figures},
    )
    write(walk.folder, "holdings", a_holding(walk.today))
    write(
        walk.folder,
        "movements",
        {
            "movement_id": "walk-1",
            "number": NUMBER,
            "day": walk.today,
            "amount_minor": INFLOW,
            "channel": "counter",
        },
    )

    done = bring(walk)

    assert done.returncode == 0, done.stderr
    found = the_customer(walk.manager)
    assert found.display_name == NAME
    assert found.financial_assets.units == INFLOW // 100
    assert found.tier == customer_pb2.TIER_PLATINUM
    assert found.mobile.endswith(MOBILE[-4:])
    assert MOBILE not in str(found)


def test_4_and_5_the_queue_shows_the_customer_and_the_manager_gives_them_away(walk):
    """The event is handed out: both wait without an owner until the branch manager chooses one in the portal."""
    for number in (NUMBER, QUIET):
        request = ownership_pb2.ListUnassignedRequest(query=number)
        until(
            lambda asked=request: walk.manager.ask(
                "allocation", OwnershipServiceStub, "ListUnassigned", asked
            ),
            lambda page: page.total_size == 1,
            f"{number} is not in the queue",
        )
        page = walk.manager.open("客户指派")
        box = page.get_by_role("searchbox", name="在列表中搜索")
        box.fill(number)
        box.press("Enter")
        row = page.get_by_role("row").filter(has_text=number)
        expect(row).to_have_count(1)
        row.get_by_role("checkbox").check()
        page.select_option("#owner", walk.owner.staff)
        page.fill("#reason", "客户指定")
        page.get_by_role("button", name="指派", exact=True).click()
        expect(page.get_by_text("已将 1 名客户指派给")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text=number)).to_have_count(0)


def test_5b_the_customer_service_learns_who_may_see_the_customer(walk):
    """The owner, who saw nothing before, finds the customer; a teller who does not look after them still does not."""
    found = until(
        lambda: seen_by(walk.owner), bool, "the owner does not see the customer"
    )
    until(lambda: seen_by(walk.owner, QUIET), bool, "nor the second one")

    assert found.owner == walk.owner.staff
    assert found.maintenance_mode == customer_pb2.MAINTENANCE_MODE_PROFESSIONAL
    assert seen_by(walk.teller) is None


def seen_by(desk, number=NUMBER):
    """Return the customer, or None when they are not in sight."""
    request = customer_pb2.ListCustomersRequest(query=number)
    found = desk.ask("customer", CustomerServiceStub, "ListCustomers", request)
    return next(iter(found.customers), None)


def test_6_reminders_appear_in_their_categories(walk):
    """The money that came in, the holding that matures and the birthday remind the owner, each in its category."""
    request = reminder_pb2.ListRemindersRequest(customer=f"customers/{NUMBER}")
    wanted = {
        reminder_pb2.REMINDER_KIND_LARGE_INFLOW,
        reminder_pb2.REMINDER_KIND_PRODUCT_MATURING,
        reminder_pb2.REMINDER_KIND_BIRTHDAY,
    }
    found = until(
        lambda: (
            walk.owner.ask(
                "engagement", ReminderServiceStub, "ListReminders", request
            ).reminders
        ),
        lambda reminders: wanted <= {one.kind for one in reminders},
        "not every reminder has come",
    )

    by_kind = {one.kind: one for one in found}
    maturing = by_kind[reminder_pb2.REMINDER_KIND_PRODUCT_MATURING]
    assert maturing.holding == f"holdings/{HOLDING}"
    assert maturing.amount.units == INFLOW // 200
    assert {one.owner for one in found} == {walk.owner.staff}
    assert len({one.category for one in found}) > 1


def test_7_the_day_s_plan_is_drafted_submitted_and_approved(walk):
    """The owner drafts a plan of at least twenty in the portal and submits it; the branch manager approves it."""
    page = walk.owner.open("联络计划")
    page.get_by_role("button", name="制定今日计划").click()
    expect(page.get_by_role("link", name=NAME)).to_be_visible()
    rows = page.get_by_role("region").get_by_role("row")
    assert rows.count() > 20
    page.get_by_role("button", name="提交审核").click()
    expect(page.get_by_text("计划已提交")).to_be_visible()

    page = walk.manager.open("联络计划")
    page.get_by_role("row").filter(has_text=walk.today.isoformat()).get_by_role(
        "link"
    ).first.click()
    expect(page.get_by_role("link", name=NAME)).to_be_visible()
    page.get_by_role("button", name="通过").click()
    expect(page.get_by_text("计划已通过")).to_be_visible()

    walk.plan = the_plan(walk)
    assert walk.plan.state == contact_plan_pb2.CONTACT_PLAN_STATE_APPROVED
    assert walk.plan.reviewer == walk.manager.staff
    assert walk.plan.item_count >= walk.plan.minimum_count == 20


def the_plan(walk):
    """Return the owner's plan of today."""
    request = contact_plan_pb2.ListContactPlansRequest(plan_date=date_to(walk.today))
    listed = walk.owner.ask(
        "engagement", ContactPlanServiceStub, "ListContactPlans", request
    )
    request = contact_plan_pb2.GetContactPlanRequest(name=listed.contact_plans[0].name)
    return walk.owner.ask(
        "engagement", ContactPlanServiceStub, "GetContactPlan", request
    )


def test_8_the_contact_is_logged_with_item_sheet_and_opportunity_in_one_call(walk):
    """One call from the desktop writes the log, finishes the plan's item and opens an opportunity."""
    sheet = customer_pb2.ProfileSheet(
        occupation="个体经营", preferences="偏好短期限理财"
    )
    answer = walk.owner.ask(
        "engagement",
        WorkLogServiceStub,
        "RecordContact",
        work_log_pb2.RecordContactRequest(
            customer=f"customers/{NUMBER}",
            contact=customer_pb2.Contact(
                contact_time=time_to(system_clock()),
                channel=customer_pb2.CHANNEL_CALL,
                result=customer_pb2.CONTACT_RESULT_REACHED,
            ),
            event_type=reminder_pb2.CONTACT_EVENT_TYPE_PRODUCT,
            content="到期资金拟转入180天产品，请周四来行办理。",
            contact_plan=walk.plan.name,
            new_opportunity=opportunity_pb2.Opportunity(
                opportunity_class=opportunity_pb2.OPPORTUNITY_CLASS_PRODUCT,
                target_product=f"products/{PRODUCT}",
                lead="到期承接，意向四十万",
            ),
            profile_sheet=sheet,
            sheet_mask=field_mask_pb2.FieldMask(paths=["occupation", "preferences"]),
            request_id=request_id(),
        ),
    )
    walk.opportunity = answer.opportunity

    assert answer.work_log.contact_plan == walk.plan.name
    assert answer.item.state == contact_plan_pb2.CONTACT_PLAN_ITEM_STATE_DONE
    assert answer.opportunity.customer == f"customers/{NUMBER}"
    done = {item.customer: item.state for item in the_plan(walk).items}
    assert done[f"customers/{NUMBER}"] == contact_plan_pb2.CONTACT_PLAN_ITEM_STATE_DONE


def test_8b_the_profile_sheet_follows(walk):
    """What the owner learned reaches the customer service, with the day of the last contact."""
    found = until(
        lambda: the_customer(walk.owner),
        lambda customer: customer.profile_sheet.occupation,
        "the sheet was not written",
    )

    assert found.profile_sheet.occupation == "个体经营"
    assert found.profile_sheet.preferences == "偏好短期限理财"
    assert found.last_contact.channel == customer_pb2.CHANNEL_CALL


def test_9_the_opportunity_moves_on(walk):
    """The owner advances the opportunity; a desktop that still holds the former state is refused."""
    request = opportunity_pb2.AdvanceOpportunityRequest(
        name=walk.opportunity.name,
        etag=walk.opportunity.etag,
        stage=opportunity_pb2.OPPORTUNITY_STAGE_NEED_CONFIRMED,
        feedback="约定周四面谈",
        request_id=request_id(),
    )
    answer = walk.owner.ask(
        "engagement", OpportunityServiceStub, "AdvanceOpportunity", request
    )
    request.request_id = request_id()
    with pytest.raises(grpc.RpcError) as refused:
        walk.owner.ask(
            "engagement", OpportunityServiceStub, "AdvanceOpportunity", request
        )

    assert answer.stage == opportunity_pb2.OPPORTUNITY_STAGE_NEED_CONFIRMED
    assert refused.value.code() == grpc.StatusCode.ABORTED


def test_10_a_batch_is_prepared_and_the_question_asked(walk):
    """The owner chooses template and group, and is told who asked not to be disturbed before anything is sent."""
    quiet = consent_pb2.SetDoNotDisturbRequest(
        customer=f"customers/{QUIET}", do_not_disturb=True, request_id=request_id()
    )
    walk.owner.ask("customer", ConsentServiceStub, "SetDoNotDisturb", quiet)
    an_approved_template(walk)
    a_group(walk)

    page = walk.owner.open("批量短信")
    page.get_by_role("link", name="新建批次").click()
    page.get_by_text("走一遍·到期提醒").click()
    page.get_by_text("走一遍·到期客户").click()
    page.get_by_role("button", name="检查发送对象").click()

    expect(page.get_by_text("免打扰").first).to_be_visible()
    expect(page.get_by_text(f"{NAME[0]}女士").first).to_be_visible()
    page.locator("summary").filter(has_text="免打扰").click()
    expect(page.get_by_text(QUIET)).to_be_visible()


def an_approved_template(walk):
    """Let the owner write a template and the branch manager approve it."""
    made = walk.owner.ask(
        "messaging",
        TemplateServiceStub,
        "CreateTemplate",
        template_pb2.CreateTemplateRequest(
            template=template_pb2.Template(
                display_name="走一遍·到期提醒",
                purpose=consent_pb2.PURPOSE_SERVICE,
                body="尊敬的{{customer_title}}，您的理财产品即将到期，欢迎莅临{{branch_name}}。",
            ),
            request_id=request_id(),
        ),
    )
    submitted = walk.owner.ask(
        "messaging",
        TemplateServiceStub,
        "SubmitTemplate",
        template_pb2.SubmitTemplateRequest(
            name=made.name, etag=made.etag, request_id=request_id()
        ),
    )
    walk.manager.ask(
        "messaging",
        TemplateServiceStub,
        "ApproveTemplate",
        template_pb2.ApproveTemplateRequest(
            name=submitted.name, etag=submitted.etag, request_id=request_id()
        ),
    )


def a_group(walk):
    """Let the owner put both customers into a group."""
    made = walk.owner.ask(
        "customer",
        GroupServiceStub,
        "CreateGroup",
        group_pb2.CreateGroupRequest(
            group=group_pb2.Group(
                display_name="走一遍·到期客户", kind=group_pb2.GROUP_KIND_STATIC
            ),
            request_id=request_id(),
        ),
    )
    walk.owner.ask(
        "customer",
        GroupServiceStub,
        "AddMembers",
        group_pb2.AddMembersRequest(
            group=made.name,
            customers=[f"customers/{NUMBER}", f"customers/{QUIET}"],
            request_id=request_id(),
        ),
    )


def test_11_it_is_sent_over_smpp_and_the_receipt_taken(walk):
    """Answered with yes, the message goes to the SMS centre; its receipt makes it delivered, and the bar ends."""
    page = walk.owner.page
    page.get_by_role("button", name="是，发送").click()
    expect(page.locator("[data-job=state]")).to_have_text(
        "已完成", timeout=SECONDS * 1000
    )
    batch = until(
        lambda: the_batch(walk),
        lambda found: found.delivered_count == 1,
        "no receipt was taken",
    )
    page.reload()

    assert batch.state == batch_pb2.BATCH_STATE_FINISHED
    assert (batch.total_count, batch.excluded_count) == (2, 1)
    expect(page.locator("[data-part=delivered_count]")).to_have_text("1")


def the_batch(walk):
    """Return the owner's batch."""
    request = batch_pb2.ListBatchesRequest(sender=walk.owner.staff)
    return walk.owner.ask(
        "messaging", SmsBatchServiceStub, "ListBatches", request
    ).batches[0]


def test_12_it_shows_in_the_customer_s_history(walk):
    """The customer's page shows the call and the message; whoever was left out has no message in theirs."""
    logs = until(
        lambda: contacts_of(walk, NUMBER),
        lambda found: len(found) == 2,
        "the batch is not in the history",
    )
    page = walk.owner.page
    page.goto(
        f"{walk.start.address('portal')}/admin/customers/details/?id=customers/{NUMBER}"
    )

    assert {log.kind for log in logs} == {
        work_log_pb2.WORK_LOG_KIND_SINGLE,
        work_log_pb2.WORK_LOG_KIND_BATCH,
    }
    assert contacts_of(walk, QUIET) == []
    expect(page.get_by_text("到期资金拟转入180天产品")).to_be_visible()
    expect(page.get_by_text("走一遍·到期提醒")).to_be_visible()
    assert walk.owner.faults + walk.manager.faults == []


def contacts_of(walk, number):
    """Return the contacts with a customer, as the owner sees them."""
    request = work_log_pb2.ListWorkLogsRequest(customer=f"customers/{number}")
    answer = walk.owner.ask("engagement", WorkLogServiceStub, "ListWorkLogs", request)
    return list(answer.work_logs)


def test_the_whole_walk_can_be_followed_in_one_trace(walk, collector):
    """The click in the portal, the errand it caused and what followed the event carry one trace."""
    assigned = until(
        lambda: collector.named("AssignCustomers"), bool, "no click was traced"
    )[-1]  # the start of the demonstration assigned customers too
    of_one = until(
        lambda: {
            (span.service, span.name.rpartition("/")[2].rpartition(".")[2]): span
            for span in collector.spans
            if span.trace_id == assigned.trace_id
        },
        lambda found: (
            {
                ("guanhu-engagement", "CustomersAssigned"),
                ("guanhu-allocation", "SetAccess"),
                ("guanhu-customer", "SetAccess"),
            }
            <= found.keys()
        ),
        "the event and the errand were not traced",
    )
    errand = of_one["guanhu-allocation", "SetAccess"]
    stored = of_one["guanhu-customer", "SetAccess"]

    assert stored.parent_id == errand.span_id
    assert 0 < stored.nanoseconds < errand.nanoseconds
    assert not any(span.failed for span in of_one.values())
    assert NUMBER not in str(collector.spans)
