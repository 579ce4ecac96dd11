"""Tables for spreadsheets: marked as UTF-8, and free of formulas."""

import csv
import io

import pytest
from flask import Flask

from admin import exports

HARMLESS = ["王小明", "1,5", 'with "marks"', "a=b", "", 7, "two\nlines"]


@pytest.mark.parametrize("first", exports.FORMULAS)
def test_no_cell_begins_with_what_starts_a_formula(first):
    """A cell that a spreadsheet would reckon is shown as text, its content whole behind a mark."""
    assert exports.escaped(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


def test_other_cells_stay_as_they_are():
    """Names, figures, commas, marks and line ends come out as they went in."""
    text = "".join(exports.lines([HARMLESS, HARMLESS]))
    rows = list(csv.reader(io.StringIO(text.removeprefix(exports.MARK), newline="")))

    assert text.startswith(exports.MARK)
    assert text.count(exports.MARK) == 1
    assert rows == [[str(cell) for cell in HARMLESS]] * 2


def test_a_file_keeps_its_name_in_any_language():
    """The name travels in the form that browsers read whatever its letters; an old one gets a plain name."""
    app = Flask(__name__)
    with app.test_request_context():
        answer = exports.attachment([["甲"]], "到期提醒-2026.csv")
        told = answer.headers["Content-Disposition"]

        assert "filename*=UTF-8''%E5%88%B0%E6%9C%9F%E6%8F%90%E9%86%92-2026.csv" in told
        assert 'filename="export.csv"' in told
        assert answer.get_data(as_text=True) == "\ufeff甲\r\n"
