"""
Create the frame's tables, templates, gateways, batches with recipients and outcomes, receipts and refusals.

Additive; the release before this one is the empty database.
"""

from services.chassis.migrate import create_frame_tables, grant, protect, run_each

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE templates (
        template_id uuid PRIMARY KEY,
        display_name text NOT NULL,
        purpose smallint NOT NULL,
        body text NOT NULL,
        fields text[] NOT NULL,
        state smallint NOT NULL,
        author text NOT NULL,
        reviewer text NOT NULL,
        review_remark text NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL)""",
    """
    CREATE TABLE gateways (
        gateway text PRIMARY KEY,
        display_name text NOT NULL,
        protocol smallint NOT NULL,
        configured boolean NOT NULL,
        state smallint NOT NULL,
        send_window integer NOT NULL,
        rate integer NOT NULL,
        report_time timestamptz,
        bound_time timestamptz,
        update_time timestamptz NOT NULL,
        version integer NOT NULL)""",
    """
    CREATE TABLE batches (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        sender text NOT NULL,
        confirmer text NOT NULL,
        approver text NOT NULL,
        review_remark text NOT NULL,
        template_id uuid NOT NULL,
        template_display_name text NOT NULL,
        purpose smallint NOT NULL,
        groups uuid[] NOT NULL,
        gateway text NOT NULL,
        state smallint NOT NULL,
        schedule_time timestamptz,
        unknown_policy smallint NOT NULL,
        digest text NOT NULL,
        total_count integer NOT NULL,
        excluded_count integer NOT NULL,
        exclusions integer[] NOT NULL,
        segment_count integer NOT NULL,
        samples integer[] NOT NULL,
        told boolean NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        finish_time timestamptz,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, batch_id))""",
    """
    CREATE TABLE recipients (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        ordinal integer NOT NULL,
        number text NOT NULL,
        display_name text NOT NULL,
        mobile_mask text NOT NULL,
        mobile_index bytea,
        message bytea,
        exclusion_reason smallint NOT NULL,
        segments integer NOT NULL,
        chunk integer NOT NULL,
        PRIMARY KEY (branch_id, batch_id, ordinal))""",
    """
    CREATE TABLE chunks (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        chunk integer NOT NULL,
        low integer NOT NULL,
        high integer NOT NULL,
        size integer NOT NULL,
        state smallint NOT NULL,
        worker text NOT NULL,
        boot text NOT NULL,
        lease_time timestamptz,
        excluded_count integer NOT NULL,
        sent_count integer NOT NULL,
        failed_count integer NOT NULL,
        unknown_count integer NOT NULL,
        delivered_count integer NOT NULL,
        undelivered_count integer NOT NULL,
        PRIMARY KEY (branch_id, batch_id, chunk))""",
    """
    CREATE TABLE outcomes (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        ordinal integer NOT NULL,
        state smallint NOT NULL,
        exclusion_reason smallint NOT NULL,
        gateway_message text NOT NULL,
        failure_code text NOT NULL,
        settle_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, batch_id, ordinal))""",
    """
    CREATE TABLE unknowns (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        ordinal integer NOT NULL,
        attempt integer NOT NULL,
        sent_time timestamptz NOT NULL,
        fence_time timestamptz NOT NULL,
        end_time timestamptz,
        PRIMARY KEY (branch_id, batch_id, ordinal, attempt))""",
    """
    CREATE TABLE deliveries (
        branch_id integer NOT NULL,
        batch_id uuid NOT NULL,
        ordinal integer NOT NULL,
        state smallint NOT NULL,
        code text NOT NULL,
        receipt_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, batch_id, ordinal))""",
    """
    CREATE TABLE receipts (
        branch_id integer NOT NULL,
        receipt_id uuid NOT NULL,
        gateway text NOT NULL,
        gateway_message text NOT NULL,
        mobile_index bytea NOT NULL,
        source text NOT NULL,
        client_ref bytea NOT NULL,
        state smallint NOT NULL,
        code text NOT NULL,
        receipt_time timestamptz NOT NULL,
        end_time timestamptz,
        PRIMARY KEY (branch_id, receipt_id))""",
    """
    CREATE TABLE refusals (
        branch_id integer NOT NULL,
        number text NOT NULL,
        about smallint NOT NULL,
        channel smallint NOT NULL,
        purpose smallint NOT NULL,
        act smallint NOT NULL,
        place text NOT NULL,
        update_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, number, about, channel, purpose))""",
)

INDEXES = (
    "CREATE UNIQUE INDEX templates_name ON templates (display_name)",
    "CREATE INDEX batches_newest ON batches (branch_id, create_time, batch_id)",
    "CREATE INDEX batches_moving ON batches (branch_id, batch_id) WHERE state IN (3, 4)",
    "CREATE INDEX batches_touched ON batches (branch_id, update_time)",
    "CREATE INDEX recipients_customer ON recipients (branch_id, number) WHERE exclusion_reason = 0",
    "CREATE INDEX chunks_open ON chunks (branch_id, batch_id, chunk) WHERE state < 2",
    "CREATE INDEX outcomes_excluded ON outcomes (branch_id, batch_id, exclusion_reason) WHERE state = 1",
    "CREATE INDEX outcomes_message ON outcomes (branch_id, gateway_message) WHERE gateway_message <> ''",
    "CREATE INDEX unknowns_open ON unknowns (branch_id, batch_id, ordinal) WHERE end_time IS NULL",
    "CREATE INDEX receipts_open ON receipts (branch_id, gateway, receipt_time) WHERE end_time IS NULL",
)

PROTECTED = ("batches", "chunks", "unknowns", "receipts", "refusals")
FOR_EVER = ("recipients", "outcomes", "deliveries")


def upgrade() -> None:
    create_frame_tables("messaging")
    run_each(*TABLES, *INDEXES)
    for table in PROTECTED:
        protect(table, "messaging")
    for table in FOR_EVER:
        protect(table, "messaging", append_only=True, movable=True)
    grant("templates", "messaging")
    grant("gateways", "messaging")
