"""Figures for Prometheus, under OpenTelemetry's names where it has one; each process serves its own."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds; a read is expected below five milliseconds, a bulk call may take ten seconds."""

CALLS = Histogram(
    "rpc_server_call_duration_seconds",
    "Time to answer a call.",
    ["rpc_method", "rpc_response_status_code"],
    buckets=BUCKETS,
)
EVENTS = Counter(
    "guanhu_events_handled_total",
    "Events handled, by source and outcome.",
    ["source", "outcome"],
)
LAG = Gauge("guanhu_feed_lag_events", "Events of a source not yet handled.", ["source"])
ERRANDS = Counter(
    "guanhu_errands_total",
    "Errands tried, by service and outcome.",
    ["service", "outcome"],
)
DUE = Counter(
    "guanhu_due_runs_total",
    "Runs of due work, by task and outcome.",
    ["task", "outcome"],
)

SUBMISSIONS = Counter(
    "guanhu_gateway_submissions_total",
    "Submissions to a gateway, by what became of them.",
    ["gateway", "verdict"],
)
UNANSWERED = Gauge(
    "guanhu_gateway_unanswered",
    "Submissions to a gateway without an answer yet: the window in use.",
    ["gateway"],
)
PACE = Gauge(
    "guanhu_gateway_pace",
    "Segments a second that may be handed over to a gateway now; 0 for no limit.",
    ["gateway"],
)
REFUSED = Gauge(
    "guanhu_gateway_refused",
    "1 while a gateway turns the credentials away.",
    ["gateway"],
)


def serve_metrics(port: int) -> None:
    """Serve the figures of this process on loopback; port 0 serves none."""
    if port:
        start_http_server(port, addr="127.0.0.1")
