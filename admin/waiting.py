"""What waits for the person at the browser, and what is wrong: told from the parts of the first page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from admin import formats
from admin.rights import Person, may
from admin.workbench import APPROVES

PageOf = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits: what it is, what it is called, where it is dealt with."""

    kind: str
    title: str
    note: str
    address: str | None
    tone: str = "warn"


def waiting(
    parts: Mapping[str, Any], person: Person | None, page_of: PageOf
) -> list[Waiting]:
    """Return what waits, alarms first; nothing of a part that cannot be had."""
    gateways, batches = parts.get("gateways"), parts.get("batches")
    found = [alarm(one, page_of) for one in _rows(gateways, "gateways") if one.refused]
    if may(APPROVES):
        staff = person.staff if person else ""
        found += [
            approval(one, page_of)
            for one in _rows(batches, "batches")
            if one.sender != staff
        ]
    return found


def _rows(answer: Any, name: str) -> Any:
    return () if answer is None else getattr(answer, name)


def alarm(gateway: Any, page_of: PageOf) -> Waiting:
    """Return that a centre turns our credentials away."""
    return Waiting(
        kind=_("Alarm"),
        title=_("%(name)s refuses our credentials", name=gateway.display_name),
        note=next((link.reason for link in gateway.links if link.reason), ""),
        address=page_of("gateways.details_view", id=gateway.name),
        tone="bad",
    )


def approval(batch: Any, page_of: PageOf) -> Waiting:
    """Return that a batch of somebody else waits for a second person."""
    return Waiting(
        kind=_("Batch SMS"),
        title=batch.template_display_name,
        note=_(
            "%(count)s people · %(cost)s · planned %(moment)s",
            count=formats.count(batch.total_count - batch.excluded_count),
            cost=f"{batch.cost.currency_code} {formats.amount(formats.cents_of(batch.cost))}",
            moment=formats.moment(batch.create_time),
        ),
        address=page_of("batches.details_view", id=batch.name),
    )
