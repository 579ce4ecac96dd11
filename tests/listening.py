"""What listens to a driver in tests, as the sender does, and the messages it hands over."""

import asyncio
import struct
from collections import Counter

from services.messaging.gateways import Outgoing, SubmitResult


class Core:
    """What the sender is to a driver: remembers what it is told, and acknowledges at once unless told otherwise."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.results, self.receipts, self.messages = [], [], []
        self.lost, self.states = [], []
        self.most = 0
        self.acks = True
        self.refuses = lambda heard: False

    def accepted(self, tokens, numbers):
        for token, number in zip(tokens, numbers, strict=True):
            self.results.append(SubmitResult(token, "accepted", number, 0, ""))

    def submitted(self, results):
        self.results += results

    def receipt(self, receipt):
        self._take(receipt, self.receipts)

    def inbound(self, message):
        self._take(message, self.messages)

    def _take(self, heard, kept):
        kept.append(heard)
        if self.refuses(heard):
            raise RuntimeError("the store is away")
        if self.acks:
            self.gateway.ack([heard.ack])

    def link_lost(self, unanswered, why):
        self.lost.extend(unanswered)

    def link_changed(self, state, why):
        self.states.append((state, why))

    @property
    def told(self):
        """How often each token came back."""
        return Counter([one.token for one in self.results] + self.lost)

    @property
    def verdicts(self):
        """How many messages got which verdict."""
        return Counter(one.verdict for one in self.results)

    async def hand_over(self, *messages):
        """Start, and send."""
        await self.gateway.start(self)
        await self.send(*messages)

    async def send(self, *messages):
        """Submit as room allows, and note how many were unanswered at most."""
        left = [*messages]
        while left:
            await self.gateway.wait_room()
            room = self.gateway.room()
            self.gateway.submit(left[:room])
            del left[:room]
            self.most = max(self.most, (await self.gateway.health()).unanswered)


def message(token, text="尊敬的客户，您的理财产品明日到期。", **more):
    """Return a message of its own to a number of its own."""
    told = {
        "dest": f"86138{token + 100:08}",
        "source": "9559901",
        "encoding": "ucs2",
        "client_ref": struct.pack(">H", token % 65536),
    }
    return Outgoing(token=token, text=text, **{**told, **more})


async def until(condition, seconds=20):
    """Wait until *condition* holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
