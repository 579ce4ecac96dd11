"""
How much of a centre's limit is used: real time, a real connection, the demonstration's centre in a process of its own.

The centre takes 2,000 a second by its own clock and refuses the rest. Two lanes hand over 40 chunks with the limit
agreed, and 40 with nothing known but the refusals.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import structlog

from services.messaging.delivery.rules import Slot
from services.messaging.gateways.smpp_writer import SmppSettings
from tests.bench.floors import say
from tests.lanes import send, states_of

ROOT = Path(__file__).parents[2]
LIMIT, CHUNKS = 2000, 40


def trial(rate):
    """Return the share of the limit that was used, and what was refused, lost and doubled."""
    with tempfile.TemporaryDirectory(prefix="guanhu-bench-") as name:
        folder = Path(name)
        (folder / "smsc-password").write_text("bench")
        command = ("deploy/smsc.py", "--print-port", "--port=0", f"--rate={LIMIT}")
        centre = subprocess.Popen(
            [sys.executable, *command, "--delay=600", f"--record={folder}/taken"],
            cwd=ROOT,
            env={**os.environ, "GUANHU_SECRETS_DIR": name},
            stdout=subprocess.PIPE,
            stderr=(folder / "counts").open("w"),
        )
        settings = SmppSettings(
            host="127.0.0.1",
            port=int(centre.stdout.readline()),
            system_id="guanhu",
            password="bench",
            window=200,
        )
        runs, took = asyncio.run(send(settings, folder, chunks=CHUNKS, rate=rate))
        asyncio.run(asyncio.sleep(1.5))  # the centre counts once a second
        centre.terminate()
        centre.wait(10)
        taken = Counter(
            json.loads(line)["number"]
            for line in (folder / "taken").read_text("utf-8").splitlines()
        )
        counts = dict(
            reversed(part.split(" ", 1))
            for part in (folder / "counts").read_text().splitlines()[-1].split(", ")
        )
    wanted = CHUNKS * 1000
    if states_of(runs) != {Slot.ACCEPTED: wanted}:
        raise RuntimeError(f"not all were accepted: {states_of(runs)}")
    return {
        "used": round(wanted / took / LIMIT, 4),
        "refused": round(int(counts.get("throttled", 0)) / wanted, 5),
        "lost": wanted - len(taken),
        "twice": sum(count > 1 for count in taken.values()),
    }


def main():
    """Measure both and say so."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    found = {"agreed": trial(LIMIT), "not_told": trial(0)}
    say(
        bench="throttle",
        limit_per_s=LIMIT,
        centre="deploy/smsc.py on smpp34",
        used=found["agreed"]["used"],
        refused=found["agreed"]["refused"],
        **found,
    )


if __name__ == "__main__":
    main()
