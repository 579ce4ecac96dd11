"""Logs: one line per call and per reaction; columns on a terminal, JSON elsewhere; never a name, number or amount."""

import logging
import sys
import traceback
from typing import Any

import structlog


def frames_only(_logger: Any, _method: str, event: Any) -> Any:
    """Replace an exception by its kinds and the places it passed, without its text, which may hold personal values."""
    found = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found
    chain = []
    while isinstance(error, BaseException):
        places = traceback.extract_tb(error.__traceback__)[-8:]
        where = [
            f"{place.filename.rsplit('/', 3)[-1]}:{place.lineno} {place.name}"
            for place in places
        ]
        chain.append({"kind": type(error).__name__, "where": where})
        error = error.__cause__ or error.__context__
    return {**event, "exception": chain} if chain else event


def configure_logs(service: str, *, as_json: bool | None = None) -> None:
    """Send structlog's and the standard library's records through one renderer to standard error."""
    plain = not sys.stderr.isatty() if as_json is None else as_json
    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if plain
        else structlog.dev.ConsoleRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, frames_only, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer,
        ],
        foreign_pre_chain=shared,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
