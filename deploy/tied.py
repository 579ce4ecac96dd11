"""
Run a program tied to whoever started it: it ends when its starter is gone, however that ended.

The starter holds one end of a pipe that nobody writes to, and this process the other: the system closes the first with
the starter, even one that was killed. No process number is looked at, so none can be mistaken for another, and
nothing is done between fork and exec. The rest of the command line is what Python runs, as in services.toml.
"""

import os
import runpy
import signal
import sys
import threading
import time

ENDING_SECONDS = 6
"""How long the program may take to end by itself when its starter is gone, before it is killed."""


def watch(tie: int) -> None:
    """Wait until the other end of *tie* is closed; then end this process and those it started."""
    while os.read(tie, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the program that the command line names."""
    tie, *command = sys.argv[1:]
    threading.Thread(target=watch, args=(int(tie),), daemon=True).start()
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    main()
