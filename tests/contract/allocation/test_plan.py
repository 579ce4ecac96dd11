"""Plans by value first: drafted the same each time, listed in scope, changed by hand, each refusal by reason."""

import pytest_asyncio
from guanhu.allocation.v1 import allocation_events_pb2 as facts
from guanhu.allocation.v1 import plan_pb2
from guanhu.customer.v1 import customer_pb2

from tests.builders import request_id
from tests.plans import (
    OWNERS,
    PEOPLE,
    apply,
    asking,
    assign,
    draft,
    edit,
    gini,
    got,
    hold,
    items,
    keys,
    owned,
    plain,
    plans,
    recall,
    set_parameter,
    start,
    told,
    undo,
)
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with two branches, staff of several posts, and customers who wait."""
    running = await start(bank)
    yield running
    await running.stop()


async def test_value_first_is_drafted_and_nobody_changes_hands(served):
    """A draft tells for each customer who would get them and why, and how loaded owners would be; nothing else."""
    plan = await draft(served)
    again = await draft(served)
    found = await items(served, plan)
    expected, counts, assets = plain(PEOPLE, 2)
    loads = {one.owner.partition("/")[2]: one for one in plan.loads}
    first, last = found[0], found[-1]
    inputs = {one.key: one.value for one in first.inputs}

    assert [one.rank for one in found] == list(range(1, 13))
    assert list(keys(found).items()) == list(expected.items())
    assert (plan.item_count, plan.assign_count, plan.leave_count) == (12, 6, 6)
    assert [one.owner for one in plan.loads] == [f"staff/{one}" for one in OWNERS]
    assert {key: one.count_after for key, one in loads.items()} == counts
    assert {
        key: one.financial_assets_after.units * 100 for key, one in loads.items()
    } == assets
    assert plan.fairness_after.count_gini_permille == gini(list(counts.values()))
    assert plan.fairness_after.assets_gini_permille == gini(list(assets.values()))
    assert (plan.fairness_after.least_count, plan.fairness_after.most_count) == (2, 2)
    assert plan.fairness_before == plan_pb2.Fairness()
    assert again.input_digest == plan.input_digest
    assert again.name != plan.name
    assert keys(await items(served, again)) == expected
    assert (first.rule, last.rule) == ("value_first", "limit_reached")
    assert inputs["tier"] == str(PEOPLE[first.customer.partition("/")[2]][0])
    assert "staff/keeper" in first.sentence
    assert "管户最少" in first.sentence_zh
    assert "上限 2 户" in last.sentence_zh
    assert (first.mode, last.mode) == (1, 0)
    assert first.HasField("cultivation_end_date")
    assert not last.HasField("cultivation_end_date")
    assert plan.display_name.startswith("价值优先 ")
    assert (plan.drafter, plan.state) == ("staff/manager", 1)
    assert {state for _, state, _ in (await owned(served)).values()} == {1}
    assert not await told(served, facts.CustomersAssigned)


async def test_who_has_more_already_gets_less(served):
    """Loads before count: whoever looks after three already gets nobody while others have fewer."""
    await assign(served, "0", "1", "2")
    rest = {number: one for number, one in PEOPLE.items() if number not in "012"}
    had = sum(PEOPLE[number][1] for number in "012")
    plan = await draft(served, limit=3)
    expected, counts, assets = plain(rest, 3, OWNERS, {"keeper": 3}, {"keeper": had})
    before = plan.fairness_before

    assert keys(await items(served, plan)) == expected
    assert [one.count_before for one in plan.loads] == [3, 0, 0]
    assert [one.count_after for one in plan.loads] == [counts[one] for one in OWNERS]
    assert [one.over_capacity for one in plan.loads] == [
        counts["keeper"] > 5,
        False,
        False,
    ]
    assert before.count_gini_permille == gini([3, 0, 0]) == 1000
    assert plan.fairness_after.assets_gini_permille == gini(list(assets.values()))


async def test_tiers_owners_mode_and_the_pending_narrow_a_plan(served):
    """Only asked-for tiers and owners take part; who is held does so when asked; batch mode is for other posts."""
    await hold(served, "3", "7")
    await assign(served, "11")
    await recall(served, "11")
    diamonds = await draft(served, tiers=[customer_pb2.TIER_DIAMOND])
    held = await draft(served, tiers=[4], include_pending=True, title="含待分配")
    two = await draft(served, owners=["teller", "keeper"], mode=2, limit=4)
    batch = await draft(served, mode=2, limit=4)
    whole = {one for one, (tier, _) in PEOPLE.items() if tier == 4}
    pending = [one for one in await items(served, held) if one.current_state == 2]

    assert set(keys(await items(served, diamonds))) == whole - {"3", "7"} == {"11"}
    assert set(keys(await items(served, held))) == whole == {"3", "7", "11"}
    assert {one.current_owner for one in pending} == {"staff/manager"}
    assert held.display_name == "含待分配"
    assert held.value_first.include_pending
    assert [one.owner for one in two.loads] == ["staff/keeper", "staff/teller"]
    assert two.value_first.owners == ["staff/keeper", "staff/teller"]
    assert [one.owner.partition("/")[2] for one in batch.loads] == [
        "keeper",
        "other_keeper",
        "teller",
    ]
    assert {one.mode for one in await items(served, batch, assigned=True)} == {2}


async def test_a_draft_is_refused_by_reason(served):
    """Owners who cannot own, nobody to give or to give to, too many, and other branches are each refused."""
    cases = {
        ("INVALID_ARGUMENT", "OWNER_POST_MISSING"): asking(owners=["lobby"]),
        ("INVALID_ARGUMENT", "MODE_NOT_FOR_OWNER"): asking(owners=["teller"]),
        ("NOT_FOUND", "NOT_FOUND"): asking(owners=["gone"]),
        ("FAILED_PRECONDITION", "PLAN_EMPTY"): asking(tiers=[5]),
        ("INVALID_ARGUMENT", "FIELD_INVALID"): asking(limit=0),
    }
    got_cases = {
        await refused(plans(served).DraftPlan(request)) for request in cases.values()
    }
    far = await refused(draft(served, "far_manager"))
    upper = await refused(draft(served, "upper_manager", owners=["elsewhere"]))
    await served.sql("UPDATE staff SET posts = '{LOBBY_MANAGER}' WHERE branch_id = 102")
    without = await refused(draft(served, "upper_manager", branch=102))
    await set_parameter(served, "plan_size_limit", "11")
    large = await refused(draft(served))

    assert got_cases == set(cases)
    assert far == ("NOT_FOUND", "NOT_FOUND")
    assert upper == ("INVALID_ARGUMENT", "OWNER_OF_OTHER_BRANCH")
    assert without == ("FAILED_PRECONDITION", "PLAN_WITHOUT_OWNERS")
    assert large == ("RESOURCE_EXHAUSTED", "PLAN_TOO_LARGE")


async def test_capacity_left_counts_where_the_branch_forbids_more(served):
    """Forbidden, nobody is given more than the capacity, and by hand nobody either; then applying is refused too."""
    await set_parameter(served, "capacity_policy", '"FORBID"')
    plan = await draft(served, limit=8, owners=["keeper"])
    found = await items(served, plan)
    beyond = await refused(edit(served, plan, found[-1].customer[10:], "keeper"))
    await assign(served, found[-1].customer.partition("/")[2])
    full = await refused(apply(served, plan))

    assert plan.assign_count == 5
    assert {one.rule for one in found[5:]} == {"capacity_reached"}
    assert "容量" in found[-1].sentence_zh
    assert found[4].inputs[5].key == "given_count"
    assert {one.key: one.value for one in found[4].inputs}["capacity_left"] == "1"
    assert beyond == ("RESOURCE_EXHAUSTED", "CAPACITY_EXCEEDED")
    assert full == ("RESOURCE_EXHAUSTED", "CAPACITY_EXCEEDED")
    assert (await got(served, plan)).state == 1


async def test_a_repeated_request_is_answered_the_same_and_done_once(served):
    """Draft, edit, apply and undo with the same request_id answer alike and change nothing twice."""
    request = asking()
    plan = await plans(served).DraftPlan(request)
    second = await plans(served).DraftPlan(request)
    same = {"request_id": request_id()}
    edited = [await edit(served, plan, "3", "manager", **same) for _ in range(2)]
    now = await got(served, plan)
    applied = [await apply(served, now, **same) for _ in range(2)]
    undone = [await undo(served, applied[0], **same) for _ in range(2)]
    counted = await served.sql("SELECT count(*) FROM assignment_plans")
    versions = await served.sql("SELECT max(version) FROM ownerships")

    assert plan == second
    assert edited[0] == edited[1]
    assert applied[0] == applied[1]
    assert undone[0] == undone[1]
    assert counted[0]["count"] == 1
    assert versions[0]["max"] == 3
    assert now.edited_count == 1


async def test_plans_are_listed_within_the_branches(served):
    """Lists go page by page to the end, filters narrow, loads are left out, and other branches see nothing."""
    drafted = [await draft(served, title=f"方案{place}") for place in range(4)]
    await draft(served, "upper_manager", branch=102, title="二部")
    applied = await apply(served, drafted[2])
    seen, token = [], ""
    while True:
        page = await plans(served).ListPlans(
            plan_pb2.ListPlansRequest(page_size=3, page_token=token)
        )
        seen += [one.display_name for one in page.plans]
        token = page.next_page_token
        if not token:
            break
    sizes = {}
    for who in ("manager", "upper_manager", "far_manager", "auditor"):
        listed = await plans(served, who).ListPlans(plan_pb2.ListPlansRequest())
        sizes[who] = listed.total_size
    ask = plans(served, "auditor").ListPlans
    latest = await ask(plan_pb2.ListPlansRequest(order_by="apply_time desc"))
    named = await ask(plan_pb2.ListPlansRequest(query="案3"))
    done = await ask(plan_pb2.ListPlansRequest(state=2, branch_id=101, principle=3))
    none = await ask(plan_pb2.ListPlansRequest(principle=2))
    hidden = await refused(got(served, applied, "far_manager"))
    within = await refused(items(served, applied, "far_manager"))
    keeper = await refused(got(served, applied, "keeper"))
    unknown = await refused(ask(plan_pb2.ListPlansRequest(order_by="loads")))

    assert seen == [f"方案{place}" for place in (3, 2, 1, 0)]
    assert sizes == {
        "manager": 4,
        "upper_manager": 5,
        "far_manager": 0,
        "auditor": 5,
    }
    assert not any(one.loads for one in latest.plans)
    assert latest.plans[0].name == applied.name
    assert [one.display_name for one in named.plans] == ["方案3"]
    assert [one.name for one in done.plans] == [applied.name]
    assert none.total_size == 0
    assert done.plans[0].fairness_after == applied.fairness_after
    assert hidden == within == ("NOT_FOUND", "NOT_FOUND")
    assert keeper == ("PERMISSION_DENIED", "ROLE_MISSING")
    assert unknown == ("INVALID_ARGUMENT", "ORDER_UNKNOWN")
    assert await got(served, applied) == applied


async def test_customers_of_a_plan_are_listed_by_filter(served):
    """By owner, by given or left, by hand, by outcome, by number, and by assets, each to the end."""
    plan = await draft(served)
    await edit(served, plan, "0", "keeper")
    expected = {**plain(PEOPLE, 2)[0], "0": "keeper"}
    mine = {number for number, owner in expected.items() if owner == "keeper"}
    left = {number for number, owner in expected.items() if not owner}
    found = {
        "mine": await items(served, plan, proposed_owner="staff/keeper"),
        "left": await items(served, plan, assigned=False),
        "given": await items(served, plan, assigned=True),
        "edited": await items(served, plan, edited=True),
        "numbered": await items(served, plan, query="1"),
        "applied": await items(served, plan, outcome=1),
    }
    got_numbers = {key: set(keys(rows)) for key, rows in found.items()}
    rich = await items(served, plan, order_by="financial_assets desc")

    assert got_numbers == {
        "mine": mine,
        "left": left,
        "given": set(expected) - left,
        "edited": {"0"},
        "numbered": {"1", "10", "11"},
        "applied": set(),
    }
    assert [one.financial_assets.units for one in rich] == sorted(
        (assets // 100 for _, assets in PEOPLE.values()), reverse=True
    )


async def test_a_customer_of_a_draft_is_given_by_hand(served):
    """Giving to another, to somebody the plan did not look at, or to nobody moves loads, counts and the etag."""
    plan = await draft(served)
    found = await items(served, plan)
    first, last = found[0], found[-1]
    number, final = (one.customer.partition("/")[2] for one in (first, last))
    moved = await edit(served, plan, number, "teller", mode=2)
    after_one = await got(served, plan)
    stale = await refused(edit(served, plan, number))
    left = await edit(served, after_one, found[1].customer.partition("/")[2])
    after_two = await got(served, plan)
    late = await edit(served, after_two, final, "keeper")
    after_three = await got(served, plan)
    counts = {one.owner.partition("/")[2]: one.count_after for one in after_three.loads}
    assets = [one.financial_assets_after.units for one in after_three.loads]

    assert (moved.rule, moved.edited, moved.edit_reason) == (
        "by_hand",
        True,
        "客户要求",
    )
    assert (moved.proposed_owner, moved.mode) == ("staff/teller", 2)
    assert moved.sentence == "staff/manager chose staff/teller by hand."
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert len({plan.etag, after_one.etag, after_two.etag, after_three.etag}) == 4
    assert (left.proposed_owner, left.mode) == ("", 0)
    assert "保持不变" in left.sentence_zh
    assert (late.proposed_owner, late.mode) == ("staff/keeper", 1)
    assert (after_two.assign_count, after_two.leave_count) == (5, 7)
    assert (after_three.assign_count, after_three.edited_count) == (6, 3)
    listed = keys(await items(served, plan, assigned=True))
    owners = (*OWNERS, "teller")
    assert counts == {one: list(listed.values()).count(one) for one in owners}
    assert assets == [
        sum(PEOPLE[number][1] for number, owner in listed.items() if owner == one)
        // 100
        for one in owners
    ]
    assert after_three.fairness_after.count_gini_permille == gini(list(counts.values()))
    assert after_three.fairness_after.assets_gini_permille == gini(assets)


async def test_editing_is_refused_by_reason(served):
    """Unfit owners, unknown customers, a missing or foreign etag, other branches and plans that are done."""
    plan = await draft(served)
    cases = [
        await refused(edit(served, plan, "0", "lobby")),
        await refused(edit(served, plan, "0", "teller")),
        await refused(edit(served, plan, "0", "gone")),
        await refused(edit(served, plan, "404", "keeper")),
        await refused(edit(served, plan, "0", "keeper", etag="")),
        await refused(edit(served, plan, "0", "keeper", reason="")),
        await refused(edit(served, plan, "0", "elsewhere", who="upper_manager")),
        await refused(edit(served, plan, "0", "keeper", who="far_manager")),
    ]
    applied = await apply(served, plan)
    late = await refused(edit(served, applied, "0", "keeper"))

    assert cases == [
        ("INVALID_ARGUMENT", "OWNER_POST_MISSING"),
        ("INVALID_ARGUMENT", "MODE_NOT_FOR_OWNER"),
        ("NOT_FOUND", "NOT_FOUND"),
        ("NOT_FOUND", "NOT_FOUND"),
        ("INVALID_ARGUMENT", "ETAG_REQUIRED"),
        ("INVALID_ARGUMENT", "FIELD_INVALID"),
        ("INVALID_ARGUMENT", "OWNER_OF_OTHER_BRANCH"),
        ("NOT_FOUND", "NOT_FOUND"),
    ]
    assert late == ("FAILED_PRECONDITION", "PLAN_NOT_DRAFT")
