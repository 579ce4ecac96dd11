"""What this noun publishes: opened, won, lost. Never what was said."""

from typing import Any

from guanhu.engagement.v1 import engagement_events_pb2 as pb

from services.chassis.names import name_of
from services.chassis.wiretypes import date_to


def _about(row: Any) -> dict[str, Any]:
    return {
        "opportunity": name_of("opportunities", row.opportunity_id),
        "customer": name_of("customers", row.number),
        "opportunity_class": row.opportunity_class,
        "target_product": name_of("products", row.target_product),
    }


def opened(row: Any) -> pb.OpportunityOpened:
    """Return the event of an opportunity that was opened."""
    return pb.OpportunityOpened(
        **_about(row),
        source=row.source,
        finder=row.finder,
        find_date=date_to(row.find_date),
    )


def won(row: Any, staff: str) -> pb.OpportunityWon:
    """Return the event of an opportunity that *staff* won."""
    return pb.OpportunityWon(
        **_about(row),
        won_amount_minor=row.won_amount or 0,
        currency=row.currency if row.won_amount else "",
        staff=staff,
    )


def lost(row: Any, staff: str) -> pb.OpportunityLost:
    """Return the event of an opportunity that *staff* lost."""
    return pb.OpportunityLost(**_about(row), loss_reason=row.loss_reason, staff=staff)
