"""Encryption towards a centre: whom it is checked against, and what we show."""

import ssl
from pathlib import Path


def encrypted(
    folder: Path, *, authority: str = "", certificate: str = "", key: str = ""
) -> ssl.SSLContext:
    """
    Return how a connection is encrypted; the centre's name and certificate are always checked.

    Args:
        folder: Where certificate and key lie.
        authority: Certificates in PEM that the centre's is checked against; those of the system when empty.
        certificate: Name of the file with ours, PEM, for centres that ask for one.
        key: Name of the file with its key.

    Raises:
        OSError: A file is missing, or is not what it should be (ssl.SSLError).

    """
    context = ssl.create_default_context(cadata=authority or None)
    if certificate:
        context.load_cert_chain(folder / certificate, folder / key)
    return context
