"""What the store does for rules: the branch first always, and the index where the rule names few of many."""

from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from services.chassis.caller import service_caller
from services.chassis.db import DIALECT
from services.customer.__main__ import SERVICE
from services.customer.customer.tables import Customer
from services.customer.group.queries.matching import matched
from services.customer.group.rules import Rule
from tests.snapshots import a_customer_line, import_day

MANY = 30_000
BRANCHES = 30

COPIED = """
    INSERT INTO customers
    SELECT copy.* FROM customers AS c, generate_series(1, $1) AS n, jsonb_populate_record(c, jsonb_build_object(
        'branch_id', 101 + n % $2, 'number', 'N' || n, 'owner', 's' || n % 200, 'financial_assets', n * 1000,
        'next_contact_on', CASE WHEN n % 50 = 0 THEN DATE '2026-11-01' + n % 60 END)) AS copy"""
HELD = """
    INSERT INTO holdings
        (branch_id, holding_id, number, product_code, amount, currency, maturity_date, closed, update_time)
    SELECT 101 + n % $2, 'H' || n, 'N' || n, 'WM01', 1, 'CNY', DATE '2026-11-26' + n % 1000, false, now()
    FROM generate_series(1, $1) AS n"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """A customer service with a thousand customers in each of thirty branches, and a holding for each."""
    running = await bank.serve(SERVICE)
    await import_day(running, customers=[a_customer_line("10001")])
    await running.sql(COPIED, MANY, BRANCHES)
    await running.sql(HELD, MANY, BRANCHES)
    for table in ("customers", "holdings"):
        await running.sql(f"ANALYZE {table}")
    yield running
    await running.stop()


def scans(plan):
    """Yield every scan of a plan: the relation, the index if there is one, and the condition it is searched by."""
    if "Relation Name" in plan:
        yield (
            plan["Relation Name"],
            plan.get("Index Name", ""),
            plan.get("Index Cond", "") or plan.get("Recheck Cond", ""),
        )
    for below in plan.get("Plans", ()):
        yield from scans(
            {"Relation Name": plan.get("Relation Name", ""), **below}
            if below["Node Type"] == "Bitmap Index Scan"
            else below
        )


async def plan_of(served, rule, owner=""):
    """Return the scans of counting a rule in one branch, as the service itself asks it."""
    caller = service_caller("customer").in_branch(101)
    async with served.frame.uow.read(caller) as work:
        found = matched(rule(work.today), work, branch_id=101, owner=owner)
        asked = select(func.count()).where(found).select_from(Customer)
        sql = asked.compile(dialect=DIALECT)
        values = [sql.params[name] for name in sql.positiontup]
        rows = await work.run(f"EXPLAIN (FORMAT JSON) {sql}", *values)
    return list(scans(rows[0][0][0]["Plan"]))


@pytest.mark.parametrize(
    ("rule", "owner", "index"),
    [
        (lambda _: Rule(), "s7", "customers_owner"),
        (lambda _: Rule(owners=("s7", "s9")), "", "customers_owner"),
        (
            lambda _: Rule(financial_assets_from=29_900_000, currencies=("CNY",)),
            "",
            "customers_assets",
        ),
        (
            lambda day: Rule(next_contact_from=day, next_contact_to=day),
            "",
            "customers_next",
        ),
        (lambda _: Rule(maturing_within_days=3), "", "holdings_maturity"),
    ],
)
async def test_a_rule_that_names_few_is_found_by_its_index(served, rule, owner, index):
    """Owners, large assets, planned contacts and maturities are searched for, not looked through."""
    found = await plan_of(served, rule, owner)

    assert index in {name for _, name, _ in found}, found


async def test_every_rule_stays_within_its_branch(served):
    """A rule without an index of its own reads one branch and no more: each scan is by a key that the branch leads."""
    day = timedelta(days=1)
    rules = [
        lambda _: Rule(),
        lambda _: Rule(tiers=(1, 2), birthday_within_days=7),
        lambda today: Rule(groomed_before=today - day, not_contacted_days=30),
        lambda _: Rule(product_types=(3,)),
    ]
    found = [one for rule in rules for one in await plan_of(served, rule)]
    loose = [
        one for one in found if one[0] != "products" and "branch_id = " not in one[2]
    ]

    assert {one[0] for one in found} >= {"customers", "holdings"}
    assert not loose
