"""
A simulated SMS aggregator: a real HTTP server on loopback that checks signatures as the providers' pages tell.

It shares no code with the drivers: it is the judge of what they send. What it answers is decided by the test.
"""

import asyncio
import base64
import hashlib
import hmac
import io
import json
import re
from collections import Counter, deque
from datetime import UTC, datetime
from itertools import count
from urllib.parse import parse_qsl, unquote

import aiohttp
from aiohttp import web

KEY_ID, SECRET, TEMPLATE, APP = "key-1", "very-secret", "SMS_1234", "1400006666"
PUSH_SECRET = "a-secret-in-the-path-of-pushes"
ALIYUN_CODES = {
    "accepted": "OK",
    "rejected": "isv.MOBILE_NUMBER_ILLEGAL",
    "throttled": "isv.BUSINESS_LIMIT_CONTROL|触发分钟级流控Permits:1",
    "temporary": "InvalidTimeStamp.Expired",
    "ambiguous": "isp.SYSTEM_ERROR",
}
TENCENT_CODES = {
    "accepted": "Ok",
    "rejected": "InvalidParameterValue.IncorrectPhoneNumber",
    "throttled": "LimitExceeded.PhoneNumberThirtySecondLimit",
    "temporary": "AuthFailure.SignatureExpire",
    "ambiguous": "InternalError.OtherError",
}

UNRESERVED = re.compile(rb"[A-Za-z0-9_.~-]")


def _octets(text):
    """Percent-encode by RFC 3986, octet by octet."""
    return "".join(
        chr(one) if UNRESERVED.match(bytes([one])) else f"%{one:02X}"
        for one in text.encode()
    )


class Aggregator:
    """
    What both shapes have in common: who may call, what was taken, what is answered instead, what is brought.

    ``judge`` gives the verdict on a number, or a code of the provider's; ``instead`` an answer for a call in place of
    the usual one; questions wait while ``patience`` is not set; ``silent`` keeps answers back until ``answer``;
    ``swallow`` takes calls and closes the connection.
    """

    def __init__(self):
        self.taken, self.actions, self.under_way, self.most = [], [], 0, 0
        self.judge = lambda number: "accepted"
        self.instead = lambda action: None
        self.silent = self.swallow = False
        self.patience = asyncio.Event()
        self.patience.set()
        self.waiting = deque()
        self.secret = SECRET
        self.numbers = count(1)
        self.ids = count(900_000)
        self.push_url = None
        self.remembers = {}
        self.forged = 0
        self.port = 0

    async def start(self):
        """Listen, on the same port as before when it was started before."""
        app = web.Application()
        app.router.add_post("/", self._serve)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def stop(self):
        self.silent = False
        self.answer()
        self.patience.set()
        await self.runner.cleanup()

    def answer(self, messages=None):
        """Answer the oldest calls with *messages* in all, every one for None."""
        left = len(self.taken) + 10**6 if messages is None else messages
        while self.waiting and left > 0:
            future, size = self.waiting.popleft()
            left -= size
            if not future.done():
                future.set_result(None)

    def code(self, number):
        """Return the provider's code for a number."""
        verdict = self.judge(number)
        return self.codes.get(verdict, verdict)

    async def _serve(self, request):
        body = await request.read()
        action, fields, fault = self.unpack(request, body)
        self.actions.append(action)
        if fault:
            self.forged += 1
            return self.refuse(fault)
        if not self.sends(action):
            await self.patience.wait()
            return self.instead(action) or self.told(action, fields)
        sent = self.messages(action, fields)
        self.under_way += len(sent)
        self.most = max(self.most, self.under_way)
        try:
            if self.silent:
                future = asyncio.get_running_loop().create_future()
                self.waiting.append((future, len(sent)))
                await future
        finally:
            self.under_way -= len(sent)
        answer = self.instead(action)
        if answer is None or self.swallow:
            taken = self.take(action, sent)
        if self.swallow:
            request.transport.close()
        return answer or taken

    def count(self, action):
        """How often *action* was called."""
        return Counter(self.actions)[action]

    async def bring(self, kind, body, secret=PUSH_SECRET):
        """Push *body* once and return status and answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.push_url}/{secret}/{kind}", data=io.BytesIO(data)
            ) as answer,
        ):
            return answer.status, await answer.read()


class AliyunCentre(Aggregator):
    """Alibaba Cloud's shape."""

    name = "aliyun"
    single, batch, question = "SendSms", "SendBatchSms", "QuerySendDetails"
    good = "OK"
    codes = ALIYUN_CODES

    def __init__(self):
        super().__init__()
        self.nonces = set()

    def sends(self, action):
        return action in (self.single, self.batch)

    def unpack(self, request, body):
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        given = fields.pop("Signature", "")
        line = "&".join(f"{_octets(k)}={_octets(fields[k])}" for k in sorted(fields))
        text = "&".join(("POST", _octets("/"), _octets(line)))
        mac = hmac.new((self.secret + "&").encode(), text.encode(), "sha1").digest()
        fault = None
        moment = datetime.fromisoformat(fields["Timestamp"])
        age = abs((datetime.now(UTC) - moment).total_seconds())
        if fields["AccessKeyId"] != KEY_ID:
            fault = "InvalidAccessKeyId.NotFound"
        elif base64.b64encode(mac).decode() != given:
            fault = "SignatureDoesNotMatch"
        elif age > 900:
            fault = "InvalidTimeStamp.Expired"
        elif fields["SignatureNonce"] in self.nonces:
            fault = "SignatureNonceUsed"
        self.nonces.add(fields["SignatureNonce"])
        return fields["Action"], fields, fault

    def refuse(self, code):
        return web.json_response({"Code": code, "Message": "refused"}, status=400)

    def messages(self, action, fields):
        if action == self.single:
            columns = (
                [fields["PhoneNumbers"]],
                [fields["SignName"]],
                [json.loads(fields["TemplateParam"])],
                [fields.get("SmsUpExtendCode", "")],
            )
        else:
            numbers = json.loads(fields["PhoneNumberJson"])
            columns = (
                numbers,
                json.loads(fields["SignNameJson"]),
                json.loads(fields["TemplateParamJson"]),
                json.loads(fields.get("SmsUpExtendCodeJson", "null"))
                or [""] * len(numbers),
            )
            assert len(numbers) <= 100
            assert len(set(numbers)) == len(numbers)
        assert fields["TemplateCode"] == TEMPLATE
        return [
            {
                "dest": f"86{number}",
                "text": f"【{sign}】{values['content']}",
                "extension": extension,
                "reference": fields.get("OutId", ""),
            }
            for number, sign, values, extension in zip(*columns, strict=True)
        ]

    def take(self, action, sent):
        codes = {self.code(one["dest"]) for one in sent}
        bad = sorted(codes - {self.good})
        if bad:
            code, _, words = bad[0].partition("|")
            return web.json_response({"Code": code, "Message": words, "RequestId": "r"})
        biz_id = f"{next(self.ids)}^0"
        for one in sent:
            self.taken.append({**one, "id": biz_id})
        return web.json_response(
            {"Code": "OK", "Message": "OK", "RequestId": "r", "BizId": biz_id}
        )

    def told(self, action, fields):
        if action != self.question:
            return web.json_response({"Code": "OK", "Data": {"TotalSize": 0}})
        items = [
            {
                "PhoneNum": one["dest"][2:],
                "SendStatus": self.remembers.get(one["dest"], 1),
                "ErrCode": "DELIVERED" if self.remembers.get(one["dest"]) == 3 else "",
                "OutId": one["reference"],
                "SendDate": fields["SendDate"],
                "Content": one["text"],
            }
            for one in self.taken
            if one["dest"][2:] == fields["PhoneNumber"]
            and fields.get("BizId", one["id"]) == one["id"]
            and one.get("day", fields["SendDate"]) == fields["SendDate"]
        ]
        return web.json_response(
            {
                "Code": "OK",
                "TotalCount": len(items),
                "SmsSendDetailDTOs": {"SmsSendDetailDTO": items},
            }
        )

    def report(self, taken, *, delivered=True, code="DELIVERED"):
        return {
            "phone_number": taken["dest"][2:],
            "send_time": "2026-01-05 10:00:00",
            "report_time": "2026-01-05 10:00:02",
            "success": delivered,
            "err_code": code,
            "err_msg": "用户接收成功",
            "sms_size": "1",
            "biz_id": taken["id"],
            "out_id": taken["reference"],
        }

    def reply(self, number, extension, text):
        return [
            {
                "phone_number": number[2:],
                "send_time": "2026-01-05 10:00:00",
                "content": text,
                "sign_name": "农业银行",
                "dest_code": extension,
                "sequence_id": next(self.numbers),
            }
        ]


class TencentCentre(Aggregator):
    """Tencent Cloud's shape."""

    name = "tencent"
    good = "Ok"
    codes = TENCENT_CODES
    single = batch = "SendSms"
    question = "PullSmsSendStatusByPhoneNumber"

    def sends(self, action):
        return action == "SendSms"

    def unpack(self, request, body):
        heads = {key.lower(): value for key, value in request.headers.items()}
        told = dict(
            part.strip().split("=", 1)
            for part in heads["authorization"].partition(" ")[2].split(",")
        )
        key_id, day, service, end = told["Credential"].split("/")
        names = told["SignedHeaders"].split(";")
        canonical = "POST\n/\n\n"
        for name in names:
            value = heads[name] if name != "x-tc-action" else heads[name].lower()
            canonical += f"{name}:{value}\n"
        canonical += f"\n{told['SignedHeaders']}\n{hashlib.sha256(body).hexdigest()}"
        stamp = heads["x-tc-timestamp"]
        text = "\n".join(
            (
                "TC3-HMAC-SHA256",
                stamp,
                f"{day}/{service}/{end}",
                hashlib.sha256(canonical.encode()).hexdigest(),
            )
        )
        key = ("TC3" + self.secret).encode()
        for part in (day, service, end):
            key = hmac.new(key, part.encode(), "sha256").digest()
        fault = None
        if key_id != KEY_ID:
            fault = "AuthFailure.SecretIdNotFound"
        elif hmac.new(key, text.encode(), "sha256").hexdigest() != told["Signature"]:
            fault = "AuthFailure.SignatureFailure"
        elif abs(datetime.now(UTC).timestamp() - int(stamp)) > 300:
            fault = "AuthFailure.SignatureExpire"
        return heads["x-tc-action"], json.loads(body), fault

    def refuse(self, code):
        return web.json_response(
            {"Response": {"Error": {"Code": code, "Message": "no"}, "RequestId": "r"}}
        )

    def messages(self, action, fields):
        assert (fields["TemplateId"], fields["SmsSdkAppId"]) == (TEMPLATE, APP)
        numbers = fields["PhoneNumberSet"]
        assert len(numbers) <= 200
        assert len(set(numbers)) == len(numbers)
        [text] = fields["TemplateParamSet"]
        return [
            {
                "dest": unquote(number).removeprefix("+"),
                "text": f"【{fields['SignName']}】{text}",
                "extension": fields.get("ExtendCode", ""),
                "reference": fields.get("SessionContext", ""),
            }
            for number in numbers
        ]

    def take(self, action, sent):
        rows = []
        for one in sent:
            code, serial = self.code(one["dest"]), ""
            if code == self.good:
                serial = f"2645:{next(self.ids)}"
                self.taken.append({**one, "id": serial})
            rows.append(
                {
                    "SerialNo": serial,
                    "PhoneNumber": f"+{one['dest']}",
                    "Fee": 1,
                    "SessionContext": one["reference"],
                    "Code": code,
                    "Message": "send success",
                    "IsoCode": "CN",
                }
            )
        return web.json_response({"Response": {"SendStatusSet": rows}})

    def told(self, action, fields):
        if action != self.question:
            return web.json_response({"Response": {"SendStatusStatistics": {}}})
        rows = [
            {
                "UserReceiveTime": 1767578402,
                "CountryCode": "86",
                "SubscriberNumber": one["dest"][2:],
                "PhoneNumber": f"+{one['dest']}",
                "SerialNo": one["id"],
                "ReportStatus": "SUCCESS" if self.remembers[one["dest"]] == 3 else "F",
                "Description": "DELIVRD",
                "SessionContext": one["reference"],
            }
            for one in self.taken
            if f"+{one['dest']}" == fields["PhoneNumber"]
            and one["dest"] in self.remembers
        ]
        return web.json_response({"Response": {"PullSmsSendStatusSet": rows}})

    def report(self, taken, *, delivered=True, code="DELIVRD"):
        return {
            "user_receive_time": "2026-01-05 10:00:02",
            "nationcode": "86",
            "mobile": taken["dest"][2:],
            "report_status": "SUCCESS" if delivered else "FAIL",
            "errmsg": code,
            "description": "用户短信送达成功",
            "sid": taken["id"],
            "ext": taken["reference"],
        }

    def reply(self, number, extension, text):
        return {
            "extend": extension,
            "mobile": number[2:],
            "nationcode": "86",
            "sign": "农业银行",
            "text": text,
            "time": 1767578402,
        }
