"""Pacing: as fast as the centre takes it, and no faster (additive increase, multiplicative decrease)."""

BURST_SECONDS = 0.1
"""Unused allowance is kept for this long, so that a pause is not followed by a flood."""

CUT = 0.8
GROWTH = 0.02
"""A refusal takes a fifth off the rate; every second without one gives two per cent of the ceiling back."""

SETTLING_SECONDS = 0.25
"""Refusals of what was already on the wire follow the first; within this time they count as one."""


class Pace:
    """
    A token bucket whose rate follows the centre's refusals; counts segments, because centres do.

    Time comes in as an argument: seconds of one monotonic clock.
    """

    def __init__(self, ceiling: float, now: float) -> None:
        """Allow up to *ceiling* segments a second, starting at that rate."""
        if ceiling <= 0:
            raise ValueError("a rate is positive")
        self.ceiling = ceiling
        self.rate = ceiling
        self._allowance = 1.0
        self._at = now
        self._cut_at = float("-inf")

    def take(self, wanted: int, now: float) -> int:
        """Return how many of *wanted* segments may be sent now, and count them as sent."""
        passed = max(0.0, now - self._at)
        self._at = now
        self.rate = min(self.ceiling, self.rate + passed * GROWTH * self.ceiling)
        kept = max(1.0, self.rate * BURST_SECONDS)
        self._allowance = min(kept, self._allowance + passed * self.rate)
        granted = max(0, min(wanted, int(self._allowance)))
        self._allowance -= granted
        return granted

    def overdraw(self, segments: int) -> None:
        """Count *segments* more as sent: a message is never cut, so its last segments may exceed the allowance."""
        self._allowance -= segments

    def throttled(self, now: float) -> None:
        """Take note that the centre refused for speed; the whole queue slows down."""
        if now - self._cut_at >= SETTLING_SECONDS:
            self._cut_at = now
            self.rate = max(1.0, self.rate * CUT)
            self._allowance = min(self._allowance, 0.0)

    def delay(self) -> float:
        """Return the seconds until the next segment is allowed, 0 when it is allowed now."""
        return max(0.0, (1.0 - self._allowance) / self.rate)
