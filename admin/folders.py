"""
A folder that holds one day's snapshot: one file per kind of line, CSV with a header or Parquet; see docs/snapshot.md.

Columns are called as the fields of the contract's lines, and what they hold follows from the fields' types.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from guanhu.customer.v1 import snapshot_pb2 as pb

ENTITIES: dict[str, tuple[int, Any, Any]] = {
    "products": (pb.SNAPSHOT_ENTITY_PRODUCT, pb.ProductLine, pb.ProductLines),
    "customers": (pb.SNAPSHOT_ENTITY_CUSTOMER, pb.CustomerLine, pb.CustomerLines),
    "positions": (pb.SNAPSHOT_ENTITY_POSITION, pb.PositionLine, pb.PositionLines),
    "holdings": (pb.SNAPSHOT_ENTITY_HOLDING, pb.HoldingLine, pb.HoldingLines),
    "movements": (pb.SNAPSHOT_ENTITY_MOVEMENT, pb.MovementLine, pb.MovementLines),
}
"""What a folder may hold, by the name of its file, in the order in which it is sent."""

REQUIRED = {
    "products": {"code", "display_name", "family"},
    "customers": {"number", "branch_id", "display_name"},
    "positions": {"number"},
    "holdings": {"holding_id", "number", "product_code"},
    "movements": {"movement_id", "number", "day", "amount_minor"},
}
"""Columns that a file cannot be without."""

CHUNK_LINES = 4000
CHUNK_BYTES = 700_000
"""A message may have 1 MiB; what comes around the lines is small."""

TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

KIND = FieldDescriptor


class UnreadableError(ValueError):
    """A folder or file is not of the documented form; the text says where and what, never the value."""


class Column(NamedTuple):
    """One column of a file: the field it fills, whether it holds days, and its words where it holds an enumeration."""

    name: str
    kind: int
    is_day: bool
    words: dict[str, int]

    @property
    def wants(self) -> str:
        """Return what a value must be, for people."""
        if self.is_day:
            return "a day such as 2026-11-20"
        if self.words:
            return f"one of {', '.join(word for word in self.words if not word.isdecimal())}"
        if self.kind == KIND.CPPTYPE_BOOL:
            return "true or false"
        return "a whole number"


def columns_of(line: Any) -> dict[str, Column]:
    """Return the columns that lines of a kind may have, by name."""
    found = {}
    for field in line.DESCRIPTOR.fields:
        words: dict[str, int] = {}
        if field.enum_type is not None:
            prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
            for value in field.enum_type.values:
                words[value.name.removeprefix(prefix)] = value.number
                words[str(value.number)] = value.number
        is_day = field.type == KIND.TYPE_SINT32
        found[field.name] = Column(field.name, field.cpp_type, is_day, words)
    return found


@dataclass(frozen=True, slots=True)
class File:
    """One file of a folder."""

    entity: str
    path: Path

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in pieces; the columns of a CSV file are all text."""
        if self.path.suffix == ".parquet":
            with pq.ParquetFile(self.path) as opened:
                yield from opened.iter_batches(batch_size=CHUNK_LINES)
            return
        reading = pcsv.ReadOptions(block_size=1 << 22, encoding="utf8")
        parsing = pcsv.ParseOptions(newlines_in_values=True)
        names = pcsv.open_csv(self.path, reading, parsing).schema.names
        asked = pcsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        with pcsv.open_csv(self.path, reading, parsing, asked) as opened:
            yield from opened

    def lines(self) -> Iterator[list[Message]]:
        """Yield the lines as messages of the contract, in pieces; raises UnreadableError."""
        kind = ENTITIES[self.entity][1]
        known = columns_of(kind)
        before = 0
        try:
            for batch in self.batches():
                self._refuse_columns(batch.schema.names, known)
                names = batch.schema.names
                values = [
                    self._values(batch.column(name), known[name], before)
                    for name in names
                ]
                yield [
                    kind(**dict(zip(names, row, strict=True)))
                    for row in zip(*values, strict=True)
                ]
                before += batch.num_rows
        except pa.ArrowInvalid as error:
            text = str(error).split("\n", maxsplit=1)[0].split(": ")[0]
            raise UnreadableError(
                f"{self.path.name} cannot be read: {text}."
            ) from error

    def _refuse_columns(self, names: Sequence[str], known: dict[str, Column]) -> None:
        if unknown := set(names) - set(known):
            raise UnreadableError(
                f"{self.path.name} has columns that mean nothing: {', '.join(sorted(unknown))}."
            )
        if missing := REQUIRED[self.entity] - set(names):
            raise UnreadableError(
                f"{self.path.name} lacks columns: {', '.join(sorted(missing))}."
            )

    def _values(self, found: pa.Array, column: Column, before: int) -> list[Any]:
        """Return a column as its field takes it; empty and missing values are the field's default."""
        if pa.types.is_dictionary(found.type):
            found = found.dictionary_decode()
        try:
            return converted(found, column)
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            place = first_bad(found, column)
            where = f"{self.path.name}, line {before + place + 1}, {column.name}"
            raise UnreadableError(f"{where}: must be {column.wants}.") from error


def converted(found: pa.Array, column: Column) -> list[Any]:
    """Return the values of a column; raises KeyError or ArrowInvalid when one is not of the column's kind."""
    if column.kind == KIND.CPPTYPE_STRING:
        return list(pc.fill_null(found.cast(pa.string()), "").to_pylist())
    if column.words:
        return [
            column.words[str(one).upper()] if one not in (None, "") else 0
            for one in found.to_pylist()
        ]
    if column.kind == KIND.CPPTYPE_BOOL:
        return [
            TRUTH[str(one).lower()] if one not in (None, "") else False
            for one in found.to_pylist()
        ]
    if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
        found = pc.if_else(pc.equal(found, ""), pa.scalar(None, found.type), found)
    if column.is_day:
        found = found.cast(pa.date32()).cast(pa.int32())
    return list(pc.fill_null(found.cast(pa.int64()), 0).to_pylist())


def first_bad(found: pa.Array, column: Column) -> int:
    """Return the place of the first value that is not of the column's kind."""

    def is_bad(place: int) -> bool:
        try:
            converted(found.slice(place, 1), column)
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return True
        return False

    return next(place for place in range(len(found)) if is_bad(place))


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds: lines by entity, and the digest of all its files."""

    totals: dict[str, int]
    digest: str

    @property
    def lines(self) -> int:
        """Return how many lines there are in all."""
        return sum(self.totals.values())


class Folder:
    """The snapshot in one folder."""

    def __init__(self, path: Path) -> None:
        """Find the files in *path*; raises UnreadableError when there is none, or one in two forms."""
        self.files: list[File] = []
        for entity in ENTITIES:
            found = [path / f"{entity}{end}" for end in (".csv", ".parquet")]
            there = [one for one in found if one.is_file()]
            if len(there) > 1:
                raise UnreadableError(
                    f"{path} has {entity} both as CSV and as Parquet."
                )
            self.files += [File(entity, one) for one in there]
        if not self.files:
            names = ", ".join(ENTITIES)
            raise UnreadableError(
                f"{path} has none of the files {names} (.csv or .parquet)."
            )

    def read_through(self) -> Contents:
        """Return what is in it, after every value was read once; raises UnreadableError at the first that is none."""
        totals, digest = {}, hashlib.sha256()
        for file in self.files:
            totals[file.entity] = sum(len(lines) for lines in file.lines())
            digest.update(f"{file.entity}\n".encode())
            with file.path.open("rb") as opened:
                while piece := opened.read(1 << 20):
                    digest.update(piece)
        return Contents(totals, digest.hexdigest())

    def chunks(self) -> Iterator[pb.SnapshotChunk]:
        """Yield the lines in chunks that a message has room for; the same folder gives the same chunks every time."""
        sequence = 0
        for file in self.files:
            first = 1
            for lines in pieces(file.lines()):
                sequence += 1
                told = {file.entity: ENTITIES[file.entity][2](lines=lines)}
                yield pb.SnapshotChunk(sequence=sequence, first_line=first, **told)
                first += len(lines)


def pieces(batches: Iterator[list[Message]]) -> Iterator[list[Message]]:
    """Yield lines in lists that are neither too long nor too heavy for one message."""
    gathered: list[Message] = []
    weight = 0
    for lines in batches:
        for line in lines:
            size = line.ByteSize() + 4
            if gathered and (
                len(gathered) == CHUNK_LINES or weight + size > CHUNK_BYTES
            ):
                yield gathered
                gathered, weight = [], 0
            gathered.append(line)
            weight += size
    if gathered:
        yield gathered


def header_of(
    source: str, day: date, contents: Contents, request_id: str
) -> pb.SnapshotHeader:
    """Return the header of a snapshot."""
    totals = [
        pb.EntityTotal(entity=ENTITIES[entity][0], line_count=count)
        for entity, count in contents.totals.items()
    ]
    return pb.SnapshotHeader(
        source=source,
        snapshot_date=Date(year=day.year, month=day.month, day=day.day),
        request_id=request_id,
        totals=totals,
        digest=contents.digest,
    )
