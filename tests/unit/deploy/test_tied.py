"""Processes end with whoever started them, however that ended and whatever they do."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from deploy.localpg import free_port

ROOT = Path(__file__).parents[3]

STARTER = """
    import sys, time
    from pathlib import Path
    from deploy.processes import Fleet, Row
    script, folder, port = sys.argv[1:]
    row = Row("{name}", [script, port], "127.0.0.1", int(port), 0, "tcp", [])
    fleet = Fleet({{"PYTHONPATH": "{root}"}}, Path(folder), print)
    fleet.start([row])
    print("up", flush=True)
    {then}
"""

STUBBORN = """
    import signal, socket, subprocess, sys, time
    from pathlib import Path
    {handling}
    child = subprocess.Popen([sys.executable, "-c", {grandchild!r}])
    Path("{numbers}").write_text(f"{{__import__('os').getpid()}} {{child.pid}}")
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        time.sleep(1)
"""

DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
)
HEARING = "import time; time.sleep(60)"


def lives(number):
    """Say whether a process runs; one that ended and was not asked for does not."""
    stat = Path(f"/proc/{number}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(numbers, seconds):
    """Say whether all of *numbers* end within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(lives, numbers)):
        time.sleep(0.05)
    return not any(map(lives, numbers))


def started(folder, *, handling, grandchild, then="time.sleep(60)"):
    """Start a starter whose one process has a child of its own; return it and the numbers of both."""
    numbers, script = folder / "numbers", folder / "stubborn.py"
    told = {"handling": handling, "grandchild": grandchild, "numbers": numbers}
    script.write_text(textwrap.dedent(STUBBORN).format(**told))
    starter = textwrap.dedent(STARTER).format(name="one", root=ROOT, then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", starter, str(script), str(folder), str(free_port())],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.strip() == "up":
            break
    return process, [int(one) for one in numbers.read_text().split()]


@pytest.fixture
def running(tmp_path):
    """Start as told, and leave nothing behind."""
    found = []

    def start(**more):
        found.append(started(tmp_path, **more))
        return found[-1]

    yield start
    for process, numbers in found:
        process.kill()
        process.communicate()
        for number in numbers:
            if lives(number):
                os.kill(number, signal.SIGKILL)


def test_a_process_ends_at_once_when_its_starter_is_killed(running):
    """A starter that is killed cannot say anything, and yet its process ends before long."""
    handling = (
        "signal.signal(signal.SIGTERM, lambda *_: (child.terminate(), sys.exit()))"
    )
    process, numbers = running(handling=handling, grandchild=HEARING)
    assert all(map(lives, numbers))
    process.kill()

    assert ended(numbers, 4)


def test_a_process_that_does_not_listen_ends_too_and_its_children_with_it(running):
    """Whoever hangs in the middle of a stop, or does not hear of it, does not outlive its starter for long."""
    handling = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    process, numbers = running(handling=handling, grandchild=DEAF)
    process.kill()

    assert ended(numbers, 9)


def test_a_process_ends_when_it_is_told_to_and_the_tie_is_let_go(running):
    """A stop that is said ends the process as before, and leaves no pipe open in the starter."""
    handling = (
        "signal.signal(signal.SIGTERM, lambda *_: (child.terminate(), sys.exit()))"
    )
    then = (
        "import os; before = len(os.listdir('/proc/self/fd')); fleet.stop();"
        " print(before - len(os.listdir('/proc/self/fd')))"
    )
    process, numbers = running(handling=handling, grandchild=HEARING, then=then)
    said, _ = process.communicate(timeout=30)

    assert said.split() == ["one", "is", "down", "2"]
    assert ended(numbers, 1)
