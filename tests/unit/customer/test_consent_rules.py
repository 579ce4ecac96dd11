"""When a customer may be reached: against a plain walk over cells of the ledger and hours of the week."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.customer.consent.rules import (
    DAYS_BETWEEN,
    PARTS,
    Act,
    Channel,
    Entry,
    Frequency,
    Purpose,
    Reason,
    Wishes,
    reach,
    refusals_in_force,
)
from tests.ledgers import CHANNELS, PURPOSES, cells, expected, family, standing

SHANGHAI = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 11, 23, tzinfo=SHANGHAI)
MOBILE = "138****0001"
HOURS = (9, 20)

ENTRIES = some.lists(
    some.builds(
        Entry,
        some.sampled_from([1, 2, 4]),
        some.integers(0, 7),
        some.integers(0, 3),
    )
    | some.builds(Entry, some.just(3), some.integers(1, 7), some.integers(1, 3)),
    max_size=8,
)
"""Ledgers as they can be recorded: a consent names its channel and its purpose."""


def at(moment, entries=(), *, channel=1, purpose=2, hours=HOURS, **wishes):
    """Return the answer for one customer with a mobile."""
    return reach(
        entries,
        channel=channel,
        purpose=purpose,
        mobile_mask=MOBILE,
        moment=moment,
        hours=hours,
        wishes=Wishes(**wishes),
    )


@given(ENTRIES)
def test_the_ledger_reads_as_its_cells_say(entries):
    """For every channel and purpose the first reason is the one that a walk over cells finds."""
    noon = MONDAY + timedelta(hours=12)
    got = {
        (channel, purpose): at(noon, entries, channel=channel, purpose=purpose).reason
        for channel in CHANNELS
        for purpose in PURPOSES
        if channel != Channel.EMAIL
    }

    assert got == {cell: expected(entries, *cell) for cell in got}


@given(ENTRIES)
def test_refusals_in_force_are_those_that_nothing_covers(entries):
    """A request not to be disturbed holds until an entry of at least its width replaces or lifts it."""
    held = [one for one in standing(entries) if one.act == Act.DO_NOT_DISTURB_SET]

    assert refusals_in_force(entries) == held


@given(ENTRIES, some.sampled_from(CHANNELS))
def test_marketing_never_goes_without_consent_in_force(entries, channel):
    """Whatever else was said, the newest word about marketing on the channel is a consent when it is allowed."""
    noon = MONDAY + timedelta(hours=12)
    answer = at(noon, entries, channel=channel, purpose=Purpose.MARKETING)
    about = [
        one
        for one in entries
        if not family(one) and (channel, Purpose.MARKETING) in cells(one)
    ]

    assert answer.reason is not None or about[-1].act == Act.GRANTED


@given(ENTRIES, some.sampled_from([Channel.SMS, Channel.CALL, Channel.PUSH]))
def test_after_an_opt_out_of_marketing_business_of_ones_own_still_goes(
    entries, channel
):
    """A refusal of marketing is the last word there, and changes nothing for what the customer's own business needs."""
    told = [*entries, Entry(Act.DO_NOT_DISTURB_SET, channel, Purpose.MARKETING)]
    noon = MONDAY + timedelta(hours=12)
    marketing = at(noon, told, channel=channel, purpose=Purpose.MARKETING)
    before = at(noon, entries, channel=channel, purpose=Purpose.SERVICE)
    after = at(noon, told, channel=channel, purpose=Purpose.SERVICE)

    assert marketing.reason == Reason.DO_NOT_DISTURB
    assert after == before


def is_right(moment, *, hours, part, due):
    """Say whether an hour of a day is right, looked at by itself."""
    weekend, first, last = PARTS.get(part, (moment.weekday() >= 5, 0, 24))
    return (
        hours[0] <= moment.hour < hours[1]
        and (moment.weekday() >= 5) == weekend
        and first <= moment.hour < last
        and (due is None or moment.date() >= due)
    )


@given(
    minutes=some.integers(0, 7 * 24 * 60 - 1),
    part=some.integers(0, 6),
    frequency=some.sampled_from([0, 1, 2, 3, 4]),
    ago=some.integers(0, 100 * 24),
    first=some.integers(0, 12),
    length=some.integers(0, 12),
)
def test_the_next_time_is_the_first_right_hour_of_all(
    minutes, part, frequency, ago, first, length
):
    """Hours, part of the week and frequency together: no earlier hour is right, and the one that is told is."""
    moment = MONDAY + timedelta(minutes=minutes)
    last = moment - timedelta(hours=ago)
    hours = (first, first + length)
    days = DAYS_BETWEEN.get(frequency)
    due = last.date() + timedelta(days=days) if days else None
    told = {"hours": hours, "part": part, "due": due}
    answer = at(
        moment, hours=hours, preferred_time=part, frequency=frequency, last_contact=last
    )
    start = moment.replace(minute=0) + timedelta(hours=1)
    later = (start + timedelta(hours=number) for number in range(24 * 100))
    following = next((one for one in later if is_right(one, **told)), None)

    if is_right(moment, **told):
        assert answer.reason is None
        assert answer.next_time is None
    else:
        assert answer.reason is not None
        assert answer.next_time == following


@pytest.mark.parametrize(
    ("hour", "wishes", "reason", "next_time"),
    [
        (10, {}, None, None),
        (8, {}, Reason.OUTSIDE_HOURS, MONDAY.replace(hour=9)),
        (20, {}, Reason.OUTSIDE_HOURS, datetime(2026, 11, 24, 9, tzinfo=SHANGHAI)),
        (
            10,
            {"preferred_time": 3},
            Reason.OUTSIDE_PREFERRED_TIME,
            MONDAY.replace(hour=18),
        ),
        (
            10,
            {"preferred_time": 4},
            Reason.OUTSIDE_PREFERRED_TIME,
            datetime(2026, 11, 28, 9, tzinfo=SHANGHAI),
        ),
        (
            10,
            {"frequency": Frequency.WEEKLY, "last_contact": MONDAY - timedelta(days=3)},
            Reason.TOO_SOON,
            datetime(2026, 11, 27, 9, tzinfo=SHANGHAI),
        ),
        (10, {"frequency": Frequency.WEEKLY}, None, None),
        (10, {"frequency": Frequency.ON_REQUEST}, Reason.ONLY_ON_REQUEST, None),
        (21, {"frequency": Frequency.ON_REQUEST}, Reason.ONLY_ON_REQUEST, None),
    ],
)
def test_time_is_told_only_where_time_cures(hour, wishes, reason, next_time):
    """Each reason of time says when, on the branch's clocks; wishes that no time meets say no time."""
    answer = at(MONDAY.replace(hour=hour), **wishes)

    assert (answer.reason, answer.next_time) == (reason, next_time)


def test_wishes_do_not_stand_against_own_business_nor_in_the_branch():
    """A service message goes at night and against every wish; whoever stands in the branch is there by themselves."""
    wishes = {
        "preferred_time": 5,
        "frequency": Frequency.ON_REQUEST,
        "last_contact": MONDAY,
    }
    night = MONDAY.replace(hour=23)
    service = at(night, purpose=Purpose.SERVICE, **wishes)
    here = at(night, channel=Channel.ON_SITE, **wishes)
    visit = at(night, channel=Channel.VISIT)

    assert service.reason is here.reason is visit.reason is None


def test_hours_and_wishes_without_a_common_moment_say_no_time():
    """Who wishes evenings of a bank that contacts until six is told no time, for none comes."""
    answer = at(MONDAY.replace(hour=10), hours=(9, 18), preferred_time=3)

    assert answer.reason == Reason.OUTSIDE_PREFERRED_TIME
    assert answer.next_time is None


def test_an_hour_is_that_of_the_branch():
    """The same moment is right where it is ten, and too early where it is eight."""
    moment = datetime(2026, 11, 23, 2, tzinfo=UTC)
    east, west = (
        at(moment.astimezone(ZoneInfo(zone)))
        for zone in ("Asia/Shanghai", "Asia/Urumqi")
    )

    assert east.reason is None
    assert west.next_time == datetime(2026, 11, 23, 9, tzinfo=ZoneInfo("Asia/Urumqi"))
