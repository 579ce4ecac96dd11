"""
200,000 customers and 400,000 holdings through ImportSnapshot against plain COPY of the same rows.

Through ImportSnapshot: a stream over gRPC into a server process, every line judged, sealed, staged, upserted and told
of in the outbox. The floor seals, masks and indexes the same personal fields and COPYs finished rows into the same
tables with the same indexes, as a superuser past row-level security. Both on fresh databases, in turns.
"""

import json
import sys
import time
from datetime import date

import asyncpg
import grpc
import uvloop
from guanhu.customer.v1 import snapshot_pb2 as pb
from guanhu.customer.v1.snapshot_pb2_grpc import SnapshotServiceStub

from services.chassis.vault import Vault
from services.chassis.wiretypes import day_from
from services.customer.snapshot.actions.customers import PERSONAL, PLAIN, sealed, staged
from tests.bank import TREE
from tests.bench import served
from tests.bench.floors import ROUNDS, a_bank, interleaved, median, say
from tests.builders import NOW
from tests.snapshots import (
    a_customer_line,
    a_holding_line,
    a_product_line,
    chunks,
    header,
    stream,
)

CUSTOMERS = 200_000
HOLDINGS = 400_000
BRANCHES = (101, 102, 200)
DAY = date(2026, 11, 20)

ZEROS = {
    "tier": 1,
    "customer_type": 1,
    "owner": "",
    "maintenance_mode": 0,
    "access_version": 0,
    "currency": "CNY",
    "financial_assets": 0,
    "aum": 0,
    "deposits": 0,
    "occupation": "",
    "household_finances": "",
    "preferences": "",
    "appointment_habit": 0,
    "preferred_channel": 0,
    "preferred_time": 0,
    "contact_frequency": 0,
    "employer": "",
    "family_notes": "",
    "last_contact_channel": 0,
    "last_contact_result": 0,
    "last_contact_staff": "",
    "move_version": 0,
    "do_not_disturb": False,
    "create_time": NOW,
    "update_time": NOW,
    "version": 1,
}
"""What a new customer starts with, beside what the line brings."""


def lines():
    """Return the lines of the bank: customers over three branches, two holdings each."""
    numbers = [f"{10_000_000 + place}" for place in range(CUSTOMERS)]
    customers = [
        a_customer_line(
            number,
            branch_id=BRANCHES[place % 3],
            mobile=f"138{place:08}",
            home_address=f"滨江路{place}号",
        )
        for place, number in enumerate(numbers)
    ]
    holdings = [
        a_holding_line(f"H{place}", numbers[place // 2]) for place in range(HOLDINGS)
    ]
    return customers, holdings


async def through(port: int, token: str, messages: list) -> float:
    """Send the stream and return how long it took until the answer."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = SnapshotServiceStub(channel)
        began = time.perf_counter()
        answer = await stub.ImportSnapshot(
            iter(messages), metadata=[("authorization", f"Bearer {token}")], timeout=600
        )
        spent = time.perf_counter() - began
    stored = sum(one.stored_count for one in answer.counts)
    if stored != CUSTOMERS + HOLDINGS + 1:
        raise RuntimeError(f"{stored} lines were stored")
    return spent


async def plain(dsn: str, vault: Vault, customers: list, holdings: list) -> float:
    """Seal and COPY the same rows and return how long it took."""
    connection = await asyncpg.connect(dsn)
    columns = ["branch_id", "number", *PLAIN, *PERSONAL, "personal_digest", "source"]
    began = time.perf_counter()
    rows = (row_of(vault, line) for line in customers)
    await connection.copy_records_to_table(
        "customers", records=rows, columns=[*columns, *ZEROS]
    )
    await connection.copy_records_to_table(
        "holdings", records=(holding_of(line) for line in holdings)
    )
    spent = time.perf_counter() - began
    await connection.close()
    return spent


def row_of(vault: Vault, line: pb.CustomerLine) -> tuple:
    """Return a finished row of a customer's line."""
    branch, number, name, gender, birth, card, source, risk, expiry, opened, digest = (
        staged(vault, line)
    )
    plain_values = (name, gender, birth, card, risk, expiry, opened)
    personal = sealed(vault, line)[1:]
    head = (branch, number, *plain_values, *personal, digest, source)
    return (*head, *ZEROS.values())


def holding_of(line: pb.HoldingLine) -> tuple:
    """Return a finished row of a holding's line."""
    branch = BRANCHES[(int(line.number) - 10_000_000) % 3]
    days = day_from(line.start_day), day_from(line.maturity_day)
    head = (branch, line.holding_id, line.number, line.product_code)
    return (*head, line.amount_minor, "CNY", *days, False, None, NOW)


def main() -> None:
    """Run the two in turns and print the figures."""
    customers, holdings = lines()
    entities = {"customers": customers, "holdings": holdings}
    entities["products"] = [a_product_line()]
    messages = list(stream(header(DAY), chunks(1000, **entities)))
    with a_bank() as bank:
        vault = Vault(bank.secrets)
        bank.keys.tree = TREE
        token = bank.keys.token(
            "accounts/core", ("FEED_ACCOUNT",), scope="BANK", branch=0, life=36_000
        )

        def imported() -> float:
            database = uvloop.run(bank.database("customer"))
            process, port = served.start(
                "tests.bench.ingest", "full", served.told(bank, database)
            )
            try:
                return uvloop.run(through(port, token, messages))
            finally:
                process.kill()

        def copied() -> float:
            database = uvloop.run(bank.database("customer"))
            return uvloop.run(
                plain(bank.postgres.dsn(database), vault, customers, holdings)
            )

        spent = interleaved(ROUNDS, through=imported, copy=copied)
    rows = CUSTOMERS + HOLDINGS
    ratio = median(
        [
            one / other
            for one, other in zip(spent["copy"], spent["through"], strict=True)
        ]
    )
    say(
        bench="ingest",
        rows_per_s=round(rows / median(spent["through"])),
        ratio_to_copy=round(ratio, 3),
        copy_rows_per_s=round(rows / median(spent["copy"])),
    )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        uvloop.run(served.full(json.loads(sys.argv[2])))
    else:
        main()
