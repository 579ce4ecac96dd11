"""
The store: an engine per role, and the unit of work that everything is read and written in.

Every transaction starts with one statement, BEGIN and the caller's branches together, which row-level security
reads. What a unit publishes and audits is numbered at its end, branch by branch ascending, after the rows: order
of numbers is order of commits, and every unit takes its locks in the same order.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg
from google.protobuf.message import Message
from sqlalchemy import CursorResult, Integer, Select, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.sql.base import Executable

from services.chassis import audit, errands, outbox, tables
from services.chassis.caller import HEAD_OFFICE, Caller
from services.chassis.calls import CURRENT, Call, Note, Replayed
from services.chassis.clock import Clock, day_of
from services.chassis.errors import Invalid, NotFound, Unavailable
from services.chassis.parameter import Parameters
from services.chassis.traces import HERE

DIALECT: Any = asyncpg_dialect()  # type: ignore[no-untyped-call]

T = TypeVar("T")

POOL_SIZE = 10
"""Connections per process and role; a call holds one for the length of its transaction only."""


CLAIMED = """
    INSERT INTO requests (branch_id, caller, method, request_id, digest, create_time)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1"""
FOUND = "SELECT digest, answer FROM requests WHERE branch_id = $1 AND caller = $2 AND method = $3 AND request_id = $4"
ANSWERED = """
    UPDATE requests SET answer = $5
    WHERE branch_id = $1 AND caller = $2 AND method = $3 AND request_id = $4"""


class Named(asyncpg.Record):
    """A row of plain SQL whose columns can be read as attributes, like those of Core selects."""

    def __getattr__(self, name: str) -> Any:
        """Return the column of this name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def engine_of(dsn: str, size: int = POOL_SIZE) -> AsyncEngine:
    """
    Return an engine for *dsn* whose transactions are begun and ended by the unit of work alone.

    The driver runs in autocommit, so that BEGIN can travel with the caller's branches in one trip.
    """
    plain = dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
    return create_async_engine(
        plain,
        connect_args={"record_class": Named},
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        pool_use_lifo=True,  # few connections, each with its statements prepared, rather than all of them in turn
        isolation_level="AUTOCOMMIT",
    )


@lru_cache(maxsize=512)
def compiled(statement: Select[Any]) -> tuple[str, tuple[str, ...]]:
    """Return the SQL of a constant statement and the names of its values in order."""
    found = statement.compile(dialect=DIALECT)
    return str(found), tuple(found.positiontup or ())


def begin_statement(branch_ids: Iterable[int], *, read_only: bool = False) -> str:
    """Return the first statement of a transaction: BEGIN, and the branches as a literal of checked integers."""
    literal = ",".join(str(int(branch)) for branch in branch_ids)
    mode = " READ ONLY" if read_only else ""
    return f"BEGIN{mode}; SET LOCAL app.branch_ids = '{{{literal}}}'"


DROPPING: set[asyncio.Task[None]] = set()
"""Connections on their way out; the event loop itself would not keep them alive."""


def drop(connection: AsyncConnection) -> None:
    """Close a connection that was left in the middle of something, whatever becomes of whoever waited for it."""

    async def leave() -> None:
        with suppress(Exception):
            await connection.invalidate()
        await connection.close()

    task = asyncio.ensure_future(leave())
    DROPPING.add(task)
    task.add_done_callback(DROPPING.discard)


class Work:
    """One transaction of one caller."""

    def __init__(
        self,
        connection: AsyncConnection,
        raw: asyncpg.Connection,
        *,
        caller: Caller,
        now: datetime,
        parameters: Parameters,
    ) -> None:
        """Wrap an open transaction; only the unit of work makes one."""
        self._connection = connection
        self._raw = raw
        self._parameters = parameters
        self._session: AsyncSession | None = None
        self._facts: dict[int, list[tuple[Message, str]]] = {}
        self._errands: list[errands.Errand] = []
        self.caller = caller
        self.now = now
        self.today: date = day_of(now)
        self.notes: dict[int, Note] = {}
        self.held: dict[int, Mapping[str, Any]] = {}

    @property
    def session(self) -> AsyncSession:
        """Return the ORM session of this transaction, for writes of single aggregates."""
        if self._session is None:
            self._session = AsyncSession(
                self._connection, expire_on_commit=False, autoflush=False
            )
        return self._session

    async def execute(
        self, statement: Executable, values: Any = None
    ) -> CursorResult[Any]:
        """Run one Core statement; rows pending in the session are written first."""
        if self._session is not None:
            await self._session.flush()
        return await self._connection.execute(statement, values)  # type: ignore[return-value]

    async def run(self, sql: str, *values: object) -> list[Any]:
        """Run one set-based statement as it stands, with ``$1`` parameters; return its rows."""
        if self._session is not None:
            await self._session.flush()
        return await self._raw.fetch(sql, *values)

    async def fetch(self, statement: Select[Any], **values: object) -> list[Any]:
        """
        Run a constant Core select with bound *values* straight on the driver; return its rows.

        For reads that are made all day: the statement is compiled once per process, which saves two thirds of the
        time that a select by key takes. It must be a module's constant, with ``bindparam`` where values go.
        """
        sql, names = compiled(statement)
        return await self.run(sql, *(values[name] for name in names))

    async def copy(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """COPY *rows* into *table*, which must be a temporary staging table (others have row-level security)."""
        await self._raw.copy_records_to_table(
            table, records=rows, columns=list(columns)
        )

    async def find(self, kind: type[T], *key: object) -> T | None:
        """Return the row of *kind* with this primary key, branch first, or None."""
        return await self.session.get(kind, key if len(key) > 1 else key[0])

    async def get(
        self, kind: type[T], *key: object, title: str = "", title_zh: str = "记录"
    ) -> T:
        """Return the row of *kind* with this primary key; refuse NOT_FOUND when there is none in scope."""
        row = await self.find(kind, *key)
        if row is None:
            raise NotFound(title or kind.__name__, title_zh)
        return row

    def add(self, *rows: object) -> None:
        """Add new rows; they are written with the next statement or at the end."""
        self.session.add_all(rows)

    async def locate(self, kind: str, key: str, title_zh: str = "记录") -> int:
        """
        Return the branch of the *kind* with this *key*, from the directory.

        A branch outside the caller's scope is refused exactly as a missing key. A caller of one branch is
        answered with it and without a query: what is not there is not found either way.
        """
        if len(self.caller.branch_ids) == 1 and not self.caller.everywhere:
            return self.caller.branch_ids[0]
        where = (tables.directory.c.kind == kind) & (tables.directory.c.id == key)
        branch = (
            await self.execute(select(tables.directory.c.branch_id).where(where))
        ).scalar_one_or_none()
        if branch is None or not self.caller.sees(branch):
            raise NotFound(kind, title_zh)
        return int(branch)

    async def register(self, kind: str, key: object, branch_id: int) -> None:
        """Enter a new resource in the directory, in the transaction that makes it."""
        row = {"kind": kind, "id": str(key), "branch_id": branch_id}
        await self.execute(
            insert(tables.directory).values(row).on_conflict_do_nothing()
        )

    def publish(self, *facts: Message, branch_id: int) -> None:
        """Collect facts of one branch; they are numbered last, at commit."""
        trace_id = HERE.get().trace_id
        self._facts.setdefault(branch_id, []).extend((fact, trace_id) for fact in facts)

    def errand(self, method: str, request: Message, *, branch_id: int) -> None:
        """Write down a call to another service, ``/package.Service/Method``, to be delivered until it holds."""
        self._errands.append(
            errands.Errand(method, request, branch_id, HERE.get().trace_id)
        )

    def note(self, resource: str, *, branch_id: int, **detail: object) -> None:
        """Add to the audit record of the call: what was changed, and what from and to; never a personal value."""
        note = self.notes.setdefault(branch_id, Note())
        note.resources.append(resource)
        note.detail.update(detail)

    async def record(self, caller: Caller, **deed: str) -> None:
        """Write what was noted into the audit trail, as *caller*'s deed; rows are locked before it, outboxes after."""
        await audit.write(self._raw, caller, notes=self.notes, now=self.now, **deed)

    async def parameter(self, key: str, branch_id: int = HEAD_OFFICE) -> Any:
        """Return the value in force today of one of the service's parameters."""
        return await self._parameters.value(
            self, key, branch_id=branch_id, day=self.today
        )

    async def claim(self, call: Call) -> None:
        """
        Enter the request of *call*, waiting for the same one where it runs at this moment.

        Raises Replayed when it was answered before; refuses REQUEST_ID_REUSED when it was another request.
        """
        key = (
            call.caller.branch_id,
            call.caller.subject,
            call.access.method,
            call.request_id,
        )
        if await self._raw.fetchval(CLAIMED, *key, call.digest, self.now):
            return
        row = await self._raw.fetchrow(FOUND, *key)
        if row is None or row["digest"] != call.digest:
            raise Invalid("REQUEST_ID_REUSED")
        raise Replayed(row["answer"] or b"")

    async def settle(
        self, call: Call | None, answer: bytes | None, decision: str = "OK"
    ) -> None:
        """Write what belongs at the end: rows, errands, the answer, the audit record, then events; and commit."""
        if self._session is not None:
            await self._session.flush()
        await errands.write(self, self._errands)
        if call is not None and call.request_id is not None and answer is not None:
            await self._raw.execute(
                ANSWERED,
                call.caller.branch_id,
                call.caller.subject,
                call.access.method,
                call.request_id,
                answer,
            )
        if call is not None and call.access.audited:
            deed = {"method": call.access.method, "trace_id": call.trace_id}
            await self.record(call.caller, decision=decision, **deed)
        if self._facts:
            await outbox.write(self._raw, self._facts, self.now)
        await self._raw.execute("COMMIT")

    async def end(self) -> None:
        """Give the connection back; a transaction that is still open is rolled back."""
        try:
            if self._session is not None:
                await self._session.close()
            if not self._raw.is_closed() and self._raw.is_in_transaction():
                await self._raw.execute("ROLLBACK")
            await self._connection.close()
        except BaseException:
            drop(self._connection)
            raise


class UnitOfWork:
    """Opens transactions: ``async with uow(caller) as work`` to write, ``uow.read(caller)`` to read."""

    def __init__(
        self, engine: AsyncEngine, clock: Clock, parameters: Parameters | None = None
    ) -> None:
        """Take connections from *engine*, the time from *clock*, settings of the rules from *parameters*."""
        self._engine = engine
        self._clock = clock
        self._parameters = parameters or Parameters()

    async def open(self, caller: Caller, *, read_only: bool = False) -> Work:
        """Begin a transaction that sees *caller*'s branches; whoever opens it ends it."""
        try:
            connection = await self._engine.connect()
        except (SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
            raise Unavailable("STORE_UNAVAILABLE", retry_after=1) from error
        try:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.execute(begin_statement(caller.branch_ids, read_only=read_only))  # type: ignore[union-attr]
        except BaseException:
            drop(connection)
            raise
        return Work(
            connection,
            raw,
            caller=caller,
            now=self._clock(),
            parameters=self._parameters,
        )  # type: ignore[arg-type]

    async def joined(self, call: Call) -> Work:
        """Return the one transaction of *call*, opened with its first use."""
        if call.work is None:
            work = await self.open(call.caller)
            call.work = work
            if call.request_id is not None:
                await work.claim(call)
        return call.work

    @asynccontextmanager
    async def __call__(self, caller: Caller) -> AsyncIterator[Work]:
        """Write in one transaction: the call's own where there is one, else a new one that commits at the end."""
        call = CURRENT.get()
        if call is not None and call.joined and call.caller is caller:
            yield await self.joined(call)
            return
        work = await self.open(caller)
        try:
            yield work
            await work.settle(None, None)
        finally:
            await work.end()

    @asynccontextmanager
    async def read(self, caller: Caller) -> AsyncIterator[Work]:
        """Read in one short transaction that can write nothing."""
        call = CURRENT.get()
        if call is not None and call.work is not None and call.caller is caller:
            yield call.work
            return
        work = await self.open(caller, read_only=True)
        try:
            yield work
        finally:
            await work.end()


def chosen(mapping: Mapping[str, object], paths: Iterable[str]) -> dict[str, object]:
    """Return the entries of *mapping* that an update mask's *paths* name; refuse MASK_UNKNOWN for any other."""
    for path in paths:
        if path not in mapping:
            raise Invalid("MASK_UNKNOWN", field=path, allowed=", ".join(mapping))
    return {path: mapping[path] for path in paths}


def within(column: Any, caller: Caller) -> Any:
    """Return the predicate that names *caller*'s branches, so that the planner uses the keys they lead."""
    if caller.everywhere:
        return literal(True)  # noqa: FBT003 - a bank-wide query, by right of the caller
    if len(caller.branch_ids) == 1:
        return column == caller.branch_ids[0]
    return column == any_(literal(list(caller.branch_ids), ARRAY(Integer)))


def as_json(value: object) -> str:
    """Return *value* as JSON with sorted keys, the one form that is hashed."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
