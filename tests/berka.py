"""A real bank of the nineties as snapshots: clients become customers, districts branches, balances positions."""

import csv
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from tests.snapshots import a_customer_line, a_movement_line, a_position_line

FOLDER = Path(
    os.environ.get("GUANHU_BERKA", Path(__file__).parents[2] / "shared/data/berka")
)
"""Where the data lies; it is not part of the project."""

FAMILY = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚"
SHIFT = 1_000
"""Branches are districts, moved up by this much: institution numbers of three digits and more."""

GOLD, NONE = 2, 1


def rows(name):
    """Return the rows of one file."""
    with (FOLDER / name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter=";")


def day_of(text):
    """Return the day in YYMMDD, of the twentieth century."""
    return date(1900 + int(text[:2]), int(text[2:4]), int(text[4:6]))


def birth_of(text):
    """Return (day of birth, gender number) from a birth number: women have 50 added to the month."""
    month = int(text[2:4])
    woman = month > 50
    day = date(1900 + int(text[:2]), month - 50 * woman, int(text[4:6]))
    return day, 1 if woman else 2


def cents(text):
    """Return an amount in minor units."""
    return int(Decimal(text) * 100)


@dataclass
class Bank:
    """The bank in snapshots: everybody on the eve, then what moved day by day."""

    customers: list = field(default_factory=list)
    eve: date = date.min
    opening: dict[str, int] = field(default_factory=dict)
    days: list[date] = field(default_factory=list)
    positions: dict[date, list] = field(default_factory=dict)
    movements: dict[date, list] = field(default_factory=dict)


def load(last=60):
    """Return the bank with the *last* days on which something moved."""
    owners = {
        row["account_id"]: row["client_id"]
        for row in rows("disp.asc")
        if row["type"] == "OWNER"
    }
    clients = {row["disp_id"]: row["client_id"] for row in rows("disp.asc")}
    gold = {
        clients[row["disp_id"]] for row in rows("card.asc") if row["type"] == "gold"
    }
    bank = Bank(customers=[customer(row, gold) for row in rows("client.asc")])
    by_day = defaultdict(list)
    for row in rows("trans_sample.csv"):
        by_day[day_of(row["date"])].append(row)
    bank.days = sorted(by_day)[-last:]
    bank.eve = max(day for day in by_day if day < bank.days[0])
    balances: dict[str, int] = {}
    for day in sorted(by_day):
        touched = set()
        for row in by_day[day]:
            balances[row["account_id"]] = cents(row["balance"])
            touched.add(owners[row["account_id"]])
        totals = totals_of(balances, owners)
        if day <= bank.eve:
            bank.opening = totals
            continue
        bank.positions[day] = [
            position(number, totals[number]) for number in sorted(touched)
        ]
        bank.movements[day] = [movement(row, owners, day) for row in by_day[day]]
    return bank


def totals_of(balances, owners):
    """Return what each client has on all own accounts."""
    totals = defaultdict(int)
    for account, balance in balances.items():
        totals[owners[account]] += balance
    return totals


def customer(row, gold):
    """Return a client as a customer's line, with a name and a number made from the client's number."""
    number = int(row["client_id"])
    born, gender = birth_of(row["birth_number"])
    name = FAMILY[number % len(FAMILY)] + GIVEN[number // 20 % len(GIVEN)]
    return a_customer_line(
        row["client_id"],
        branch_id=SHIFT + int(row["district_id"]),
        display_name=name,
        gender=gender,
        birth_day=(born - date(1970, 1, 1)).days,
        mobile=f"139{number:08}",
        id_number="",
        home_address="",
        card_category=GOLD if row["client_id"] in gold else NONE,
        risk_level=0,
        risk_expiry_day=0,
        open_day=0,
    )


def position(number, total):
    """Return a client's balance as a position; the bank's figures are below nothing."""
    return a_position_line(number, max(0, total), deposits_minor=max(0, total))


def movement(row, owners, day):
    """Return a transaction as a movement."""
    amount = cents(row["amount"])
    return a_movement_line(
        f"T{row['trans_id']}",
        owners[row["account_id"]],
        day,
        amount if row["type"] == "credit" else -amount,
    )
