"""
Keep how often customers have moved between branches, and in which branch somebody was told to look after them.

Additive; the release before this one writes portfolios without them.
"""

from services.chassis.migrate import run_each

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_each(
        "ALTER TABLE portfolio ADD COLUMN move_version bigint NOT NULL DEFAULT 0",
        "ALTER TABLE portfolio ADD COLUMN told_owner text NOT NULL DEFAULT ''",
        "ALTER TABLE portfolio ADD COLUMN told_branch integer NOT NULL DEFAULT 0",
    )
