"""The way to an OpenTelemetry collector; loaded only where one is configured."""

import time
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from services.chassis.traces import Span

SAMPLED = TraceFlags(TraceFlags.SAMPLED)


EXPORT_SECONDS = 3
"""How long a collector that does not answer is waited for, also at the end."""

Take = Callable[[Span, str, str, str, Mapping[str, str]], None]


def collector(service: str, endpoint: str) -> tuple[Take, Callable[[], None]]:
    """
    Return what takes ended spans of *service*, and what hands on the last of them.

    Spans are kept for at most a second, and taking them never blocks; the end blocks while they are handed on.
    """
    exporter = OTLPSpanExporter(
        endpoint=endpoint,
        insecure=not endpoint.startswith("https"),
        timeout=EXPORT_SECONDS,
    )
    batches = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
    resource = Resource.create({"service.name": f"guanhu-{service}"})

    def take(
        span: Span, name: str, kind: str, outcome: str, attributes: Mapping[str, str]
    ) -> None:
        trace = int(span.trace_id, 16)
        parent = span.parent_id and SpanContext(
            trace, int(span.parent_id, 16), is_remote=True, trace_flags=SAMPLED
        )
        batches.on_end(
            ReadableSpan(
                name,
                SpanContext(
                    trace, int(span.span_id, 16), is_remote=False, trace_flags=SAMPLED
                ),
                parent or None,
                resource,
                attributes,
                kind=SpanKind[kind],
                status=Status(StatusCode.OK if outcome == "OK" else StatusCode.ERROR),
                start_time=span.start,
                end_time=time.time_ns(),
            )
        )

    return take, batches.shutdown
