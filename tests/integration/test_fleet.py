"""Several processes of one service: one port, figures of their own, stopped together."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.localpg import free_port
from services.chassis.fleet import METRICS_STEP

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def settings(bank):
    """Return the settings of allocation on a store of its own."""
    return bank.settings("allocation", await bank.database("allocation"))


@pytest.fixture
def fleet(settings, secrets_dir):
    """Three processes of allocation on a store of their own, one of which works."""
    told = {
        **{key: value for key, value in os.environ.items() if "GUANHU" not in key},
        "PYTHONPATH": ".:protos",
        "GUANHU_DEMONSTRATION": "true",
        "GUANHU_SECRETS_DIR": str(secrets_dir),
        "GUANHU_ALLOCATION_ADDRESS": f"127.0.0.1:{free_port()}",
        "GUANHU_ALLOCATION_METRICS_PORT": str(free_port()),
        "GUANHU_ALLOCATION_PROCESSES": "3",
        "GUANHU_ALLOCATION_DRAIN_SECONDS": "0",
        "GUANHU_ALLOCATION_DSN": settings.own.dsn,
        "GUANHU_ALLOCATION_BULK_DSN": settings.own.bulk_dsn,
        "GUANHU_LOG_JSON": "true",
    }
    log = secrets_dir / "fleet.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.allocation", "serve", "--work"],
            cwd=ROOT,
            env=told,
            stdout=file,
            stderr=file,
        )
    until(lambda: log.read_text().count("service.started") == 3, log)
    yield process, told, log
    if process.poll() is None:
        process.kill()
    process.wait()


def until(holds, log):
    """Wait until something holds."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.05)


def children_of(pid):
    """Return the processes that a process started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in listed.split()]


def lives(pid):
    """Say whether a process still runs."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


def test_one_works_all_serve_and_each_shows_its_figures(fleet):
    """The port answers, one process is the worker, and every process has figures of its own."""
    _, told, log = fleet
    with grpc.insecure_channel(told["GUANHU_ALLOCATION_ADDRESS"]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        until(lambda: stub.Check(health_pb2.HealthCheckRequest()).status == 1, log)
    first = int(told["GUANHU_ALLOCATION_METRICS_PORT"])
    figures = [
        urllib.request.urlopen(
            f"http://127.0.0.1:{first + METRICS_STEP * place}"
        ).read()
        for place in range(3)
    ]

    started = [
        line for line in log.read_text().splitlines() if "service.started" in line
    ]
    assert sum('"working": true' in line for line in started) == 1
    assert all(b"rpc_server_call_duration" in one for one in figures)


def test_when_one_dies_the_rest_stop_and_the_status_says_so(fleet):
    """Whoever keeps the service alive learns that it is not whole, whichever process it was."""
    process, _, log = fleet
    children = children_of(process.pid)
    os.kill(children[-1], signal.SIGKILL)
    until(lambda: process.poll() is not None, log)

    assert process.returncode == signal.SIGKILL
    assert not any(map(lives, children))


def test_when_the_starter_is_killed_its_processes_stop(fleet):
    """Nothing is left behind that holds the port."""
    process, _, log = fleet
    children = children_of(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(map(lives, children)), log)
