"""One customer's page, and the figures of many, as the contract shows them."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from guanhu.customer.v1 import overview_pb2 as pb

from services.chassis.clock import day_of
from services.chassis.names import name_of
from services.chassis.wiretypes import date_to, money_to
from services.customer.customer.rules import previous_figure
from services.customer.customer.wire import customer_to
from services.customer.holding.wire import holding_to
from services.customer.overview import rules
from services.customer.overview.queries import HOME, Gathered
from services.customer.position.queries import FIGURES

SUMS = (*FIGURES, *(f"previous_{name}" for name in FIGURES))
GROUPED = {1: "tier", 2: "customer_type", 3: "owner"}
"""The field that says which group it is, by the contract's number of AggregateBy."""


def overview_to(found: Gathered) -> pb.CustomerOverview:
    """Return what was gathered as the contract's five screens."""
    row = found.customer
    return pb.CustomerOverview(
        name=name_of("customers", row.number),
        summary=summary_to(found),
        basics=customer_to(row, found.today),
        wealth_account=account_to(found),
        holdings=[holding_to(one) for one in found.holdings],
        evaluation=evaluation_to(found),
    )


def summary_to(found: Gathered) -> pb.CustomerSummary:
    """Return what to know before a talk; days that cannot be told stay unset."""
    row, measures, today = found.customer, found.measures, found.today
    summary = pb.CustomerSummary(
        maturing_count=measures.maturing_count,
        maturing_amount=money_to(int(measures.maturing_amount), row.currency),
        next_maturity_date=date_to(measures.next_maturity_date),
        risk_assessment_missing=rules.assessment_missing(
            row.risk_level, row.risk_expiry_date, today
        ),
        refusals=[
            pb.Refusal(channel=one.channel, purpose=one.purpose)  # type: ignore[arg-type]
            for one in found.refusals
        ],
    )
    if row.last_contact_time is not None:
        summary.days_since_contact = (today - day_of(row.last_contact_time)).days
    if row.next_contact_on is not None:
        summary.days_until_contact = (row.next_contact_on - today).days
    if row.birth_date is not None:
        summary.days_until_birthday = rules.days_until_birthday(row.birth_date, today)
    return summary


def account_to(found: Gathered) -> pb.WealthAccount:
    """Return assets now and over time."""
    row = found.customer
    newest: date | None = found.periods[-1].snapshot_date if found.periods else None
    return pb.WealthAccount(
        snapshot_date=date_to(newest),
        **{name: money_to(getattr(row, name), row.currency) for name in FIGURES},
        shares=[
            pb.FamilyShare(
                family=one.family,
                holdings_count=one.holdings_count,
                amount=money_to(int(one.amount), row.currency),
            )
            for one in found.shares
        ],
        trend_points=[
            pb.TrendPoint(
                snapshot_date=date_to(one.snapshot_date),
                **{
                    name: money_to(getattr(one, name), one.currency) for name in FIGURES
                },
            )
            for one in found.periods
        ],
    )


def evaluation_to(found: Gathered) -> pb.CustomerEvaluation:
    """Return the figures that judge the customer's value; without a position there is no band yet."""
    row, measures = found.customer, found.measures
    card = rules.card_of(row.tier, row.card_category)
    evaluation = pb.CustomerEvaluation(
        card_due=card.due,
        card_below_standard=card.below_standard,
        product_kinds=measures.product_kinds,
        core_coverage_percent=rules.coverage(
            measures.core_held, measures.core_configured
        ),
        wealth_purchases=measures.wealth_purchases,
        wealth_purchase_amount=money_to(
            int(measures.wealth_purchase_amount), row.currency
        ),
    )
    if row.snapshot_date is not None:
        evaluation.value_band = int(rules.band_of(row.tier, row.customer_type))  # type: ignore[assignment]
    above = rules.next_tier(row.financial_assets, found.thresholds)
    if above is not None:
        evaluation.next_tier = int(above[0])  # type: ignore[assignment]
        evaluation.next_tier_shortfall.CopyFrom(money_to(above[1], row.currency))
    before = previous_figure(
        now=row.financial_assets,
        previous=row.previous_financial_assets,
        changed=row.snapshot_date,
        today=found.today,
    )
    if before is not None:
        evaluation.financial_assets_change.CopyFrom(
            money_to(row.financial_assets - before, row.currency)
        )
    return evaluation


def aggregates_to(rows: Sequence[Any], by: int) -> pb.AggregateCustomersResponse:
    """Return groups as the contract's aggregates, and all of them together."""
    return pb.AggregateCustomersResponse(
        aggregates=[
            _aggregate(
                [row],
                **{
                    GROUPED[by]: name_of("staff", row.grouped)
                    if GROUPED[by] == "owner"
                    else row.grouped
                },
            )
            for row in rows
        ],
        total=_aggregate(rows),
    )


def _aggregate(rows: Sequence[Any], **group: Any) -> pb.CustomerAggregate:
    return pb.CustomerAggregate(
        **group,
        customer_count=sum(row.customer_count for row in rows),
        vip_count=sum(row.vip_count for row in rows),
        **{
            name: money_to(sum(int(getattr(row, name)) for row in rows), HOME)
            for name in SUMS
        },
    )
