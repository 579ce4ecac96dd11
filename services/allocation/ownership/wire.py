"""Ownerships between the contract's messages and values."""

from collections.abc import Iterable
from typing import Any

from guanhu.allocation.v1 import ownership_pb2 as pb

from services.allocation.ownership import rules
from services.allocation.ownership.actions.give import Batch, Outcome, Skipped
from services.allocation.ownership.queries import Filters, Load, waiting
from services.chassis.errors import Invalid
from services.chassis.names import key_of, name_of, optional_key
from services.chassis.wiretypes import date_to, money_to, time_to

SENTENCES = {
    rules.Act.REGISTERED: (
        "The customer became known; nobody was chosen yet.",
        "客户已进入系统，尚未确定管户人员。",
    ),
    rules.Act.ASSIGNED: (
        "{approver} gave the customer to {owner}.",
        "{approver} 将该客户指派给 {owner}。",
    ),
    rules.Act.HELD: (
        "{approver} held the customer under {owner} until it is decided who gets them.",
        "{approver} 将该客户挂在 {owner} 名下待分配。",
    ),
    rules.Act.TRANSFERRED: (
        "{approver} gave the customer from {before} to {owner}.",
        "{approver} 将该客户由 {before} 移交给 {owner}。",
    ),
    rules.Act.RECALLED: (
        "{approver} took the customer back from {before}.",
        "{approver} 从 {before} 名下收回该客户。",
    ),
    rules.Act.MOVED: (
        "The customer came from branch {branch_before}; nobody was chosen here yet.",
        "客户由网点 {branch_before} 转入，尚未确定管户人员。",
    ),
    rules.Act.RESTORED: (
        "{approver} undid the plan, and the customer went back.",
        "{approver} 撤销了分配方案，客户恢复原状。",
    ),
}
"""How a decision reads, by what was done."""

PLANNED = (
    "The plan chose {owner} by value first, and {approver} applied it.",
    "分配方案按价值优先原则选定 {owner}，由 {approver} 执行。",
)
PLANNED_BY_HAND = (
    "{proposer} chose {owner} by hand in a plan, and {approver} applied it.",
    "{proposer} 在分配方案中手工选定 {owner}，由 {approver} 执行。",
)
ASIDE = frozenset({"proposer", "rule_version"})
"""What is kept with a decision's inputs and is none of them."""


def ownership_to(row: Any) -> pb.Ownership:
    """Return one row as the contract's ownership."""
    return pb.Ownership(
        name=name_of("ownerships", row.number),
        customer=name_of("customers", row.number),
        branch=name_of("branches", row.branch_id),
        owner=name_of("staff", row.owner),
        previous_owner=name_of("staff", row.previous_owner),
        relation=row.relation,
        mode=row.mode,
        state=row.state,
        state_time=time_to(row.state_time),
        cultivation_end_date=date_to(row.cultivation_end_date),
        principle=row.principle,
        plan=name_of("plans", row.plan_id),
        reason=row.reason,
        tier=row.tier,
        customer_type=row.customer_type,
        source=row.source,
        financial_assets=money_to(row.financial_assets, row.currency),
        version=row.version,
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def change_to(row: Any) -> pb.OwnershipChange:
    """Return one row of a history as the contract's change."""
    return pb.OwnershipChange(
        ownership=name_of("ownerships", row.number),
        version=row.version,
        act=row.act,
        change_time=time_to(row.change_time),
        actor=row.actor,
        branch_before=name_of("branches", row.branch_before),
        branch_after=name_of("branches", row.branch_after),
        owner_before=name_of("staff", row.owner_before),
        owner_after=name_of("staff", row.owner_after),
        state_before=row.state_before,
        state_after=row.state_after,
        mode_before=row.mode_before,
        mode_after=row.mode_after,
        principle=row.principle,
        recall_cause=row.recall_cause,
        plan=name_of("plans", row.plan_id),
        reason=row.reason,
    )


def explained_to(row: Any, change: Any, proposer: str) -> pb.ExplainOwnershipResponse:
    """Return why an ownership is as it is: the change that led to it, in words and with what it looked at."""
    proposer = proposer or change.actor
    facts = {
        "approver": change.actor,
        "proposer": proposer,
        "owner": name_of("staff", change.owner_after),
        "before": name_of("staff", change.owner_before),
        "branch_before": change.branch_before,
    }
    planned = change.plan_id is not None and change.act == rules.Act.ASSIGNED
    by_value = planned and change.principle == rules.Principle.VALUE_FIRST
    sentence, sentence_zh = SENTENCES[rules.Act(change.act)]
    if planned:
        sentence, sentence_zh = PLANNED if by_value else PLANNED_BY_HAND
    return pb.ExplainOwnershipResponse(
        ownership=ownership_to(row),
        rule="value_first" if by_value else "by_hand",
        rule_version=int(change.inputs.get("rule_version", rules.RULE_VERSION)),
        sentence=sentence.format(**facts),
        sentence_zh=sentence_zh.format(**facts),
        inputs=[
            pb.RuleInput(key=key, value=str(value))
            for key, value in change.inputs.items()
            if key not in ASIDE
        ],
        decide_time=time_to(change.change_time),
        proposer=proposer,
        approver=change.actor if change.actor.startswith("staff/") else "",
    )


def batch_from(request: Any) -> Batch:
    """Return the customers of a request with the owners that its caller saw; each may come once."""
    expected = {
        key_of("customers", one.customer): optional_key("staff", one.expected_owner)
        for one in request.customers
    }
    if len(expected) != len(request.customers):
        fields = {"customers": "each customer once"}
        raise Invalid("FIELD_INVALID", fields=fields, count=1, named="customers")
    return Batch(expected, request.reason, request.all_or_nothing)


def number_from(name: str) -> str:
    """Return the customer number in the name of an ownership."""
    return key_of("ownerships", name)


def skipped_to(skipped: Iterable[Skipped]) -> list[pb.SkippedCustomer]:
    """Return whom a batch left as they were."""
    return [
        pb.SkippedCustomer(
            customer=name_of("customers", one.number),
            reason=int(one.reason),  # type: ignore[arg-type]
            current_owner=name_of("staff", one.current_owner),
        )
        for one in skipped
    ]


def loads_to(outcome: Outcome) -> list[pb.OwnerLoad]:
    """Return the loads of owners before and after."""
    return [
        load_to(before, after)
        for before, after in zip(outcome.before, outcome.after, strict=True)
    ]


def load_to(before: Load, after: Load) -> pb.OwnerLoad:
    """Return one owner's load before and after."""
    return pb.OwnerLoad(
        owner=name_of("staff", before.owner),
        capacity=before.capacity,
        count_before=before.count,
        count_after=after.count,
        financial_assets_before=money_to(before.assets),
        financial_assets_after=money_to(after.assets),
        over_capacity=rules.over_capacity(after.count, after.capacity),
    )


def queue_from(request: pb.ListUnassignedRequest) -> Filters:
    """Return the filters of the queue."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        states=waiting(request.state),
        tier=request.tier,
        customer_type=request.customer_type,
        source=request.source,
        waiting_days=request.waiting_days,
    )


def filters_from(request: pb.ListOwnershipsRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        owner=optional_key("staff", request.owner),
        states=(request.state,) if request.state else (),
        mode=request.mode,
        tier=request.tier,
        cultivating=request.cultivating,
    )
