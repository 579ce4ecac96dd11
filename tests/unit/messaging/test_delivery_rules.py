"""What codes of failures mean, and what becomes of messages of which nobody knows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.batch.rules import RecipientState
from services.messaging.delivery import events, rules
from services.messaging.delivery.rules import DoubtCourse, Failure

SMPP, CMPP, FILE = 1, 2, 4
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
FENCE, AT_MOST_ONCE = 1, 2


@pytest.mark.parametrize(
    ("protocol", "answer", "receipt", "cause"),
    [
        (SMPP, "11", "", Failure.NUMBER_UNFIT),
        (SMPP, "10", "", Failure.NOT_ALLOWED),
        (SMPP, "88", "", Failure.LIMIT_REACHED),
        (SMPP, "4711", "", Failure.OTHER),
        (CMPP, "11", "", Failure.NOT_ALLOWED),
        (CMPP, "13", "", Failure.NUMBER_UNFIT),
        (FILE, "11", "", Failure.OTHER),
        (SMPP, "", "MK:0001", Failure.NUMBER_VOID),
        (CMPP, "", "mi:0024", Failure.HANDSET_AWAY),
        (CMPP, "", "EXPIRED", Failure.EXPIRED),
        (CMPP, "", "UNDELIV", Failure.OTHER),
        (SMPP, "11", "MK:0001", Failure.NUMBER_UNFIT),
    ],
)
def test_a_code_means_what_its_protocol_says(protocol, answer, receipt, cause):
    """An answer's code is the protocol's, a receipt's the carriers'; the answer comes first; nothing is guessed."""
    assert rules.failure_of(protocol, answer, receipt) == cause


def test_no_code_means_two_things():
    """A code stands in one place of its table."""
    tables = [
        *rules.ANSWERS.values(),
        {k: v.split() for k, v in rules.RECEIPT_CODES.items()},
    ]
    for table in tables:
        codes = [code for some in table.values() for code in some]

        assert len(codes) == len(set(codes)) > 10


@pytest.mark.parametrize(
    ("policy", "stopped", "minutes", "course"),
    [
        (FENCE, False, 1, DoubtCourse.AWAITS_RECEIPT),
        (AT_MOST_ONCE, True, 1, DoubtCourse.AWAITS_RECEIPT),
        (FENCE, False, 0, DoubtCourse.GOES_AGAIN),
        (FENCE, True, 0, DoubtCourse.STAYS),
        (AT_MOST_ONCE, False, -1, DoubtCourse.STAYS),
    ],
)
def test_a_doubt_ends_by_receipt_by_policy_or_never(policy, stopped, minutes, course):
    """Until the fence a receipt may come; after it the policy decides, unless the batch was ended."""
    fence = NOW + timedelta(minutes=minutes)

    assert rules.course_of(policy, stopped=stopped, fence=fence, now=NOW) == course


def test_a_doubt_ends_by_asking_where_that_can_be_done():
    """After the fence, and only where the batch would send again; where no receipt is heard it never ends."""
    before, after = NOW + timedelta(minutes=1), NOW
    cases = [(FENCE, after), (FENCE, before), (AT_MOST_ONCE, after)]
    asked = [
        rules.course_of(policy, stopped=False, fence=fence, now=NOW, can_query=True)
        for policy, fence in cases
    ]
    deaf = [
        rules.course_of(policy, stopped=False, fence=fence, now=NOW, hears=False)
        for policy, fence in cases
    ]

    assert asked == [
        DoubtCourse.ASKED,
        DoubtCourse.AWAITS_RECEIPT,
        DoubtCourse.STAYS,
    ]
    assert deaf == [DoubtCourse.STAYS] * 3


@given(st.lists(st.integers(1, 2500), max_size=6))
def test_what_is_told_is_told_in_portions(sizes):
    """No event and no call names more than a thousand; nobody is left out, named twice or out of order."""
    told = [
        events.Settled(RecipientState.SENT, NOW, [f"{line}/{n}" for n in range(size)])
        for line, size in enumerate(sizes)
    ]
    portions = [
        [one for some in portion for one in some.customers]
        for portion in events.portions(told)
    ]

    assert [one for some in portions for one in some] == [
        one for some in told for one in some.customers
    ]
    assert all(len(some) == 1000 for some in portions[:-1])
    assert all(0 < len(some) <= 1000 for some in portions)
