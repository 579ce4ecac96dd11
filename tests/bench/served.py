"""The product's own customer service as a process of its own, believing a key that the bench signs with."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from joserfc.jwk import OKPKey

from services.chassis import server
from services.chassis.config import Own, Settings, Shared
from services.chassis.logs import configure_logs
from services.chassis.server import frame_of
from services.customer.__main__ import SERVICE
from tests.bank import PASSWORDS, TrialKeys
from tests.bench.floors import cannot


def told(bank, database):
    """Return what a server of *database* must be told."""
    postgres = bank.postgres
    password = PASSWORDS["password"]
    return {
        "dsn": postgres.dsn(database, "guanhu_customer", password),
        "bulk_dsn": postgres.dsn(database, "guanhu_customer_bulk", password),
        "superuser": postgres.dsn(database),
        "secrets": str(bank.secrets),
        "key": bank.keys.key.as_dict(private=True),
    }


async def full(what: dict) -> None:
    """Serve the customer service, and print its port."""
    configure_logs("customer", as_json=True)
    keys = TrialKeys(key=OKPKey.import_key(what["key"]))
    declared = server.Service(
        **{
            **{name: getattr(SERVICE, name) for name in SERVICE.__slots__},
            "keys": lambda uow, vault: keys,
        }
    )
    frame = frame_of(declared, settings_of(what))
    running = await server.start(declared, frame)
    while not frame.keyring.ready:
        await asyncio.sleep(0.02)
    print(running.port, flush=True)
    await asyncio.Event().wait()


def settings_of(what: dict) -> Settings:
    """Return settings as the bench told them."""
    return Settings(
        "customer",
        Shared(secrets_dir=Path(what["secrets"]), demonstration=True),
        Own(dsn=what["dsn"], bulk_dsn=what["bulk_dsn"]),
    )


def start(module: str, kind: str, what: dict) -> tuple[subprocess.Popen, int]:
    """Start ``python -m module kind`` and return it with the port it prints."""
    command = [sys.executable, "-m", module, kind, json.dumps(what)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    line = process.stdout.readline()
    if not line.strip().isdecimal():
        process.kill()
        cannot(module.rpartition(".")[2], f"the {kind} server did not start")
    return process, int(line)
