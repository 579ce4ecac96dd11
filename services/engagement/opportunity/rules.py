"""How an opportunity may move, and what each step needs."""

from datetime import date, timedelta
from enum import IntEnum


class OpportunityClass(IntEnum):
    """Kinds of business, with the contract's numbers."""

    SIGNING = 1
    PRODUCT = 2
    OTHER = 3


class Stage(IntEnum):
    """How far an opportunity has come, with the contract's numbers; they rise along the way."""

    LEAD = 1
    CONTACTED = 2
    NEED_CONFIRMED = 3
    PRODUCT_PRESENTED = 4
    FEEDBACK_RECEIVED = 5
    WON = 10
    LOST = 11


class Source(IntEnum):
    """Where opportunities come from, with the contract's numbers."""

    SYSTEM = 1
    REFERRAL = 2
    OWNER = 3
    EVENT = 4
    IMPORT = 5


class LossReason(IntEnum):
    """Why opportunities are lost, with the contract's numbers."""

    NO_NEED = 1
    PRICE = 2
    OTHER_BANK = 3
    UNSUITABLE = 4
    NOT_REACHED = 5
    OTHER = 6


def is_open(stage: int) -> bool:
    """Say whether an opportunity in *stage* is neither won nor lost."""
    return stage < Stage.WON


def valid_until(today: date, days: int) -> date:
    """Return the last day on which an opportunity followed *today* is not stale."""
    return today + timedelta(days=days)


def product_fault(opportunity_class: int, target_product: str) -> str:
    """Return the reason why class and product do not fit each other; empty when they do."""
    needs = opportunity_class == OpportunityClass.PRODUCT
    return "" if needs == bool(target_product) else "TARGET_PRODUCT_UNFIT"


def advance_fault(stage: int, later: int, feedback: str) -> str:
    """Return the reason why an opportunity in *stage* cannot move to *later*; empty when it can."""
    if not is_open(stage):
        return "OPPORTUNITY_CLOSED"
    if later <= stage:
        return "STAGE_NOT_LATER"
    if later == Stage.FEEDBACK_RECEIVED and not feedback:
        return "FEEDBACK_REQUIRED"
    return ""


def win_fault(stage: int, opportunity_class: int, amount: int | None) -> str:
    """Return the reason why an opportunity cannot be won with *amount* (minor units); empty when it can."""
    if not is_open(stage):
        return "OPPORTUNITY_CLOSED"
    missing = amount is None and opportunity_class == OpportunityClass.PRODUCT
    if missing or (amount is not None and amount <= 0):
        return "WON_AMOUNT_UNFIT"
    return ""


def loss_fault(stage: int, reason: int, remark: str) -> str:
    """Return the reason why an opportunity cannot be lost so; empty when it can."""
    if not is_open(stage):
        return "OPPORTUNITY_CLOSED"
    if reason == LossReason.OTHER and not remark:
        return "LOSS_REMARK_REQUIRED"
    return ""
