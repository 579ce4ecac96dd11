"""Tables for spreadsheets: CSV that opens as what it is, whatever stands in its cells."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from flask import Response, stream_with_context

MARK = "\ufeff"
"""What tells a spreadsheet that the file is UTF-8."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet would reckon instead of showing (source: OWASP, CSV injection)."""

Row = Sequence[object]


def escaped(cell: object) -> str:
    """Return *cell* as text that no spreadsheet takes for a formula."""
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULAS) else text


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield *rows* as CSV, the first one behind the mark of UTF-8."""
    before = MARK
    for row in rows:
        held = io.StringIO()
        csv.writer(held).writerow(escaped(cell) for cell in row)
        yield before + held.getvalue()
        before = ""


def attachment(rows: Iterable[Row], name: str) -> Response:
    """Return *rows* as a file called *name*, sent while it is made; the name may be in any language."""
    answer = Response(stream_with_context(lines(rows)), mimetype="text/csv")
    answer.headers["Content-Disposition"] = (
        f"attachment; filename=\"export.csv\"; filename*=UTF-8''{quote(name)}"
    )
    return answer
