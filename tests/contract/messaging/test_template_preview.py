"""Previews: a text as it would go out, what it is billed, everything wrong with it, and what its purpose decides."""

import pytest_asyncio
from guanhu.messaging.v1 import template_pb2 as pb

from services.messaging.__main__ import SERVICE
from tests import messages
from tests.messages import (
    CARE,
    MARKETING,
    SERVICE_PURPOSE,
    a_template,
    set_parameter,
    templates,
)
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """A messaging service alone: previews ask nobody."""
    running = await bank.serve(SERVICE)
    yield messages.SimpleNamespace(messaging=running)
    await running.stop()


async def preview(town, body="", purpose=SERVICE_PURPOSE, who="teller", **more):
    """Return the preview of a text, or of a stored template by name."""
    request = pb.PreviewTemplateRequest(body=body, purpose=purpose, **more)
    return await templates(town, who).PreviewTemplate(request)


def reasons(found):
    """Return why a text will not do, in the order told."""
    return [one.reason for one in found.faults]


async def test_examples_stand_for_what_is_not_given(town):
    """The whole text is shown with the catalogue's examples, its fields in the order of first use, and its bill."""
    body = "{{customer_title}}，{{maturity_product}}{{maturity_date}}到期，{{customer_title}}。"
    found = await preview(town, body)

    expected = "【农业银行】王先生，安心得利180天2026年12月3日到期，王先生。"
    assert found.full_text == expected
    assert list(found.fields) == ["customer_title", "maturity_product", "maturity_date"]
    assert (found.characters, found.segments) == (len(expected), 1)
    assert (found.encoding, found.encoded_segments) == (pb.AIR_ENCODING_UCS2, 1)
    assert reasons(found) == []


async def test_every_example_of_the_catalogue_may_stand_in_a_message(town):
    """Each field is offered with a label in both languages and an example that is taken as its value."""
    catalogue = (
        await templates(town, "auditor").ListTemplateFields(
            pb.ListTemplateFieldsRequest()
        )
    ).fields
    body = "".join(f"{{{{{one.field}}}}}，" for one in catalogue)
    given = {one.field: one.example for one in catalogue}
    found = await preview(town, body, values=given)

    text = "，".join(one.example for one in catalogue)
    assert found.full_text == f"【农业银行】{text}，"
    assert reasons(found) == []
    assert {one.field for one in catalogue} >= {"maturity_amount", "tier_name"}
    for one in catalogue:
        assert one.label.isascii(), one
        assert not one.label_zh.isascii(), one
        assert len(one.example) <= one.longest, one
        assert one.field_type, one
    tails = {one.field: one.shown_tail for one in catalogue if one.shown_tail}
    assert tails == {"customer_number": 4}


async def test_a_value_that_is_given_is_shown_masked_or_refused(town):
    """A number shows its end; what could forge the frame is told as a fault, and the example stands in its place."""
    given = {
        "customer_number": "1644000123456789",
        "customer_name": "【工商银行】",
        "maturity_date": "2026-12-03",
        "balance": "1",
    }
    body = "{{customer_name}}{{customer_number}}{{maturity_date}}"
    found = await preview(town, body, values=given)

    assert found.full_text == "【农业银行】王小明67892026年12月3日"
    assert sorted((one.reason, one.message.split()[-1]) for one in found.faults) == [
        ("TEMPLATE_FIELD_UNKNOWN", "balance."),
        ("TEMPLATE_VALUE_UNFIT", "message."),
        ("TEMPLATE_VALUE_UNFIT", "message."),
    ]


async def test_everything_wrong_is_told_at_once_in_both_languages(town):
    """Unknown fields, stray braces, a forged frame and each promise are told together; the text is shown anyway."""
    body = "【工行】{{balance}}{ 保 本，稳赚，{{ customer_name }}"
    found = await preview(town, body)

    assert reasons(found) == [
        "TEMPLATE_FIELD_UNKNOWN",
        "TEMPLATE_FIELD_UNKNOWN",
        "TEMPLATE_BRACES_STRAY",
        "TEMPLATE_FORGES",
        "TEMPLATE_PHRASE_FORBIDDEN",
        "TEMPLATE_PHRASE_FORBIDDEN",
    ]
    assert found.faults[0].message == "There is no field balance."
    assert found.faults[-1].message_zh == "正文含有禁用语“稳赚”。"
    assert found.full_text.startswith("【农业银行】【工行】{{balance}}{ 保 本")
    assert list(found.fields) == ["balance", " customer_name "]


async def test_an_empty_text_and_a_hidden_character_are_told(town):
    """What cannot be seen is told in words."""
    assert reasons(await preview(town, "")) == ["TEMPLATE_TEXT_EMPTY"]
    assert reasons(await preview(town, "您\u200b好")) == ["TEMPLATE_CHARACTERS_HIDDEN"]


async def test_a_text_beyond_the_limit_is_told_and_not_kept(town):
    """What is billed as more messages than the bank allows is a fault of the text, in preview and on writing."""
    await set_parameter(town, "segment_limit", "2")
    fits = "好" * (134 - len("【农业银行】"))
    just, over = await preview(town, fits), await preview(town, fits + "好")
    refusal = await refused(a_template(town, name="过长", body=fits + "好"))

    assert (just.characters, just.segments, reasons(just)) == (134, 2, [])
    assert (over.characters, over.segments) == (135, 3)
    assert over.faults[0].message_zh == "该短信按 3 条计费，上限为 2 条。"
    assert refusal == ("INVALID_ARGUMENT", "TEMPLATE_TOO_LONG")


async def test_a_latin_text_is_billed_by_seventy_and_travels_as_its_signature_does(
    town,
):
    """A hundred plain letters are two messages, because the brackets of a signature are in no Latin alphabet."""
    await set_parameter(town, "sms_signature", '"ABC"')
    found = await preview(town, "a" * 95)

    assert (found.characters, found.segments) == (100, 2)
    assert (found.encoding, found.encoded_segments) == (pb.AIR_ENCODING_UCS2, 2)


async def test_a_purpose_may_have_a_signature_of_its_own(town):
    """Where one is set it stands at the head of texts for that purpose, and the bank's at the head of all others."""
    await set_parameter(town, "purpose_signatures", '{"care": "农行关怀"}')
    care, service = await preview(town, "a", CARE), await preview(town, "a")

    assert care.full_text == "【农行关怀】a"
    assert care.purpose_rule.signature == "农行关怀"
    assert service.full_text == "【农业银行】a"


async def test_a_stored_template_is_shown_by_its_name(town):
    """The text and purpose are those that are stored, whatever else the request says; what is not there is refused."""
    kept = await a_template(town, name="存量", body="新品上市。", purpose=MARKETING)
    found = await preview(town, "不看这里", purpose=0, name=kept.name)
    missing = await refused(
        preview(town, name="templates/00000000-0000-0000-0000-000000000000")
    )
    nothing = await refused(preview(town, "您好", purpose=0), fields=True)

    assert found.full_text == "【农业银行】新品上市。拒收请回复R"
    assert missing == ("NOT_FOUND", "NOT_FOUND")
    assert nothing[:2] == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_the_purpose_decides_frame_consent_approval_hours_and_caps(town):
    """Service notices go out at every hour, care within hours, marketing needs consent and always a second person."""
    await set_parameter(town, "sms_hours", '{"from": 10, "to": 18}')
    await set_parameter(town, "approval_size", "300")
    service, care, offer = [
        (await preview(town, "您好", purpose=purpose)).purpose_rule
        for purpose in (SERVICE_PURPOSE, CARE, MARKETING)
    ]

    plain = {"signature": "农业银行", "approval_size": 300}
    assert service == pb.PurposeRule(purpose=1, to_hour=24, **plain)
    assert care == pb.PurposeRule(purpose=2, from_hour=10, to_hour=18, **plain)
    assert offer == pb.PurposeRule(
        purpose=3,
        refusal_words="拒收请回复R",
        needs_consent=True,
        always_approved=True,
        from_hour=10,
        to_hour=18,
        week_cap=1,
        month_cap=2,
        **plain,
    )
