"""Compare the contracts with those of the last release; a change that breaks a caller stops the build."""

import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path


def output(*command: str) -> bytes:
    """Return what *command* prints, or nothing when it fails."""
    return subprocess.run(command, capture_output=True, check=False).stdout


def main() -> int:
    """Return the exit status: 0 when nothing breaks, or when there is no release to compare with."""
    tag = (
        output("git", "describe", "--tags", "--abbrev=0", "--match", "v*")
        .decode()
        .strip()
    )
    if not tag:
        print("contracts: no release yet, nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(
            fileobj=BytesIO(output("git", "archive", tag, "protos"))
        ) as archive:
            archive.extractall(folder, filter="data")
        base = Path(folder) / "base.binpb"
        subprocess.run(
            [sys.executable, "deploy/generate.py", str(base), f"{folder}/protos"],
            check=True,
        )
        buf = Path(sys.executable).with_name("buf")
        return subprocess.run(
            [str(buf), "breaking", ".make/contract.binpb", "--against", str(base)],
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
