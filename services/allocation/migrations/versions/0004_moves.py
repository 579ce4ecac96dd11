"""
Keep how often the customer of an ownership has moved between branches, so that older moves are dropped.

Additive; the release before this one writes ownerships without it.
"""

from services.chassis.migrate import run_each

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_each("ALTER TABLE ownerships ADD COLUMN move_version bigint NOT NULL DEFAULT 0")
