"""
Receipts of messages that travelled in parts: a centre reports about each part, the core is told about the message.

A message has arrived when all its parts have; one part that failed makes it fail. The receipts of its first parts
wait for the others unacknowledged, but for a few seconds only: a centre that delivers no more until the last ones are
acknowledged would wait for ever. After that they are handed on as saying nothing final, and what they said is kept
in memory; a process that dies then leaves such a message as sent, with no word of its arrival.
"""

from services.messaging.gateways import Receipt, ReceiptState, SubmitResult, Verdict
from services.messaging.gateways.parts import Whole

FAILURES = ("failed", "expired")
"""States of one part that decide the whole at once."""


class _Message:
    """One message in parts: what became of its submission, and what was told about its parts."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.numbers: list[str] = []
        self.verdict: Verdict | None = None
        self.number: str | None = None
        self.told: dict[str, tuple[ReceiptState, str]] = {}
        self.held: list[Receipt] = []
        self.last: Receipt | None = None
        self.since = 0.0
        self.end: tuple[ReceiptState, str] | None = None

    def hold(self, receipt: Receipt, now: float) -> None:
        """Keep a receipt until it is clear what it means for the whole; what a part said first stays."""
        if not self.held:
            self.since = now
        self.held.append(receipt)
        self.last = receipt
        self.told.setdefault(receipt.gateway_id or "", (receipt.state, receipt.code))

    def ready(self) -> list[Receipt]:
        """Return what can be handed on now, and hold it no more."""
        if self.verdict is None:
            return []
        if self.verdict == "accepted":
            return self._final()
        if self.verdict != "ambiguous":
            return self.undecided()
        # the core has no number of it, and finds it by the customer's; the same one for all keeps it one message
        held, self.held = self.held, []
        return [one._replace(gateway_id=self.numbers[0]) for one in held]

    def undecided(self) -> list[Receipt]:
        """Return all that waits as saying nothing final."""
        held, self.held = self.held, []
        return [one._replace(state="enroute") for one in held]

    def _final(self) -> list[Receipt]:
        """Return one receipt of the whole, with what acknowledges those that waited; none while there is no end."""
        self.end = self.end or self._conclusion()
        if self.end is None or self.last is None:
            return []
        state, code = self.end
        acks = tuple(one.ack for one in self.held)
        self.held = []
        return [
            self.last._replace(gateway_id=self.number, state=state, code=code, ack=acks)
        ]

    def _conclusion(self) -> tuple[ReceiptState, str] | None:
        told = [*self.told.values()]
        failed = [one for one in told if one[0] in FAILURES]
        if failed or len(told) < self.parts:
            return failed[0] if failed else None
        unsure = [one for one in told if one[0] != "delivered"]
        return (unsure or told)[0]


class JointReceipts:
    """The messages in parts that receipts may come for; at most *most* of them, the oldest are forgotten."""

    def __init__(self, hold_seconds: float, *, most: int = 20_000) -> None:
        """Let receipts wait for one another for *hold_seconds*."""
        self._hold = hold_seconds
        self._most = most
        self._messages: dict[Whole, _Message] = {}
        self._by_number: dict[str, _Message] = {}
        self._waiting: dict[_Message, None] = {}
        self._dropped: list[Receipt] = []

    def __len__(self) -> int:
        """Return how many messages are known."""
        return len(self._messages)

    def expect(self, whole: Whole, number: str) -> None:
        """Take note that the centre has a part of *whole* under *number*."""
        message = self._messages.get(whole)
        if message is None:
            message = self._messages[whole] = _Message(whole.parts)
            if len(self._messages) > self._most:
                self._drop(next(iter(self._messages)))
        message.numbers.append(number)
        self._by_number[number] = message

    def _drop(self, whole: Whole) -> None:
        message = self._messages.pop(whole)
        self._dropped += message.undecided()
        self._waiting.pop(message, None)
        for number in message.numbers:
            self._by_number.pop(number, None)

    def settle(self, whole: Whole, result: SubmitResult) -> list[Receipt]:
        """Take what became of the submission of *whole*; return what receipts that overtook it come to."""
        message = self._messages.get(whole)
        if message is None:
            return []
        message.verdict, message.number = result.verdict, result.gateway_id
        return self._ready(message)

    def take(self, receipt: Receipt, now: float) -> list[Receipt]:
        """Take a receipt; return what can be handed on now. One of a message that travelled whole goes on as it is."""
        message = self._by_number.get(receipt.gateway_id or "")
        if message is None or receipt.state == "enroute":
            return [receipt]
        message.hold(receipt, now)
        return self._ready(message)

    def _ready(self, message: _Message) -> list[Receipt]:
        found = message.ready()
        if message.held:
            self._waiting.setdefault(message)
        else:
            self._waiting.pop(message, None)
        return found

    def overdue(self, now: float) -> list[Receipt]:
        """Return what has waited too long, as saying nothing final."""
        found, self._dropped = self._dropped, []
        while self._waiting:
            message = next(iter(self._waiting))
            if now - message.since < self._hold:
                break
            del self._waiting[message]
            found += message.undecided()
        return found

    def link_lost(self) -> None:
        """
        Hold nothing more: what is not acknowledged comes again on the next link.

        Messages that are not wholly answered never will be: nobody knows of them.
        """
        for message in self._waiting:
            message.held = []
        self._waiting.clear()
        self._dropped.clear()
        for message in self._messages.values():
            message.verdict = message.verdict or "ambiguous"
