"""Signatures against strings written down by hand and digests made by openssl, which is not the code under test."""

import base64
import subprocess
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from services.messaging.gateways import http_aliyun, http_tencent
from services.messaging.gateways.http_calls import HttpSettings

MOMENT = datetime(2026, 2, 25, 2, 44, 25, tzinfo=UTC)


def digest(algorithm, text, *, key=None, hexkey=None):
    """Return what openssl makes of a text, with a key in letters or in hexadecimal, or without one."""
    more = []
    if key is not None:
        more = ["-hmac", key]
    if hexkey is not None:
        more = ["-mac", "HMAC", "-macopt", f"hexkey:{hexkey}"]
    made = subprocess.run(
        ["openssl", "dgst", f"-{algorithm}", "-binary", *more],
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    return made.stdout


def test_a_form_is_signed_as_the_providers_rules_say():
    """The string to sign is written out by hand from the rules; names sorted, values encoded twice."""
    fields = {
        "TemplateParam": '{"content":"您好 *~"}',
        "Action": "SendSms",
        "AccessKeyId": "testid",
        "SignatureNonce": "45e25e9b",
        "Timestamp": "2026-02-25T02:44:25Z",
    }
    to_sign = (
        "POST&%2F&AccessKeyId%3Dtestid%26Action%3DSendSms%26SignatureNonce%3D45e25e9b"
        "%26TemplateParam%3D%257B%2522content%2522%253A%2522%25E6%2582%25A8%25E5%25A5%25BD"
        "%2520%252A~%2522%257D%26Timestamp%3D2026-02-25T02%253A44%253A25Z"
    )
    wanted = base64.b64encode(digest("sha1", to_sign, key="testsecret&")).decode()

    assert http_aliyun.signature(fields, "testsecret") == wanted
    assert http_aliyun.signature(fields, "another") != wanted


def test_the_form_that_leaves_carries_the_common_fields_and_its_signature():
    """Read back by a parser of forms, the fields give the signature again; two requests never have one nonce."""
    settings = HttpSettings(
        host="127.0.0.1",
        port=1,
        dialect="aliyun",
        key_id="id",
        secret="s",
        template="T",
    )
    dialect = http_aliyun.Aliyun(settings, lambda: MOMENT)
    requests = [dialect.request("SendSms", {"SignName": "农业 银行"}) for _ in range(2)]
    forms = [
        {key: value for key, [value] in parse_qs(one.body.decode()).items()}
        for one in requests
    ]
    form = dict(forms[0])
    given = form.pop("Signature")

    assert forms[0]["SignatureNonce"] != forms[1]["SignatureNonce"]
    assert given == http_aliyun.signature(form, "s")
    assert {key: form[key] for key in form if key != "SignatureNonce"} == {
        "SignName": "农业 银行",
        "AccessKeyId": "id",
        "Action": "SendSms",
        "Format": "JSON",
        "RegionId": "cn-hangzhou",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "Timestamp": "2026-02-25T02:44:25Z",
        "Version": "2017-05-25",
    }


def test_signature_v3_is_made_step_by_step():
    """Canonical request, string to sign and the three keys are written out by hand; openssl makes every digest."""
    body = '{"Limit": 1, "Sign": "农业银行"}'
    canonical = (
        "POST\n/\n\n"
        "content-type:application/json; charset=utf-8\n"
        "host:sms.tencentcloudapi.com\n"
        "x-tc-action:sendsms\n\n"
        "content-type;host;x-tc-action\n" + digest("sha256", body).hex()
    )
    to_sign = (
        "TC3-HMAC-SHA256\n1771987465\n2026-02-25/sms/tc3_request\n"
        + digest("sha256", canonical).hex()
    )
    key = digest(
        "sha256", "2026-02-25", key="TC3Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    ).hex()
    for part in ("sms", "tc3_request"):
        key = digest("sha256", part, hexkey=key).hex()
    wanted = digest("sha256", to_sign, hexkey=key).hex()

    assert http_tencent.signature(
        body.encode(),
        host="sms.tencentcloudapi.com",
        action="SendSms",
        secret="Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        moment=MOMENT,
    ) == ("2026-02-25/sms/tc3_request", wanted)


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
def test_settings_never_show_their_secrets(kind):
    """What may be logged of settings holds neither the access key's secret nor that of pushes."""
    settings = HttpSettings(
        host="127.0.0.1",
        port=1,
        dialect=kind,
        key_id="id",
        secret="do-not-show",
        template="T",
    )

    assert "do-not-show" not in repr(settings)
