"""
GetCustomer through everything against a bare handler that does the same SELECT and sends the same answer.

Through everything: token, policy, row-level security, contract rules, masking, metrics, one log line. Bare: grpc.aio
on uvloop with asyncpg and nothing else. Both are processes of their own on the same store, called in turns.
"""

import asyncio
import json
import sys

import asyncpg
import grpc
import uvloop
from guanhu.customer.v1 import customer_pb2
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from services.chassis.db import Named
from services.customer.__main__ import SERVICE
from services.customer.customer import queries, wire
from tests.bench import served
from tests.bench.floors import ROUNDS, a_bank, h2load, interleaved, median, say
from tests.bench.served import start
from tests.snapshots import a_customer_line, a_position_line, import_day

PATH = "/guanhu.customer.v1.CustomerService/GetCustomer"
CUSTOMERS = 2000
CALLS = 8000
STREAMS = 64


async def bare(told: dict) -> None:
    """Serve the same SELECT and the same answer with nothing around it."""
    from datetime import UTC, datetime

    statement = select(*queries.SHOWN).where(
        queries.Customer.number == "x", queries.Customer.branch_id == 1
    )
    sql = str(statement.compile(dialect=postgresql.asyncpg.dialect()))
    pool = await asyncpg.create_pool(
        told["superuser"], min_size=10, max_size=10, record_class=Named
    )
    today = datetime.now(UTC).date()

    async def get(
        request: customer_pb2.GetCustomerRequest, _context: object
    ) -> customer_pb2.Customer:
        async with pool.acquire() as connection:
            row = await connection.fetchrow(sql, request.name[10:], 101)
        return wire.customer_to(row, today)

    handler = grpc.unary_unary_rpc_method_handler(
        get,
        request_deserializer=customer_pb2.GetCustomerRequest.FromString,
        response_serializer=customer_pb2.Customer.SerializeToString,
    )
    listening = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service, method = PATH[1:].split("/")
    listening.add_registered_method_handlers(service, {method: handler})
    port = listening.add_insecure_port("127.0.0.1:0")
    await listening.start()
    print(port, flush=True)
    await asyncio.Event().wait()


async def prepare(bank) -> dict:
    """Fill a store and return what the servers are told."""
    running = await bank.serve(SERVICE)
    numbers = [f"{10_000_000 + number}" for number in range(CUSTOMERS)]
    await import_day(
        running,
        customers=[a_customer_line(number) for number in numbers],
        positions=[a_position_line(number) for number in numbers],
    )
    await running.sql("VACUUM ANALYZE customers")
    told = served.told(bank, running.database)
    told["token"] = bank.keys.token(
        "staff/manager", ("BRANCH_MANAGER",), scope="BRANCH", branch=101, life=3600
    )
    await running.stop()
    return told


def main() -> None:
    """Run the two in turns and print the figures."""
    with a_bank() as bank:
        told = uvloop.run(prepare(bank))
        servers = {
            kind: start("tests.bench.rpc", kind, told) for kind in ("full", "bare")
        }
        message = customer_pb2.GetCustomerRequest(
            name="customers/10000777"
        ).SerializeToString()
        seen: dict[str, list[dict]] = {"full": [], "bare": []}

        def run(kind: str, calls: int = CALLS) -> float:
            token = told["token"] if kind == "full" else ""
            found = h2load(
                servers[kind][1],
                PATH,
                message,
                calls=calls,
                streams=STREAMS,
                token=token,
            )
            seen[kind].append(found)
            return found["rps"]

        try:
            for kind in servers:
                run(kind, 1000)
            seen = {"full": [], "bare": []}
            rates = interleaved(
                ROUNDS, full=lambda: run("full"), bare=lambda: run("bare")
            )
        finally:
            for process, _ in servers.values():
                process.kill()
    ratio = median(
        [one / other for one, other in zip(rates["full"], rates["bare"], strict=True)]
    )
    say(
        bench="rpc",
        rps=round(median(rates["full"])),
        p50_ms=round(median([one["p50_ms"] for one in seen["full"]]), 2),
        p99_ms=round(median([one["p99_ms"] for one in seen["full"]]), 2),
        ratio_to_bare=round(ratio, 3),
        bare_rps=round(median(rates["bare"])),
    )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        uvloop.run(
            {"full": served.full, "bare": bare}[sys.argv[1]](json.loads(sys.argv[2]))
        )
    else:
        main()
