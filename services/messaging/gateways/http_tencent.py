"""
The dialect of Tencent Cloud's SMS interface (2021-01-11): JSON signed with TC3-HMAC-SHA256.

Sources: the provider's pages on SendSms, PullSmsSendStatusByPhoneNumber, the two callbacks, signature v3 and error
codes. PullSmsSendStatus, without a number, is not used: what it has handed out it never hands out again, so receipts
would be lost with a process that ends between the answer and the commit.
"""

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from services.chassis.clock import Clock
from services.messaging.gateways import Outgoing, SubmitResult
from services.messaging.gateways.http_calls import (
    Answer,
    Call,
    Fault,
    Found,
    HttpSettings,
    Reply,
    Report,
    Request,
    Standing,
    Unreadable,
    e164,
    entries,
    fault_of,
    fit_of,
    in_words,
    parted,
    read,
    readable,
    refused,
    signed_text,
    state_of,
    unread,
)

MOST_TOLD = 100
"""Receipts that one answer tells about (source: the provider's page on PullSmsSendStatusByPhoneNumber)."""

MOST_NUMBERS = 200
"""Numbers that one SendSms takes (source: the provider's page on it)."""

SERVICE = "sms"
VERSION = "2021-01-11"
JSON = "application/json; charset=utf-8"

FAULTS = {
    "LimitExceeded.PhoneNumberThirtySecondLimit": Fault(201, "throttled"),
    "LimitExceeded.DeliveryFrequencyLimit": Fault(202, "throttled"),
    "RequestLimitExceeded": Fault(203, "throttled"),
    "LimitExceeded.PhoneNumberOneHourLimit": Fault(204, "rejected"),
    "LimitExceeded.PhoneNumberDailyLimit": Fault(205, "rejected"),
    "LimitExceeded.PhoneNumberSameContentDailyLimit": Fault(206, "rejected"),
    "LimitExceeded": Fault(207, "rejected"),
    "FailedOperation.PhoneNumberInBlacklist": Fault(211, "rejected"),
    "FailedOperation.ContainSensitiveWord": Fault(212, "rejected"),
    "FailedOperation.SignatureIncorrectOrUnapproved": Fault(213, "rejected"),
    "FailedOperation.MarketingSendTimeConstraint": Fault(214, "rejected"),
    "InvalidParameterValue.IncorrectPhoneNumber": Fault(215, "rejected"),
    "InvalidParameterValue": Fault(216, "rejected"),
    "InvalidParameter": Fault(216, "rejected"),
    "MissingParameter": Fault(216, "rejected"),
    "UnsupportedOperation": Fault(217, "rejected"),
    "InternalError": Fault(221, "ambiguous"),
    "AuthFailure.SignatureExpire": Fault(231, "temporary"),
    "FailedOperation.InsufficientBalanceInSmsPackage": Fault(241, "hopeless"),
    "LimitExceeded.AppDailyLimit": Fault(242, "hopeless"),
    "LimitExceeded.AppMainlandChinaDailyLimit": Fault(242, "hopeless"),
    "FailedOperation.TemplateIncorrectOrUnapproved": Fault(243, "hopeless"),
    "InvalidParameterValue.SdkAppIdNotExist": Fault(244, "hopeless"),
    "UnauthorizedOperation": Fault(251, "hopeless"),
    "AuthFailure": Fault(252, "hopeless"),
}
"""Codes of answers. Numbers are ours: results keep a number, not a word."""

Short = Annotated[str, Field(max_length=512)]


class _Error(BaseModel):
    code: Short = Field(alias="Code")


class _Status(BaseModel):
    """What became of one number of a call."""

    number: Short = Field(alias="PhoneNumber")
    code: Short = Field(alias="Code")
    serial: str = Field(default="", alias="SerialNo", max_length=64)


class _Receipt(BaseModel):
    """One receipt that was asked for."""

    number: Short = Field(alias="PhoneNumber")
    serial: str = Field(alias="SerialNo", min_length=1, max_length=64)
    status: Short = Field(alias="ReportStatus")
    words: Short = Field(default="", alias="Description")
    context: Short = Field(default="", alias="SessionContext")


class _Inside(BaseModel):
    error: _Error | None = Field(default=None, alias="Error")
    sent: list[_Status] = Field(
        default_factory=list, alias="SendStatusSet", max_length=MOST_NUMBERS
    )
    receipts: list[_Receipt] | None = Field(default=None, alias="PullSmsSendStatusSet")
    counts: dict[str, Any] | None = Field(default=None, alias="SendStatusStatistics")


class _Answer(BaseModel):
    inside: _Inside = Field(alias="Response")


class _Report(BaseModel):
    """One entry of the callback of receipts; ``ext`` is our reference, which the provider sends to those who ask."""

    nationcode: Short
    mobile: Short
    report_status: Short
    errmsg: Short = ""
    sid: str = Field(min_length=1, max_length=64)
    ext: Short | None = ""


class _Reply(BaseModel):
    """The callback of replies."""

    nationcode: Short
    mobile: Short
    text: str = Field(max_length=4000)
    extend: Short | None = ""


def signature(
    body: bytes, *, host: str, action: str, secret: str, moment: datetime
) -> tuple[str, str]:
    """Return scope and signature of a POST of *body* (source: signature v3); three headers are signed."""
    told = "\n".join(
        (
            "POST",
            "/",
            "",
            f"content-type:{JSON}",
            f"host:{host}",
            f"x-tc-action:{action.lower()}",
            "",
            "content-type;host;x-tc-action",
            hashlib.sha256(body).hexdigest(),
        )
    )
    day = f"{moment:%Y-%m-%d}"
    scope = f"{day}/{SERVICE}/tc3_request"
    digest = hashlib.sha256(told.encode()).hexdigest()
    to_sign = f"TC3-HMAC-SHA256\n{int(moment.timestamp())}\n{scope}\n{digest}"
    key = f"TC3{secret}".encode()
    for part in (day, SERVICE, "tc3_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return scope, hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


class Tencent:
    """Speaks to Tencent Cloud, or to whoever has the same interface; implements Dialect."""

    thanks: Mapping[str, Any] = {"result": 0, "errmsg": "OK"}
    remembers = timedelta(days=6)
    by_day = False
    echoes = False

    def __init__(self, settings: HttpSettings, clock: Clock) -> None:
        """Sign with the access key of *settings*."""
        self._settings = settings
        self._clock = clock

    # sending

    def calls(self, batch: Sequence[Outgoing]) -> tuple[list[Call], list[SubmitResult]]:
        """Return one call a message, whose reference is echoed, or one for those with the same text."""
        alike: dict[tuple[str, ...], list[Outgoing]] = defaultdict(list)
        fit, unfit = fit_of(batch)
        for one in fit:
            sign, text = signed_text(one.text)
            extension = one.source.removeprefix(self._settings.access)
            alike[sign, text, extension].append(one)
        most = 1 if self._settings.references else MOST_NUMBERS
        return [
            self._call(key, group)
            for key, messages in alike.items()
            for group in parted(messages, most)
        ], unfit

    def _call(self, key: tuple[str, ...], group: Sequence[Outgoing]) -> Call:
        sign, text, extension = key
        fields = {
            "PhoneNumberSet": [f"+{one.dest}" for one in group],
            "SmsSdkAppId": self._settings.app_id,
            "TemplateId": self._settings.template,
            "SignName": sign,
            "TemplateParamSet": [text],
        }
        if extension:
            fields["ExtendCode"] = extension
        if self._settings.references:
            fields["SessionContext"] = group[0].client_ref.hex()
        return Call("SendSms", fields, tuple(group))

    def request(self, action: str, fields: Mapping[str, Any]) -> Request:
        """Return the signed call that leaves now; the provider takes it for five minutes."""
        settings, moment = self._settings, self._clock()
        body = json.dumps(fields, ensure_ascii=False).encode()
        scope, found = signature(
            body,
            host=settings.host,
            action=action,
            secret=settings.secret,
            moment=moment,
        )
        headers = {
            "Authorization": (
                f"TC3-HMAC-SHA256 Credential={settings.key_id}/{scope}, "
                f"SignedHeaders=content-type;host;x-tc-action, Signature={found}"
            ),
            "Content-Type": JSON,
            "Host": settings.host,
            "X-TC-Action": action,
            "X-TC-Timestamp": str(int(moment.timestamp())),
            "X-TC-Version": VERSION,
            "X-TC-Region": settings.region or "ap-guangzhou",
        }
        return Request(headers, body)

    def answer(self, call: Call, status: int, body: bytes) -> Answer:
        """Return what an answer says about each number; one that it names not once is one of which nobody knows."""
        told = read(_Answer, body)
        if told is None or status >= 500:
            return unread(call, status)
        if told.inside.error is not None:
            fault = fault_of(told.inside.error.code, FAULTS)
            words = in_words(told.inside.error.code)
            results = [refused(one.token, words, fault) for one in call.messages]
            return Answer(results, words if fault.meaning == "hopeless" else "")
        if status != 200:
            return unread(call, status)
        named: dict[str, list[_Status]] = defaultdict(list)
        for each in told.inside.sent:
            named[e164(each.number) or ""].append(each)
        results, alarm = [], ""
        for one in call.messages:
            found = named[one.dest]
            result, hopeless = _result(one.token, found[0] if len(found) == 1 else None)
            results.append(result)
            alarm = alarm or hopeless
        return Answer(results, alarm)

    # the link

    def probe(self) -> tuple[str, Mapping[str, Any]]:
        """Return a question for this hour's counts: it needs a good key, and costs nothing."""
        hour = f"{self._clock():%Y%m%d%H}"
        fields = {
            "BeginTime": hour,
            "EndTime": hour,
            "Limit": 0,
            "Offset": 0,
            "SmsSdkAppId": self._settings.app_id,
        }
        return "SendStatusStatistics", fields

    def standing(self, status: int, body: bytes) -> Standing:
        """Return what the answer to the probe says."""
        told = read(_Answer, body)
        if told is None or status >= 500:
            return Standing("away", f"no readable answer: HTTP {status}")
        error = told.inside.error
        if error is None:
            good = status == 200 and told.inside.counts is not None
            return Standing("good") if good else Standing("away", "no counts")
        hopeless = fault_of(error.code, FAULTS).meaning == "hopeless"
        return Standing("refused" if hopeless else "away", in_words(error.code))

    # hearing

    def question(
        self, dest: str, gateway_id: str | None, day: str, since: float
    ) -> tuple[str, Mapping[str, Any]]:
        """Return a question for the receipts of a number; asking takes none of them away."""
        fields = {
            "BeginTime": int(since),
            "EndTime": int(self._clock().timestamp()) + 60,
            "Offset": 0,
            "Limit": MOST_TOLD,
            "PhoneNumber": f"+{dest}",
            "SmsSdkAppId": self._settings.app_id,
        }
        return "PullSmsSendStatusByPhoneNumber", fields

    def found(self, gateway_id: str | None, status: int, body: bytes) -> Found:
        """Return the receipts of a number: a message without one is not told of, whether it was taken or not."""
        told = read(_Answer, body)
        if told is None or told.inside.error or told.inside.receipts is None:
            raise Unreadable
        reports = [
            Report(
                gateway_id=one.serial,
                dest=e164(one.number) or "",
                echoed=one.context,
                state=state_of(delivered=one.status == "SUCCESS", code=one.words),
                code=in_words(one.words) if one.words else "",
            )
            for one in told.inside.receipts
        ]
        return Found(reports, status == 200 and len(reports) < MOST_TOLD)

    def reports(self, body: bytes) -> tuple[list[Report], int]:
        """Return the entries of the callback of receipts."""
        return readable(entries(body), _Report, _report)

    def replies(self, body: bytes) -> tuple[list[Reply], int]:
        """Return the reply of a callback, which brings them one by one."""
        alone = body.lstrip().startswith(b"{")
        return readable(entries(b"[%b]" % body if alone else body), _Reply, _reply)


def _result(token: int, told: _Status | None) -> tuple[SubmitResult, str]:
    """Return what became of one number, and an alarm where a person must see to it."""
    if told is None or (told.code == "Ok" and not told.serial):
        reason = "the answer does not name the number once"
        return SubmitResult(token, "ambiguous", None, 0, reason), ""
    if told.code == "Ok":
        return SubmitResult(token, "accepted", told.serial, 0, ""), ""
    fault = fault_of(told.code, FAULTS)
    words = in_words(told.code)
    return refused(token, words, fault), words if fault.meaning == "hopeless" else ""


def _report(one: _Report) -> Report | None:
    dest = e164(one.nationcode.removeprefix("+") + one.mobile)
    if dest is None or one.report_status not in ("SUCCESS", "FAIL"):
        return None
    return Report(
        gateway_id=one.sid,
        dest=dest,
        echoed=one.ext or "",
        state=state_of(delivered=one.report_status == "SUCCESS", code=one.errmsg),
        code=in_words(one.errmsg) if one.errmsg else "",
    )


def _reply(one: _Reply) -> Reply | None:
    source = e164(one.nationcode.removeprefix("+") + one.mobile)
    return None if source is None else Reply(source, one.extend or "", one.text)
