"""
Runs a program as another user, who may keep one capability, and has it asked to stop when its parent dies.

A process of its own, which needs nothing but Python: what happens between fork and exec in a process with threads
may wait for a lock that nobody will ever open.
"""

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2

READ_ANYWHERE = (2, 1)
"""CAP_DAC_READ_SEARCH, and CAP_DAC_OVERRIDE where a container left only that (source: linux/capability.h)."""

CAPABILITY_VERSION_3 = 0x20080522


def become(
    libc: ctypes.CDLL, user: int, group: int, *, keep: Sequence[int] = ()
) -> None:
    """Drop root for *user*; keep the first of the capabilities *keep* that can be had, through exec, and no other."""
    if keep:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    for capability in keep:
        mask = 1 << capability
        header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
        if libc.capset(header, struct.pack("6I", mask, mask, mask, 0, 0, 0)) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return


def main(user: str, keep: str, folder: str, *command: str) -> None:
    """Become *user* ("user:group", or "-" to stay), go to *folder*, and run *command* in this process's place."""
    libc = ctypes.CDLL(None, use_errno=True)
    if user != "-":
        number, _, group = user.partition(":")
        kept = READ_ANYWHERE if keep == "keep" else ()
        become(libc, int(number), int(group), keep=kept)
    # after the change of users, which forgets it
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    os.chdir(folder)
    os.execv(command[0], list(command))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
