"""Plans between the contract's messages and values, and how a decision about a customer reads."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from guanhu.allocation.v1 import ownership_pb2
from guanhu.allocation.v1 import plan_pb2 as pb

from services.allocation.ownership.rules import Mode, over_capacity
from services.allocation.plan.actions.edit import Edit, Read
from services.allocation.plan.queries import Filters, ItemFilters
from services.allocation.plan.rules import INPUTS, Parameters, Rule
from services.chassis.errors import Invalid
from services.chassis.names import key_of, keys_of, name_of, optional_key
from services.chassis.wiretypes import date_to, money_to, time_to, version_from

SENTENCES = {
    Rule.VALUE_FIRST: (
        "Place {rank} by tier and assets; {owner} had the fewest customers, {owner_count}, of all who had room.",
        "按等级和资产排第 {rank} 位；有余量的人员中 {owner} 管户最少（{owner_count} 户）。",
    ),
    Rule.LIMIT_REACHED: (
        "Place {rank} by tier and assets; every owner has the {limit_per_owner} customers the plan gives at most.",
        "按等级和资产排第 {rank} 位；每位人员均已达到本方案上限 {limit_per_owner} 户，客户保持不变。",
    ),
    Rule.CAPACITY_REACHED: (
        "Place {rank} by tier and assets; no owner has room, by capacity or the plan's limit of {limit_per_owner}.",
        "按等级和资产排第 {rank} 位；所有人员均已达到管户容量或本方案上限 {limit_per_owner} 户，客户保持不变。",
    ),
    Rule.BY_HAND: (
        "{editor} chose {owner} by hand.",
        "{editor} 手工选定 {owner}。",
    ),
}
"""How a decision reads, by the rule that decided."""

LEFT_BY_HAND = (
    "{editor} decided by hand to leave the customer as they are.",
    "{editor} 手工决定该客户保持不变。",
)


def plan_to(row: Any, loads: Any = ()) -> pb.AssignmentPlan:
    """Return one row, with its owners' *loads* where they are given, as the contract's plan."""
    return pb.AssignmentPlan(
        name=name_of("plans", row.plan_id),
        branch=name_of("branches", row.branch_id),
        display_name=row.display_name,
        principle=row.principle,
        value_first=pb.ValueFirstParameters(
            limit_per_owner=row.limit_per_owner,
            tiers=row.tiers,
            owners=[name_of("staff", one) for one in row.owners],
            mode=row.mode,
            include_pending=row.include_pending,
        ),
        state=row.state,
        item_count=row.item_count,
        assign_count=row.assign_count,
        leave_count=row.leave_count,
        edited_count=row.edited_count,
        applied_count=row.applied_count,
        skipped_count=row.skipped_count,
        restored_count=row.restored_count,
        kept_count=row.kept_count,
        loads=map(load_to, loads),
        fairness_before=pb.Fairness(**row.fairness_before),
        fairness_after=pb.Fairness(**row.fairness_after),
        rule_version=row.rule_version,
        input_digest=row.input_digest,
        drafter=name_of("staff", row.drafter),
        applier=name_of("staff", row.applier),
        apply_time=time_to(row.apply_time),
        undoer=name_of("staff", row.undoer),
        undo_time=time_to(row.undo_time),
        undo_reason=row.undo_reason,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )


def load_to(load: Mapping[str, Any]) -> ownership_pb2.OwnerLoad:
    """Return one owner's load, as plans keep it, as the contract's."""
    return ownership_pb2.OwnerLoad(
        owner=name_of("staff", load["owner"]),
        capacity=load["capacity"],
        count_before=load["count_before"],
        count_after=load["count_after"],
        financial_assets_before=money_to(load["assets_before"]),
        financial_assets_after=money_to(load["assets_after"]),
        over_capacity=over_capacity(load["count_after"], load["capacity"]),
    )


def item_to(row: Any) -> pb.PlanItem:
    """Return one row as the contract's customer of a plan."""
    sentence, sentence_zh = sentences_of(row)
    return pb.PlanItem(
        name=f"planItems/{row.plan_id}.{row.number}",
        plan=name_of("plans", row.plan_id),
        customer=name_of("customers", row.number),
        rank=row.rank,
        current_owner=name_of("staff", row.current_owner),
        current_state=row.current_state,
        proposed_owner=name_of("staff", row.proposed_owner),
        mode=row.mode,
        cultivation_end_date=date_to(row.cultivation_end_date),
        rule=row.rule,
        sentence=sentence,
        sentence_zh=sentence_zh,
        inputs=[
            ownership_pb2.RuleInput(key=key, value=row.inputs[key])
            for key in INPUTS
            if key in row.inputs
        ],
        tier=row.tier,
        customer_type=row.customer_type,
        source=row.source,
        financial_assets=money_to(row.financial_assets, row.currency),
        edited=row.edited,
        edit_reason=row.edit_reason,
        outcome=row.outcome,
    )


def sentences_of(row: Any) -> tuple[str, str]:
    """Return what was decided about a customer in one English and one Chinese sentence."""
    rule = Rule(row.rule)
    left = rule is Rule.BY_HAND and not row.proposed_owner
    en, zh = LEFT_BY_HAND if left else SENTENCES[rule]
    facts = {
        **row.inputs,
        "rank": row.rank,
        "owner": name_of("staff", row.proposed_owner),
    }
    return en.format(**facts), zh.format(**facts)


def parameters_from(request: pb.DraftPlanRequest) -> Parameters:
    """Return what a plan is to be drafted with; tiers and owners in ascending order."""
    asked = request.value_first
    return Parameters(
        branch_id=request.branch_id,
        limit_per_owner=asked.limit_per_owner,
        mode=asked.mode or int(Mode.PROFESSIONAL),
        tiers=tuple(sorted(asked.tiers)),
        owners=tuple(sorted(keys_of("staff", list(asked.owners)))),
        include_pending=asked.include_pending,
    )


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a plan."""
    return UUID(key_of("plans", name))


def read_from(request: Any) -> Read:
    """Return which plan a request is about, as read when; refuses ETAG_REQUIRED."""
    return Read(id_from(request.name), version_from(request.etag))


def edit_from(request: pb.EditPlanItemRequest) -> tuple[Read, Edit]:
    """Return which plan, as read when, and what is decided about which of its customers; refuses ETAG_REQUIRED."""
    collection, _, key = request.name.partition("/")
    plan_id, _, number = key.partition(".")
    if collection != "planItems":
        raise Invalid("NAME_MALFORMED", pattern="planItems/...")
    change = Edit(
        number=number,
        owner=optional_key("staff", request.proposed_owner),
        mode=request.mode,
        reason=request.reason,
    )
    return Read(UUID(plan_id), version_from(request.etag)), change


def filters_from(request: pb.ListPlansRequest) -> Filters:
    """Return the filters of a list of plans."""
    return Filters(
        query=request.query,
        branch_id=request.branch_id,
        state=request.state,
        principle=request.principle,
    )


def item_filters_from(request: pb.ListPlanItemsRequest) -> ItemFilters:
    """Return the filters of a list of a plan's customers."""
    return ItemFilters(
        query=request.query,
        proposed_owner=optional_key("staff", request.proposed_owner),
        assigned=request.assigned if request.HasField("assigned") else None,
        edited=request.edited,
        outcome=request.outcome,
    )
