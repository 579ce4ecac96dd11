"""
Pages that join what several services know: each part is asked for on its own, where the posts of the person allow it.

A part whose service is away is None, so that the page shows the rest; after the first call that was not answered a
service is not asked for further parts.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grpc

from admin import sayings
from admin.channels import Channels
from admin.rights import may


class Source(NamedTuple):
    """Where one part comes from: the service, the RPC, and the request about whatever the page is about."""

    service: str
    rpc: str
    stub: Any
    request: Callable[[Any], Any]

    @property
    def method(self) -> str:
        """Return the bare name of the RPC."""
        return self.rpc.rpartition(".")[2]


class Gathering:
    """Asks every source that one page has."""

    def __init__(self, channels: Channels, sources: Mapping[str, Source]) -> None:
        """Ask over *channels*; *sources* are by the parts' names, in the order of asking."""
        self._sources = sources
        self._stubs = {
            key: channels.stub(source.service, source.stub)
            for key, source in sources.items()
        }

    def about(self, subject: Any) -> dict[str, Any]:
        """Return the answers about *subject* by part: not there when not allowed, None when it cannot be had."""
        found: dict[str, Any] = {}
        away: set[str] = set()
        for key, source in self._sources.items():
            if not may(source.rpc):
                continue
            found[key] = None
            if source.service in away:
                continue
            ask = getattr(self._stubs[key], source.method)
            try:
                found[key] = ask(source.request(subject))
            except grpc.RpcError as error:
                if error.code() in sayings.AWAY:
                    away.add(source.service)
        return found
