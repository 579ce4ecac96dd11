"""The tables every service has, whatever it is about; and the base its own rows stand on."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

frame = MetaData()
"""The tables of this module; the same in every service's database."""

APPEND_ONLY = frozenset({"audit_records", "outbox"})
"""Tables whose rows the service's own role can neither change nor delete."""

REFERENCE = frozenset({"directory", "parameters"})
"""Tables without row-level security: small, read by all, kept under the rules of look-up tables."""

Moment = DateTime(timezone=True)


@cache
def rows_of(service: str) -> type[DeclarativeBase]:
    """Return the declarative base that all rows of *service* share."""
    return type(
        "Row",
        (DeclarativeBase,),
        {"metadata": MetaData(), "__doc__": f"A row of the {service} service."},
    )


def _keys(*columns: Column[Any]) -> list[Column[Any]]:
    return [
        Column("branch_id", Integer, primary_key=True, autoincrement=False),
        *columns,
    ]


requests = Table(
    "requests",
    frame,
    *_keys(
        Column("caller", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("request_id", Uuid, primary_key=True),
    ),
    Column("digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Column("create_time", Moment, nullable=False),
)

audit_records = Table(
    "audit_records",
    frame,
    *_keys(Column("sequence", BigInteger, primary_key=True, autoincrement=False)),
    Column("create_time", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_heads = Table(
    "audit_heads",
    frame,
    *_keys(),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

outbox = Table(
    "outbox",
    frame,
    *_keys(Column("sequence", BigInteger, primary_key=True, autoincrement=False)),
    Column("create_time", Moment, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("fact", LargeBinary, nullable=False),
)

outbox_heads = Table(
    "outbox_heads", frame, *_keys(), Column("last_sequence", BigInteger, nullable=False)
)

feed_positions = Table(
    "feed_positions",
    frame,
    *_keys(Column("source", Text, primary_key=True)),
    Column("sequence", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
)

parked_events = Table(
    "parked_events",
    frame,
    *_keys(
        Column("source", Text, primary_key=True),
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    ),
    Column("event", LargeBinary, nullable=False),
    Column("cause", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("park_time", Moment, nullable=False),
    Column("redrive", Boolean, nullable=False),
    Column("done_time", Moment),
)

errands = Table(
    "errands",
    frame,
    *_keys(Column("errand_id", Uuid, primary_key=True)),
    Column("service", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("create_time", Moment, nullable=False),
    Column("due_time", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("done_time", Moment),
)

due_runs = Table(
    "due_runs",
    frame,
    *_keys(
        Column("task", Text, primary_key=True),
        Column("run_date", Date, primary_key=True),
    ),
    Column("done_time", Moment, nullable=False),
)

directory = Table(
    "directory",
    frame,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("branch_id", Integer, nullable=False),
)

parameters = Table(
    "parameters",
    frame,
    Column("branch_id", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("effective_date", Date, primary_key=True),
    Column("value", JSONB, nullable=False),
    Column("update_time", Moment, nullable=False),
    Column("update_by", Text, nullable=False),
)
