"""A long message that travels in parts: what became of each of them, and so of the whole."""

from collections.abc import Callable
from typing import NamedTuple

from services.messaging.gateways import SubmitResult, Verdict


class Whole:
    """A long message that travels in parts: how many answers are missing, and what came so far."""

    def __init__(self, token: int, parts: int) -> None:
        """Wait for the answers to all *parts*."""
        self.token = token
        self.parts = self.left = parts
        self.tries = 0
        self.faults: list[tuple[Verdict, int]] = []
        self.last_id: str | None = None

    def result(self, in_words: Callable[[int], str]) -> SubmitResult:
        """Return what became of the message as a whole; some parts taken and some not is a failure."""
        if not self.faults:
            return SubmitResult(self.token, "accepted", self.last_id, 0, "")
        taken = self.parts - len(self.faults)
        verdicts = dict(self.faults)
        verdict, code = self.faults[0]
        if "ambiguous" in verdicts:
            verdict, code = "ambiguous", verdicts["ambiguous"]
        elif taken:
            verdict = "rejected"
        reason = f"{in_words(code)}: {taken} of {self.parts} parts taken"
        return SubmitResult(self.token, verdict, None, code, reason)


class Part(NamedTuple):
    """One PDU of a long message."""

    whole: Whole
    body: bytes
    last: bool


Entry = int | Part
"""What waits for an answer: the token of a message in one PDU, or a part of one in several."""


def entries_of(token: int, bodies: list[bytes]) -> list[tuple[Entry, bytes]]:
    """Return what is written for a message whose PDUs have *bodies*: one that travels whole, or its parts in order."""
    if len(bodies) == 1:
        return [(token, bodies[0])]
    whole, last = Whole(token, len(bodies)), len(bodies) - 1
    return [
        (Part(whole, body, place == last), body) for place, body in enumerate(bodies)
    ]
