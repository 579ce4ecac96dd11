"""Parameters that the rules of messaging read, and the gateways as the environment describes them."""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.chassis.parameter import Declared, Parameters
from services.messaging.gateways import Verdict

PARAMETERS = Parameters(
    Declared(
        "sms_signature",
        "农业银行",
        "Signature at the head of every message, without brackets.",
        "短信签名（不含括号），由系统加在每条短信开头。",
    ),
    Declared(
        "purpose_signatures",
        {"service": "", "care": "", "marketing": ""},
        "Signatures of single purposes, without brackets; an empty one leaves sms_signature.",
        "按用途另设的短信签名（不含括号），留空则使用 sms_signature。",
    ),
    Declared(
        "refusal_words",
        "拒收请回复R",
        "Words at the end of every marketing message that say how to refuse.",
        "营销短信结尾的拒收提示语。",
    ),
    Declared(
        "opt_out_words",
        ["R", "T", "TD", "N", "退订", "拒收"],
        "Words by which a customer refuses; a template must not ask for them itself.",
        "客户回复即视为拒收的词语，模板正文不得自行引导。",
    ),
    Declared(
        "opt_in_words",
        ["HF", "恢复", "恢复接收"],
        "Words by which a customer who refused allows messages again.",
        "客户回复即视为恢复接收的词语。",
    ),
    Declared(
        "opt_in_text_version",
        "sms-2026-11",
        "Version of the text to which a customer agrees by such a word.",
        "客户恢复接收时所同意文本的版本号。",
    ),
    Declared(
        "opt_out_confirmation",
        "您已拒收我行营销短信，即时生效；如需恢复请回复HF。",
        "Text that confirms a refusal to the customer, without signature; empty sends none.",
        "客户拒收后的确认短信（不含签名），为空则不发送。",
    ),
    Declared(
        "opt_in_confirmation",
        "您已恢复接收我行短信；如需拒收请回复R。",
        "Text that confirms to the customer that messages are allowed again; empty sends none.",
        "客户恢复接收后的确认短信（不含签名），为空则不发送。",
    ),
    Declared(
        "forbidden_phrases",
        [
            "保本",
            "保证收益",
            "稳赚",
            "零风险",
            "无风险",
            "最后机会",
            "等同存款",
            "绝对安全",
        ],
        "Phrases that no message may promise.",
        "短信中禁用的承诺性用语。",
    ),
    Declared(
        "sms_hours",
        {"from": 9, "to": 20},
        "Hours of the day, local, between which messages other than service notices are handed over.",
        "非服务类短信的发送时段（当地时间，时）。",
        least=0,
        most=24,
    ),
    Declared(
        "marketing_cap",
        {"week": 1, "month": 2},
        "Most marketing messages to one customer in 7 and in 30 days; 0 means no cap.",
        "每位客户7天、30天内营销短信上限，0为不限。",
        least=0,
        most=100,
    ),
    Declared(
        "approval_size",
        500,
        "Recipients above which a batch of any purpose needs a second person.",
        "超过该人数的批次须双人复核。",
        least=1,
    ),
    Declared(
        "batch_limit",
        100_000,
        "People that one batch holds at most.",
        "每批次客户上限。",
        least=1,
        most=1_000_000,
    ),
    Declared(
        "confirm_hours",
        24,
        "Hours after planning within which a batch must be confirmed.",
        "批次方案须在制定后多少小时内确认。",
        least=1,
        most=720,
    ),
    Declared(
        "schedule_days",
        30,
        "Days ahead up to which sending may be put off.",
        "定时发送最多提前天数。",
        least=1,
        most=30,
    ),
    Declared(
        "segment_price",
        5,
        "Price of one segment, in minor units.",
        "每条计费短信的单价（分）。",
        least=0,
        most=10_000,
    ),
    Declared(
        "segment_limit",
        8,
        "Segments that one message is billed as at most.",
        "单条短信计费条数上限。",
        least=1,
        most=20,
    ),
)


def _status(told: object) -> object:
    """Return a status as a number: JSON has only texts for keys, and specifications write them as 0x58."""
    return int(told, 0) if isinstance(told, str) else told


NAME_OF_FILE = r"^([A-Za-z0-9_][A-Za-z0-9._-]*)?$"
"""The name of a file in the folder of secrets: no path leads out of it."""


class GatewaySettings(BaseModel):
    """
    One link to an SMS centre.

    ``address`` empty means the demonstration's centre; the password is the secret file named ``password_file``.
    An aggregator (``http``) and a folder (``file``) need entries that others do not.
    ``bind`` pair is a transmitter with a receiver; a transmitter alone would hear no receipts, and what it sent
    would be sent again. ``encoding`` auto sends in the default alphabet what fits it, for routes abroad; bills are
    by 70 and 67 characters either way. ``verdicts`` replaces what a status of the centre means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    display_name: str = ""
    protocol: Literal["smpp", "cmpp2", "cmpp3", "http", "file"] = "smpp"
    address: str = Field(default="", pattern=r"^([^:\s]+:[0-9]{1,5})?$")
    system_id: str = ""
    password_file: str = "smsc-password"  # noqa: S105 - the name of a file
    source: str = Field(default="95599", pattern=r"^[0-9]{3,18}$")
    window: int = Field(default=100, ge=1, le=10_000)
    rate: int = Field(default=0, ge=0, le=100_000)
    validity_seconds: float = Field(default=7200, gt=0, le=172_800)
    final_receipt_after: float = Field(default=3600, gt=0, le=172_800)
    tls: bool = False
    service_id: str = Field(default="", pattern=r"^[\x21-\x7e]{0,10}$")
    country_code: bool = False
    dialect: Literal["aliyun", "tencent"] = "aliyun"
    template: str = Field(default="", pattern=r"^[A-Za-z0-9_]{0,32}$")
    app_id: str = Field(default="", pattern=r"^[0-9]{0,16}$")
    region: str = Field(default="", pattern=r"^[a-z0-9-]{0,32}$")
    references: bool = True
    connections: int = Field(default=16, ge=1, le=200)
    push_address: str = Field(default="", pattern=r"^([^:\s]+:[0-9]{1,5})?$")
    push_password_file: str = "sms-push-password"  # noqa: S105 - the name of a file
    folder: Path | None = None
    file_octets: int = Field(default=16_777_216, ge=1024, le=1_073_741_824)
    file_seconds: float = Field(default=10, gt=0, le=3600)
    file_receipts: bool = True
    tls_authority: str = Field(default="", pattern=NAME_OF_FILE)
    tls_certificate: str = Field(default="", pattern=NAME_OF_FILE)
    tls_key: str = Field(default="", pattern=NAME_OF_FILE)
    bind: Literal["transceiver", "pair"] = "transceiver"
    long_messages: Literal["payload", "parts"] = "payload"
    encoding: Literal["ucs2", "auto"] = "ucs2"
    verdicts: dict[Annotated[int, BeforeValidator(_status), Field(ge=1)], Verdict] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key come together or not at all")
        if not self.tls and (self.tls_authority or self.tls_certificate):
            raise ValueError("tls_authority and tls_certificate need tls")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Refuse an aggregator or a folder that cannot work."""
        if self.protocol == "http":
            wanted = ["address", "system_id", "template"]
            wanted += ["app_id"] if self.dialect == "tencent" else []
            if missing := [name for name in wanted if not getattr(self, name)]:
                raise ValueError(f"an aggregator needs {', '.join(missing)}")
            host = self.address.rpartition(":")[0]
            if not self.tls and host not in ("127.0.0.1", "localhost"):
                raise ValueError("an aggregator on another machine needs tls")
        if self.protocol == "file" and self.folder is None:
            raise ValueError("a gateway of files needs folder")
        return self


class Outside(BaseSettings):
    """
    What messaging is told about the outside world.

    ``messaging_receipt_grace``: seconds after which a receipt may belong to a message of unknown fate.
    ``messaging_fence_steady``: seconds for which a link must have held before such messages are sent again.
    ``messaging_lease_seconds``: what the times are measured by after which a worker that cannot reach the store stops
    writing (3/10), and loses its messages to another when its connection is gone (half) and when it is not (6 times).
    """

    model_config = SettingsConfigDict(env_prefix="GUANHU_", extra="ignore")

    messaging_gateways: tuple[GatewaySettings, ...] = (
        GatewaySettings(name="demo", display_name="演示短信中心"),
    )
    messaging_receipt_grace: float = Field(default=30, ge=0, le=3600)
    messaging_fence_steady: float = Field(default=60, ge=0, le=3600)
    messaging_lease_seconds: float = Field(default=10, ge=3, le=600)
    smsc_address: str = Field(default="127.0.0.1:7010", pattern=r"^[^:\s]+:[0-9]{1,5}$")
    smsc_system_id: str = Field(default="guanhu", min_length=1, max_length=15)


def read_outside() -> Outside:
    """Return the settings of the gateways, or stop with every fault on a line of its own."""
    try:
        return Outside()
    except ValidationError as error:
        for fault in error.errors():
            name = "GUANHU_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg'].lower()}\n")
        raise SystemExit(2) from None
