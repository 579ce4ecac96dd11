"""
Where an aggregator brings receipts and replies: a small HTTP server that answers a push once all of it is durable.

An aggregator repeats what is not answered well after 1, 5 and 10 minutes, and then drops it. Workers of one machine
share the port: any of them may store what any of them has sent.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog
from aiohttp import web

from services.messaging.gateways.http_calls import PushPlace, Unreadable

log = structlog.get_logger()

MOST_OCTETS = 1 << 20
"""The longest body that is read."""

MOST_HELD = 200
"""Pushes that may wait for the store at a time; the next one is to come again later."""

Kind = Literal["reports", "replies"]


class Push:
    """One push: how much of it is not durable yet."""

    def __init__(self, count: int) -> None:
        """Wait for *count* acknowledgements."""
        self._left = set(range(count))
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not count:
            self.settled.set_result(True)

    def ack(self, place: int) -> None:
        """Take note that one entry is durable; the same twice counts once."""
        self._left.discard(place)
        if not self._left and not self.settled.done():
            self.settled.set_result(True)

    def refuse(self) -> None:
        """Let the aggregator bring all of it again; a second time says nothing new."""
        if not self.settled.done():
            self.settled.set_result(False)


Take = Callable[[Kind, bytes], Push]
"""Tells the core what a push holds; raises Unreadable."""


class Door:
    """The server; open from ``open`` to ``close``."""

    def __init__(
        self,
        place: PushPlace,
        take: Take,
        *,
        thanks: Mapping[str, Any],
        hold: float,
        most: int = MOST_HELD,
    ) -> None:
        """Hand pushes to *take*, answer *thanks* when they are durable in *hold* seconds, and let *most* wait."""
        self._place = place
        self._take = take
        self._thanks = thanks
        self._hold = hold
        self._most = most
        self._held: set[Push] = set()
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen; once open, it stays so. Raises OSError when the address cannot be had."""
        if self._runner is not None:
            return
        app = web.Application(client_max_size=MOST_OCTETS)
        app.router.add_post(r"/{secret}/{kind:reports|replies}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            place = self._place
            await web.TCPSite(runner, place.host, place.port, reuse_port=True).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def close(self) -> None:
        """Let what is not durable be brought again, and listen no more."""
        for push in self._held:
            push.refuse()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        secret = request.match_info["secret"].encode()
        if not hmac.compare_digest(secret, self._place.secret.encode()):
            return web.Response(status=404)
        if len(self._held) >= self._most:
            return web.Response(status=503)
        kind: Kind = "reports" if request.match_info["kind"] == "reports" else "replies"
        try:
            async with asyncio.timeout(self._hold):
                body = await request.read()
            push = self._take(kind, body)
        except TimeoutError:
            return web.Response(status=408)
        except Unreadable:
            return web.Response(status=400)
        except web.HTTPException:
            raise
        except Exception as fault:  # noqa: BLE001 - its text may hold what was pushed
            log.error("push.failed", fault=type(fault).__name__)
            return web.Response(status=500)
        return await self._await_durable(push)

    async def _await_durable(self, push: Push) -> web.Response:
        self._held.add(push)
        try:
            durable = await asyncio.wait_for(push.settled, self._hold)
        except TimeoutError:
            durable = False
        finally:
            self._held.discard(push)
        if durable:
            return web.json_response(self._thanks)
        return web.Response(status=503)
