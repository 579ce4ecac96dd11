"""What the demonstration bank's core banking would send at the end of a day, as rows and as a folder of files."""

import argparse
import csv
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deploy.demo import words
from deploy.demo.bank import TELLABLE, Bank, Person
from services.chassis.clock import day_of, system_clock

Row = Mapping[str, object]


def products() -> list[Row]:
    """Return the lines of all products."""
    return [
        {
            "code": code,
            "display_name": title,
            "family": family,
            "product_type": kind,
            "ebanking": family == "CHANNEL",
            "core": core,
            "issuer_risk_level": f"R{issuer}" if issuer else "",
            "seller_risk_level": f"R{seller}" if seller else "",
        }
        for code, title, family, kind, core, issuer, seller in words.PRODUCTS
    ]


def customer(person: Person) -> Row:
    """Return a customer's line."""
    return {
        "number": person.number,
        "branch_id": person.branch_id,
        "display_name": person.display_name,
        "gender": person.gender,
        "birth_day": person.born,
        "mobile": person.mobile,
        "id_number": person.id_number,
        "home_address": person.address,
        "card_category": person.card,
        "source": person.source,
        "risk_level": f"C{person.risk_level}" if person.risk_level else "",
        "risk_expiry_day": person.risk_expiry,
        "open_day": person.opened,
    }


def position(person: Person, day: date) -> Row:
    """Return a position's line at the end of *day*."""
    assets = person.assets(day)
    return {
        "number": person.number,
        "financial_assets_minor": assets,
        "aum_minor": assets * person.aum_share // 1000,
        "deposits_minor": assets * person.deposit_share // 1000,
        "currency": "CNY",
    }


def holdings(person: Person, day: date) -> list[Row]:
    """Return the lines of what a customer holds, or no longer holds, at the end of *day*."""
    found = []
    for held in person.held:
        matures = held["maturity_day"]
        closed = isinstance(matures, date) and matures < day
        if held["start_day"] <= day:  # type: ignore[operator]
            found.append({**held, "closed": closed})
    return found


def movements(person: Person, day: date) -> list[Row]:
    """Return the lines of what came and went on *day*."""
    return [
        {
            "movement_id": f"{person.number}-{day:%y%m%d}",
            "number": person.number,
            "day": day,
            "amount_minor": move.change,
            "currency": "CNY",
            "channel": words.CHANNELS[int(person.number) % len(words.CHANNELS)],
        }
        for move in person.moves
        if move.flow and move.day == day and abs(move.change) >= TELLABLE
    ]


def snapshot(bank: Bank, day: date) -> dict[str, list[Row]]:
    """Return the lines of all entities at the end of *day*, by the names of the files."""
    people = [person for person in bank.people if person.opened <= day]
    return {
        "products": products(),
        "customers": [customer(person) for person in people],
        "positions": [position(person, day) for person in people],
        "holdings": [line for person in people for line in holdings(person, day)],
        "movements": [line for person in people for line in movements(person, day)],
    }


def text_of(value: object) -> object:
    """Return a value as CSV has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows with a header; nothing when there are none."""
    rows = list(rows)
    if not rows:
        return
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: text_of(value) for name, value in row.items()} for row in rows
        )


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as Parquet, days as dates and amounts as integers; nothing when there are none."""
    rows = [dict(row) for row in rows]
    if rows:
        pq.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))


WRITERS = {"csv": write_csv, "parquet": write_parquet}


def write_folder(bank: Bank, day: date, folder: Path, form: str = "csv") -> Path:
    """Write the snapshot of *day* into *folder* and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for entity, rows in snapshot(bank, day).items():
        WRITERS[form](folder / entity, rows)
    return folder


def main() -> None:
    """Write snapshots of the demonstration bank: one folder per day, called by its date."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo.snapshots", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="where the folders go")
    parser.add_argument(
        "--anchor",
        type=date.fromisoformat,
        default=day_of(system_clock()),
        help="the bank's today",
    )
    parser.add_argument(
        "--days", type=int, default=1, help="how many days, the last before the anchor"
    )
    parser.add_argument("--customers", type=int, default=6000)
    parser.add_argument("--form", choices=sorted(WRITERS), default="csv")
    told = parser.parse_args()
    bank = Bank(told.anchor, customers=told.customers)
    for back in range(told.days, 0, -1):
        day = told.anchor - timedelta(days=back)
        print(write_folder(bank, day, told.folder / day.isoformat(), told.form))


if __name__ == "__main__":
    main()
