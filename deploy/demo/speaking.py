"""Speaking to the services as one of the demonstration bank's own people: tokens, request ids, many at a time."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import grpc
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub

from deploy.demo.bank import Bank

AT_ONCE = 6
RENEW_SECONDS = 200
"""A token holds for five minutes."""

SPACE = UUID("6b1f1d52-6a86-4a39-9b0e-6d3c6a6f0c11")


def request_id(*parts: object) -> str:
    """Return the id of a request by what it asks for, so that a load that was broken off does nothing twice."""
    return str(uuid5(SPACE, " ".join(str(part) for part in parts)))


class Line:
    """The channels to all services."""

    def __init__(self, told: Mapping[str, str]) -> None:
        """Speak to where the environment *told* says the services listen."""
        self._told = told
        self._channels: dict[str, grpc.Channel] = {}

    def to(self, service: str) -> grpc.Channel:
        """Return the one channel to *service*."""
        if service not in self._channels:
            address = self._told[f"GUANHU_{service.upper()}_ADDRESS"]
            self._channels[service] = grpc.insecure_channel(address)
        return self._channels[service]

    def close(self) -> None:
        """Close what was opened."""
        for channel in self._channels.values():
            channel.close()


class Speaker:
    """Somebody whose calls carry their token, renewed by signing in again."""

    def __init__(self, line: Line, operator_no: str, password: str) -> None:
        """Speak as the operator of this number."""
        self._line = line
        self._who = identity_pb2.SignInRequest(
            operator_no=operator_no, password=password
        )
        self._token = ""
        self._until = 0.0

    def pairs(self) -> list[tuple[str, str]]:
        """Return the metadata of a call."""
        if time.monotonic() > self._until:
            stub = IdentityServiceStub(self._line.to("allocation"))
            self._token = stub.SignIn(self._who, timeout=10).token
            self._until = time.monotonic() + RENEW_SECONDS
        return [("authorization", f"Bearer {self._token}")]

    def call(self, service: str, stub: Any, method: str, request: Any) -> Any:
        """Return the answer of one call; what was there already counts as done and answers None."""
        asked = getattr(stub(self._line.to(service)), method)
        try:
            return asked(
                request, metadata=self.pairs(), timeout=30, wait_for_ready=True
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.ALREADY_EXISTS:
                return None
            raise


def at_once(act: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
    """Return what *act* answers for each of *things*, several at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(act, things))


@dataclass(slots=True)
class Demo:
    """What every step of a load works with: the line, the bank, its branch managers by branch, and how to tell."""

    line: Line
    bank: Bank
    managers: dict[int, Speaker]
    say: Callable[[str], None]
    known: int = 0
    """How many customers the last snapshot had."""
