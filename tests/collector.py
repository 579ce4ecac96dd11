"""A collector of traces, for tests: it takes what processes export over OTLP, and keeps it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Told:
    """One span as it was exported."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    nanoseconds: int


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a port of its own until it is closed."""

    def __init__(self):
        """Start to listen."""
        self.spans = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()

    def Export(self, request, context):
        """Keep what was sent."""
        for one in request.resource_spans:
            names = {
                pair.key: pair.value.string_value for pair in one.resource.attributes
            }
            for scope in one.scope_spans:
                self.spans += [
                    Told(
                        service=names["service.name"],
                        name=span.name,
                        kind=span.kind,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                        nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
                    )
                    for span in scope.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name):
        """Return the spans of this name."""
        return [span for span in list(self.spans) if span.name.endswith(name)]

    def close(self):
        """Stop to listen."""
        self._server.stop(0).wait()
