"""Plans carried out: given through the same code as by hand, whoever changed meanwhile skipped, and put back again."""

from datetime import timedelta

import pytest_asyncio
from guanhu.allocation.v1 import allocation_events_pb2 as facts
from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import customer_events_pb2 as customer
from guanhu.customer.v1 import customer_pb2

from tests.plans import (
    OWNERS,
    PEOPLE,
    apply,
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
    recall,
    register,
    set_parameter,
    start,
    told,
    undo,
)
from tests.refusals import refused

UNASSIGNED, PENDING, ACTIVE, RECALLED = 1, 2, 3, 4
APPLIED, SKIPPED, RESTORED, KEPT = 1, 2, 3, 4


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with two branches, staff of several posts, and customers who wait."""
    running = await start(bank)
    yield running
    await running.stop()


async def explained(served, number):
    """Return why a customer has the owner they have."""
    return await served.as_("manager")(OwnershipServiceStub).ExplainOwnership(
        ownership_pb2.ExplainOwnershipRequest(name=f"ownerships/{number}")
    )


async def history(served, number):
    """Return what happened to one ownership, newest first."""
    answer = await served.as_("manager")(OwnershipServiceStub).ListOwnershipHistory(
        ownership_pb2.ListOwnershipHistoryRequest(ownership=f"ownerships/{number}")
    )
    return list(answer.ownership_changes)


async def accesses(served):
    """Return what the customer service is to be told: number to owner and mode, the last word on each."""
    rows = await served.sql("SELECT request FROM errands ORDER BY errand_id")
    found = {}
    for row in rows:
        for one in customer_pb2.SetAccessRequest.FromString(row["request"]).accesses:
            found[one.customer.partition("/")[2]] = (
                one.owner.partition("/")[2],
                one.maintenance_mode,
            )
    return found


async def outcomes(served, plan):
    """Return what became of each customer of a plan."""
    found = await items(served, plan)
    return {one.customer.partition("/")[2]: one.outcome for one in found}


async def test_what_was_drafted_is_given_and_everybody_is_told(served):
    """Applying gives exactly what was looked at, with history, events, access, principle, and an explanation."""
    plan = await draft(served)
    expected, counts, assets = plain(PEOPLE, 2)
    given = {number: owner for number, owner in expected.items() if owner}
    done = await apply(served, plan)
    after = await owned(served)
    events = await told(served, facts.CustomersAssigned)
    lines = {one.customer.partition("/")[2]: one for one in events[0].lines}
    first = next(iter(given))
    why = await explained(served, first)
    change = (await history(served, first))[0]
    kept = (await history(served, next(reversed(expected))))[0]

    assert (done.state, done.applied_count, done.skipped_count) == (2, 6, 0)
    assert (done.applier, done.HasField("apply_time")) == ("staff/manager", True)
    assert {number: one for number, one in after.items() if one[1] == ACTIVE} == {
        number: (owner, ACTIVE, 1) for number, owner in given.items()
    }
    assert [one.count_before for one in done.loads] == [0, 0, 0]
    assert [one.count_after for one in done.loads] == [counts[one] for one in OWNERS]
    assert done.fairness_after.assets_gini_permille == gini(list(assets.values()))
    assert len(events) == 1
    assert (events[0].plan, events[0].actor) == (plan.name, "staff/manager")
    assert {number: line.owner[6:] for number, line in lines.items()} == given
    assert {line.principle for line in lines.values()} == {3}
    assert await accesses(served) == {
        number: (owner, 1) for number, owner in given.items()
    }
    assert (change.act, change.plan, change.principle) == (2, plan.name, 3)
    assert change.state_after == ACTIVE
    assert kept.act == ownership_pb2.OWNERSHIP_ACT_REGISTERED
    assert (why.rule, why.rule_version) == ("value_first", 1)
    assert (why.proposer, why.approver) == ("staff/manager", "staff/manager")
    assert {one.key for one in why.inputs} >= {"tier", "owner_count"}
    assert "proposer" not in {one.key for one in why.inputs}
    assert why.ownership.plan == plan.name
    assert why.ownership.HasField("cultivation_end_date")
    assert await outcomes(served, plan) == {
        number: APPLIED if owner else 0 for number, owner in expected.items()
    }
    assert await got(served, plan) == done


async def test_an_applied_plan_asks_for_state_and_etag(served):
    """A stale etag, none at all, another branch, and a plan that was applied or undone are refused; nothing changes."""
    plan = await draft(served)
    early = await refused(undo(served, plan))
    await edit(served, plan, "0", "keeper")
    stale = await refused(apply(served, plan))
    now = await got(served, plan)
    missing = await refused(apply(served, now, etag=""))
    far = await refused(apply(served, now, "far_manager"))
    nobody = {state for _, state, _ in (await owned(served)).values()}
    done = await apply(served, now)
    twice = await refused(apply(served, done))
    old = await refused(undo(served, now))
    bare = await refused(undo(served, done, etag=""))
    short = await refused(undo(served, done, reason="错"))
    hidden = await refused(undo(served, done, "far_manager"))
    undone = await undo(served, done)
    again = await refused(undo(served, undone))
    dead = await refused(apply(served, undone))

    assert early == again == ("FAILED_PRECONDITION", "PLAN_NOT_APPLIED")
    assert stale == old == ("ABORTED", "CHANGED_MEANWHILE")
    assert missing == bare == ("INVALID_ARGUMENT", "ETAG_REQUIRED")
    assert far == hidden == ("NOT_FOUND", "NOT_FOUND")
    assert nobody == {UNASSIGNED}
    assert twice == dead == ("FAILED_PRECONDITION", "PLAN_NOT_DRAFT")
    assert short == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_whoever_changed_since_the_draft_is_skipped(served):
    """Given by hand, held, or given and taken back meanwhile: skipped; who is only known better is given."""
    plan = await draft(served, limit=4)
    proposed = keys(await items(served, plan))
    given, held, back, richer = list(proposed)[:4]
    await assign(served, given, owner="manager")
    await hold(served, held)
    await assign(served, back)
    await recall(served, back)
    await register(served, {richer: (5, 9)}, kind=customer.CustomersChanged)
    done = await apply(served, plan)
    after = await owned(served)
    found = await outcomes(served, plan)

    assert (done.applied_count, done.skipped_count) == (9, 3)
    assert [found[one] for one in (given, held, back)] == [SKIPPED] * 3
    assert found[richer] == APPLIED
    assert after[given] == ("manager", ACTIVE, 1)
    assert after[held] == ("manager", PENDING, 0)
    assert after[back] == ("", RECALLED, 0)
    assert after[richer] == (proposed[richer], ACTIVE, 1)
    counted = [one for one, state, _ in after.values() if state == ACTIVE]
    assert [one.count_after for one in done.loads] == [
        counted.count(one) for one in OWNERS
    ]
    assert [one.count_before for one in done.loads] == [0, 1, 0]


async def test_owners_who_cannot_own_any_more_get_nobody(served):
    """Whoever left, or changed post since the draft, gets none of the customers proposed; the others get theirs."""
    plan = await draft(served, limit=4)
    proposed = keys(await items(served, plan))
    await served.sql("UPDATE staff SET state = 'LEFT' WHERE staff_id = 'keeper'")
    await served.sql(
        "UPDATE staff SET posts = '{OPEN_COUNTER_TELLER}' WHERE staff_id = 'other_keeper'"
    )
    done = await apply(served, plan)
    found = await outcomes(served, plan)

    assert (done.applied_count, done.skipped_count) == (4, 8)
    assert found == {
        number: APPLIED if owner == "manager" else SKIPPED
        for number, owner in proposed.items()
    }


async def test_a_choice_by_hand_says_so_when_it_is_explained(served):
    """Who was chosen by hand in a plan is explained so, with who chose, and counts as chosen by hand."""
    plan = await draft(served)
    await edit(served, plan, "0", "teller", mode=2)
    await apply(served, await got(served, plan))
    why = await explained(served, "0")
    change = (await history(served, "0"))[0]

    assert (why.rule, why.proposer) == ("by_hand", "staff/manager")
    assert "in a plan" in why.sentence
    assert "手工选定 staff/teller" in why.sentence_zh
    assert (change.principle, change.plan, change.reason) == (1, plan.name, "客户要求")
    assert (await owned(served))["0"] == ("teller", ACTIVE, 2)


async def test_undoing_puts_back_who_did_not_change(served):
    """Held, taken back and never assigned customers are that again, and everybody is told; who changed is kept."""
    await hold(served, "3", "7")
    await assign(served, "11")
    await recall(served, "11")
    before = await owned(served)
    plan = await draft(served, limit=4, include_pending=True)
    done = await apply(served, plan)
    given = keys(await items(served, plan))
    await recall(served, "10", owner=given["10"])
    await assign(served, "10", owner=given["10"])
    undone = await undo(served, done)
    after = await owned(served)
    taken = (await told(served, facts.CustomersRecalled))[-1]
    put = (await told(served, facts.CustomersAssigned))[-1]
    change = (await history(served, "3"))[0]
    why = await explained(served, "11")
    found = await outcomes(served, plan)

    assert (undone.state, undone.restored_count, undone.kept_count) == (3, 11, 1)
    assert (undone.undoer, undone.undo_reason) == ("staff/manager", "分配有误")
    assert undone.HasField("undo_time")
    assert {**after, "10": before["10"]} == before
    assert after["10"] == (given["10"], ACTIVE, 1)
    assert found == {number: KEPT if number == "10" else RESTORED for number in PEOPLE}
    assert {line.cause for line in taken.lines} == {
        ownership_pb2.RECALL_CAUSE_PLAN_UNDONE
    }
    assert {line.customer[10:]: line.state for line in taken.lines} == {
        number: RECALLED if number == "11" else UNASSIGNED
        for number in PEOPLE
        if number not in ("3", "7", "10")
    }
    assert taken.plan == put.plan == plan.name
    assert {line.customer[10:]: line.state for line in put.lines} == {
        "3": PENDING,
        "7": PENDING,
    }
    told_last = await accesses(served)
    assert told_last == {
        number: (given["10"], 1) if number == "10" else ("", 0) for number in PEOPLE
    }
    assert (change.act, change.plan) == (7, plan.name)
    assert (change.owner_before[6:], change.owner_after) == (
        given["3"],
        "staff/manager",
    )
    assert (why.rule, why.ownership.plan) == ("by_hand", "")
    assert "撤销" in why.sentence_zh
    assert not why.ownership.HasField("cultivation_end_date")


async def test_nobody_is_put_back_under_somebody_who_is_not_the_manager(served):
    """Held customers whose holder is not the branch's manager any more wait to be assigned again."""
    await hold(served, "3")
    plan = await draft(served, limit=9, include_pending=True, owners=["keeper"])
    done = await apply(served, plan)
    await served.sql(
        "UPDATE staff SET posts = '{CUSTOMER_MANAGER}' WHERE staff_id = 'manager'"
    )
    undone = await undo(served, done)

    assert undone.restored_count == 9
    assert (await owned(served))["3"] == ("", RECALLED, 0)


async def test_a_plan_cannot_be_undone_for_ever(served):
    """After so many days as the branch has set, an applied plan stays as it is."""
    await set_parameter(served, "plan_undo_days", "2")
    done = [await apply(served, await draft(served, limit=1)) for _ in range(2)]
    late, early = (served.frame.clock() - timedelta(days=ago) for ago in (2.01, 1.99))
    for plan, moment in zip(done, (late, early), strict=True):
        await served.sql(
            "UPDATE assignment_plans SET apply_time = $2 WHERE plan_id = $1::text::uuid",
            plan.name.partition("/")[2],
            moment,
        )
    refusal = await refused(undo(served, done[0]))
    undone = await undo(served, done[1])

    assert refusal == ("FAILED_PRECONDITION", "PLAN_UNDO_TOO_LATE")
    assert undone.restored_count == 3


async def test_two_plans_of_the_same_customers_give_each_once(served):
    """Of two drafts of the same customers the second skips everybody whom the first gave away."""
    first, second = await draft(served), await draft(served)
    one = await apply(served, first)
    two = await apply(served, second)

    assert (one.applied_count, one.skipped_count) == (6, 0)
    assert (two.applied_count, two.skipped_count) == (0, 6)
