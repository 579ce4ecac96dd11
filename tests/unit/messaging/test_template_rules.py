"""Rules of templates: no value forges the frame, everything wrong is found, and values are written by their type."""

import re
import string
import unicodedata
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.messaging.batch.rules import SOURCES
from services.messaging.template.rules import (
    FIELDS,
    MATURITY,
    Amount,
    FieldType,
    Purpose,
    body_faults,
    compiled,
    previewed,
    signature_of,
    value_of,
)

WORDS = ("R", "T", "TD", "退订")
PHRASES = ("保本", "Risk Free")
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine the first draw takes seconds, which says nothing about the rules."""

SIGNATURE, REFUSAL = "农业银行", "拒收请回复R"

SIGNS = (
    "【",
    "】",
    "〖",
    "︻",
    "︼",
    "{{",
    "}}",
    "｛",
    "﹛",
    "{",
    "\n",
    "\u2028",
    "\u202e",
    "\x00",
)
PLAIN = ("customer_name", "工商银行", " ", "a", "e\u0301", "\U0001f600", "1")

forging = st.lists(
    st.sampled_from(SIGNS + PLAIN) | st.characters(exclude_categories=["Cs"]),
    max_size=12,
).map("".join)
"""Texts that try to be more than a value."""


def frame_of(text):
    """Return how often each sign of the frame occurs in *text*, however it is spelt."""
    plain = unicodedata.normalize("NFKC", text)
    return {sign: plain.count(sign) for sign in "【】〖〗{}\n"}


@PATIENT
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), forging))
def test_no_value_forges_a_signature_or_a_field(values):
    """Whatever a value says, the message has the one signature of the system, no field, and one line."""
    body = "".join(f"{{{{{name}}}}}，" for name in FIELDS)
    text = compiled(body, SIGNATURE, REFUSAL, Purpose.MARKETING)
    shown = {
        name: value_of(values.get(name, field.example), field)
        for name, field in FIELDS.items()
    }
    whole = text.render(shown)

    assert frame_of(whole) == frame_of("【农业银行】")
    assert whole.startswith("【农业银行】")
    assert whole.endswith("，拒收请回复R")
    for name, value in shown.items():
        assert len(value) <= FIELDS[name].longest, name
        assert value == unicodedata.normalize("NFC", value).strip(), name


@PATIENT
@given(forging)
def test_a_preview_with_a_forging_value_shows_the_example(value):
    """A value that cannot stand in a message is told, one that can is shown, and there is no third case."""
    text = compiled("您好{{customer_name}}", SIGNATURE, REFUSAL, Purpose.SERVICE)
    found = previewed(text, {"customer_name": value})
    taken = value_of(value, FIELDS["customer_name"])

    assert bool(found.faults) == (not taken)
    assert found.text == f"【农业银行】您好{taken or '王小明'}"


@PATIENT
@given(st.text(alphabet="ab{} \n好", max_size=12))
def test_a_text_passes_exactly_when_its_braces_are_fields(body):
    """Of texts of letters and braces those pass that hold nothing but known fields in double braces."""
    found = {fault.reason for fault in body_faults(body, phrases=(), words=())}
    rest = body
    for name in FIELDS:
        rest = rest.replace(f"{{{{{name}}}}}", "")

    assert ("{" in rest or "}" in rest) == bool(
        found & {"TEMPLATE_FIELD_UNKNOWN", "TEMPLATE_BRACES_STRAY"}
    )
    assert ("TEMPLATE_TEXT_EMPTY" in found) == (not body.strip())


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (date(2026, 12, 3), "maturity_date", "2026年12月3日"),
        ("2026年2月3日", "maturity_date", "2026年2月3日"),
        ("2026-02-03", "maturity_date", ""),
        (Amount(20_000_000), "maturity_amount", "200,000元"),
        (Amount(123_450, "USD"), "maturity_amount", "1,234.50美元"),
        (Amount(5, "JPY"), "maturity_amount", "0.05JPY"),
        (Amount(-5), "maturity_amount", ""),
        ("200000", "maturity_amount", ""),
        ("1644000123456789", "customer_number", "6789"),
        ("17", "customer_number", "17"),
        ("号", "customer_number", ""),
        (None, "tier_name", ""),
        ("  王小明 ", "customer_name", "王小明"),
        ("Ame\u0301lie", "customer_name", "Am\u00e9lie"),
        ("王" * 40, "customer_name", "王" * 40),
        ("王" * 41, "customer_name", ""),
        ("王\u200b明", "customer_name", ""),
    ],
)
def test_a_value_is_written_by_the_type_of_its_field(value, name, expected):
    """Days and amounts read as the bank writes them, numbers show their end, and what does not fit is no value."""
    assert value_of(value, FIELDS[name]) == expected


def test_every_field_has_its_source_and_an_example_of_its_type():
    """What the catalogue offers is filled in at planning, and what it shows as an example would be taken."""
    assert set(SOURCES) == set(FIELDS)
    assert set(FIELDS) > MATURITY
    assert {field.field_type for field in FIELDS.values()} == set(FieldType)
    for name, field in FIELDS.items():
        assert value_of(field.example, field) == field.example, name
        assert re.fullmatch(r"[a-z_]+", name), name
        assert set(field.label) <= set(string.ascii_letters + " "), name


def test_braces_of_a_signature_are_letters():
    """Fields stand in the body alone: what an operator writes around it is never filled in."""
    text = compiled(
        "{{customer_name}}您好", "{{owner_name}}", "{{x}}", Purpose.MARKETING
    )

    assert text.fields == ("customer_name",)
    assert text.render({"customer_name": "王"}) == "【{{owner_name}}】王您好{{x}}"


def test_a_text_is_compiled_once():
    """The same text in the same frame is the same object; another purpose or signature is another."""
    first = compiled("一次{{customer_name}}", SIGNATURE, REFUSAL, Purpose.CARE)

    assert compiled("一次{{customer_name}}", SIGNATURE, REFUSAL, Purpose.CARE) is first
    assert compiled("一次{{customer_name}}", "别的", REFUSAL, Purpose.CARE) != first
    assert (
        compiled("一次{{customer_name}}", SIGNATURE, REFUSAL, Purpose.MARKETING)
        != first
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("保本理财", ["保本"]),
        ("ｒｉｓｋ　ＦＲＥＥ", ["Risk Free"]),
        ("RISKFREE 保 本", ["保本", "Risk Free"]),
        ("保{{customer_name}}本", ["保本"]),
        ("保 险", []),
    ],
)
def test_a_phrase_is_found_in_whatever_width_case_and_spacing(body, expected):
    """Two spellings of the same words read alike."""
    found = body_faults(body, phrases=PHRASES, words=WORDS)

    assert [fault.facts["phrase"] for fault in found] == expected


@pytest.mark.parametrize(
    ("purpose", "own", "expected"),
    [
        (Purpose.CARE, {"care": "关怀"}, "关怀"),
        (Purpose.SERVICE, {"care": "关怀"}, SIGNATURE),
        (Purpose.CARE, {"care": ""}, SIGNATURE),
        (0, {"care": "关怀"}, SIGNATURE),
    ],
)
def test_a_purpose_without_a_signature_of_its_own_has_the_banks(purpose, own, expected):
    """Only a purpose that has one is signed with its own."""
    assert signature_of(purpose, SIGNATURE, own) == expected
