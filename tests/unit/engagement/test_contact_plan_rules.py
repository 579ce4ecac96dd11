"""Whom a drafted plan holds, against a plain second computation."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as some

from services.engagement.contact_plan.rules import (
    Candidate,
    Cause,
    Result,
    draft,
    item_state,
    may_plan,
)

CATEGORIES = some.sampled_from([0, 1, 2, 3])


@some.composite
def candidates(draw):
    """Return candidates with distinct numbers, some of them called for."""
    count = draw(some.integers(0, 60))
    found = []
    for place in range(count):
        category = draw(CATEGORIES)
        found.append(
            Candidate(
                number=f"{place:03}",
                tier=draw(some.integers(1, 5)),
                financial_assets=draw(some.integers(0, 10**9)),
                silent_days=draw(some.none() | some.integers(0, 400)),
                reminders=("r",) if category else (),
                category=category,
                contact_due=draw(some.booleans()),
                opportunity_due=draw(some.booleans()),
                carried_over=draw(some.booleans()),
            )
        )
    return found


def called(one):
    """Say plainly whether something calls for a contact."""
    return (
        bool(one.reminders)
        or one.contact_due
        or one.opportunity_due
        or one.carried_over
    )


@given(candidates(), some.integers(0, 30), some.integers(1, 40))
def test_a_draft_holds_the_called_for_first_and_enough_in_all(found, least, most):
    """Everybody called for up to the most comes before the silent; together they are at least the least, or all."""
    got = draft(found, least=least, most=most)
    numbers = [one.candidate.number for one in got]
    loud = [one for one in found if called(one)]

    assert len(set(numbers)) == len(numbers)
    kept = min(len(loud), most)
    assert [called(one.candidate) for one in got] == [True] * kept + [False] * (
        len(got) - kept
    )
    quiet = len(found) - len(loud)
    assert len(got) == max(kept, min(least, kept + quiet))


@given(candidates())
def test_risk_comes_before_all_else_and_silence_goes_by_length(found):
    """Nobody at risk stands behind somebody who is not, and of the silent the longest come first."""
    got = [one.candidate for one in draft(found, least=100, most=100)]
    loud = [one for one in got if called(one)]
    quiet = [one for one in got if not called(one)]

    at_risk = [one.category == 1 for one in loud]
    assert at_risk == sorted(at_risk, reverse=True)
    days = [10**6 if one.silent_days is None else one.silent_days for one in quiet]
    assert days == sorted(days, reverse=True)


def test_every_cause_is_told():
    """An item names each thing that calls for it, in the contract's order, and silence only when nothing does."""
    all_of_them = Candidate(
        "1", reminders=("r",), contact_due=True, opportunity_due=True, carried_over=True
    )
    silent = Candidate("2")
    got = draft([all_of_them, silent], least=2, most=9)

    assert [one.causes for one in got] == [
        (Cause.REMINDER, Cause.NEXT_CONTACT, Cause.OPPORTUNITY, Cause.CARRIED_OVER),
        (Cause.LONG_SILENCE,),
    ]


def test_results_make_items_done_unanswered_or_postponed():
    """Only a wrong number and no answer leave an item unanswered; a postponed contact is postponed."""
    got = {result.name: item_state(result).name for result in Result}

    assert got == {
        "REACHED": "DONE",
        "NO_ANSWER": "NO_ANSWER",
        "POSTPONED": "POSTPONED",
        "DECLINED": "DONE",
        "WRONG_NUMBER": "NO_ANSWER",
        "SENT": "DONE",
    }


def test_plans_reach_a_week_ahead():
    """From today to the seventh day after."""
    today = date(2026, 11, 23)
    days = [date(2026, 11, day) for day in (22, 23, 30)] + [date(2026, 12, 1)]

    assert [may_plan(day, today) for day in days] == [False, True, True, False]
