"""Several processes of one service that share its port: started, watched and stopped together."""

import asyncio
import os
import signal
import subprocess
import sys
import time

from services.chassis.config import Settings

METRICS_STEP = 10
"""How far apart the figures of a service's processes are: the first has the port that was told."""

LOOK_SECONDS = 0.2


def spawn(module: str, settings: Settings, *, working: bool) -> None:
    """
    Run several servers; where one dies, stop the rest and say so by the exit status.

    The first one also works, where that was asked for. Each shows its own figures.
    """
    children = []
    for place in range(settings.own.processes):
        work = ["--work"] if working and not place else []
        first = settings.own.metrics_port
        port = first and first + METRICS_STEP * place
        named = f"GUANHU_{settings.service.upper()}_METRICS_PORT"
        command = [sys.executable, "-m", module, "serve", "--share", *work]
        told = {**os.environ, named: str(port)}
        children.append(subprocess.Popen(command, env=told))  # noqa: S603 - our own module
    ended: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.append(0))
    while not ended:
        time.sleep(LOOK_SECONDS)
        ended += [child.returncode for child in children if child.poll() is not None]
    for child in children:
        child.terminate()
    statuses = [child.wait() for child in children]
    raise SystemExit(max(map(abs, (ended[0], *statuses))))


async def left_alone(stopped: asyncio.Event) -> None:
    """Stop when whoever started this process is gone: the others it started are stopping too."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the system does not tell, it has to be asked
        await asyncio.sleep(LOOK_SECONDS)
    stopped.set()
