"""
The dialect of Alibaba Cloud's SMS interface (Dysmsapi 2017-05-25): form fields signed with HMAC-SHA1, JSON answers.

Sources: the provider's pages on SendSms, SendBatchSms, QuerySendDetails, SmsReport, SmsUp, on the signature of RPC
requests (version 1.0) and on error codes.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel, Field

from services.chassis.clock import Clock, day_of
from services.messaging.gateways import Outgoing, SubmitResult
from services.messaging.gateways.http_calls import (
    VARIABLE,
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
    national,
    parted,
    read,
    readable,
    refused,
    signed_text,
    state_of,
    unread,
)

MOST_TOLD = 50
"""Messages that one answer of QuerySendDetails tells about (source: the provider's page on it)."""

MOST_NUMBERS = 100
"""Numbers that one SendBatchSms takes (source: the provider's page on it)."""

FAULTS = {
    "isv.BUSINESS_LIMIT_CONTROL": Fault(101, "throttled"),
    "Throttling": Fault(102, "throttled"),
    "isv": Fault(110, "rejected"),
    "isv.MOBILE_NUMBER_ILLEGAL": Fault(111, "rejected"),
    "isv.BLACK_KEY_CONTROL_LIMIT": Fault(112, "rejected"),
    "isv.PARAM_LENGTH_LIMIT": Fault(113, "rejected"),
    "isv.SMS_SIGNATURE_ILLEGAL": Fault(114, "rejected"),
    "isv.SMS_CONTENT_ILLEGAL": Fault(115, "rejected"),
    "isp": Fault(120, "ambiguous"),
    "isp.SYSTEM_ERROR": Fault(121, "ambiguous"),
    # the same request was heard before: somebody on the way repeated it, and the first may have been taken
    "SignatureNonceUsed": Fault(122, "ambiguous"),
    "InvalidTimeStamp": Fault(131, "temporary"),
    "isv.AMOUNT_NOT_ENOUGH": Fault(141, "hopeless"),
    "isv.OUT_OF_SERVICE": Fault(142, "hopeless"),
    "isv.ACCOUNT_NOT_EXISTS": Fault(143, "hopeless"),
    "isv.ACCOUNT_ABNORMAL": Fault(144, "hopeless"),
    "isv.PRODUCT_UN_SUBSCRIPT": Fault(145, "hopeless"),
    "isv.PRODUCT_UNSUBSCRIBE": Fault(145, "hopeless"),
    "isv.SMS_TEMPLATE_ILLEGAL": Fault(146, "hopeless"),
    "isv.DAY_LIMIT_CONTROL": Fault(147, "hopeless"),
    "isv.MONTH_LIMIT_CONTROL": Fault(147, "hopeless"),
    "isp.RAM_PERMISSION_DENY": Fault(151, "hopeless"),
    "Forbidden": Fault(152, "hopeless"),
    "InvalidAccessKeyId": Fault(153, "hopeless"),
    "SignatureDoesNotMatch": Fault(154, "hopeless"),
    "IncompleteSignature": Fault(154, "hopeless"),
}
"""Codes of answers. Numbers are ours: results keep a number, not a word."""

FULL = Fault(103, "rejected")
"""The number has had as many messages as the provider allows in an hour or a day."""

LONG_LIMITS = ("小时级", "天级")
"""How the provider's sentence tells a limit of hours or days from one of a minute; the code is the same."""

Short = Annotated[str, Field(max_length=256)]


class _Answer(BaseModel):
    """What every call is answered; a text for the number of the sending is there where it was taken."""

    code: Short = Field(alias="Code")
    message: str = Field(default="", alias="Message")
    biz_id: str = Field(default="", alias="BizId", max_length=47)


class _Detail(BaseModel):
    """One message that the provider remembers; 1 awaits its receipt, 2 failed, 3 was delivered."""

    number: Short = Field(alias="PhoneNum")
    status: int = Field(alias="SendStatus")
    code: Short = Field(default="", alias="ErrCode")
    out_id: Short = Field(default="", alias="OutId")


class _Details(BaseModel):
    items: list[_Detail] = Field(alias="SmsSendDetailDTO", max_length=MOST_TOLD)


class _Found(BaseModel):
    """The first page of what the provider remembers; the total is a number or, from some regions, its digits."""

    code: Short = Field(alias="Code")
    total: int | Annotated[str, Field(pattern="^[0-9]{1,9}$")] | None = Field(
        default=None, alias="TotalCount"
    )
    details: _Details = Field(alias="SmsSendDetailDTOs")


class _Report(BaseModel):
    """One entry of SmsReport."""

    phone_number: Short
    success: bool
    err_code: Short = ""
    biz_id: str = Field(min_length=1, max_length=47)
    out_id: Short | None = None


class _Reply(BaseModel):
    """One entry of SmsUp."""

    phone_number: Short
    content: str = Field(max_length=4000)
    dest_code: Short | None = ""


def encoded(text: str) -> str:
    """Return *text* as the signature wants it: RFC 3986, where only the tilde beside letters, digits, -_. stays."""
    return quote(text, safe="~")


def signature(fields: Mapping[str, str], secret: str) -> str:
    """Return the signature of the form *fields* of a POST (source: signature of RPC requests, version 1.0)."""
    query = "&".join(
        f"{encoded(key)}={encoded(value)}" for key, value in sorted(fields.items())
    )
    told = f"POST&%2F&{encoded(query)}"
    digest = hmac.digest(f"{secret}&".encode(), told.encode(), hashlib.sha1)
    return base64.b64encode(digest).decode()


def _json(values: Sequence[str] | Mapping[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


class Aliyun:
    """Speaks to Alibaba Cloud, or to whoever has the same interface; implements Dialect."""

    thanks: Mapping[str, Any] = {"code": 0, "msg": "接收成功"}
    remembers = timedelta(days=29)
    by_day = True

    def __init__(self, settings: HttpSettings, clock: Clock) -> None:
        """Sign with the access key of *settings*."""
        self._settings = settings
        self._clock = clock
        self.echoes = settings.references

    # sending

    def calls(self, batch: Sequence[Outgoing]) -> tuple[list[Call], list[SubmitResult]]:
        """Return one SendSms a message, whose reference is echoed, or few SendBatchSms, without references."""
        fit, unfit = fit_of(batch)
        if self._settings.references:
            return [self._single(one) for one in fit], unfit
        return [self._several(group) for group in parted(fit, MOST_NUMBERS)], unfit

    def _single(self, message: Outgoing) -> Call:
        sign, text = signed_text(message.text)
        fields = {
            "PhoneNumbers": national(message.dest),
            "SignName": sign,
            "TemplateCode": self._settings.template,
            "TemplateParam": _json({VARIABLE: text}),
            "OutId": message.client_ref.hex(),
        }
        if extension := message.source.removeprefix(self._settings.access):
            fields["SmsUpExtendCode"] = extension
        return Call("SendSms", fields, (message,))

    def _several(self, group: Sequence[Outgoing]) -> Call:
        pairs = [signed_text(one.text) for one in group]
        texts = [{VARIABLE: text} for _, text in pairs]
        extensions = [one.source.removeprefix(self._settings.access) for one in group]
        fields = {
            "PhoneNumberJson": _json([national(one.dest) for one in group]),
            "SignNameJson": _json([sign for sign, _ in pairs]),
            "TemplateCode": self._settings.template,
            "TemplateParamJson": json.dumps(texts, ensure_ascii=False),
        }
        if all(extensions):
            fields["SmsUpExtendCodeJson"] = _json(extensions)
        return Call("SendBatchSms", fields, tuple(group))

    def request(self, action: str, fields: Mapping[str, Any]) -> Request:
        """Return the form of a call that leaves now; the provider takes it for 15 minutes, and once."""
        settings = self._settings
        form = {
            **fields,
            "AccessKeyId": settings.key_id,
            "Action": action,
            "Format": "JSON",
            "RegionId": settings.region or "cn-hangzhou",
            "SignatureMethod": "HMAC-SHA1",
            "SignatureNonce": uuid4().hex,
            "SignatureVersion": "1.0",
            "Timestamp": f"{self._clock():%Y-%m-%dT%H:%M:%SZ}",
            "Version": "2017-05-25",
        }
        form["Signature"] = signature(form, settings.secret)
        body = "&".join(f"{key}={encoded(value)}" for key, value in form.items())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(headers, body.encode())

    def answer(self, call: Call, status: int, body: bytes) -> Answer:
        """Return what an answer says; a call is taken as a whole or not at all."""
        told = read(_Answer, body)
        if told is None or status >= 500:
            return unread(call, status)
        if told.code == "OK":
            if status != 200 or not told.biz_id:
                return unread(call, status)
            taken = [
                SubmitResult(
                    one.token, "accepted", self._id(told.biz_id, one.dest), 0, ""
                )
                for one in call.messages
            ]
            return Answer(taken)
        fault = self._fault(told)
        results = [refused(one.token, told.code, fault) for one in call.messages]
        alarm = in_words(told.code) if fault.meaning == "hopeless" else ""
        return Answer(results, alarm)

    @staticmethod
    def _fault(told: _Answer) -> Fault:
        fault = fault_of(told.code, FAULTS)
        long = any(word in told.message for word in LONG_LIMITS)
        return FULL if long and fault.meaning == "throttled" else fault

    def _id(self, biz_id: str, dest: str) -> str:
        """
        Return the number of one message.

        All of a SendBatchSms have one BizId: the mark, which a receipt's number gives again, tells them apart. It is
        keyed, because a plain digest of a telephone number is found by trying all of them.
        """
        if self._settings.references:
            return biz_id
        told = f"{biz_id} {national(dest)}".encode()
        mark = hmac.digest(self._settings.secret.encode(), told, hashlib.sha256)
        return f"{biz_id}#{mark[:8].hex()}"

    # the link

    def probe(self) -> tuple[str, Mapping[str, Any]]:
        """Return a question for today's counts: it needs a good key, and costs nothing."""
        today = f"{day_of(self._clock()):%Y%m%d}"
        fields = {
            "IsGlobe": "1",
            "StartDate": today,
            "EndDate": today,
            "PageIndex": "1",
            "PageSize": "1",
        }
        return "QuerySendStatistics", fields

    def standing(self, status: int, body: bytes) -> Standing:
        """Return what the answer to the probe says."""
        told = read(_Answer, body)
        if told is None or (told.code == "OK" and status != 200):
            return Standing("away", f"no readable answer: HTTP {status}")
        if told.code == "OK":
            return Standing("good")
        hopeless = fault_of(told.code, FAULTS).meaning == "hopeless"
        return Standing("refused" if hopeless else "away", in_words(told.code))

    # hearing

    def question(
        self, dest: str, gateway_id: str | None, day: str, since: float
    ) -> tuple[str, Mapping[str, Any]]:
        """Return a question for what was sent to a number on a day."""
        fields = {
            "PhoneNumber": national(dest),
            "SendDate": day,
            "PageSize": str(MOST_TOLD),
            "CurrentPage": "1",
        }
        if gateway_id:
            fields["BizId"] = gateway_id.partition("#")[0]
        return "QuerySendDetails", fields

    def found(self, gateway_id: str | None, status: int, body: bytes) -> Found:
        """Return what the provider remembers; of a message without a number, it names our reference alone."""
        told = read(_Found, body)
        if told is None or told.code != "OK":
            raise Unreadable
        items = told.details.items
        whole = status == 200 and told.total is not None
        whole = whole and int(told.total or 0) == len(items)
        reports = [
            Report(
                gateway_id=gateway_id,
                dest=e164(one.number) or "",
                echoed=one.out_id,
                state=state_of(delivered=one.status == 3, code=one.code)
                if one.status in (2, 3)
                else "enroute",
                code=in_words(one.code) if one.code else "",
            )
            for one in items
        ]
        return Found(reports, whole)

    def reports(self, body: bytes) -> tuple[list[Report], int]:
        """Return the entries of SmsReport."""
        return readable(entries(body), _Report, self._report)

    def _report(self, one: _Report) -> Report | None:
        dest = e164(one.phone_number)
        if dest is None:
            return None
        return Report(
            gateway_id=self._id(one.biz_id, dest),
            dest=dest,
            echoed=one.out_id or "",
            state=state_of(delivered=one.success, code=one.err_code),
            code=in_words(one.err_code) if one.err_code else "",
        )

    def replies(self, body: bytes) -> tuple[list[Reply], int]:
        """Return the entries of SmsUp."""
        return readable(entries(body), _Reply, _reply)


def _reply(one: _Reply) -> Reply | None:
    source = e164(one.phone_number)
    if source is None:
        return None
    return Reply(source, one.dest_code or "", one.content)
