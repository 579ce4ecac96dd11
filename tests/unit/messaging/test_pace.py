"""The pace keeps under the ceiling, gives way to refusals, and comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.gateways.pace import UNKNOWN, Pace


def spend(pace, start, seconds, *, step=0.01):
    """Take all there is every *step* for *seconds*; return the segments and the time after."""
    taken, steps = 0, round(seconds / step)
    for number in range(1, steps + 1):
        taken += pace.take(10**9, start + number * step)
    return taken, start + steps * step


@given(
    st.integers(1, 5000),
    st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_stretch_of_time_gets_more_than_the_ceiling_and_one_burst(ceiling, pauses):
    """However calls are spread, segments stay within rate times time plus a tenth of a second's worth."""
    pace, now, taken = Pace(ceiling, 0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += pace.take(10**9, now)

    assert taken <= ceiling * now + max(1, ceiling * 0.1) + 1


@given(
    st.integers(1, 5000),
    st.lists(st.floats(0, 0.3), min_size=1, max_size=60),
)
def test_no_second_gets_more_than_the_ceiling(ceiling, pauses):
    """Whichever second is looked at, from whatever moment, holds no more than was agreed."""
    pace, now, sent = Pace(ceiling, 0), 0.0, []
    for pause in pauses:
        now += pause
        sent.append((now, pace.take(10**9, now)))
    seconds = [
        sum(count for at, count in sent if start < at <= start + 1)
        for start in [-1, *(at - 1e-9 for at, _ in sent)]
    ]

    assert max(seconds) <= ceiling


@pytest.mark.parametrize("ceiling", [1, 50, 2000])
def test_a_steady_sender_gets_the_whole_ceiling(ceiling):
    """Over ten seconds the pace is the ceiling within three per cent."""
    taken, _ = spend(Pace(ceiling, 0), 0, 10, step=0.005)

    assert taken == pytest.approx(10 * ceiling, rel=0.03, abs=1)


def test_a_refusal_holds_for_a_moment_and_takes_a_little_off_an_agreed_limit():
    """Refusals of what was on the wire already are one refusal."""
    pace = Pace(1000, 0)
    for now in (1.0, 1.1, 1.2):
        pace.throttled(now)
    held = pace.take(100, 1.2)

    assert pace.rate == pytest.approx(1000 * (1 - 0.03 * 0.9**3))
    assert held == 0


def test_the_agreed_rate_is_back_within_two_seconds():
    """The curve is steep first, and flat at its end."""
    pace = Pace(1000, 0)
    pace.throttled(0)
    rates = [pace.rate]
    for now in (0.5, 1, 2, 60):
        pace.take(0, now)
        rates.append(pace.rate)

    assert rates == pytest.approx(
        [970, 1000 - 30 * 0.75**3, 1000 - 30 * 0.5**3, 1000, 1000]
    )


def test_what_the_centre_took_in_a_second_is_taken_for_its_limit():
    """Refusals that go on bring the rate a tenth below it at once, and eight seconds later it is there again."""
    pace, taken = Pace(1000, 0), 0
    for number in range(1, 201):
        taken += pace.take(10**9, number * 0.005)
    for number in range(200):
        pace.throttled(1.0 + number / 2000)
    pace.throttled(1.251)
    lately = sum(count for at, count in pace._sent)
    cut = pace.rate
    pace.take(0, 9.251)

    assert cut == pytest.approx(0.9 * (lately - 201))
    assert pace.rate == pytest.approx(lately - 201)


def test_endless_refusals_leave_one_segment_a_second():
    """A centre that takes nothing is still asked now and then."""
    pace = Pace(1000, 0)
    for number in range(100):
        pace.take(1, number * 0.25)
        pace.throttled(number * 0.25)

    assert pace.rate == 1


def test_without_a_limit_everything_passes_until_the_first_refusal():
    """What was taken until then is where the search begins, and it doubles every second."""
    pace = Pace(UNKNOWN, 0)
    granted = [pace.take(500, now) for now in (0.1, 0.2)]
    waits = pace.delay(0.2)
    pace.throttled(0.25)
    first = pace.rate
    pace.take(0, 1.25)

    assert (granted, waits) == ([500, 500], 0)
    assert first == pytest.approx(0.9 * 999)
    assert pace.rate == pytest.approx(2 * first)


def test_a_share_that_shrinks_and_grows_is_kept_to():
    """Half the agreed limit is gone at once and comes back at once; never more than the share passes."""
    pace = Pace(100, 0.0)
    pace.limit(50)
    halved = sum(pace.take(100, tick / 100) for tick in range(1, 1001))
    pace.limit(100)
    whole = sum(pace.take(100, 10 + tick / 100) for tick in range(1, 1001))

    assert 0.97 * 500 <= halved <= 500
    assert 0.97 * 1000 <= whole <= 1000


def test_long_messages_overdraw_and_are_waited_for():
    """Four segments more than allowed cost the time of four segments."""
    pace = Pace(10, 0)
    pace.take(1, 0)
    pace.overdraw(4)

    assert pace.take(1, 0.4) == 0
    assert pace.delay(0.4) == pytest.approx(0.1)
    assert pace.take(1, 0.51) == 1


def test_there_is_no_delay_while_there_is_allowance():
    """A fresh pace lets the first segment pass at once."""
    assert Pace(10, 0).delay(0) == 0


def test_a_clock_that_goes_back_gives_nothing():
    """A smaller time neither grants nor takes."""
    pace = Pace(10, 100)
    pace.take(1, 100)

    assert pace.take(1, 50) == 0


@pytest.mark.parametrize("ceiling", [0, -1])
def test_a_rate_that_is_none_is_refused(ceiling):
    """No ceiling means no pace, and not a pace of nothing."""
    with pytest.raises(ValueError, match="positive"):
        Pace(ceiling, 0)
