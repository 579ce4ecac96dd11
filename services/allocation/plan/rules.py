"""
Who gets whom by value first, how owners are loaded then, and when what was decided still holds.

Everything here is a plain computation: the same customers, owners and parameters give the same plan.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any

from services.allocation.ownership.rules import State

RULE_VERSION = 1
"""Counts up when a rule of this module decides otherwise than before."""


class PlanState(IntEnum):
    """Where a plan stands, with the contract's numbers."""

    DRAFT = 1
    APPLIED = 2
    UNDONE = 3


class Outcome(IntEnum):
    """What became of one customer of a plan, with the contract's numbers."""

    NONE = 0
    APPLIED = 1
    SKIPPED = 2
    RESTORED = 3
    KEPT = 4


class Rule(StrEnum):
    """Keys of the rules that decide about a customer."""

    VALUE_FIRST = "value_first"
    LIMIT_REACHED = "limit_reached"
    CAPACITY_REACHED = "capacity_reached"
    BY_HAND = "by_hand"


WAITING = (State.UNASSIGNED, State.RECALLED)
"""States of customers whom nobody looks after or holds."""

INPUTS = (
    "tier",
    "financial_assets_minor",
    "owner_count",
    "owner_assets_minor",
    "capacity_left",
    "given_count",
    "limit_per_owner",
    "editor",
)
"""Facts that go into decisions, in the order the rules look at them."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a plan is drafted with; no ``tiers`` means every tier, no ``owners`` everybody who may own in ``mode``."""

    branch_id: int
    limit_per_owner: int
    mode: int
    tiers: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()
    include_pending: bool = False

    @property
    def states(self) -> tuple[State, ...]:
        """Return the states in which customers are given away."""
        return (*WAITING, State.PENDING) if self.include_pending else WAITING


@dataclass(frozen=True, slots=True)
class Candidate:
    """A customer whom the plan may give away, as they are now; assets in minor units."""

    number: str
    tier: int
    financial_assets: int
    owner: str
    state: int


@dataclass(frozen=True, slots=True)
class Load:
    """How much one owner looks after, before the plan and after it; assets in minor units, capacity 0 unlimited."""

    owner: str
    capacity: int
    count_before: int
    assets_before: int
    count_after: int
    assets_after: int


@dataclass(frozen=True, slots=True)
class Fairness:
    """How evenly owners are loaded; shares in thousandths."""

    least_count: int
    most_count: int
    count_gini_permille: int
    assets_gini_permille: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What is decided about one customer: the place in the order, the owner (empty: left), the rule and its inputs."""

    number: str
    rank: int
    owner: str
    rule: Rule
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """An ownership as somebody saw it."""

    version: int
    owner: str
    state: int


def fresh_load(owner: str, capacity: int, count: int, assets: int) -> Load:
    """Return the load of an owner to whom the plan gives nobody yet."""
    return Load(owner, capacity, count, assets, count, assets)


def given(load: Load, assets: int, count: int = 1) -> Load:
    """Return *load* with *count* customers of *assets* in all more after the plan; a negative *count* gives back."""
    return replace(
        load,
        count_after=load.count_after + count,
        assets_after=load.assets_after + assets,
    )


def ordered(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return *candidates* by value: the highest tier first, then the most assets, then the lowest number."""
    return sorted(
        candidates, key=lambda one: (-one.tier, -one.financial_assets, one.number)
    )


def room_of(load: Load, limit: int, *, forbid: bool) -> int:
    """Return how many customers the plan may give to an owner; *forbid* says that capacity is never exceeded."""
    if not forbid or not load.capacity:
        return limit
    return max(0, min(limit, load.capacity - load.count_before))


def draft(
    candidates: Iterable[Candidate],
    loads: Sequence[Load],
    *,
    limit: int,
    forbid: bool,
) -> tuple[list[Choice], list[Load]]:
    """
    Return what is decided about each customer in the order of value, and the owners' loads, ascending by owner.

    Each customer goes to the owner with the fewest customers, counting those given by this plan already; then to the
    one with the least assets, then to the lowest key. Whoever has *limit* of this plan, or no capacity left where the
    branch forbids to exceed it, gets no more; when nobody is left, customers stay as they are.
    Source: handbook, value first, a limited number at a time, and not more than can be looked after well.
    """
    after = {one.owner: one for one in loads}
    room = {one.owner: room_of(one, limit, forbid=forbid) for one in loads}
    full = Rule.LIMIT_REACHED
    if any(left < limit for left in room.values()):
        full = Rule.CAPACITY_REACHED
    queue = [_place(one) for one in loads if room[one.owner]]
    heapq.heapify(queue)
    choices = []
    for rank, one in enumerate(ordered(candidates), 1):
        facts = {
            "tier": str(one.tier),
            "financial_assets_minor": str(one.financial_assets),
        }
        if not queue:
            facts["limit_per_owner"] = str(limit)
            choices.append(Choice(one.number, rank, "", full, facts))
            continue
        owner = queue[0][2]
        load = after[owner]
        facts |= facts_of(load) | {"limit_per_owner": str(limit)}
        choices.append(Choice(one.number, rank, owner, Rule.VALUE_FIRST, facts))
        after[owner] = load = given(load, one.financial_assets)
        room[owner] -= 1
        if room[owner]:
            heapq.heapreplace(queue, _place(load))
        else:
            heapq.heappop(queue)
    return choices, [after[owner] for owner in sorted(after)]


def _place(load: Load) -> tuple[int, int, str]:
    return load.count_after, load.assets_after, load.owner


def facts_of(load: Load) -> dict[str, str]:
    """Return what a decision sees of an owner before it gives them one customer more."""
    facts = {
        "owner_count": str(load.count_after),
        "owner_assets_minor": str(load.assets_after),
        "given_count": str(load.count_after - load.count_before),
    }
    if load.capacity:
        facts["capacity_left"] = str(load.capacity - load.count_after)
    return facts


def by_hand(
    number: str, rank: int, facts: Mapping[str, str], *, load: Load | None, editor: str
) -> Choice:
    """Return what a person decides about a customer of whom *facts* are known; no *load* leaves them as they are."""
    kept = {key: facts[key] for key in ("tier", "financial_assets_minor")}
    inputs = kept | (facts_of(load) if load else {}) | {"editor": editor}
    return Choice(number, rank, load.owner if load else "", Rule.BY_HAND, inputs)


def gini_permille(amounts: Iterable[int]) -> int:
    """
    Return the Gini coefficient of *amounts* in thousandths, rounded half up.

    It is corrected for the number of owners, n / (n - 1), so that 1,000 is reached when one of them has all however
    few they are; nobody, one owner, and nothing to share are even. What is below nothing counts as nothing.
    """
    values = sorted(max(0, one) for one in amounts)
    count, total = len(values), sum(values)
    if count < 2 or not total:
        return 0
    weighted = sum(place * value for place, value in enumerate(values, 1))
    above, below = 2 * weighted - (count + 1) * total, (count - 1) * total
    return (2_000 * above + below) // (2 * below)


def fairness(counts: Sequence[int], assets: Sequence[int]) -> Fairness:
    """Return how evenly owners with these *counts* of customers and these *assets* are loaded."""
    return Fairness(
        least_count=min(counts, default=0),
        most_count=max(counts, default=0),
        count_gini_permille=gini_permille(counts),
        assets_gini_permille=gini_permille(assets),
    )


def fairness_before(loads: Sequence[Load]) -> Fairness:
    """Return how evenly owners are loaded before the plan."""
    return fairness(
        [one.count_before for one in loads], [one.assets_before for one in loads]
    )


def fairness_after(loads: Sequence[Load]) -> Fairness:
    """Return how evenly owners are loaded after the plan."""
    return fairness(
        [one.count_after for one in loads], [one.assets_after for one in loads]
    )


def digest_of(
    candidates: Iterable[Candidate],
    loads: Iterable[Load],
    parameters: Parameters,
    *,
    forbid: bool,
) -> str:
    """Return SHA-256 over customers, owners and parameters in hexadecimal; their order does not matter."""
    told: dict[str, Any] = asdict(parameters)
    told |= {"tiers": sorted(parameters.tiers), "owners": sorted(parameters.owners)}
    told["forbid"] = forbid
    customers = sorted(
        (one.number, one.tier, one.financial_assets, one.owner, one.state)
        for one in candidates
    )
    owners = sorted(
        (one.owner, one.capacity, one.count_before, one.assets_before) for one in loads
    )
    text = json.dumps([told, customers, owners], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
