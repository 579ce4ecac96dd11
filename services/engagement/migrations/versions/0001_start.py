"""
Create the frame's tables, portfolios, reminders, opportunities, contact plans and the work log.

Additive; the release before this one is the empty database.
"""

from services.chassis.migrate import create_frame_tables, protect, run_each

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE portfolio (
        branch_id integer NOT NULL,
        number text NOT NULL,
        owner text NOT NULL,
        maintenance_mode smallint NOT NULL,
        ownership_version bigint NOT NULL,
        tier smallint NOT NULL,
        financial_assets bigint NOT NULL,
        next_contact_on date,
        last_contact_time timestamptz,
        update_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, number))""",
    """
    CREATE TABLE reminders (
        branch_id integer NOT NULL,
        reminder_id uuid NOT NULL,
        number text NOT NULL,
        category smallint NOT NULL,
        kind smallint NOT NULL,
        event_type smallint NOT NULL,
        fact_key text NOT NULL,
        fact_date date NOT NULL,
        show_date date NOT NULL,
        end_date date NOT NULL,
        amount bigint,
        currency text NOT NULL,
        holding text NOT NULL,
        product text NOT NULL,
        state smallint NOT NULL,
        dismiss_reason text NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, reminder_id))""",
    """
    CREATE TABLE opportunities (
        branch_id integer NOT NULL,
        opportunity_id uuid NOT NULL,
        number text NOT NULL,
        opportunity_class smallint NOT NULL,
        stage smallint NOT NULL,
        target_product text NOT NULL,
        lead text NOT NULL,
        feedback text NOT NULL,
        source smallint NOT NULL,
        reminder_id uuid,
        currency text NOT NULL,
        expected_amount bigint,
        expected_date date,
        won_amount bigint,
        follow_up_date date,
        validity_date date NOT NULL,
        stale boolean NOT NULL,
        loss_reason smallint NOT NULL,
        loss_remark text NOT NULL,
        find_date date NOT NULL,
        finder text NOT NULL,
        close_time timestamptz,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, opportunity_id))""",
    """
    CREATE TABLE contact_plans (
        branch_id integer NOT NULL,
        plan_id uuid NOT NULL,
        owner text NOT NULL,
        plan_date date NOT NULL,
        state smallint NOT NULL,
        minimum_count integer NOT NULL,
        review_remark text NOT NULL,
        reviewer text NOT NULL,
        submit_time timestamptz,
        late boolean NOT NULL,
        review_time timestamptz,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, plan_id))""",
    """
    CREATE TABLE contact_plan_items (
        branch_id integer NOT NULL,
        plan_id uuid NOT NULL,
        number text NOT NULL,
        place integer NOT NULL,
        state smallint NOT NULL,
        causes smallint[] NOT NULL,
        event_types smallint[] NOT NULL,
        reminders uuid[] NOT NULL,
        reminder_kinds smallint[] NOT NULL,
        execution_note text NOT NULL,
        channel smallint NOT NULL,
        work_log_id uuid,
        update_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, plan_id, number))""",
    """
    CREATE TABLE work_logs (
        branch_id integer NOT NULL,
        work_log_id uuid NOT NULL,
        number text NOT NULL,
        staff text NOT NULL,
        kind smallint NOT NULL,
        contact_time timestamptz NOT NULL,
        channel smallint NOT NULL,
        result smallint NOT NULL,
        event_type smallint NOT NULL,
        content text NOT NULL,
        late boolean NOT NULL,
        plan_id uuid,
        opportunity_id uuid,
        batch_id uuid,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, work_log_id))""",
)

INDEXES = (
    "CREATE INDEX portfolio_owner ON portfolio (branch_id, owner)",
    "CREATE UNIQUE INDEX reminders_once ON reminders (branch_id, number, kind, fact_key)",
    "CREATE INDEX reminders_shown ON reminders (branch_id, end_date, show_date) WHERE state = 1",
    "CREATE INDEX opportunities_customer ON opportunities (branch_id, number)",
    "CREATE INDEX opportunities_newest ON opportunities (branch_id, update_time)",
    "CREATE INDEX opportunities_valid ON opportunities (branch_id, validity_date) WHERE stage < 10 AND NOT stale",
    "CREATE INDEX opportunities_due ON opportunities (branch_id, follow_up_date) WHERE stage < 10",
    "CREATE UNIQUE INDEX contact_plans_day ON contact_plans (branch_id, owner, plan_date)",
    "CREATE INDEX contact_plans_date ON contact_plans (branch_id, plan_date)",
    "CREATE INDEX work_logs_customer ON work_logs (branch_id, number, contact_time)",
    "CREATE INDEX work_logs_newest ON work_logs (branch_id, contact_time)",
    """
    CREATE UNIQUE INDEX work_logs_batch ON work_logs (branch_id, batch_id, number)
    WHERE batch_id IS NOT NULL""",
)

PROTECTED = (
    "portfolio",
    "reminders",
    "opportunities",
    "contact_plans",
    "contact_plan_items",
)


def upgrade() -> None:
    create_frame_tables("engagement")
    run_each(*TABLES, *INDEXES)
    for table in PROTECTED:
        protect(table, "engagement")
    protect("work_logs", "engagement", append_only=True, movable=True)
