"""A folder of files becomes the contract's lines, whatever form the files have."""

import csv
import hashlib
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from guanhu.customer.v1 import customer_pb2, product_pb2
from guanhu.customer.v1 import snapshot_pb2 as pb

from admin.folders import CHUNK_BYTES, CHUNK_LINES, Folder, UnreadableError, header_of

HEADER = (
    "number,branch_id,display_name,gender,birth_day,mobile,card_category,open_day\n"
)
WANG = "10001,101,王小明,MALE,1980-05-17,13800000001,GOLD,\n"


def lines_of(folder):
    """Return all lines of a folder by entity."""
    found = {}
    for chunk in folder.chunks():
        name = chunk.WhichOneof("lines")
        found.setdefault(name, []).extend(getattr(chunk, name).lines)
    return found


def write(folder, name, text):
    """Write one file."""
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_csv_line_fills_the_fields_that_its_columns_name(tmp_path):
    """Days become days after 1970, words become the contract's numbers, and what is empty stays unset."""
    write(tmp_path, "customers.csv", HEADER + WANG)

    found = lines_of(Folder(tmp_path))

    assert found == {
        "customers": [
            pb.CustomerLine(
                number="10001",
                branch_id=101,
                display_name="王小明",
                gender=customer_pb2.GENDER_MALE,
                birth_day=(date(1980, 5, 17) - date(1970, 1, 1)).days,
                mobile="13800000001",
                card_category=customer_pb2.CARD_CATEGORY_GOLD,
            )
        ]
    }


def test_the_same_rows_give_the_same_lines_as_csv_and_as_parquet(tmp_path):
    """The form of a file says nothing about what it holds."""
    rows = [
        {
            "movement_id": f"M{number}",
            "number": "10001",
            "day": date(2026, 11, number),
            "amount_minor": number * -(10**12),
            "currency": "",
            "channel": '柜台,"一"\n号',
        }
        for number in (1, 2, 3)
    ]
    for form in ("csv", "parquet"):
        (tmp_path / form).mkdir()
    with (tmp_path / "csv" / "movements.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(
        pa.Table.from_pylist(rows), tmp_path / "parquet" / "movements.parquet"
    )

    as_csv = lines_of(Folder(tmp_path / "csv"))
    as_parquet = lines_of(Folder(tmp_path / "parquet"))

    assert as_csv == as_parquet
    assert [line.amount_minor for line in as_csv["movements"]] == [
        -1_000_000_000_000,
        -2_000_000_000_000,
        -3_000_000_000_000,
    ]
    assert as_csv["movements"][0].channel == '柜台,"一"\n号'


def test_parquet_may_hold_numbers_dictionaries_moments_and_nothing(tmp_path):
    """Whatever type a column was written with, its values are taken for what they mean."""
    table = pa.table(
        {
            "code": pa.array(["P1", "P2"]).dictionary_encode(),
            "display_name": ["安心得利", None],
            "family": pa.array([1, 2], pa.int8()),
            "core": [True, None],
        }
    )
    pq.write_table(table, tmp_path / "products.parquet")
    held = pa.table(
        {
            "holding_id": ["H1"],
            "number": ["10001"],
            "product_code": ["P1"],
            "maturity_day": [datetime(2027, 1, 31)],  # noqa: DTZ001 - as files hold it
        }
    )
    pq.write_table(held, tmp_path / "holdings.parquet")

    found = lines_of(Folder(tmp_path))

    assert found["products"] == [
        pb.ProductLine(
            code="P1",
            display_name="安心得利",
            family=product_pb2.PRODUCT_FAMILY_WEALTH,
            core=True,
        ),
        pb.ProductLine(code="P2", family=product_pb2.PRODUCT_FAMILY_CHANNEL),
    ]
    assert (
        found["holdings"][0].maturity_day == (date(2027, 1, 31) - date(1970, 1, 1)).days
    )


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("10002,101,李四,MALE,1980-13-01,,GOLD,\n", "birth_day: must be a day"),
        ("10002,101,李四,MALE,19800101,,GOLD,\n", "birth_day: must be a day"),
        ("10002,x1,李四,MALE,,,GOLD,\n", "branch_id: must be a whole number"),
        ("10002,101,李四,MAN,,,GOLD,\n", "gender: must be one of UNSPECIFIED, FEMALE"),
    ],
)
def test_a_value_of_another_kind_is_told_by_its_place_and_never_shown(
    tmp_path, line, place
):
    """File, line and column are named, counted without the header; the value is not repeated."""
    write(tmp_path, "customers.csv", HEADER + WANG + line)

    with pytest.raises(UnreadableError) as told:
        Folder(tmp_path).read_through()

    assert f"customers.csv, line 2, {place}" in str(told.value)
    assert "李四" not in str(told.value)
    assert "1980-13-01" not in str(told.value)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has none of the files"),
        ({"customers.txt": WANG}, "has none of the files"),
        (
            {"positions.csv": "number\n1\n", "positions.parquet": ""},
            "both as CSV and as Parquet",
        ),
        ({"positions.csv": "number,colour\n1,red\n"}, "mean nothing: colour"),
        (
            {"customers.csv": "number,mobile\n1,2\n"},
            "lacks columns: branch_id, display_name",
        ),
        ({"positions.csv": "number\n1,2\n"}, "positions.csv cannot be read"),
        ({"positions.parquet": "number"}, "positions.parquet cannot be read"),
        ({"positions.csv": ""}, "positions.csv cannot be read"),
    ],
)
def test_a_folder_of_another_form_is_refused_in_one_sentence(tmp_path, files, sentence):
    """What cannot be a snapshot is told before anything is sent."""
    for name, text in files.items():
        write(tmp_path, name, text)

    with pytest.raises(UnreadableError, match=sentence):
        Folder(tmp_path).read_through()


def test_a_truth_is_one_of_six_words(tmp_path):
    """What is neither true nor false is told with what it must be."""
    text = "code,display_name,family,core\n"
    text += "".join(f"P{word},甲,WEALTH,{word}\n" for word in ("YES", "0", "true", ""))
    write(tmp_path, "products.csv", text)

    found = [line.core for line in lines_of(Folder(tmp_path))["products"]]
    write(tmp_path, "products.csv", text + "P,乙,WEALTH,maybe\n")

    assert found == [True, False, True, False]
    with pytest.raises(UnreadableError, match="line 5, core: must be true or false"):
        Folder(tmp_path).read_through()


def test_a_file_with_a_header_alone_brings_no_lines(tmp_path):
    """A day without movements may say so."""
    write(tmp_path, "movements.csv", "movement_id,number,day,amount_minor\n")
    write(tmp_path, "positions.csv", "number\n10001\n")

    folder = Folder(tmp_path)

    assert folder.read_through().totals == {"positions": 1, "movements": 0}
    assert set(lines_of(folder)) == {"positions"}


def test_chunks_are_the_same_every_time_and_fit_into_a_message(tmp_path):
    """Lines are cut by number and by weight, numbered from 1 within their entity, and lost nowhere."""
    heavy = "号" * 200
    customers = "number,branch_id,display_name,home_address\n" + "".join(
        f"{number},101,王,{heavy}\n" for number in range(2500)
    )
    positions = "number\n" + "".join(f"{number}\n" for number in range(9000))
    write(tmp_path, "customers.csv", customers)
    write(tmp_path, "positions.csv", positions)

    first, second = list(Folder(tmp_path).chunks()), list(Folder(tmp_path).chunks())

    assert first == second
    assert [chunk.sequence for chunk in first] == list(range(1, len(first) + 1))
    assert max(chunk.ByteSize() for chunk in first) <= CHUNK_BYTES + 100
    weights = [len(chunk.positions.lines) for chunk in first if chunk.positions.lines]
    assert weights == [CHUNK_LINES, CHUNK_LINES, 1000]
    assert [chunk.first_line for chunk in first][-3:] == [1, 4001, 8001]
    numbers = [line.number for chunk in first for line in chunk.customers.lines]
    assert numbers == [str(number) for number in range(2500)]


def test_the_header_announces_totals_and_the_digest_of_the_files(tmp_path):
    """What the service is told first follows from the files alone."""
    write(tmp_path, "customers.csv", HEADER + WANG)
    write(tmp_path, "positions.csv", "number\n10001\n10002\n")
    plain = b"customers\n" + (tmp_path / "customers.csv").read_bytes()
    plain += b"positions\n" + (tmp_path / "positions.csv").read_bytes()

    contents = Folder(tmp_path).read_through()
    header = header_of("core-banking", date(2026, 11, 20), contents, "an id")

    assert header.digest == hashlib.sha256(plain).hexdigest()
    assert {one.entity: one.line_count for one in header.totals} == {2: 1, 3: 2}
    assert (header.snapshot_date.month, header.snapshot_date.day) == (11, 20)
