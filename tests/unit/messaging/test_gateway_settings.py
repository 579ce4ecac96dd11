"""What a gateway is told by the environment, and what is refused at the start."""

import json
import ssl

import pytest
import trustme

from services.messaging.config import Outside, read_outside
from services.messaging.gateways.tls import encrypted


def told(monkeypatch, **more):
    """Return the one gateway that the environment describes."""
    text = json.dumps([{"name": "bank", **more}])
    monkeypatch.setenv("GUANHU_MESSAGING_GATEWAYS", text)
    [found] = Outside().messaging_gateways
    return found


def test_peculiarities_of_a_centre_are_told_by_the_environment(monkeypatch):
    """Way of binding, long messages, alphabet, and statuses, decimal or as specifications write them."""
    found = told(
        monkeypatch,
        bind="pair",
        long_messages="parts",
        encoding="auto",
        verdicts={"0x58": "temporary", "1025": "throttled"},
    )

    assert (found.bind, found.long_messages, found.encoding) == (
        "pair",
        "parts",
        "auto",
    )
    assert found.verdicts == {0x58: "temporary", 0x401: "throttled"}


def test_a_gateway_is_plain_unless_told_otherwise(monkeypatch):
    """One connection, payload, UCS-2, the specification's statuses, no encryption."""
    found = told(monkeypatch)

    assert (found.bind, found.long_messages, found.encoding) == (
        "transceiver",
        "payload",
        "ucs2",
    )
    assert (found.verdicts, found.tls) == ({}, False)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"bind": "transmitter"}, "transceiver"),
        ({"verdicts": {"0x0": "rejected"}}, "greater than or equal to 1"),
        ({"verdicts": {"0x58": "lost"}}, "accepted"),
        ({"verdicts": {"busy": "temporary"}}, "invalid literal"),
        ({"tls": True, "tls_key": "bank.key"}, "come together"),
        ({"tls": True, "tls_authority": "../authority.pem"}, "match pattern"),
        ({"tls_authority": "authority.pem"}, "need tls"),
    ],
)
def test_what_cannot_be_stops_the_start(monkeypatch, capsys, wrong, why):
    """A transmitter alone, a status of success that is none, half a pair of files, a path out of the folder."""
    text = json.dumps([{"name": "bank", **wrong}])
    monkeypatch.setenv("GUANHU_MESSAGING_GATEWAYS", text)
    with pytest.raises(SystemExit) as stopped:
        read_outside()

    assert stopped.value.code == 2
    assert why in capsys.readouterr().err


def test_the_centre_is_checked_and_ours_is_shown(tmp_path):
    """The authority of the settings is the only one trusted, and the certificate is loaded with its key."""
    authority = trustme.CA()
    made = authority.issue_cert("bank")
    made.cert_chain_pems[0].write_to_path(tmp_path / "bank.pem")
    made.private_key_pem.write_to_path(tmp_path / "bank.key")
    context = encrypted(
        tmp_path,
        authority=authority.cert_pem.bytes().decode(),
        certificate="bank.pem",
        key="bank.key",
    )
    [trusted] = context.get_ca_certs()

    assert trusted["issuer"][0][0][1].startswith("trustme")
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_a_key_that_is_not_the_certificates_is_refused(tmp_path):
    """The start fails, and not the first connection."""
    authority = trustme.CA()
    one, other = authority.issue_cert("bank"), authority.issue_cert("bank")
    one.cert_chain_pems[0].write_to_path(tmp_path / "bank.pem")
    other.private_key_pem.write_to_path(tmp_path / "bank.key")

    with pytest.raises(ssl.SSLError):
        encrypted(tmp_path, certificate="bank.pem", key="bank.key")
