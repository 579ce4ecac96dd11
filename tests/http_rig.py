"""The other end of the driver for aggregators, as the tests of promises drive it."""

import asyncio
import socket
from types import SimpleNamespace

from services.messaging.gateways.http import HttpGateway
from services.messaging.gateways.http_calls import (
    Asking,
    HttpSettings,
    PushPlace,
    Timers,
)
from tests.aggregator import APP, KEY_ID, PUSH_SECRET, SECRET, TEMPLATE
from tests.listening import Core
from tests.unit.messaging.promises import WINDOW

ACCESS = "95599"


def free_port():
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class HttpRig:
    """An aggregator of one shape, with every message a call of its own or with calls for many."""

    def __init__(self, centre, *, references):
        self.centre = centre
        self.references = references
        self.cores, self.pushes, self.acked = [], [], []

    def settings(self, **more):
        """Return settings with short patience."""
        port = free_port()
        self.centre.push_url = f"http://127.0.0.1:{port}"
        told = {
            "host": "127.0.0.1",
            "port": self.centre.port,
            "dialect": self.centre.name,
            "key_id": KEY_ID,
            "secret": SECRET,
            "template": TEMPLATE,
            "app_id": APP,
            "access": ACCESS,
            "references": self.references,
            "window": WINDOW,
            "push": PushPlace(host="127.0.0.1", port=port, secret=PUSH_SECRET),
            "timers": Timers(connect=2, answer=5, probe=0.2, hold=20),
            "asking": Asking(after=600, until=3600, rate=50),
            "back_off": (0.02, 0.1),
        }
        return HttpSettings(**told | more)

    async def start(self, **more):
        """Return a core that listens to a started driver."""
        core = Core(HttpGateway(self.settings(**more)))
        self.cores.append(core)
        await core.gateway.start(core)
        return core

    async def open(self, **more):
        """Return a core that listens to a driver that is bound."""
        core = await self.start(**more)
        await core.gateway.wait_room()
        return core

    async def close(self):
        for core in self.cores:
            await core.gateway.stop(0)
        await asyncio.gather(*self.pushes)
        await self.centre.stop()

    @property
    def judge(self):
        return self.centre.judge

    @judge.setter
    def judge(self, judge):
        self.centre.judge = judge

    @property
    def silent(self):
        return self.centre.silent

    @silent.setter
    def silent(self, silent):
        self.centre.silent = silent

    def answer(self, count=None):
        self.centre.answer(count)

    @property
    def most(self):
        return self.centre.most

    @property
    def taken(self):
        """What arrived, with the numbers, access numbers and texts that the core used."""
        return [
            SimpleNamespace(
                number=one["dest"], source=ACCESS + one["extension"], text=one["text"]
            )
            for one in self.centre.taken
        ]

    def report(self, number, state):
        """Bring the receipt of what was sent to a number, as a push of its own."""
        [one] = [one for one in self.centre.taken if one["dest"] == number]
        told = {"delivered": (True, "DELIVERED"), "failed": (False, "MI:0011")}
        delivered, code = told.get(state, (False, "EXPIRED"))
        report = self.centre.report(one, delivered=delivered, code=code)
        self._bring("reports", [report])

    def hear(self, source, dest, text):
        """Bring a customer's message."""
        extension = dest.removeprefix(ACCESS)
        self._bring("replies", self.centre.reply(source, extension, text))

    def _bring(self, kind, body):
        async def bring():
            status, _ = await self.centre.bring(kind, body)
            if status == 200:
                self.acked.append(body)

        self.pushes.append(asyncio.create_task(bring()))
