"""
Create ownerships and their history.

Additive; the release before this one knows neither table.
"""

from services.chassis.migrate import protect, run_each

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_each(
        """
        CREATE TABLE ownerships (
            branch_id integer NOT NULL,
            number text NOT NULL,
            owner text NOT NULL,
            previous_owner text NOT NULL,
            relation smallint NOT NULL,
            mode smallint NOT NULL,
            state smallint NOT NULL,
            state_time timestamptz NOT NULL,
            cultivation_end_date date,
            principle smallint NOT NULL,
            plan_id uuid,
            reason text NOT NULL,
            tier smallint NOT NULL,
            customer_type smallint NOT NULL,
            source smallint NOT NULL,
            financial_assets bigint NOT NULL,
            currency text NOT NULL,
            last_contact_time timestamptz,
            version bigint NOT NULL,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            PRIMARY KEY (branch_id, number))""",
        """
        CREATE TABLE ownership_changes (
            branch_id integer NOT NULL,
            number text NOT NULL,
            version bigint NOT NULL,
            act smallint NOT NULL,
            change_time timestamptz NOT NULL,
            actor text NOT NULL,
            branch_before integer NOT NULL,
            branch_after integer NOT NULL,
            owner_before text NOT NULL,
            owner_after text NOT NULL,
            state_before smallint NOT NULL,
            state_after smallint NOT NULL,
            mode_before smallint NOT NULL,
            mode_after smallint NOT NULL,
            principle smallint NOT NULL,
            recall_cause smallint NOT NULL,
            plan_id uuid,
            reason text NOT NULL,
            inputs jsonb NOT NULL,
            PRIMARY KEY (branch_id, number, version))""",
        """
        CREATE INDEX ownerships_waiting
        ON ownerships (branch_id, (tier::bigint * 1000000000000000 + financial_assets), number) WHERE state <> 3""",
        "CREATE INDEX ownerships_owner ON ownerships (branch_id, owner, state)",
        "CREATE INDEX ownerships_assets ON ownerships (branch_id, financial_assets, number)",
    )
    protect("ownerships", "allocation")
    protect("ownership_changes", "allocation", append_only=True, movable=True)
