"""What kinds of reminders there are: category, type of contact event, and how long each is shown."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum


class Category(IntEnum):
    """The handbook's six categories, with the contract's numbers."""

    RISK = 1
    OPPORTUNITY = 2
    INFO = 3
    TASK = 4
    FUND = 5
    APPROVAL = 6


class EventType(IntEnum):
    """The handbook's six types of contact events, with the contract's numbers."""

    LIFE = 1
    BEHAVIOUR = 2
    PRODUCT = 3
    ACTIVITY = 4
    MARKET = 5
    OTHER = 6


class Kind(IntEnum):
    """What a reminder is about, with the contract's numbers."""

    LARGE_OUTFLOW = 1
    ASSETS_FELL = 2
    CARD_BELOW_STANDARD = 3
    LARGE_INFLOW = 10
    PRODUCT_MATURING = 11
    ASSETS_ROSE = 12
    QUALIFIED_WITHOUT_CARD = 13
    BECAME_VIP = 14
    OWNERSHIP_CHANGED = 20
    BIRTHDAY = 21
    BIRTHDAY_LUNAR = 22
    ANNIVERSARY = 23
    FESTIVAL = 24


class State(IntEnum):
    """Whether a reminder still calls for something, with the contract's numbers."""

    OPEN = 1
    PLANNED = 2
    DONE = 3
    DISMISSED = 4


UNSETTLED = frozenset({State.OPEN, State.PLANNED})
"""States in which a contact, or a dismissal, settles a reminder."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What all reminders of one kind share; ``coming`` kinds are about a day ahead and end with it."""

    category: Category
    event_type: EventType
    coming: bool = False


SORTS = {
    Kind.LARGE_OUTFLOW: Sort(Category.RISK, EventType.BEHAVIOUR),
    Kind.ASSETS_FELL: Sort(Category.RISK, EventType.BEHAVIOUR),
    Kind.CARD_BELOW_STANDARD: Sort(Category.RISK, EventType.PRODUCT),
    Kind.LARGE_INFLOW: Sort(Category.OPPORTUNITY, EventType.BEHAVIOUR),
    Kind.PRODUCT_MATURING: Sort(Category.OPPORTUNITY, EventType.BEHAVIOUR, coming=True),
    Kind.ASSETS_ROSE: Sort(Category.OPPORTUNITY, EventType.BEHAVIOUR),
    Kind.QUALIFIED_WITHOUT_CARD: Sort(Category.OPPORTUNITY, EventType.PRODUCT),
    Kind.BECAME_VIP: Sort(Category.OPPORTUNITY, EventType.PRODUCT),
    Kind.OWNERSHIP_CHANGED: Sort(Category.INFO, EventType.OTHER),
    Kind.BIRTHDAY: Sort(Category.INFO, EventType.LIFE, coming=True),
    Kind.BIRTHDAY_LUNAR: Sort(Category.INFO, EventType.LIFE, coming=True),
    Kind.ANNIVERSARY: Sort(Category.INFO, EventType.LIFE, coming=True),
    Kind.FESTIVAL: Sort(Category.INFO, EventType.LIFE, coming=True),
}
"""Category and event type of every kind (source: handbook, table of work reminders and of contact events)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One fact about one customer, as another service told it.

    ``key`` tells it from other facts of the same kind; ``day`` is when it happened or will; ``seen`` the day from
    which it is known. ``amount`` is in minor units.
    """

    number: str
    kind: Kind
    key: str
    day: date
    seen: date
    amount: int | None = None
    currency: str = ""
    holding: str = ""
    product: str = ""


def end_of(fact: Fact, days_shown: int) -> date:
    """Return the last day on which *fact* is shown: the day itself when it is coming, else *days_shown* days on."""
    if SORTS[fact.kind].coming:
        return max(fact.day, fact.seen)
    return fact.seen + timedelta(days=days_shown - 1)
