"""The driver of a configured gateway: which one it is, and what it is told."""

import ssl
from datetime import UTC, datetime
from typing import get_args

import pytest
from pydantic import ValidationError

from services.messaging.config import GatewaySettings
from services.messaging.gateway.rules import PROTOCOLS
from services.messaging.gateways.cmpp import CmppGateway
from services.messaging.gateways.drivers import DRIVERS, Described, driver_of
from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.tls import encrypted
from tests.cmpp_centre import CmppCentre
from tests.listening import Core, message, until
from tests.smpp_centre import SmppCentre

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def described(protocol, **more):
    """Return a gateway as the settings describe it."""
    told = {"address": "127.0.0.1:1", "system_id": "901234", "password": "trial"}
    return Described(
        protocol=protocol,
        **{**told, "window": 7, "final_receipt_after": 90.0, **more},
    )


def test_every_protocol_of_the_settings_has_a_driver_and_a_number():
    """Settings, drivers and the contract name the same."""
    named = set(get_args(GatewaySettings.model_fields["protocol"].annotation))

    assert named == set(DRIVERS) == set(PROTOCOLS)
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


@pytest.mark.parametrize(
    ("protocol", "kind", "ref_size"),
    [("smpp", SmppGateway, 2), ("cmpp2", CmppGateway, 0), ("cmpp3", CmppGateway, 0)],
)
async def test_the_driver_is_that_of_the_protocol(protocol, kind, ref_size):
    """Window and patience are those of the settings; CMPP echoes no reference."""
    driver = driver_of(described(protocol), lambda: NOON)

    assert isinstance(driver, kind)
    assert driver.caps == (7, True, True, True, ref_size, 90.0, False)


@pytest.mark.parametrize(
    ("protocol", "centre"),
    [
        ("smpp", SmppCentre),
        ("cmpp2", lambda: CmppCentre(0x20)),
        ("cmpp3", lambda: CmppCentre(0x30)),
    ],
)
async def test_it_reaches_the_centre_with_what_the_settings_say(protocol, centre):
    """Place, names, version, service code and the form of numbers; receipts are heard at the time of the clock."""
    opened = await centre().open()
    core = Core(
        driver_of(
            described(
                protocol,
                address=f"127.0.0.1:{opened.port}",
                service_id="MBANK",
                country_code=True,
            ),
            lambda: NOON,
        )
    )
    await core.hand_over(message(1))
    await until(lambda: core.results)
    [taken] = opened.taken
    opened.report(taken.number)
    await until(lambda: core.receipts)
    await core.gateway.stop(0)
    await opened.close()
    codes = {one["Service_Id"] for one in getattr(opened, "submits", ())}

    assert core.verdicts == {"accepted": 1}
    assert taken.number == message(1).dest
    assert codes == ({b"MBANK".ljust(10, b"\0")} if protocol != "smpp" else set())
    assert [one.heard_at for one in core.receipts] == [NOON]


@pytest.mark.parametrize("protocol", ["smpp", "cmpp2", "cmpp3"])
async def test_a_link_is_encrypted_where_the_settings_say_so(protocol, tmp_path):
    """With the machine's own authorities, and names are looked at."""
    context = encrypted(tmp_path)
    plain = driver_of(described(protocol), lambda: NOON)._stream.tls
    tls = driver_of(described(protocol, encryption=context), lambda: NOON)._stream.tls

    assert plain is None
    assert tls is context
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("protocol", ["cmpp2", "cmpp3"])
async def test_names_that_do_not_fit_stop_the_start(protocol):
    """A source address has six octets."""
    with pytest.raises(ValueError, match="more than 6 octets"):
        driver_of(described(protocol, system_id="9012345"), lambda: NOON)


@pytest.mark.parametrize("code", ["eleven-long", "a b", "银"])
def test_a_service_code_that_does_not_fit_is_a_fault_of_the_settings(code):
    """Ten octets, none of them a blank."""
    with pytest.raises(ValidationError, match="service_id"):
        GatewaySettings(name="mobile", protocol="cmpp2", service_id=code)


def test_a_password_is_not_shown():
    """Neither in a log nor in a traceback."""
    assert "trial" not in repr(described("cmpp2"))
