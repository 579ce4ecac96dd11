"""What a link tells about itself: how fast it goes, what became of what it handed over, to operators and Prometheus."""

from collections import Counter

from services.chassis import metrics
from services.messaging.gateway.actions import LinkReport
from services.messaging.gateway.rules import VERDICTS, LinkState


class Gauge:
    """Counts of one link since the process began, by verdict; adding to them costs next to nothing."""

    def __init__(self, gateway: str) -> None:
        """Count for the link to *gateway*."""
        self._gateway = gateway
        self.counts: Counter[str] = Counter()
        self._segments = 0
        self._read = (0.0, 0)
        self._published: Counter[str] = Counter()

    def handed_over(self, segments: int) -> None:
        """Count *segments* as written."""
        self._segments += segments

    def answered(self, verdict: str, messages: int = 1) -> None:
        """Count what became of *messages*."""
        self.counts[verdict] += messages

    def rate(self, now: float) -> int:
        """Return the segments a second since it was last asked; *now* in seconds of one monotonic clock."""
        moment, segments = self._read
        self._read = now, self._segments
        if not moment or now <= moment:
            return 0
        return round((self._segments - segments) / (now - moment))

    def publish(self, report: LinkReport) -> None:
        """Let Prometheus see what *report* says."""
        name = self._gateway
        for verdict in VERDICTS:
            more = self.counts[verdict] - self._published[verdict]
            metrics.SUBMISSIONS.labels(name, verdict).inc(more)
        self._published = self.counts.copy()
        metrics.UNANSWERED.labels(name).set(report.unanswered)
        metrics.PACE.labels(name).set(report.allowed_per_second)
        metrics.REFUSED.labels(name).set(report.state is LinkState.REFUSED)
