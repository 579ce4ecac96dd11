"""How many messages a text is billed and sent as, against PyPI's smsutil, on ten thousand random texts."""

import smsutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.messaging.gateways import encoding

FIXED = settings(
    max_examples=10_000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
"""The same texts in every run, so that a difference is one in the code."""

HAN = "尊敬的客户您好银行理财产品到期【】，。"
PAIRS = "😀🎂🏦𠮷𩸽"
COMBINING = "e\u0301o\u0308\u200d\ufe0f🇨🇳"
BASIC = "".join(char for char in encoding.BASIC if char != "\x1b")
EXTENSION = "\f^{}\\[~]|€"


def runs(alphabet):
    """Return texts of up to eight runs of one character; runs reach over the edges of parts."""
    run = st.tuples(st.sampled_from(alphabet), st.integers(1, 75))
    return st.lists(run, min_size=1, max_size=8).map(
        lambda found: "".join(char * times for char, times in found)
    )


def mixtures(alphabet):
    """Return texts of about two parts whose characters take turns."""
    return st.text(st.sampled_from(alphabet), min_size=1, max_size=180)


EVERYTHING = HAN + PAIRS + COMBINING + EXTENSION + "abc 123"
TEXTS = (
    runs(EVERYTHING)
    | mixtures(EVERYTHING)
    | runs(BASIC + EXTENSION * 6)
    | mixtures(BASIC + EXTENSION * 6)
    | st.text(min_size=1, max_size=150)
).filter(lambda text: "\x1b" not in text)


def parts_of(found):
    """Return the texts of the parts that smsutil cuts."""
    return [part.content for part in found.parts]


@FIXED
@given(TEXTS)
def test_bill_count_and_parts_are_smsutils(text):
    """The bill is that of UCS-2 whatever the letters, the count that of the air, and the parts are the same texts."""
    billed, sent = smsutil.unicode_split(text), smsutil.split(text)
    kind = {"gsm0338": "gsm7", "utf_16_be": "ucs2"}[sent.encoding]
    count = encoding.count(text)

    assert encoding.billed_segments(text) == len(billed.parts)
    assert (count.encoding, count.segments) == (kind, len(sent.parts))
    if count.segments > 1:
        assert encoding.split(text, kind) == parts_of(sent)


@settings(FIXED, max_examples=2_000)
@given(TEXTS)
def test_no_part_ends_within_a_character(text):
    """Every part can be read by itself: no half pair, no escape without its letter; together they are the text."""
    kind = encoding.count(text).encoding
    pieces = [piece[6:] for piece in encoding.joined_parts(text, kind, reference=7)]
    limit = {"gsm7": 153, "ucs2": 134}[kind]
    codec = {"gsm7": "gsm0338", "ucs2": "utf-16-be"}[kind]

    assert max(map(len, pieces)) <= limit
    assert all(piece[-1:] != b"\x1b" for piece in pieces if kind == "gsm7")
    assert "".join(piece.decode(codec) for piece in pieces) == text
