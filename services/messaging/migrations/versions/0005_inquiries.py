"""
Keep what drivers can do about receipts, and when a centre is asked about a message of unknown fate.

Additive; the release before this one writes the rows without the new columns, whose defaults are true of it.
"""

from services.chassis.migrate import run_each

revision = "0005"
down_revision = "0004"

COLUMNS = (
    "ALTER TABLE gateways ADD COLUMN hears_receipts boolean NOT NULL DEFAULT true",
    "ALTER TABLE gateways ADD COLUMN can_query boolean NOT NULL DEFAULT false",
    "ALTER TABLE unknowns ADD COLUMN ask_time timestamptz",
    "ALTER TABLE unknowns ADD COLUMN ask_count integer NOT NULL DEFAULT 0",
    "ALTER TABLE unknowns ADD COLUMN found boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    run_each(*COLUMNS)
