"""Settings: all faults are told at once, each by the name it has in the environment."""

import pytest

from services.chassis.config import read_settings

CERTIFICATES = ("GUANHU_TLS_CERTIFICATE", "GUANHU_TLS_KEY", "GUANHU_TLS_AUTHORITY")


@pytest.fixture
def told(monkeypatch):
    """Return what is written when the settings of customer are read with these in the environment."""

    def read(**values):
        monkeypatch.setenv("GUANHU_DEMONSTRATION", "true")
        monkeypatch.setenv("GUANHU_CUSTOMER_DSN", "postgresql://x")
        monkeypatch.setenv("GUANHU_CUSTOMER_BULK_DSN", "postgresql://x")
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return read_settings("customer")

    return read


def refused(told, capsys, **values):
    """Return the lines that are written when these settings are refused."""
    with pytest.raises(SystemExit) as stopped:
        told(**values)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_every_fault_is_told_by_its_own_name(told, capsys):
    """Settings that all share and those of one service are read together, and each keeps its prefix."""
    lines = refused(
        told, capsys, GUANHU_DEMONSTRATION="perhaps", GUANHU_CUSTOMER_PROCESSES="0"
    )

    assert [line.split(":")[0] for line in lines] == [
        "GUANHU_DEMONSTRATION",
        "GUANHU_CUSTOMER_PROCESSES",
    ]


def test_half_of_the_certificates_is_refused(told, capsys):
    """A service that was given a certificate never listens in the clear."""
    lines = refused(told, capsys, GUANHU_TLS_CERTIFICATE="/x")

    assert lines == [
        f"{CERTIFICATES[0]}, {CERTIFICATES[1]} and {CERTIFICATES[2]} come together or not at all"
    ]


def test_outside_the_demonstration_certificates_are_needed(told, capsys):
    """Nobody runs a bank in the clear by leaving settings out."""
    lines = refused(told, capsys, GUANHU_DEMONSTRATION="false")
    good = told(GUANHU_DEMONSTRATION="false", **dict.fromkeys(CERTIFICATES, "/x"))

    assert len(lines) == 1
    assert lines[0].startswith("outside the demonstration")
    assert good.shared.tls
