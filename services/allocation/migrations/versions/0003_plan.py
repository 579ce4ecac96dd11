"""
Create assignment plans and their items.

Additive; the release before this one knows neither table.
"""

from services.chassis.migrate import protect, run_each

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_each(
        """
        CREATE TABLE assignment_plans (
            branch_id integer NOT NULL,
            plan_id uuid NOT NULL,
            display_name text NOT NULL,
            principle smallint NOT NULL,
            limit_per_owner integer NOT NULL,
            tiers smallint[] NOT NULL,
            owners text[] NOT NULL,
            mode smallint NOT NULL,
            include_pending boolean NOT NULL,
            state smallint NOT NULL,
            item_count integer NOT NULL,
            assign_count integer NOT NULL,
            leave_count integer NOT NULL,
            edited_count integer NOT NULL,
            applied_count integer NOT NULL,
            skipped_count integer NOT NULL,
            restored_count integer NOT NULL,
            kept_count integer NOT NULL,
            loads jsonb NOT NULL,
            fairness_before jsonb NOT NULL,
            fairness_after jsonb NOT NULL,
            rule_version integer NOT NULL,
            input_digest text NOT NULL,
            drafter text NOT NULL,
            applier text NOT NULL,
            apply_time timestamptz,
            undoer text NOT NULL,
            undo_time timestamptz,
            undo_reason text NOT NULL,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (branch_id, plan_id))""",
        """
        CREATE TABLE plan_items (
            branch_id integer NOT NULL,
            plan_id uuid NOT NULL,
            number text NOT NULL,
            rank integer NOT NULL,
            current_owner text NOT NULL,
            current_state smallint NOT NULL,
            current_version bigint NOT NULL,
            proposed_owner text NOT NULL,
            mode smallint NOT NULL,
            cultivation_end_date date,
            rule text NOT NULL,
            inputs jsonb NOT NULL,
            tier smallint NOT NULL,
            customer_type smallint NOT NULL,
            source smallint NOT NULL,
            financial_assets bigint NOT NULL,
            currency text NOT NULL,
            edited boolean NOT NULL,
            edit_reason text NOT NULL,
            outcome smallint NOT NULL,
            applied_version bigint NOT NULL,
            PRIMARY KEY (branch_id, plan_id, number))""",
        "CREATE INDEX assignment_plans_newest ON assignment_plans (branch_id, create_time, plan_id)",
        "CREATE INDEX plan_items_rank ON plan_items (branch_id, plan_id, rank, number)",
    )
    protect("assignment_plans", "allocation")
    protect("plan_items", "allocation")
