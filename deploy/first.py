"""
Let the first ones in: the operator who makes all other staff, and the accounts that programs call with.

Everything after them goes through the contracts. It writes into allocation's database as the service itself, and
prints the secrets, which are kept nowhere else.
"""

import argparse
import asyncio
import os
import secrets
import sys
from dataclasses import dataclass

from services.allocation.config import PARAMETERS
from services.allocation.identity.rules import hashed
from services.allocation.identity.tables import Account, Operator
from services.allocation.staff.tables import Staff
from services.chassis.caller import service_caller
from services.chassis.clock import system_clock
from services.chassis.db import UnitOfWork, Work, engine_of

FEED = "FEED_ACCOUNT"

ROLES = (FEED, "READER_ACCOUNT", "AUDITOR", "OPERATOR")
"""What an account may be for: core banking's feed, other systems, and ``guanhu audit`` and ``guanhu events``."""


@dataclass(frozen=True, slots=True)
class FirstOperator:
    """Who keeps branches and staff: number, name, and the branch the person belongs to."""

    operator_no: str
    display_name: str
    branch_id: int


async def let_in_operator(work: Work, first: FirstOperator, password: str) -> bool:
    """Make the first operator; return False and leave everything as it is when the number is known."""
    if await work.find(Operator, first.operator_no) is not None:
        return False
    times = {"create_time": work.now, "update_time": work.now}
    staff = Staff(
        branch_id=first.branch_id,
        staff_id=first.operator_no,
        display_name=first.display_name,
        operator_no=first.operator_no,
        posts=["OPERATOR"],
        specialities=[],
        capacity=0,
        present=True,
        state="ACTIVE",
        **times,
    )
    operator = Operator(
        operator_no=first.operator_no,
        staff_id=first.operator_no,
        password=hashed(password),
        failures=0,
        update_time=work.now,
    )
    work.add(staff, operator)
    await work.register("staff", first.operator_no, first.branch_id)
    work.note(f"staff/{first.operator_no}", branch_id=first.branch_id, first=True)
    return True


async def let_in_account(work: Work, account: str, secret: str, *posts: str) -> None:
    """Make an account for another system of the bank, or give it a new secret."""
    found = await work.find(Account, account)
    if found is None:
        work.add(
            Account(
                account=account,
                secret=hashed(secret),
                roles=list(posts),
                enabled=True,
                update_time=work.now,
            )
        )
    else:
        found.secret, found.update_time = hashed(secret), work.now


async def let_in(
    dsn: str,
    first: FirstOperator,
    password: str,
    *,
    account: str,
    secret: str,
    role: str = FEED,
) -> bool:
    """Make operator and account in one transaction; return whether the operator is new."""
    engine = engine_of(dsn, 2)
    try:
        uow = UnitOfWork(engine, system_clock, PARAMETERS)
        async with uow(service_caller("allocation")) as work:
            fresh = await let_in_operator(work, first, password)
            await let_in_account(work, account, secret, role)
    finally:
        await engine.dispose()
    return fresh


def main() -> int:
    """Make the first operator and an account, and print their secrets."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.first", description=main.__doc__
    )
    parser.add_argument(
        "operator_no", help="number to sign in with, also the staff number"
    )
    parser.add_argument("display_name")
    parser.add_argument("--branch", type=int, required=True, help="institution number")
    parser.add_argument("--account", default="core-banking")
    parser.add_argument("--role", choices=ROLES, default=FEED, help="of a new account")
    told = parser.parse_args()
    if not (dsn := os.environ.get("GUANHU_ALLOCATION_DSN", "")):
        print(
            "GUANHU_ALLOCATION_DSN: the data source of allocation is needed",
            file=sys.stderr,
        )
        return 2
    first = FirstOperator(told.operator_no, told.display_name, told.branch)
    password, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    fresh = asyncio.run(
        let_in(
            dsn,
            first,
            password,
            account=told.account,
            secret=secret,
            role=told.role,
        )
    )
    print(
        f"operator {told.operator_no}",
        password if fresh else "was known and stays as it is",
    )
    print(f"account {told.account} {secret}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
