"""Each driver keeps every promise: the one that remembers, SMPP, and CMPP in both versions."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest_asyncio

from services.messaging.gateways.cmpp import CmppGateway
from services.messaging.gateways.cmpp_codec import CMPP2, CMPP3
from services.messaging.gateways.cmpp_writer import CmppSettings
from services.messaging.gateways.memory import RememberingGateway
from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.smpp_writer import SmppSettings
from services.messaging.gateways.stream_session import Timers
from tests.cmpp_centre import CmppCentre
from tests.listening import Core, until
from tests.smpp_centre import SmppCentre
from tests.unit.messaging.conformance import WINDOW, Conformance, Rig


class MemoryRig(Rig):
    """The driver that remembers is its own centre."""

    def __init__(self):
        self.gateway = RememberingGateway(
            window=WINDOW, judge=lambda one: self.judge(one.dest)
        )
        self.core = Core(self.gateway)

    @property
    def silent(self):
        return self.gateway.silent

    @silent.setter
    def silent(self, value):
        self.gateway.silent = value

    @property
    def most(self):
        return self.core.most

    @property
    def taken(self):
        return [
            SimpleNamespace(number=one.dest, source=one.source, text=one.text)
            for one in self.gateway.taken.values()
        ]

    @property
    def acked(self):
        return [*dict.fromkeys(self.gateway.acked)]

    async def open(self):
        await self.gateway.start(self.core)
        return self.core

    async def refused(self):
        await self.gateway.start(self.core)
        self.gateway.refuse("password")
        return self.core

    def answer(self, count=None):
        self.gateway.answer([*self.gateway._unanswered][:count])

    def cut(self):
        self.gateway.lose_link("cut")
        asyncio.get_running_loop().call_later(0.01, self.gateway.bind_again)

    def report(self, number, state):
        [gateway_id] = (
            key for key, one in self.gateway.taken.items() if one.dest == number
        )
        with contextlib.suppress(RuntimeError):
            self.gateway.report(gateway_id, state)

    def hear(self, source, dest, text):
        self.gateway.hear(source, text, dest=dest)


class LinkRig(Rig):
    """A driver over a connection to a centre in this process."""

    def __init__(self, centre, made):
        self.centre, self.made, self.cores = centre, made, []

    judge = property(
        lambda self: self.centre.judge,
        lambda self, judge: setattr(
            self.centre, "judge", lambda number: judge(self.international(number))
        ),
    )
    silent = property(
        lambda self: self.centre.silent,
        lambda self, value: setattr(self.centre, "silent", value),
    )
    most = property(lambda self: self.centre.most)
    acked = property(lambda self: self.centre.acked)

    @staticmethod
    def international(number):
        return number if number.startswith("86") else f"86{number}"

    @property
    def taken(self):
        return [
            one._replace(number=self.international(one.number))
            for one in self.centre.taken
        ]

    async def _started(self):
        gateway = self.made(
            host="127.0.0.1",
            port=self.centre.port,
            window=WINDOW,
            back_off=(0.02, 0.1),
            timers=Timers(connect=5, answer=5, enquire=5, tick=0.02),
        )
        self.cores.append(core := Core(gateway))
        await gateway.start(core)
        await until(lambda: core.states)
        return core

    async def open(self):
        core = await self._started()
        await core.gateway.wait_room()
        return core

    async def refused(self):
        self.centre.secret = "another"
        return await self._started()

    def answer(self, count=None):
        self.centre.answer(count)

    def cut(self):
        self.centre.cut()

    def report(self, number, state):
        [found] = {
            one.number
            for one in self.centre.taken
            if self.international(one.number) == number
        }
        self.centre.report(found, state)

    def hear(self, source, dest, text):
        self.centre.hear(source, dest, text)

    @classmethod
    @contextlib.asynccontextmanager
    async def over(cls, centre, made):
        """Give a rig over an open *centre* to the driver that *made* makes, and clear up."""
        rig = cls(await centre.open(), made)
        yield rig
        for core in rig.cores:
            await core.gateway.stop(0)
        await centre.close()


def smpp(**more):
    """Return an SMPP driver."""
    return SmppGateway(SmppSettings(system_id="bank", password="trial", **more))


def smpp_in_parts(**more):
    """Return an SMPP driver that sends one PDU a part."""
    return smpp(long_messages="parts", **more)


def cmpp(form):
    """Return what makes a CMPP driver of one version."""
    return lambda **more: CmppGateway(
        CmppSettings(form=form, sp_id="901234", secret="trial", **more)
    )


class TestMemory(Conformance):
    @pytest_asyncio.fixture(loop_scope="session")
    async def rig(self):
        made = MemoryRig()
        yield made
        await made.gateway.stop(0)


class TestSmpp(Conformance):
    @pytest_asyncio.fixture(loop_scope="session", params=[smpp, smpp_in_parts])
    async def rig(self, request):
        async with LinkRig.over(SmppCentre(), request.param) as made:
            yield made


class TestCmpp2(Conformance):
    @pytest_asyncio.fixture(loop_scope="session")
    async def rig(self):
        async with LinkRig.over(CmppCentre(0x20), cmpp(CMPP2)) as made:
            yield made


class TestCmpp3(Conformance):
    @pytest_asyncio.fixture(loop_scope="session")
    async def rig(self):
        async with LinkRig.over(CmppCentre(0x30), cmpp(CMPP3)) as made:
            yield made
