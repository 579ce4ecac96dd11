"""The pace keeps under the ceiling, gives way to refusals, and comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.gateways.pace import BURST_SECONDS, Pace


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

    assert taken <= ceiling * now + max(1, ceiling * BURST_SECONDS) + 1


@pytest.mark.parametrize("ceiling", [1, 50, 2000])
def test_a_steady_sender_gets_the_whole_ceiling(ceiling):
    """Over ten seconds the pace is the ceiling within three per cent."""
    taken, _ = spend(Pace(ceiling, 0), 0, 10, step=0.005)

    assert taken == pytest.approx(10 * ceiling, rel=0.03, abs=1)


def test_a_refusal_takes_a_fifth_and_what_follows_at_once_nothing():
    """Refusals of what was on the wire already are one refusal; a quarter second later they are a second one."""
    pace = Pace(1000, 0)
    for now in (1.0, 1.1, 1.2):
        pace.throttled(now)
    once = pace.rate
    pace.throttled(1.25)

    assert once == pytest.approx(800)
    assert pace.rate == pytest.approx(640)


def test_the_rate_comes_back_by_two_per_cent_of_the_ceiling_a_second():
    """From 800 of 1000 it takes ten seconds to the ceiling, and never beyond."""
    pace = Pace(1000, 0)
    pace.throttled(0)
    rates = []
    for now in (1, 5, 10, 60):
        pace.take(0, now)
        rates.append(pace.rate)

    assert rates == pytest.approx([820, 900, 1000, 1000])


def test_endless_refusals_leave_one_segment_a_second():
    """A centre that takes nothing is still asked now and then."""
    pace = Pace(1000, 0)
    for number in range(100):
        pace.throttled(number * 0.25)

    assert pace.rate == 1


def test_a_centre_that_takes_half_is_found():
    """Against a centre that refuses beyond 500 a second, a ceiling of 1000 settles near 500, few refused."""
    pace, now, taken, refused, second = Pace(1000, 0), 0.0, 0, 0, []
    for _ in range(6000):
        now += 0.01
        second = [at for at in second if at > now - 1]
        for _ in range(pace.take(10**9, now)):
            if len(second) < 500:
                second.append(now)
                taken += 1
            else:
                refused += 1
                pace.throttled(now)

    assert taken / now > 400
    assert refused < 0.1 * taken


def test_long_messages_overdraw_and_are_waited_for():
    """Four segments more than allowed cost the time of four segments."""
    pace = Pace(10, 0)
    pace.take(1, 0)
    pace.overdraw(4)

    assert pace.take(1, 0.4) == 0
    assert pace.delay() == pytest.approx(0.1)
    assert pace.take(1, 0.51) == 1


def test_there_is_no_delay_while_there_is_allowance():
    """A fresh pace lets the first segment pass at once."""
    assert Pace(10, 0).delay() == 0


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
