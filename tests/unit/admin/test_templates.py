"""The page of templates: what a preview says in words, and what becomes of it while its service is away."""

import pytest
from flask_babel import force_locale
from guanhu.messaging.v1 import template_pb2 as pb

from admin.app import create_app
from admin.views.templates import line_ends, meaning_of, told_of
from tests.unit.admin.conftest import Browser

SERVICE = {"purpose": 1, "signature": "农业银行", "approval_size": 500, "to_hour": 24}
MARKETING = {
    "purpose": 3,
    "signature": "农业银行",
    "refusal_words": "拒收请回复R",
    "needs_consent": True,
    "always_approved": True,
    "from_hour": 9,
    "to_hour": 20,
    "month_cap": 2,
}


@pytest.fixture
def portal(channels, settings):
    """The portal with its own menu."""
    made = create_app(channels, settings)
    yield made
    made.session_interface._store.close()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            SERVICE,
            [
                "开头加签名【农业银行】。",
                "无需客户另行同意；免打扰客户不发送。",
                "超过 500 人的批次须双人复核。",
                "全天可发送。",
            ],
        ),
        (
            MARKETING,
            [
                "开头加签名【农业银行】。",
                "结尾加“拒收请回复R”。",
                "仅发送给已同意接收营销短信的客户。",
                "每个批次均须双人复核。",
                "仅在 9:00 至 20:00 发送。",
                "每位客户30天内最多 2 条。",
            ],
        ),
    ],
)
def test_what_a_purpose_means_is_said_sentence_by_sentence(portal, rule, expected):
    """Only what holds is said: a cap that is not set is not mentioned."""
    with portal.test_request_context():
        said = [str(one) for one in meaning_of(pb.PurposeRule(**rule))]

    assert said == expected


def test_faults_are_told_in_the_persons_language(portal):
    """Chinese unless English was chosen; the service sends both."""
    fault = pb.TemplateFault(reason="X", message="Too long.", message_zh="过长。")
    found = pb.PreviewTemplateResponse(full_text="好", faults=[fault])
    with portal.test_request_context():
        chinese = told_of(found)
    with portal.test_request_context(), force_locale("en"):
        english = told_of(found)

    assert (chinese["text"], chinese["faults"]) == ("好", ["过长。"])
    assert (english["text"], english["faults"]) == ("好", ["Too long."])
    assert english["meaning"][0] == "Signed 【】 at the head."


def test_a_preview_without_its_service_says_so(portal, trial):
    """The form stays as it is, and the sentence stands where faults stand."""
    browser = Browser(portal)
    browser.sign_in()
    trial.stop()
    answer = browser.post("/admin/templates/preview/", {"body": "您好", "purpose": "1"})
    trial.start()

    assert answer.json == {"faults": ["后台服务暂时无法连接。"]}


@pytest.mark.parametrize(
    ("posted", "kept"), [("一\r\n二", "一\n二"), ("", ""), (None, None)]
)
def test_lines_end_as_messages_end_them(posted, kept):
    """Browsers post two characters for the end of a line; messages hold one."""
    assert line_ends(posted) == kept
