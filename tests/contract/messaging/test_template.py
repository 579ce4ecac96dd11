"""Templates: reviewed texts with fields; nobody forges a signature, and nobody reviews their own."""

import pytest
import pytest_asyncio
from guanhu.messaging.v1 import template_pb2 as pb

from services.messaging.__main__ import SERVICE
from tests import messages
from tests.builders import request_id
from tests.messages import MARKETING, a_template, approve_template, submit, templates
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """A messaging service alone: templates ask nobody."""
    running = await bank.serve(SERVICE)
    yield messages.SimpleNamespace(messaging=running)
    await running.stop()


async def reject(town, template, who="manager", remark="请补充到期日说明"):
    """Give a template back."""
    return await templates(town, who).RejectTemplate(
        pb.RejectTemplateRequest(
            name=template.name,
            etag=template.etag,
            remark=remark,
            request_id=request_id(),
        )
    )


async def test_the_system_adds_signature_and_words_to_refuse(town):
    """A draft has its fields in the order of first use; only marketing ends with the words to refuse."""
    service = await a_template(town)
    offer = await a_template(
        town,
        name="理财推荐",
        body="{{customer_name}}您好，新品上市。",
        purpose=MARKETING,
    )

    assert service.full_text == f"【农业银行】{messages.BODY}"
    assert list(service.fields) == ["customer_title", "branch_name"]
    assert offer.full_text == "【农业银行】{{customer_name}}您好，新品上市。拒收请回复R"
    assert (service.state, service.author) == (
        pb.TEMPLATE_STATE_DRAFT,
        "staff/teller",
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("您好{{balance}}", "TEMPLATE_FIELD_UNKNOWN"),
        ("您好{{ customer_name }}", "TEMPLATE_FIELD_UNKNOWN"),
        ("您好{customer_name}", "TEMPLATE_BRACES_STRAY"),
        ("您好{{customer_name}", "TEMPLATE_BRACES_STRAY"),
        ("您好｛｛customer_name｝｝", "TEMPLATE_BRACES_STRAY"),
        ("【工商银行】您好", "TEMPLATE_FORGES"),
        ("您好，退订请致电", "TEMPLATE_FORGES"),
        ("您好，回复 T 不再接收", "TEMPLATE_FORGES"),
        ("保 本理财，欢迎选购", "TEMPLATE_PHRASE_FORBIDDEN"),
        ("保{{customer_name}}本", "TEMPLATE_PHRASE_FORBIDDEN"),
        ("ＡＢＳＯＬＵＴＥｌｙ safe", "TEMPLATE_PHRASE_FORBIDDEN"),
        ("您好\u200b，客户", "TEMPLATE_CHARACTERS_HIDDEN"),
        (" \n ", "TEMPLATE_TEXT_EMPTY"),
    ],
)
async def test_a_text_that_will_not_do_is_refused(town, body, reason):
    """Unknown fields, stray braces, forged signatures, words to refuse, promises and hidden characters are refused."""
    phrases = '["保本", "absolutely SAFE"]'
    await messages.set_parameter(town, "forbidden_phrases", phrases)
    refusal = await refused(a_template(town, name="不合格", body=body))

    assert refusal == ("INVALID_ARGUMENT", reason)


async def test_a_name_is_taken_once_in_the_bank(town):
    """Another template of the same name is refused; the same request gets the same answer."""
    request = pb.CreateTemplateRequest(
        template=pb.Template(display_name="生日祝福", body="生日快乐", purpose=2),
        request_id=request_id(),
    )
    first = await templates(town).CreateTemplate(request)
    again = await templates(town).CreateTemplate(request)
    taken = await refused(a_template(town, name="生日祝福", who="far_manager"))

    assert again == first
    assert taken == ("ALREADY_EXISTS", "TEMPLATE_NAME_TAKEN")


async def test_only_another_approves_and_only_what_was_submitted(town):
    """Draft, submitted, rejected, submitted again, approved; the author never, an old etag never."""
    draft = await a_template(town, name="流程", who="manager")
    early = await refused(approve_template(town, draft, who="upper_manager"))
    sent = await submit(town, draft, who="manager")
    own = await refused(approve_template(town, sent, who="manager"))
    own_rejection = await refused(reject(town, sent))
    stale = await refused(approve_template(town, draft, who="upper_manager"))
    back = await reject(town, sent, who="upper_manager")
    again = await submit(town, back, who="manager")
    done = await approve_template(town, again, who="upper_manager")
    late = await refused(submit(town, done, who="manager"))

    assert early == ("FAILED_PRECONDITION", "TEMPLATE_STATE_UNFIT")
    assert own == own_rejection == ("PERMISSION_DENIED", "REVIEWER_IS_AUTHOR")
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert (back.state, back.review_remark) == (
        pb.TEMPLATE_STATE_REJECTED,
        "请补充到期日说明",
    )
    assert (done.state, done.reviewer) == (
        pb.TEMPLATE_STATE_APPROVED,
        "staff/upper_manager",
    )
    assert late == ("FAILED_PRECONDITION", "TEMPLATE_STATE_UNFIT")


async def test_what_became_forbidden_meanwhile_is_not_approved(town):
    """The text is checked again when it is approved."""
    sent = await submit(town, await a_template(town, name="旧话术", body="稳健理财"))
    await messages.set_parameter(town, "forbidden_phrases", '["稳健"]')
    refusal = await refused(approve_template(town, sent))
    await messages.set_parameter(town, "forbidden_phrases", '["保本"]')
    done = await approve_template(town, sent)

    assert refusal == ("INVALID_ARGUMENT", "TEMPLATE_PHRASE_FORBIDDEN")
    assert done.state == pb.TEMPLATE_STATE_APPROVED


async def test_templates_are_listed_to_the_end_by_name_purpose_and_state(town):
    """Pages of two hold each template once, for staff of any branch."""
    names = [f"节日{place}" for place in range(5)]
    for place, name in enumerate(names):
        await a_template(town, name=name, purpose=2 + place % 2)
    stub, found, token = templates(town, "far_manager"), [], ""
    while True:
        page = await stub.ListTemplates(
            pb.ListTemplatesRequest(
                page_size=2, page_token=token, query="节日", order_by="display_name"
            )
        )
        found += [one.display_name for one in page.templates]
        token = page.next_page_token
        if not token:
            break
    care = await stub.ListTemplates(pb.ListTemplatesRequest(query="节日", purpose=2))
    sent = await stub.ListTemplates(pb.ListTemplatesRequest(query="节日", state=2))
    one = await stub.GetTemplate(pb.GetTemplateRequest(name=page.templates[0].name))
    missing = await refused(
        stub.GetTemplate(
            pb.GetTemplateRequest(name="templates/00000000-0000-0000-0000-000000000000")
        )
    )

    assert found == names
    assert page.total_size == 5
    assert care.total_size == 3
    assert sent.total_size == 0
    assert one == page.templates[0]
    assert missing == ("NOT_FOUND", "NOT_FOUND")
