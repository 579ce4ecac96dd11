"""``guanhu keys``: change the keys that personal fields are encrypted and found with."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from admin.commands.terminal import UndoneError, out, sentences

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look after the keys of personal fields, which lie in files.",
)

KEYSETS = {
    "vault-aead.json": "encrypts personal fields and signing keys",
    "vault-index.json": "finds mobiles by their index",
}
"""The files of a folder of secrets that hold keysets, and what the primary key of each does."""


@app.callback()
def keys() -> None:
    """Look after the keys of personal fields, which lie in files."""


def keyset(path: Path) -> dict[str, Any]:
    """Return what a keyset's file tells; raises UndoneError when there is none or it cannot be read."""
    try:
        told = json.loads(path.read_text())
        known = {int(key["keyId"]) for key in told["key"]}
        good = int(told["primaryKeyId"]) in known
    except OSError as error:
        raise UndoneError(f"The keyset cannot be read: {error}") from None
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise UndoneError(f"{path} does not hold a keyset.")
    return told


def rotate_files(folder: Path) -> None:
    """Put a fresh primary key into each keyset of *folder*; owners of files stay. Raises UndoneError."""
    from services.chassis.vault import rotate_keys  # noqa: PLC0415 - slow to load, and for this command alone

    try:
        owners = {name: (folder / name).stat() for name in KEYSETS}
        rotate_keys(folder)
        for name, owner in owners.items():
            now = (folder / name).stat()
            if (now.st_uid, now.st_gid) != (owner.st_uid, owner.st_gid):
                os.chown(folder / name, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise UndoneError(f"The keysets cannot be written: {error}") from None


@app.command()
def rotate(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder of secrets (GUANHU_SECRETS_DIR).",
            exists=True,
            file_okay=False,
        ),
    ],
) -> None:
    """
    Put a fresh primary key into each of the two keysets of a folder of secrets.

    What was written before can still be read and found: the keys before stay in the files, and searches look under
    every key. The fresh keys write from then on. Nothing in the databases is encrypted again by this; the next
    snapshot of the bank stores each of its customers anew under the fresh keys, once.

    Keysets are read when a process starts, and two processes with different ones cannot read each other's values. So:
    let batches of messages end, stop all services, save the folder, run this, bring the two files to every machine,
    and start the services. (The receipt of a message whose fate is unknown is matched by the index of its number, and
    does not find one that was planned under the key before.)

    Ends with 0, or with 2 when nothing was changed, or not everything, as the sentence says.
    """
    with sentences():
        before = {name: keyset(folder / name) for name in KEYSETS}
        rotate_files(folder)
        for name, purpose in KEYSETS.items():
            now = keyset(folder / name)
            out.print(
                f"{name}: key {now['primaryKeyId']} is primary now and {purpose}; before it was"
                f" {before[name]['primaryKeyId']}. {len(now['key'])} keys read.",
                markup=False,
                soft_wrap=True,
            )
    out.print(
        "Start all services anew with these two files: a running one has the keys before until then.",
        markup=False,
        soft_wrap=True,
    )
