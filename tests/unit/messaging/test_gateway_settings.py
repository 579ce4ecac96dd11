"""What a gateway is told by the environment, and what is refused at the start."""

import json
import ssl
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
import trustme

from services.chassis.caller import service_caller
from services.chassis.config import Shared
from services.chassis.vault import Vault, generate_keys
from services.messaging.__main__ import gateway_of, links_of
from services.messaging.batch.actions.letters import Letters
from services.messaging.config import Outside, read_outside
from services.messaging.delivery.actions.flight import Key
from services.messaging.delivery.actions.lane import Desk, Lane
from services.messaging.delivery.actions.lease import Claim
from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.smpp_pair import SmppPair
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


@pytest.fixture
def frame(tmp_path):
    """What the wiring knows of its process: where secrets lie, and the time."""
    (tmp_path / "smsc-password").write_text("trial")
    shared = Shared(secrets_dir=tmp_path, demonstration=True)
    return SimpleNamespace(
        settings=SimpleNamespace(shared=shared),
        clock=lambda: datetime(2026, 11, 23, 4, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("bind", "kind"), [("transceiver", SmppGateway), ("pair", SmppPair)]
)
async def test_the_driver_is_the_one_that_was_told(monkeypatch, frame, bind, kind):
    """One connection or two, each hearing and sending as a whole."""
    gateway = gateway_of(frame, Outside(), told(monkeypatch, bind=bind))

    assert isinstance(gateway, kind)
    assert gateway.caps[1:4] == (True, True, True)


def test_a_key_that_others_can_read_is_refused(monkeypatch, frame, tmp_path):
    """Outside of the demonstration the start fails, as for every other secret."""
    shared = frame.settings.shared
    frame.settings.shared = shared.model_copy(update={"demonstration": False})
    (tmp_path / "smsc-password").chmod(0o600)
    for name in ("bank.pem", "bank.key"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    one = told(monkeypatch, tls=True, tls_certificate="bank.pem", tls_key="bank.key")

    with pytest.raises(PermissionError, match=r"bank\.key"):
        gateway_of(frame, Outside(), one)


@pytest.mark.parametrize(
    ("encoding", "text", "kind", "segments"),
    [
        ("ucs2", "a" * 100, "ucs2", 2),
        ("auto", "a" * 100, "gsm7", 1),
        ("auto", "a" * 99 + "银", "ucs2", 2),
    ],
)
async def test_the_alphabet_of_the_air_is_the_gateways(
    monkeypatch, frame, tmp_path, encoding, text, kind, segments
):
    """A hundred Latin letters are two messages at home and one abroad; one Chinese character makes them two."""
    told(monkeypatch, encoding=encoding)
    generate_keys(tmp_path)
    vault, batch_id = Vault(tmp_path), UUID(int=7)
    ready = Letters([1], ["01"], [b""], [2], ["13800000001"], [text])
    claim = Claim(Key(101, batch_id, 1), "bank", 1, 1, 1, ready)
    desk = Desk(
        uow=None, caller=service_caller("messaging"), vault=vault, clock=frame.clock
    )
    link = links_of(frame, Outside())["bank"]
    [sent] = Lane(desk, link)._letters(claim)([1], [0])

    assert (sent.text, sent.encoding, sent.segments) == (text, kind, segments)
