"""
What an aggregator says about a message of unknown fate, when nobody listened while its receipt was brought.

Only a whole and readable answer that leaves no doubt says that a message is not there: whatever else comes, a time-out,
an error, a part of a list, or a message to the same number that carries no reference, says nothing.
"""

from collections import Counter
from datetime import date, datetime, timedelta

from services.chassis.clock import day_of
from services.messaging.gateways import Finding, Question, Receipt
from services.messaging.gateways.http_calls import Dialect, Report, Unreadable
from services.messaging.gateways.http_client import NobodyKnows, NothingLeft
from services.messaging.gateways.http_hearing import (
    CLOCKS_APART,
    Perform,
    key_of,
    reference_of,
)


async def inquire(
    question: Question,
    dialect: Dialect,
    perform: Perform,
    *,
    now: datetime,
    counts: Counter[str],
) -> Finding:
    """Ask by *perform* about every day on which the message may have been taken; count in *counts*."""
    since = question.since - CLOCKS_APART
    if now - since > dialect.remembers:
        return None
    certain = True
    for day in _days(since, question.until + CLOCKS_APART, by_day=dialect.by_day):
        counts["asked"] += 1
        asked = dialect.question(
            question.dest, question.gateway_id, f"{day:%Y%m%d}", since.timestamp()
        )
        try:
            status, body = await perform(*asked)
            found = dialect.found(question.gateway_id, status, body)
        except (NothingLeft, NobodyKnows, Unreadable):
            counts["not_told"] += 1
            return None
        for report in found.reports:
            if _is_meant(report, question):
                return _receipt(report, question, now)
        certain &= found.whole and all(
            _is_other(one, question) for one in found.reports
        )
    counts["absent" if certain else "not_told"] += 1
    return "absent" if certain else None


def _days(since: datetime, until: datetime, *, by_day: bool) -> list[date]:
    """Return the days to ask about; one where a question is about all time since."""
    first, last = day_of(since), day_of(until)
    count = (last - first).days + 1 if by_day else 1
    return [first + timedelta(days=place) for place in range(count)]


def _is_meant(report: Report, question: Question) -> bool:
    """Say whether an entry is about the message that was asked about."""
    if report.dest != question.dest:
        return False
    if question.gateway_id is not None:
        return report.gateway_id == question.gateway_id
    return reference_of(report) == question.client_ref


def _is_other(report: Report, question: Question) -> bool:
    """Say whether an entry is for certain about another message to the same number."""
    if report.dest != question.dest:
        return False  # no answer to what was asked
    if question.gateway_id is not None:
        return report.gateway_id is not None
    own, echoed = question.client_ref.hex(), report.echoed.lower()
    return bool(echoed) and not own.startswith(echoed)


def _receipt(report: Report, question: Question, now: datetime) -> Receipt:
    return Receipt(
        gateway_id=report.gateway_id or key_of(question.client_ref),
        dest=report.dest,
        source=question.source,
        client_ref=question.client_ref,
        state=report.state,
        code=report.code,
        heard_at=now,
        ack=None,
    )
