"""
Keep what the sentence of a line's fault names besides the field: a branch or a limit.

Additive; the release before this one writes faults without it.
"""

from services.chassis.migrate import run_each

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_each("ALTER TABLE import_faults ADD COLUMN detail text NOT NULL DEFAULT ''")
