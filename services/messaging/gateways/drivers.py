"""Which driver speaks which protocol, and how the one of a configured gateway is made."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from services.chassis.clock import Clock
from services.messaging.gateways import SmsGateway, Verdict, cmpp_codec
from services.messaging.gateways.cmpp import CmppGateway
from services.messaging.gateways.cmpp_writer import CmppSettings
from services.messaging.gateways.file import FileGateway
from services.messaging.gateways.file_lines import FileSettings
from services.messaging.gateways.http import HttpGateway
from services.messaging.gateways.http_calls import HttpSettings, PushPlace
from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.smpp_pair import SmppPair
from services.messaging.gateways.smpp_writer import SmppSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """
    One gateway as the settings describe it, with what they leave out filled in.

    Args:
        protocol: A key of ``DRIVERS``.
        address: ``host:port`` of the centre.
        system_id, password: What the centre knows us by.
        window: Most messages on their way at once.
        final_receipt_after: Seconds after its validity by which a message's final receipt has come.
        encryption: What encrypts the connection, and whom it is checked against; None for none.
        bind, long_messages, verdicts: What an SMPP centre is told, see SmppSettings; a pair is two connections.
        service_id: The service code that a CMPP gateway gave us.
        country_code: Whether a CMPP gateway wants numbers with 86 before them.
        source: The access number.
        dialect, template, app_id, region, references, connections: What an aggregator is told, see HttpSettings.
        push_address, push_password: Where an aggregator brings receipts and replies; empty where it does not.
        folder, file_octets, file_seconds: Where messages go as files, and when one is finished.
        file_receipts: Whether who takes the files reports about every message.

    """

    protocol: str
    address: str
    system_id: str
    password: str = field(repr=False)
    window: int
    final_receipt_after: float
    encryption: ssl.SSLContext | None = None
    bind: Literal["transceiver", "pair"] = "transceiver"
    long_messages: Literal["payload", "parts"] = "payload"
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    service_id: str = ""
    country_code: bool = False
    source: str = ""
    dialect: Literal["aliyun", "tencent"] = "aliyun"
    template: str = ""
    app_id: str = ""
    region: str = ""
    references: bool = True
    connections: int = 16
    push_address: str = ""
    push_password: str = field(default="", repr=False)
    folder: Path | None = None
    file_octets: int = 16_777_216
    file_seconds: float = 10
    file_receipts: bool = True

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port."""
        return _place(self.address)


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _smpp(described: Described, clock: Clock) -> SmsGateway:
    host, port = described.place
    settings = SmppSettings(
        host=host,
        port=port,
        system_id=described.system_id,
        password=described.password,
        window=described.window,
        tls=described.encryption,
        long_messages=described.long_messages,
        verdicts=described.verdicts,
        final_receipt_after=described.final_receipt_after,
    )
    kind = SmppPair if described.bind == "pair" else SmppGateway
    return kind(settings, clock=clock)


def _cmpp(form: cmpp_codec.Form, described: Described, clock: Clock) -> SmsGateway:
    host, port = described.place
    settings = CmppSettings(
        form=form,
        host=host,
        port=port,
        sp_id=described.system_id,
        secret=described.password,
        service_id=described.service_id,
        country_code=described.country_code,
        window=described.window,
        tls=described.encryption,
        final_receipt_after=described.final_receipt_after,
    )
    return CmppGateway(settings, clock=clock)


def _http(described: Described, clock: Clock) -> SmsGateway:
    host, port = described.place
    push = None
    if described.push_address:
        own, own_port = _place(described.push_address)
        push = PushPlace(host=own, port=own_port, secret=described.push_password)
    settings = HttpSettings(
        host=host,
        port=port,
        tls=described.encryption,
        dialect=described.dialect,
        key_id=described.system_id,
        secret=described.password,
        template=described.template,
        app_id=described.app_id,
        region=described.region,
        access=described.source,
        references=described.references,
        window=described.window,
        connections=described.connections,
        push=push,
        final_receipt_after=described.final_receipt_after,
    )
    return HttpGateway(settings, clock=clock)


def _file(described: Described, clock: Clock) -> SmsGateway:
    if described.folder is None:
        raise ValueError("a gateway of files needs a folder")
    settings = FileSettings(
        folder=described.folder,
        window=described.window,
        most_octets=described.file_octets,
        most_seconds=described.file_seconds,
        receipts=described.file_receipts,
        final_receipt_after=described.final_receipt_after,
    )
    return FileGateway(settings, clock=clock)


DRIVERS: Mapping[str, Callable[[Described, Clock], SmsGateway]] = {
    "smpp": _smpp,
    "cmpp2": partial(_cmpp, cmpp_codec.CMPP2),
    "cmpp3": partial(_cmpp, cmpp_codec.CMPP3),
    "http": _http,
    "file": _file,
}
"""How the driver of each protocol is made; the protocols are those that settings may name."""


def driver_of(described: Described, clock: Clock) -> SmsGateway:
    """Return the driver of a gateway; raises ValueError when its names do not fit the protocol's fields."""
    return DRIVERS[described.protocol](described, clock)
