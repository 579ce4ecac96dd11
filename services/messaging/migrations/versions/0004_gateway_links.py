"""
Keep what workers tell about their links, why a message is unknown, and what a batch costs; find messages one by one.

Additive; the release before this one writes batches and unknowns without the new columns, whose defaults are true of
what it writes. The indexes are made with the tables' first rows: no release has been in use before.
"""

from services.chassis.migrate import grant, run_each

revision = "0004"
down_revision = "0003"

LINKS = """
    CREATE TABLE gateway_links (
        gateway text NOT NULL,
        worker text NOT NULL,
        state smallint NOT NULL,
        reason text NOT NULL,
        unanswered integer NOT NULL,
        sent_per_second integer NOT NULL,
        allowed_per_second integer NOT NULL,
        accepted_count bigint NOT NULL,
        rejected_count bigint NOT NULL,
        throttled_count bigint NOT NULL,
        temporary_count bigint NOT NULL,
        ambiguous_count bigint NOT NULL,
        report_time timestamptz NOT NULL,
        PRIMARY KEY (gateway, worker))"""

COLUMNS = (
    "ALTER TABLE unknowns ADD COLUMN cause smallint NOT NULL DEFAULT 1",
    "ALTER TABLE batches ADD COLUMN cost bigint NOT NULL DEFAULT 0",
    "ALTER TABLE batches ADD COLUMN segment_counts integer[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE batches ADD COLUMN ordinary_samples integer[] NOT NULL DEFAULT '{}'",
)

INDEXES = (
    "CREATE INDEX batches_sender ON batches (branch_id, sender, batch_id)",
    "CREATE INDEX recipients_number ON recipients (branch_id, number text_pattern_ops, batch_id, ordinal)",
    "CREATE INDEX recipients_excluded ON recipients (branch_id, batch_id, ordinal) WHERE exclusion_reason > 0",
    "CREATE INDEX outcomes_failed ON outcomes (branch_id, batch_id, ordinal) WHERE state = 6",
    "CREATE INDEX deliveries_failed ON deliveries (branch_id, batch_id, ordinal) WHERE state = 6",
)


def upgrade() -> None:
    run_each(LINKS, *COLUMNS, *INDEXES)
    grant("gateway_links", "messaging")
