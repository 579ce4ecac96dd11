"""What answers mean: words, whose they are, what they refuse, and which are the same told again."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.messaging.inbound import rules
from services.messaging.inbound.rules import Kind, Known

REFUSING = ["R", "T", "TD", "N", "退订", "拒收"]
ALLOWING = ["HF", "恢复"]
MORNING = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


def kind(text):
    """Return what a text is taken for with these words."""
    return rules.kind_of(text, refusing=REFUSING, allowing=ALLOWING)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R", Kind.OPT_OUT),
        ("r", Kind.OPT_OUT),
        (" r\r\n", Kind.OPT_OUT),
        ("\u3000Ｒ\u3000", Kind.OPT_OUT),
        ("ｔｄ", Kind.OPT_OUT),
        ("Td", Kind.OPT_OUT),
        ("退订", Kind.OPT_OUT),
        ("退订\n", Kind.OPT_OUT),
        ("\ufeff拒收", Kind.OPT_OUT),
        ("N\0", Kind.OPT_OUT),
        ("hf", Kind.OPT_IN),
        ("ＨＦ", Kind.OPT_IN),
        ("恢复 ", Kind.OPT_IN),
        ("STOP this bill", Kind.REPLY),
        ("R吗", Kind.REPLY),
        ("RR", Kind.REPLY),
        ("T D", Kind.REPLY),
        ("我要退订", Kind.REPLY),
        ("退订。", Kind.REPLY),
        ("不退订", Kind.REPLY),
        ("no", Kind.REPLY),
        ("恢复了吗", Kind.REPLY),
        ("", Kind.REPLY),
        (" \u3000", Kind.REPLY),
    ],
)
def test_only_a_whole_word_refuses_or_allows(text, expected):
    """Width, case and outer space make no difference; a word within a sentence is something to read."""
    assert kind(text) is expected


def test_a_word_of_both_lists_refuses_and_an_empty_word_is_none():
    """A careless list never turns a refusal into a permission, nor silence into a refusal."""
    both = rules.kind_of("y", refusing=["Y"], allowing=["y"])
    empty = rules.kind_of("", refusing=["", " "], allowing=[""])

    assert (both, empty) == (Kind.OPT_OUT, Kind.REPLY)


PLAIN = some.text(some.characters(blacklist_categories=("Cs", "Cc", "Cf")), max_size=12)


@given(
    word=some.sampled_from(REFUSING),
    before=some.sampled_from(["", " ", "\n", "\u3000", "\t "]),
    after=some.sampled_from(["", " ", "\r\n", "\u3000"]),
    wide=some.booleans(),
    small=some.booleans(),
)
def test_every_spelling_of_a_word_refuses(word, before, after, wide, small):
    """Written wide or small, with space around it, a word stays the word."""
    spelt = word.lower() if small else word
    if wide:
        spelt = "".join(
            chr(ord(char) + 0xFEE0) if char.isascii() else char for char in spelt
        )

    assert kind(f"{before}{spelt}{after}") is Kind.OPT_OUT


@given(word=some.sampled_from(REFUSING), head=PLAIN, tail=PLAIN)
def test_a_word_with_anything_beside_it_is_read_by_a_person(word, head, tail):
    """Whatever letters or digits stand beside a word, the text refuses only if it is itself a word."""
    text = f"{head}x{word}{tail}"

    assert kind(text) is Kind.REPLY


def known(batch, *, hours=0, sent=True, purpose=3, branch=101, number="01"):
    """Return a place among the recipients of the batch whose number ends in these two digits."""
    return Known(
        branch_id=branch,
        batch_id=UUID(int=batch),
        number=number,
        display_name="王小一",
        sender="teller",
        purpose=purpose,
        template_display_name="新品",
        sent=sent,
        moment=MORNING + timedelta(hours=hours),
    )


@pytest.mark.parametrize(
    ("places", "dest", "expected"),
    [
        ([], "9559901", None),
        ([known(1), known(2, hours=1)], "95599", 2),
        ([known(1), known(2, hours=1)], "9559901", 1),
        ([known(1), known(101, hours=1)], "9559901", 101),
        ([known(1), known(2, hours=1)], "9559977", 2),
        ([known(1), known(2, hours=1, sent=False)], "95599", 1),
        ([known(2, sent=False)], "9559902", None),
        ([known(1), known(2, branch=102, hours=-1)], "9559902", 2),
    ],
)
def test_an_answer_belongs_to_the_newest_message_that_fits(places, dest, expected):
    """The extension names the batch; without one, or with one of nobody, it is the newest message that went out."""
    found = rules.answered(places, dest=dest, access="95599")

    assert (found and found.batch_id.int) == expected


@pytest.mark.parametrize(
    ("said", "purpose", "before", "expected"),
    [
        (Kind.OPT_OUT, 3, [], [3]),
        (Kind.OPT_OUT, 1, [], [3]),
        (Kind.OPT_OUT, 2, [], [2, 3]),
        (Kind.OPT_OUT, None, [], [3]),
        (Kind.OPT_IN, 3, [], [3]),
        (Kind.OPT_IN, 1, [2, 3], [2, 3]),
    ],
)
def test_what_an_answer_refuses_and_allows(said, purpose, before, expected):
    """Offers always, greetings where one was answered, and never what is about the customer's own business."""
    answer = known(1, purpose=purpose) if purpose else None

    assert rules.purposes_of(said, answer, before) == expected


def test_one_told_twice_is_one_and_the_safer_one_wins():
    """The same text again is a repetition, unless something came between; then it is new only if it refuses."""
    refusal, allowance = b"refuse", b"allow"
    cases = [
        (Kind.OPT_OUT, refusal, []),
        (Kind.OPT_OUT, refusal, [refusal]),
        (Kind.OPT_OUT, refusal, [allowance, refusal]),
        (Kind.OPT_IN, allowance, [refusal]),
        (Kind.OPT_IN, allowance, [refusal, allowance]),
        (Kind.REPLY, b"hello", [b"hello"]),
    ]

    assert [rules.told_before(*case) for case in cases] == [
        False,
        True,
        False,
        False,
        True,
        True,
    ]


def test_a_key_tells_texts_turns_and_times_apart():
    """Two who hear the same at once make the same key; another text, turn or time makes another."""
    same = [rules.key_of(b"a", b"", MORNING + timedelta(seconds=s)) for s in (0, 2)]
    others = {
        rules.key_of(b"b", b"", MORNING),
        rules.key_of(b"a", b"b", MORNING),
        rules.key_of(b"a", b"", MORNING + rules.REPEATED),
    }

    assert same[0] == same[1]
    assert len(others | set(same)) == 4


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("accepted", rules.Confirmation.SENT),
        ("rejected", rules.Confirmation.FAILED),
        ("throttled", rules.Confirmation.WAITING),
        ("temporary", rules.Confirmation.WAITING),
        ("ambiguous", rules.Confirmation.UNKNOWN),
    ],
)
def test_what_was_not_taken_is_sent_again_and_what_may_have_been_is_not(
    verdict, expected
):
    """Only what the centre surely does not have waits again."""
    assert rules.confirmed(verdict) is expected
