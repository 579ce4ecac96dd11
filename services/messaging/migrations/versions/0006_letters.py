"""
Keep the messages of a chunk that waits under one seal, beside those of its recipients.

Additive; chunks that the release before this one planned have none, and are opened message by message. What is sealed
cannot be made smaller, so nobody tries to.
"""

from services.chassis.migrate import run_each

revision = "0006"
down_revision = "0005"

LETTERS = (
    "ALTER TABLE chunks ADD COLUMN letters bytea",
    "ALTER TABLE chunks ALTER COLUMN letters SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    run_each(*LETTERS)
