"""
Pacing: as fast as the centre takes it, and no faster.

Where the limit is agreed, the pace stays just below it in every second, so that it is used and nothing is refused.
Where it is not, or is lower than agreed, refusals find it: each takes a tenth off, and the rate returns to where it
was along a cubic curve, flat near the rate that was refused and steep beyond it.
Source of the curve: RFC 9438 (CUBIC), with a share of the rate in place of a constant.
"""

from collections import deque

BURST_SECONDS = 0.1
"""Unused allowance is kept for this long, so that a pause is not followed by a flood."""

PEAK = 1.5
BUNCH_SECONDS = 0.02
"""What a pause left unused is made up for at most half as fast again, and this much of it at once."""

WINDOW_SECONDS = 1.02
"""
No stretch of this length gets more than a second's worth: centres count by the second, each from a moment of its own,
and messages bunch on their way by some milliseconds. It uses 98 per cent of an agreed limit.
"""

CUT = 0.1
TOUCH = 0.03
"""What a refusal takes off the rate; less where the agreed limit was just touched."""

LEAST = 0.5
"""
A second refusal within a second brings the rate down to what the centre took in that second, but not below this share
of it: little may have been taken because little was offered.
"""

RETURN_SECONDS = 8.0
SOON_SECONDS = 2.0
"""Until the rate is back where it was refused; soon where that is the agreed limit and beyond it cannot come."""

SETTLING_SECONDS = 0.25
"""Refusals of what was already on the wire follow the first; within this time they count as one."""

HOLD_SECONDS = 0.05
LONGEST_HOLD = 0.4
"""After a refusal nothing is sent for so long; twice as long each time when that was not enough."""

QUANTUM = 0.005
"""Seconds' worth of segments that are waited for at a time, so that waiting costs little."""

TICK = 0.001
"""No wait is shorter: clocks do not tell less apart."""

UNKNOWN = float("inf")
"""The ceiling of a pace whose limit nobody told."""


class Pace:
    """
    A token bucket whose rate follows the centre's refusals; counts segments, because centres do.

    Time comes in as an argument: seconds of one monotonic clock.
    """

    def __init__(self, ceiling: float, now: float) -> None:
        """Allow up to *ceiling* segments a second, starting at that rate; UNKNOWN starts without any limit."""
        if ceiling <= 0:
            raise ValueError("a rate is positive")
        self.rate = self._ceiling = ceiling
        self._allowance = self._bunch = 1.0
        self._at = now
        self._sent: deque[tuple[float, int]] = deque()
        self._sent_lately = 0
        self._refused: deque[float] = deque()
        self._cut_at = float("-inf")
        self._plateau = self._ceiling
        self._searching = False
        self._hold = HOLD_SECONDS
        self._held_until = float("-inf")

    def take(self, wanted: int, now: float) -> int:
        """Return how many of *wanted* segments may be sent now, and count them as sent."""
        passed = max(0.0, now - self._at)
        self._at = max(now, self._at)
        self._forget(now)
        self.rate = self._grown(now)
        if self.rate == UNKNOWN:
            self._spend(wanted, now)
            return wanted
        kept, bunch = (self.rate * part for part in (BURST_SECONDS, BUNCH_SECONDS))
        self._allowance = min(max(1.0, kept), self._allowance + passed * self.rate)
        self._bunch = min(max(1.0, bunch), self._bunch + passed * self.rate * PEAK)
        free = min(self._allowance, self._bunch, self._most() - self._sent_lately)
        granted = 0 if now < self._held_until else max(0, min(wanted, int(free)))
        self._spend(granted, now)
        return granted

    def limit(self, ceiling: float) -> None:
        """Go no faster than *ceiling* from now on, or as fast again where it was lowered."""
        self._ceiling = ceiling
        self.rate = min(self.rate, self._ceiling)

    def overdraw(self, segments: int) -> None:
        """Count *segments* more as sent: a message is never cut, so its last segments may exceed the allowance."""
        self._spend(segments, self._at)

    def throttled(self, now: float) -> None:
        """Take note that the centre refused for speed; the whole queue slows down."""
        self._forget(now)
        self._refused.append(now)
        fresh = now - self._cut_at >= WINDOW_SECONDS
        if now >= self._held_until:
            self._hold = HOLD_SECONDS if fresh else min(LONGEST_HOLD, self._hold * 2)
            self._held_until = now + self._hold
        if now - self._cut_at < SETTLING_SECONDS:
            return
        self.rate = self._grown(now)
        self._searching = self.rate == UNKNOWN
        known = fresh and not self._searching
        self._plateau = self.rate if known else self._bearable()
        self._cut_at = now
        self.rate = self._grown(now)
        self._allowance = min(self._allowance, 0.0)

    def _bearable(self) -> float:
        """Return the rate that the centre was seen to bear: what it took in the last second."""
        taken = max(1.0, float(self._sent_lately - len(self._refused)))
        if self.rate == UNKNOWN:
            return taken
        return max(self.rate * LEAST, min(self.rate, taken))

    def delay(self, now: float) -> float:
        """Return the seconds until the next segments are allowed, 0 when one is allowed now."""
        if self.rate == UNKNOWN:
            return 0.0
        wait = max(0.0, self._held_until - now)
        if self._sent and self._sent_lately + 1 > self._most():
            wait = max(wait, TICK, self._sent[0][0] + WINDOW_SECONDS - now)
        some, passed = max(1.0, self.rate * QUANTUM), max(0.0, now - self._at)
        if self._allowance < 1:
            wait = max(wait, (some - self._allowance) / self.rate - passed)
        if self._bunch < 1:
            wait = max(wait, (some - self._bunch) / self.rate / PEAK - passed)
        return max(wait, TICK) if wait else 0.0

    def _most(self) -> float:
        """Return how many segments one window may hold."""
        return max(1.0, self.rate)

    def _spend(self, segments: int, now: float) -> None:
        """Count *segments* as sent."""
        if not segments:
            return
        self._sent.append((now, segments))
        self._sent_lately += segments
        if self.rate != UNKNOWN:
            self._allowance -= segments
            self._bunch -= segments

    def _forget(self, now: float) -> None:
        """Drop what left the window."""
        while self._sent and self._sent[0][0] <= now - WINDOW_SECONDS:
            self._sent_lately -= self._sent.popleft()[1]
        while self._refused and self._refused[0] <= now - WINDOW_SECONDS:
            self._refused.popleft()

    def _grown(self, now: float) -> float:
        """Return the rate at *now*, by the time since it was cut."""
        passed = max(0.0, now - self._cut_at)
        if passed == UNKNOWN:
            return self._ceiling
        if (
            self._searching
        ):  # nothing is known but where the first refusal came: doubled every second
            return max(1.0, self._plateau * (1 - CUT) * 2.0**passed)
        touched = self._plateau * (1 + TOUCH) >= self._ceiling
        cut, seconds = (TOUCH, SOON_SECONDS) if touched else (CUT, RETURN_SECONDS)
        grown = self._plateau * (1 + cut * (passed / seconds - 1) ** 3)
        return min(self._ceiling, max(1.0, grown))
