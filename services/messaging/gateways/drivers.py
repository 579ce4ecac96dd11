"""Which driver speaks which protocol, and how the one of a configured gateway is made."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from services.chassis.clock import Clock
from services.messaging.gateways import SmsGateway, cmpp_codec
from services.messaging.gateways.cmpp import CmppGateway
from services.messaging.gateways.cmpp_writer import CmppSettings
from services.messaging.gateways.smpp import SmppGateway
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
        tls: Whether the connection is encrypted.
        service_id: The service code that a CMPP gateway gave us.
        country_code: Whether a CMPP gateway wants numbers with 86 before them.

    """

    protocol: str
    address: str
    system_id: str
    password: str = field(repr=False)
    window: int
    final_receipt_after: float
    tls: bool = False
    service_id: str = ""
    country_code: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    @property
    def encryption(self) -> ssl.SSLContext | None:
        """Return what encrypts the connection, with the machine's own authorities."""
        return ssl.create_default_context() if self.tls else None


def _smpp(described: Described, clock: Clock) -> SmsGateway:
    host, port = described.place
    settings = SmppSettings(
        host=host,
        port=port,
        system_id=described.system_id,
        password=described.password,
        window=described.window,
        tls=described.encryption,
        final_receipt_after=described.final_receipt_after,
    )
    return SmppGateway(settings, clock=clock)


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


DRIVERS: Mapping[str, Callable[[Described, Clock], SmsGateway]] = {
    "smpp": _smpp,
    "cmpp2": partial(_cmpp, cmpp_codec.CMPP2),
    "cmpp3": partial(_cmpp, cmpp_codec.CMPP3),
}
"""How the driver of each protocol is made; the protocols are those that settings may name."""


def driver_of(described: Described, clock: Clock) -> SmsGateway:
    """Return the driver of a gateway; raises ValueError when its names do not fit the protocol's fields."""
    return DRIVERS[described.protocol](described, clock)
