"""
Create what customers answered, and the numbers whose holders refused by an answer; find recipients by their number.

Additive: the release before this one neither reads nor writes these tables.
"""

from services.chassis.migrate import grant, protect, run_each

revision = "0003"
down_revision = "0002"

TABLES = (
    """
    CREATE TABLE inbounds (
        branch_id integer NOT NULL,
        inbound_id uuid NOT NULL,
        gateway text NOT NULL,
        dest text NOT NULL,
        mobile bytea NOT NULL,
        mobile_mask text NOT NULL,
        mobile_index bytea NOT NULL,
        text bytea NOT NULL,
        text_digest bytea NOT NULL,
        whole boolean NOT NULL,
        kind smallint NOT NULL,
        state smallint NOT NULL,
        batch_id uuid,
        template_display_name text NOT NULL,
        number text NOT NULL,
        display_name text NOT NULL,
        assignee text NOT NULL,
        closer text NOT NULL,
        close_remark text NOT NULL,
        close_time timestamptz,
        confirmation smallint NOT NULL,
        confirm_time timestamptz,
        receive_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, inbound_id))""",
    """
    CREATE TABLE opt_outs (
        mobile_index bytea NOT NULL,
        purpose smallint NOT NULL,
        refused boolean NOT NULL,
        inbound_id uuid NOT NULL,
        receive_time timestamptz NOT NULL,
        PRIMARY KEY (mobile_index, purpose))""",
)

INDEXES = (
    "CREATE INDEX inbounds_newest ON inbounds (branch_id, receive_time, inbound_id)",
    "CREATE INDEX inbounds_open ON inbounds (branch_id, assignee) WHERE state = 1",
    "CREATE INDEX inbounds_mobile ON inbounds (branch_id, mobile_index, receive_time)",
    "CREATE INDEX inbounds_unconfirmed ON inbounds (branch_id, gateway, receive_time) WHERE confirmation IN (1, 2)",
    "CREATE INDEX recipients_mobile ON recipients (branch_id, mobile_index) WHERE mobile_index IS NOT NULL",
)


def upgrade() -> None:
    run_each(*TABLES, *INDEXES)
    protect("inbounds", "messaging")
    grant("opt_outs", "messaging")
