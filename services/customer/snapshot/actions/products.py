"""Lines of products into the reference table."""

from services.chassis.db import Work
from services.customer.snapshot.actions.lines import Batch, Outcome, judged, stage
from services.customer.snapshot.rules import product_faults

COLUMNS = (
    "code text, display_name text, family smallint, product_type smallint, ebanking boolean, core boolean, "
    "issuer_risk_level smallint, seller_risk_level smallint"
)
FIELDS = "display_name, family, product_type, ebanking, core, issuer_risk_level, seller_risk_level"
UPSERT = f"""
    INSERT INTO products AS p (code, {FIELDS}, create_time, update_time)
    SELECT code, {FIELDS}, $1, $1 FROM staged_products
    ON CONFLICT (code) DO UPDATE SET ({FIELDS}, update_time) = ROW ({
    ", ".join(f"excluded.{name}" for name in FIELDS.split(", "))
}, excluded.update_time)
    WHERE ({", ".join(f"p.{name}" for name in FIELDS.split(", "))})
        IS DISTINCT FROM ({
    ", ".join(f"excluded.{name}" for name in FIELDS.split(", "))
})
    RETURNING code"""


async def store_products(work: Work, batch: Batch) -> Outcome:
    """Store products that are new or changed."""
    outcome = Outcome()
    good = judged(batch, "code", product_faults, outcome)
    names = [column.split()[0] for column in COLUMNS.split(", ")]
    await stage(
        work,
        "staged_products",
        COLUMNS,
        [[getattr(line, name) for name in names] for _, line in good],
    )
    rows = await work.run(UPSERT, work.now)
    outcome.stored = len(rows)
    outcome.unchanged = len(good) - len(rows)
    return outcome
