"""The Chinese catalogue: compiled out of the committed text into the portal's state when the portal starts."""

import os
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = Path(__file__).parent / "translations"

DOMAINS = ("messages", "admin")
"""Our own sentences, and those of Flask-Admin that its own catalogue leaves in English."""


def compile_into(folder: Path) -> Path:
    """Compile every catalogue into *folder*, whole files only, and return the folder of translations."""
    target = folder / "translations"
    for source in SOURCE.glob("*/LC_MESSAGES/messages.po"):
        with source.open("rb") as text:
            catalogue = read_po(text, locale=source.parts[-3])
        into = target / source.parts[-3] / "LC_MESSAGES"
        into.mkdir(parents=True, exist_ok=True)
        for domain in DOMAINS:
            fresh = into / f"{domain}.{os.getpid()}"
            with fresh.open("wb") as binary:
                write_mo(binary, catalogue)
            fresh.replace(into / f"{domain}.mo")
    return target
