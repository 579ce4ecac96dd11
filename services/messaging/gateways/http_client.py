"""Calls to an aggregator over HTTP: what came back, or whether anything may have left."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from services.messaging.gateways.http_calls import HttpSettings, Request

MOST_OCTETS = 1 << 20
"""The longest answer that is read."""

IDLE_SECONDS = 10
"""How long an unused connection is kept; shorter than the providers do, lest a call meet its end."""


class NothingLeft(Exception):
    """The call failed before an octet of it could leave."""


class NobodyKnows(Exception):
    """The call failed after it may have left."""


class Client:
    """
    Connections to one aggregator, made as they are needed.

    No cookies are kept, no redirects followed and no compressed answers read. A POST is never sent twice.
    """

    def __init__(self, settings: HttpSettings) -> None:
        """Call the aggregator of *settings*; needs a running event loop."""
        self._settings = settings
        scheme = "https" if settings.tls else "http"
        self._url = f"{scheme}://{settings.host}:{settings.port}/"
        self._places = asyncio.Semaphore(settings.connections)
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.on_connection_reuseconn.append(_connected)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
            trace_configs=[trace],
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.timers.connect
            ),
        )

    async def call(self, sign: Callable[[], Request]) -> tuple[int, bytes]:
        """
        Return status and body of the answer to a request, which is signed when its turn has come.

        Raises NothingLeft and NobodyKnows with the kind of the fault: neither address nor content is told.
        """
        timers, mark = self._settings.timers, {"left": False}
        async with self._places:
            request = sign()
            try:
                async with (
                    asyncio.timeout(timers.connect + timers.answer),
                    self._session.post(
                        self._url,
                        data=request.body,
                        headers=request.headers,
                        ssl=self._settings.tls or True,
                        allow_redirects=False,
                        trace_request_ctx=mark,
                    ) as response,
                ):
                    return response.status, await _body(response)
            except (aiohttp.ClientError, OSError) as fault:  # TimeoutError is one
                why = type(fault).__name__
                raise (NobodyKnows if mark["left"] else NothingLeft)(why) from None

    async def close(self) -> None:
        """Part from the aggregator."""
        await self._session.close()


async def _connected(_session: Any, context: Any, _parameters: Any) -> None:
    """Take note that a call has a connection: from now on an octet of it may have left."""
    context.trace_request_ctx["left"] = True


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer; of one that is too long, what no dialect can read."""
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) > MOST_OCTETS:
            return b""
    return bytes(found)
