"""Rows and messages that are valid by default; every field can be set."""

from datetime import UTC, datetime
from uuid import uuid4

from services.allocation.branch.tables import Branch
from services.allocation.identity.rules import hashed
from services.allocation.identity.tables import Account, Operator
from services.allocation.staff.tables import Staff
from services.chassis.caller import service_caller

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
"""Nine in the morning in Shanghai, a Monday."""


def request_id() -> str:
    """Return a fresh request id."""
    return str(uuid4())


def a_branch(branch_id=101, **more):
    """Return an open branch."""
    fields = {
        "parent_branch_id": 0,
        "display_name": f"网点{branch_id}",
        "branch_type": "BASIC",
        "time_zone": "Asia/Shanghai",
        "state": "OPEN",
        "create_time": NOW,
        "update_time": NOW,
    }
    return Branch(branch_id=branch_id, **{**fields, **more})


def a_member_of_staff(staff_id="s1", branch_id=101, **more):
    """Return an active customer manager."""
    fields = {
        "display_name": "林婉清",
        "operator_no": f"op-{staff_id}",
        "posts": ["CUSTOMER_MANAGER"],
        "specialities": [],
        "capacity": 500,
        "present": True,
        "state": "ACTIVE",
        "create_time": NOW,
        "update_time": NOW,
    }
    return Staff(branch_id=branch_id, staff_id=staff_id, **{**fields, **more})


def an_operator(staff_id="s1", password="correct horse battery", **more):
    """Return the log-in of a member of staff."""
    fields = {"failures": 0, "next_try_time": None, "update_time": NOW}
    return Operator(
        operator_no=f"op-{staff_id}",
        staff_id=staff_id,
        password=hashed(password),
        **{**fields, **more},
    )


def an_account(account="core-banking", secret="feed secret of the trial", **more):
    """Return another system's account."""
    fields = {"roles": ["FEED_ACCOUNT"], "enabled": True, "update_time": NOW}
    return Account(account=account, secret=hashed(secret), **{**fields, **more})


async def put(served, *rows):
    """Store *rows* in the database of *served* as the service itself."""
    async with served.frame.uow(service_caller(served.service.name)) as work:
        work.add(*rows)
