"""Which days a detection tells of: none left out, none twice."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as some

from services.customer.snapshot.rules import days_to_tell

START = date(2026, 11, 2)


def test_the_first_run_tells_of_today_and_all_days_ahead():
    """Nobody whose birthday is today or tomorrow is passed over because detection only began today."""
    got = days_to_tell(START, None, 3)

    assert got == [START + timedelta(days=number) for number in range(4)]


@given(some.lists(some.integers(1, 7), min_size=1, max_size=20), some.integers(0, 9))
def test_runs_with_gaps_of_up_to_a_week_tell_each_day_once(gaps, ahead):
    """Whatever the gaps between runs, each day from the first to the last plus *ahead* is told of exactly once."""
    last, told = None, []
    day = START
    for gap in [0, *gaps]:
        day += timedelta(days=gap)
        told += days_to_tell(day, last, ahead)
        last = day

    span = (day - START).days + ahead
    assert told == [START + timedelta(days=number) for number in range(span + 1)]
