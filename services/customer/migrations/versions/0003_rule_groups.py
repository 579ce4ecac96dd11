"""
Keep the rule of a group, whose customers it is about, and how often a customer wishes to be contacted.

Additive; the release before this one makes static groups and leaves the frequency unsaid.
"""

from services.chassis.migrate import run_each

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_each(
        "ALTER TABLE customer_groups ADD COLUMN rule jsonb",
        "ALTER TABLE customer_groups ADD COLUMN own_only boolean NOT NULL DEFAULT false",
        "ALTER TABLE customers ADD COLUMN contact_frequency smallint NOT NULL DEFAULT 0",
    )
