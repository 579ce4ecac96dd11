"""What a plan answers besides who is left out: samples, bills, and when messages really go out."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from services.messaging.batch import rules
from services.messaging.batch.rules import Line, Measure, Person
from services.messaging.template.rules import Compiled

HERE = ZoneInfo("Asia/Shanghai")
HOURS = (9, 20)


def lines(*lengths):
    """Return lines with texts of these lengths; 0 stands for somebody who is left out."""
    nobody = Person("1", "", "", 0, "")
    return [
        Line(place, nobody, "", 0 if length else 1, "x" * length, -(-length // 70))
        for place, length in enumerate(lengths, 1)
    ]


def test_ordinary_samples_are_spread_and_none_of_the_longest():
    """Of twenty messages five are shown beside the five longest, from the beginning to the end, none twice."""
    found = lines(*range(1, 21))
    ordinary, longest = rules.ordinary_of(found), rules.samples_of(found)

    assert longest == [20, 19, 18, 17, 16]
    assert ordinary == [1, 4, 7, 10, 13]


def test_a_small_batch_shows_what_it_has():
    """Where all are among the longest nothing is left to show, and who is left out is never shown."""
    assert rules.ordinary_of(lines(5, 4, 3)) == []
    assert rules.ordinary_of(lines(9, 0, 8, 7, 6, 5, 0, 1)) == [8]


def test_bills_are_counted_by_their_segments():
    """Messages of one, two and three segments are told apart; who is left out is billed nothing."""
    assert rules.segment_counts_of(lines(70, 71, 0, 140, 1, 200)) == [2, 2, 1]
    assert rules.segment_counts_of(lines(0, 0)) == []


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ((23, 8, 59), (23, 9, 0)),
        ((23, 9, 0), (23, 9, 0)),
        ((23, 19, 59), (23, 19, 59)),
        ((23, 20, 0), (24, 9, 0)),
        ((30, 23, 30), (1, 9, 0)),
    ],
)
def test_messages_wait_for_the_hours_of_the_day(asked, first):
    """Before the first hour they wait for it, from the last hour on for the next day's."""
    day, hour, minute = asked
    moment = datetime(2026, 11, day, hour, minute, 7, tzinfo=HERE)
    found = rules.first_moment(moment, HOURS)

    assert (found.day, found.hour, found.minute) == first
    assert found >= moment


def test_service_notices_go_out_at_any_hour():
    """Only other purposes have hours."""
    stored = {"from": 9, "to": 20}
    night = datetime(2026, 11, 23, 23, 59, tzinfo=HERE)

    assert rules.hours_of(1, stored) == (0, 24)
    assert rules.hours_of(2, stored) == rules.hours_of(3, stored) == HOURS
    assert rules.first_moment(night, (0, 24)) == night


@pytest.mark.parametrize(
    ("people", "size"),
    [(1, 100), (250, 100), (5000, 100), (5001, 101), (10_000, 200), (10**6, 2000)],
)
def test_a_batch_comes_along_in_fifty_steps(people, size):
    """A small one in fewer, because no chunk is smaller than a window; one of a million in more."""
    assert rules.chunk_size(people) == size


def test_people_who_are_left_out_are_in_no_chunk():
    """Chunks are filled with messages, in their order, until they are full."""
    crowd = [
        Person(f"{n:03}", f"139{n:08}" if n % 3 else "", "李", 0, "")
        for n in range(400)
    ]
    measure = Measure(Compiled(("您好",)), "营业部", 8, sender="")
    chunks = [line.chunk for line in rules.lines_of(crowd, measure)]

    assert chunks[:4] == [0, 1, 1, 0]
    assert [chunks.count(number) for number in (0, 1, 2, 3)] == [134, 100, 100, 66]
