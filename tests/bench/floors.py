"""What benches share: the last line, medians of interleaved runs, a bank of their own, and the load generator."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from deploy.localpg import LocalPostgres
from services.chassis.vault import generate_keys
from tests.bank import TrialBank

ROUNDS = 5


def say(**figures: object) -> None:
    """Print the result as one JSON object, the last line."""
    print(json.dumps(figures, ensure_ascii=False), flush=True)


def cannot(name: str, why: str) -> None:
    """Say why a bench cannot run here, and stop with an error."""
    raise SystemExit(f"{name} cannot run here: {why}")


def interleaved(rounds: int, **runs: Callable[[], float]) -> dict[str, list[float]]:
    """Return what each run gave, in rounds that take turns, so that neighbours' load falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
            print(
                f"round {number + 1}/{rounds} {name}: {found[name][-1]:.3f}",
                file=sys.stderr,
                flush=True,
            )
    return found


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


@contextmanager
def a_bank(durable: bool = True):
    """A bank with a PostgreSQL of its own; durable, as in life, unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="guanhu-bench-") as folder:
        Path(folder).chmod(0o755)
        secrets = Path(folder) / "secrets"
        generate_keys(secrets)
        (secrets / "start-up-secret").write_text("bench")
        postgres = LocalPostgres(
            Path(folder) / "server", durable=durable, settings={"shared_buffers": "1GB"}
        ).start()
        try:
            yield TrialBank(postgres, secrets)
        finally:
            postgres.stop()


def h2load(
    port: int, path: str, message: bytes, *, calls: int, streams: int, token: str = ""
) -> dict[str, float]:
    """
    Call one RPC with h2load and return rps and latencies in ms; raises when an answer was not as it should be.

    The generator is not Python: it leaves the two cores to the server.
    """
    program = shutil.which("h2load")
    if program is None:
        cannot("the load generator", "h2load is missing (Debian: nghttp2-client)")
    with (
        tempfile.NamedTemporaryFile(suffix=".bin") as body,
        tempfile.NamedTemporaryFile(mode="r", suffix=".log") as log,
    ):
        body.write(b"\0" + len(message).to_bytes(4, "big") + message)
        body.flush()
        command = [
            program,
            "-n",
            str(calls),
            "-c",
            "4",
            "-m",
            str(streams // 4),
            "-d",
            body.name,
        ]
        command += [
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            f"--log-file={log.name}",
        ]
        command += ["-H", f"authorization: Bearer {token}"] if token else []
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{path}"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split("\t") for line in log.read().splitlines()]
    good = [int(row[2]) for row in rows if row[1] == "200"]
    if len(good) != calls:
        raise RuntimeError(
            f"{calls - len(good)} of {calls} calls failed: {done.stdout}"
        )
    rate = next(
        line for line in done.stdout.splitlines() if line.startswith("finished in")
    )
    good.sort()
    return {
        "rps": float(rate.split(",")[1].split()[0]),
        "p50_ms": good[len(good) // 2] / 1000,
        "p99_ms": good[int(len(good) * 0.99)] / 1000,
    }
