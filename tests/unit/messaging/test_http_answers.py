"""What answers mean: known codes, codes nobody listed, and whatever else a server may send. Nothing is ever guessed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import system_clock
from services.messaging.gateways.http_aliyun import Aliyun
from services.messaging.gateways.http_calls import (
    HttpSettings,
    Unreadable,
    e164,
    national,
    parted,
)
from services.messaging.gateways.http_tencent import Tencent
from tests.unit.messaging.promises import message

KINDS = {"aliyun": Aliyun, "tencent": Tencent}


def dialect(kind, **more):
    """Return a dialect that needs no network."""
    told = {"host": "127.0.0.1", "port": 1, "key_id": "id", "secret": "s"}
    told |= {"template": "T", "app_id": "1", "access": "95599", "dialect": kind}
    return KINDS[kind](HttpSettings(**told | more), system_clock)


def asked(kind, *tokens, **more):
    """Return a dialect, and the first call for messages."""
    made = dialect(kind, **more)
    [call, *_], _ = made.calls([message(token) for token in tokens])
    return made, call


def verdicts(kind, status, body, *tokens, **more):
    """Return the verdicts that an answer gives, and its alarm."""
    made, call = asked(kind, *(tokens or (1,)), **more)
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = made.answer(call, status, text)

    assert [one.token for one in answer.results] == [one.token for one in call.messages]
    return [one.verdict for one in answer.results], answer.alarm


def error(kind, code):
    """Return the body of an error."""
    if kind == "aliyun":
        return {"Code": code, "Message": "13800000001 不对", "RequestId": "r"}
    return {"Response": {"Error": {"Code": code, "Message": "13800000001"}}}


MEANINGS = [
    ("aliyun", "isv.BUSINESS_LIMIT_CONTROL", "throttled", False),
    ("aliyun", "Throttling.User", "throttled", False),
    ("aliyun", "isv.MOBILE_NUMBER_ILLEGAL", "rejected", False),
    ("aliyun", "isv.SOMETHING_NEW", "rejected", False),
    ("aliyun", "isp.SYSTEM_ERROR", "ambiguous", False),
    ("aliyun", "isp.SOMETHING_NEW", "ambiguous", False),
    ("aliyun", "SignatureNonceUsed", "ambiguous", False),
    ("aliyun", "ServiceUnavailable", "ambiguous", False),
    ("aliyun", "InvalidTimeStamp.Expired", "temporary", False),
    ("aliyun", "isv.AMOUNT_NOT_ENOUGH", "temporary", True),
    ("aliyun", "isv.SMS_TEMPLATE_ILLEGAL", "temporary", True),
    ("aliyun", "InvalidAccessKeyId.NotFound", "temporary", True),
    ("aliyun", "SignatureDoesNotMatch", "temporary", True),
    ("tencent", "LimitExceeded.PhoneNumberThirtySecondLimit", "throttled", False),
    ("tencent", "RequestLimitExceeded.UinLimitExceeded", "throttled", False),
    ("tencent", "LimitExceeded.PhoneNumberDailyLimit", "rejected", False),
    ("tencent", "InvalidParameterValue.SomethingNew", "rejected", False),
    ("tencent", "InternalError.Timeout", "ambiguous", False),
    ("tencent", "FailedOperation.SomethingNew", "ambiguous", False),
    ("tencent", "AuthFailure.SignatureExpire", "temporary", False),
    ("tencent", "AuthFailure.SecretIdNotFound", "temporary", True),
    ("tencent", "FailedOperation.InsufficientBalanceInSmsPackage", "temporary", True),
    ("tencent", "UnauthorizedOperation.SmsSdkAppIdVerifyFail", "temporary", True),
]


@pytest.mark.parametrize(("kind", "code", "verdict", "alarms"), MEANINGS)
def test_a_code_means_what_the_provider_says(kind, code, verdict, alarms):
    """A family speaks for members nobody listed; what needs a person is an alarm, and its message was not taken."""
    told, alarm = verdicts(kind, 200, error(kind, code))

    assert (told, alarm) == ([verdict], code if alarms else "")


@pytest.mark.parametrize(("kind", "code", "verdict", "alarms"), MEANINGS)
def test_reasons_repeat_codes_and_never_the_providers_sentence(
    kind, code, verdict, alarms
):
    """The sentence of an error may hold the number."""
    made, call = asked(kind, 1)
    body = json.dumps(error(kind, code)).encode()
    [result] = made.answer(call, 200, body).results

    assert result.reason == code
    assert result.gateway_id is None


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("触发分钟级流控Permits:1", "throttled"),
        ("触发小时级流控Permits:5", "rejected"),
        ("触发天级流控Permits:10", "rejected"),
    ],
)
def test_a_number_that_had_its_fill_for_hours_is_not_tried_every_second(words, verdict):
    """The provider's code is the same for a minute and for a day; its sentence tells them apart."""
    body = {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": words}

    assert verdicts("aliyun", 200, body) == ([verdict], "")


def test_each_number_of_a_call_gets_its_own_verdict():
    """One that the answer leaves out or names twice is one of which nobody knows."""
    rows = [
        ("+8613800000101", "Ok", "1"),
        ("+8613800000102", "LimitExceeded.PhoneNumberDailyLimit", ""),
        ("+8613800000103", "Ok", "3"),
        ("+8613800000103", "Ok", "4"),
        ("+8613800000105", "Ok", ""),
        ("+8613999999999", "Ok", "9"),
    ]
    keys = ("PhoneNumber", "Code", "SerialNo")
    body = {
        "Response": {
            "SendStatusSet": [dict(zip(keys, row, strict=True)) for row in rows]
        }
    }

    assert verdicts("tencent", 200, body, 1, 2, 3, 4, 5, references=False) == (
        ["accepted", "rejected", "ambiguous", "ambiguous", "ambiguous"],
        "",
    )


GARBAGE = [
    b"",
    b"null",
    b"[]",
    b"42",
    b'"OK"',
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"Code": "OK"}',
    b'{"Code": "OK", "BizId": ""}',
    b'{"Code": "OK", "BizId": 7}',
    b'{"Code": "OK", "BizId": null}',
    b'{"Code": ["OK"], "BizId": "1"}',
    b'{"Code": true, "BizId": "1"}',
    b'{"code": "OK", "bizId": "1"}',
    b'{"Code": "OK", "BizId": "' + b"9" * 48 + b'"}',
    b'{"Code": "OK", "BizId": "1"',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"Response": null}',
    b'{"Response": {}}',
    b'{"Response": {"SendStatusSet": null}}',
    b'{"Response": {"SendStatusSet": [1]}}',
    b'{"Response": {"SendStatusSet": [{"PhoneNumber": 1, "Code": "Ok"}]}}',
    b'{"Response": {"Error": "no"}}',
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 301, 302, 403, 404, 500, 502, 504])
def test_what_nobody_can_read_is_never_accepted_and_never_repeated(kind, status):
    """Whatever the status, an answer without a readable body leaves the message as one of which nobody knows."""
    for body in GARBAGE:
        assert verdicts(kind, status, body) == (["ambiguous"], ""), body


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_requests_is_a_refusal_for_speed(kind):
    """Also when only the status says so."""
    assert verdicts(kind, 429, b"slow down") == (["throttled"], "")


@pytest.mark.parametrize("status", [302, 400, 500, 503])
def test_a_good_body_under_a_bad_status_is_not_accepted(status):
    """A proxy may answer with whatever it has kept."""
    row = {"PhoneNumber": "+8613800000101", "Code": "Ok", "SerialNo": "1"}
    bodies = {
        "aliyun": {"Code": "OK", "BizId": "1"},
        "tencent": {"Response": {"SendStatusSet": [row]}},
    }

    for kind, body in bodies.items():
        assert verdicts(kind, 200, body) == (["accepted"], "")
        assert verdicts(kind, status, body) == (["ambiguous"], "")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Code", "Response", "SendStatusSet", "Error", "phone_number", "sid"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
some_bytes = st.binary(max_size=60) | anything.map(lambda one: json.dumps(one).encode())


@given(kind=st.sampled_from([*KINDS]), status=st.integers(100, 599), body=some_bytes)
def test_no_answer_makes_a_dialect_fall_over_or_accept(kind, status, body):
    """Whatever comes: a verdict for each message, none of them accepted, and the link is not good."""
    told, _ = verdicts(kind, status, body)
    made = dialect(kind)
    standing = made.standing(status, body)

    assert "accepted" not in told
    assert standing.state != "good"


@given(kind=st.sampled_from([*KINDS]), body=some_bytes)
def test_no_push_makes_a_dialect_fall_over(kind, body):
    """It is read or refused as unreadable, and what is read are receipts and replies."""
    made = dialect(kind)
    for read in (made.reports, made.replies):
        try:
            found, bad = read(body)
        except Unreadable:
            continue

        assert bad >= 0
        assert all(one.dest if read == made.reports else one.source for one in found)
    with pytest.raises(Unreadable):
        made.found("1", 200, body)


def test_numbers_are_told_as_each_side_wants_them():
    """Mainland mobiles lose and get their 86; others keep their code; words are no numbers."""
    assert [
        national(one) for one in ("8613800000001", "85298765432", "861012345678")
    ] == [
        "13800000001",
        "85298765432",
        "861012345678",
    ]
    assert [
        e164(one)
        for one in ("13800000001", "+8613800000001", "008613800000001", "85298765432")
    ] == ["8613800000001"] * 3 + ["85298765432"]
    assert [e164(one) for one in ("", "abc", "1", "+", "1" * 21, "138 0000 0001")] == [
        None
    ] * 6


@given(
    numbers=st.lists(st.integers(0, 9), max_size=60),
    most=st.integers(1, 7),
)
def test_groups_lose_nothing_and_hold_no_number_twice(numbers, most):
    """Every message is in exactly one group, and no group is larger than allowed."""
    batch = [message(n, dest=f"861380000000{one}") for n, one in enumerate(numbers)]
    groups = parted(batch, most)

    assert sorted(one.token for group in groups for one in group) == [
        *range(len(numbers))
    ]
    assert all(1 <= len(group) <= most for group in groups)
    assert all(len({one.dest for one in group}) == len(group) for group in groups)


def test_as_few_calls_are_made_as_the_provider_allows():
    """100 numbers with texts of their own in one call there, 200 with one text in one call here."""
    several = [message(n, f"第{n}号") for n in range(250)]
    alike = [message(n) for n in range(450)]
    aliyun, _ = dialect("aliyun", references=False).calls(several)
    tencent, _ = dialect("tencent", references=False).calls(alike)
    single, _ = dialect("aliyun").calls(several)

    assert [len(one.messages) for one in aliyun] == [100, 100, 50]
    assert [len(one.messages) for one in tencent] == [200, 200, 50]
    assert len(single) == 250


def test_extensions_are_named_where_every_message_of_a_call_has_one():
    """They follow the access number."""
    batch = [message(1), message(2, source="9559977")]
    plain = [message(1), message(2, source="95599")]
    made = dialect("aliyun", references=False)
    calls = [made.calls(one)[0][0] for one in (batch, plain)]

    assert json.loads(calls[0].fields["SmsUpExtendCodeJson"]) == ["01", "77"]
    assert "SmsUpExtendCodeJson" not in calls[1].fields


def test_a_text_without_a_signature_is_refused():
    """Aggregators want it apart, and would put in another one or none."""
    unsigned = message(1)._replace(text="尊敬的客户")
    for kind in KINDS:
        calls, [refusal] = dialect(kind).calls([unsigned])

        assert calls == []
        assert (refusal.token, refusal.verdict) == (1, "rejected")
        assert "客户" not in refusal.reason
