"""Certificates for trials: an authority, and what it signs, with the identity of a service inside."""

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

SIGNS = {"ca": True, "path_length": None}
NAMES = [
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
]


def _named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates that hold for a day, or ended yesterday, or begin tomorrow."""

    def __init__(self, title="trial authority"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.title = _named(title)
        made = self._begun(self.title, self.key, 0, 1)
        made = made.add_extension(x509.BasicConstraints(**SIGNS), critical=True)
        self.certificate = made.sign(self.key, hashes.SHA256())

    def _begun(self, subject, key, first, last):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.title)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=first, minutes=-5))
            .not_valid_after(now + timedelta(days=last))
        )

    @property
    def pem(self):
        """Return the authority's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, identity, *, first=0, last=1):
        """Return key and certificate of *identity*, a URI, as PEM; days are from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*NAMES, x509.UniformResourceIdentifier(identity)]
        made = self._begun(_named("service"), key, first, last).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        return (
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM),
        )
