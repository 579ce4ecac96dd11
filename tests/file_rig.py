"""The other end of the driver for files, as the tests of promises drive it."""

import json
from types import SimpleNamespace

from services.messaging.gateways.file import FileGateway
from services.messaging.gateways.file_lines import FileSettings
from tests.listening import Core
from tests.unit.messaging.promises import WINDOW


class FileRig:
    """A folder, and another sender that takes files out of it."""

    def __init__(self, folder):
        self.folder = folder
        self.cores = []

    def settings(self, **more):
        """Return settings with short patience."""
        told = {"folder": self.folder, "window": WINDOW, "look_seconds": 0.02}
        return FileSettings(**{**told, "most_seconds": 0.1, **more})

    async def start(self, **more):
        """Return a core that listens to a started driver."""
        core = Core(FileGateway(self.settings(**more)))
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
            await core.gateway.stop(1)

    def lines(self, pattern="messages-*"):
        """Return the whole lines of files of a pattern, as the other sender reads them."""
        while True:
            try:
                texts = [
                    path.read_bytes() for path in sorted(self.folder.glob(pattern))
                ]
            except FileNotFoundError:
                continue  # one was finished under another name meanwhile: look again
            whole = [line for text in texts for line in text.split(b"\n")[:-1]]
            return [json.loads(line) for line in whole]

    @property
    def taken(self):
        return [
            SimpleNamespace(number=one["to"], source=one["from"], text=one["text"])
            for one in self.lines()
        ]

    def report(self, number, state):
        """Let the other sender tell what became of the message to a number."""
        [one] = [one for one in self.lines() if one["to"] == number]
        told = {"id": one["id"], "to": number, "from": one["from"], "state": state}
        self.append("receipts", {**told, "reference": one["reference"]})

    def hear(self, source, dest, text):
        """Let the other sender bring a customer's message."""
        self.append("replies", {"from": source, "to": dest, "text": text})

    def append(self, name, *values):
        """Append lines to a file of answers."""
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            for value in values:
                file.write(json.dumps(value, ensure_ascii=False) + "\n")

    @property
    def acked(self):
        """Whatever moved the places up to which answers are durable."""
        return [
            path.name
            for path in self.folder.glob("*.offset")
            if path.read_text() and int(path.read_text().split()[1])
        ]
