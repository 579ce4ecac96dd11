"""
What a bank would have without a sender of its own: Celery on Redis, with blocking sockets and the same store.

Two forms: a task for each message, and a task for 100 messages that are all on their way at once. Each task enters
what it did. Nothing here knows what a killed worker leaves behind.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import asyncpg
import redis
from celery import Celery

from deploy.localpg import free_port
from tests.bench.raw_sms import blast, bound, submit

CHUNK = 100
TABLE = """
    DROP TABLE IF EXISTS peer_messages;
    CREATE TABLE peer_messages (ordinal integer PRIMARY KEY, number text NOT NULL, state smallint NOT NULL)"""
FILLED = "INSERT INTO peer_messages SELECT n, '86138' || lpad(n::text, 8, '0'), 0 FROM generate_series(1, $1) AS n"
READ = "SELECT ordinal, number FROM peer_messages WHERE ordinal BETWEEN $1 AND $2 ORDER BY ordinal"
SENT = "UPDATE peer_messages SET state = 4 WHERE ordinal BETWEEN $1 AND $2"
LEFT = "SELECT count(*) FROM peer_messages WHERE state <> 4"

app = Celery("peer", broker=os.environ.get("PEER_BROKER", ""))
app.conf.update(
    task_ignore_result=True, worker_prefetch_multiplier=100, broker_pool_limit=None
)


class Own:
    """What each process of a worker has for itself: a loop, a store and a line, opened at the first task."""

    line = store = loop = None

    @classmethod
    def open(cls):
        """Open what is not open yet."""
        if cls.loop is None:
            cls.loop = asyncio.new_event_loop()
            connecting = asyncpg.connect(os.environ["PEER_STORE"])
            cls.store = cls.loop.run_until_complete(connecting)
            cls.line = bound(int(os.environ["PEER_CENTRE"]))


@app.task
def send(low, high):
    """Hand over the messages from *low* to *high*, and enter that it was done."""
    Own.open()
    rows = Own.loop.run_until_complete(Own.store.fetch(READ, low, high))
    blast(Own.line, [submit(row["ordinal"], row["number"]) for row in rows], CHUNK)
    Own.loop.run_until_complete(Own.store.execute(SENT, low, high))


@contextmanager
def broker():
    """A Redis of our own on loopback; its URL."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    client = redis.Redis(port=port)
    try:
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        process.terminate()
        process.wait()


@contextmanager
def workers(url, store, port, log):
    """A Celery worker with a process for each core."""
    told = {
        **os.environ,
        "PEER_BROKER": url,
        "PEER_STORE": store,
        "PEER_CENTRE": str(port),
    }
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.celery_sms", "worker"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*command, "--concurrency=2", "--loglevel=WARNING"],
            env=told,
            stdout=file,
            stderr=file,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


async def _rate(store, people, size):
    connection = await asyncpg.connect(store)
    try:
        await connection.execute(TABLE)
        await connection.execute(FILLED, people)
        await connection.execute("VACUUM ANALYZE peer_messages")
        began = time.perf_counter()
        for low in range(1, people + 1, size):
            send.delay(low, min(people, low + size - 1))
        while await connection.fetchval(LEFT):
            await asyncio.sleep(0.02)
        return people / (time.perf_counter() - began)
    finally:
        await connection.close()


def rate(loop, url, store, *, people, size):
    """Return how many messages a second get through in tasks of *size*, from the first that is put in the queue."""
    app.conf.broker_url = url
    return loop.run_until_complete(_rate(store, people, size))


def is_here():
    """Say whether there is a Redis to measure against."""
    return shutil.which("redis-server") is not None
