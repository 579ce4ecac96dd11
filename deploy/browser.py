"""See to it that browser tests have a Chromium: from the path, or from Debian's packages when this is root."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
FONTS = "/usr/share/fonts"


def found() -> str | None:
    """Return the browser's program, or None."""
    return next(filter(None, (shutil.which(name) for name in NAMES)), None)


def main() -> None:
    """Install Chromium and a Chinese font where that is possible; say plainly when it is not."""
    if found():
        return
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        print(
            "no Chromium was found: browser tests will be skipped (install one named chromium to run them)"
        )
        return
    print("installing Chromium for browser tests (once)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ("update", "-qq"),
        (
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "chromium",
            "fonts-noto-cjk",
        ),
    ):
        done = subprocess.run(
            [apt, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            print(
                f"Chromium could not be installed: {done.stderr.strip().splitlines()[-1:]}",
                file=sys.stderr,
            )
            return


if __name__ == "__main__":
    main()
