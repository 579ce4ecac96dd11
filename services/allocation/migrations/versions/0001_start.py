"""
Create the frame's tables, branches, staff and identity.

Additive; the release before this one is the empty database.
"""

from services.chassis.migrate import create_frame_tables, grant, protect, run_each

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_frame_tables("allocation")
    run_each(
        """
        CREATE TABLE branches (
            branch_id integer PRIMARY KEY,
            parent_branch_id integer NOT NULL,
            display_name text NOT NULL,
            branch_type text NOT NULL,
            time_zone text NOT NULL,
            state text NOT NULL,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            version integer NOT NULL)""",
        """
        CREATE TABLE staff (
            branch_id integer NOT NULL,
            staff_id text NOT NULL,
            display_name text NOT NULL,
            operator_no text NOT NULL,
            posts text[] NOT NULL,
            specialities text[] NOT NULL,
            capacity integer NOT NULL,
            present boolean NOT NULL,
            state text NOT NULL,
            create_time timestamptz NOT NULL,
            update_time timestamptz NOT NULL,
            version integer NOT NULL,
            PRIMARY KEY (branch_id, staff_id))""",
        """
        CREATE TABLE operators (
            operator_no text PRIMARY KEY,
            staff_id text NOT NULL,
            password text NOT NULL,
            failures integer NOT NULL,
            next_try_time timestamptz,
            update_time timestamptz NOT NULL)""",
        "CREATE UNIQUE INDEX operators_staff ON operators (staff_id)",
        """
        CREATE TABLE sessions (
            session_id uuid PRIMARY KEY,
            staff_id text NOT NULL,
            secret bytea NOT NULL,
            create_time timestamptz NOT NULL,
            expire_time timestamptz NOT NULL,
            use_time timestamptz NOT NULL,
            end_time timestamptz)""",
        "CREATE UNIQUE INDEX sessions_secret ON sessions (secret)",
        "CREATE INDEX sessions_staff ON sessions (staff_id) WHERE end_time IS NULL",
        """
        CREATE TABLE accounts (
            account text PRIMARY KEY,
            secret text NOT NULL,
            roles text[] NOT NULL,
            enabled boolean NOT NULL,
            update_time timestamptz NOT NULL)""",
        """
        CREATE TABLE signing_keys (
            key_id text PRIMARY KEY,
            sealed bytea NOT NULL,
            public_jwk text NOT NULL,
            create_time timestamptz NOT NULL)""",
        """
        CREATE TABLE revocations (
            subject text PRIMARY KEY,
            revoke_time timestamptz NOT NULL)""",
    )
    protect("staff", "allocation")
    for table in (
        "branches",
        "operators",
        "sessions",
        "accounts",
        "signing_keys",
        "revocations",
    ):
        grant(table, "allocation")
