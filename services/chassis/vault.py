"""
Personal fields at rest: encrypted one by one, found by blind index, shown by mask.

Ciphertexts are bound to ``table.column|resource id``, never to a branch, so a row may move and no ciphertext can
be put in another's place. Mobile numbers are few: the index keys lie in files, never in the database or its backups.
"""

import json
import re
from pathlib import Path

import tink
from guanhu.policy.v1 import policy_pb2
from tink import aead, json_proto_keyset_format, prf, secret_key_access
from tink.proto import tink_pb2

INDEX_BYTES = 16
"""Length of a blind index: collisions are out of the question at the size of a bank."""

SUFFIX_BYTES = 3
"""Length of the last-four index: cut short on purpose, so that it narrows and does not identify."""

AEAD_FILE = "vault-aead.json"
INDEX_FILE = "vault-index.json"

aead.register()
prf.register()


def mask_value(value: str, mask: int) -> str:
    """Return *value* as it may be shown; masking twice changes nothing, and nothing stays nothing."""
    if not value or "*" in value:
        return value
    if mask == policy_pb2.MASK_MOBILE:
        return f"{value[:3]}****{value[-4:]}" if len(value) > 7 else "****"
    if mask == policy_pb2.MASK_ID_NUMBER:
        return (
            f"{value[:3]}{'*' * (len(value) - 7)}{value[-4:]}"
            if len(value) > 8
            else "****"
        )
    if mask == policy_pb2.MASK_ADDRESS:
        return f"{value[:6]}******"
    return value


def digits_of(value: str) -> str:
    """Return *value* as it is indexed: digits and capital letters only, China's country code cut off."""
    kept = re.sub(r"[^0-9A-Z]", "", value.upper())
    return kept[2:] if len(kept) == 13 and kept.startswith("861") else kept


class Vault:
    """Encrypts, decrypts and indexes with the keysets of one folder; the primary key writes, every key reads."""

    def __init__(self, folder: Path) -> None:
        """Read the keysets; raises FileNotFoundError when the folder has none."""
        self._aead = _handle(folder / AEAD_FILE).primitive(aead.Aead)
        self._prfs = _handle(folder / INDEX_FILE).primitive(prf.PrfSet)

    def seal(self, value: str, place: str) -> bytes:
        """Return *value* encrypted for *place*, ``table.column|resource id``."""
        return self._aead.encrypt(value.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """Return what was sealed for *place*; raises tink.TinkError when it was sealed for another."""
        return self._aead.decrypt(sealed, place.encode()).decode()

    def index(self, value: str, column: str) -> bytes:
        """Return the blind index of *value* in *column* under the primary key: equal values, equal bytes."""
        return self._prfs.primary().compute(
            f"{column}|{digits_of(value)}".encode(), INDEX_BYTES
        )

    def indexes(self, value: str, column: str) -> list[bytes]:
        """Return the index of *value* under every key, so that a search also finds what an older key wrote."""
        text = f"{column}|{digits_of(value)}".encode()
        return [key.compute(text, INDEX_BYTES) for key in self._prfs.all().values()]

    def suffix(self, value: str, column: str) -> bytes:
        """Return the short index of the last four digits of *value*."""
        text = f"{column}.suffix|{digits_of(value)[-4:]}".encode()
        return self._prfs.primary().compute(text, INDEX_BYTES)[:SUFFIX_BYTES]

    def suffixes(self, value: str, column: str) -> list[bytes]:
        """Return the short index of the last four digits of *value* under every key."""
        text = f"{column}.suffix|{digits_of(value)[-4:]}".encode()
        return [
            key.compute(text, INDEX_BYTES)[:SUFFIX_BYTES]
            for key in self._prfs.all().values()
        ]

    def digest(self, text: str, column: str) -> bytes:
        """Return a keyed digest of *text*, which tells whether it changed and nothing else."""
        return self._prfs.primary().compute(
            f"{column}.digest|{text}".encode(), INDEX_BYTES
        )


def _handle(path: Path) -> tink.KeysetHandle:
    return json_proto_keyset_format.parse(path.read_text(), secret_key_access.TOKEN)


def _fresh(template: tink_pb2.KeyTemplate) -> str:
    return json_proto_keyset_format.serialize(
        tink.new_keyset_handle(template), secret_key_access.TOKEN
    )


def _write(path: Path, keyset: str) -> None:
    """Replace the file in one step, so that a reader never meets half a keyset."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(keyset)
    part.rename(path)


TEMPLATES = {
    AEAD_FILE: aead.aead_key_templates.AES256_GCM,
    INDEX_FILE: prf.prf_key_templates.HMAC_SHA256,
}


def generate_keys(folder: Path) -> None:
    """Write fresh keysets into *folder*, readable by the owner alone; keysets that exist are left as they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, template in TEMPLATES.items():
        if not (folder / name).exists():
            _write(folder / name, _fresh(template))


def rotate_keys(folder: Path) -> None:
    """Put a fresh primary key before the others of each keyset; the keys before still read."""
    for name, template in TEMPLATES.items():
        fresh, known = (
            json.loads(_fresh(template)),
            json.loads((folder / name).read_text()),
        )
        fresh["key"] += known["key"]
        _write(folder / name, json.dumps(fresh))
