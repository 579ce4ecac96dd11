"""
Create the frame's tables, customers and what they hold, consents, groups and imports.

Additive; the release before this one is the empty database.
"""

from services.chassis.migrate import create_frame_tables, grant, protect, run_each

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE products (
        code text PRIMARY KEY,
        display_name text NOT NULL,
        family smallint NOT NULL,
        product_type smallint NOT NULL,
        ebanking boolean NOT NULL,
        core boolean NOT NULL,
        issuer_risk_level smallint NOT NULL,
        seller_risk_level smallint NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL)""",
    """
    CREATE TABLE customers (
        branch_id integer NOT NULL,
        number text NOT NULL,
        display_name text NOT NULL,
        gender smallint NOT NULL,
        birth_date date,
        mobile bytea,
        mobile_mask text NOT NULL,
        mobile_index bytea,
        mobile_suffix bytea,
        id_number bytea,
        id_number_mask text NOT NULL,
        id_number_index bytea,
        home_address bytea,
        home_address_mask text NOT NULL,
        personal_digest bytea NOT NULL,
        tier smallint NOT NULL,
        customer_type smallint NOT NULL,
        card_category smallint NOT NULL,
        source smallint NOT NULL,
        risk_level smallint NOT NULL,
        risk_expiry_date date,
        open_date date,
        owner text NOT NULL,
        maintenance_mode smallint NOT NULL,
        access_version bigint NOT NULL,
        currency text NOT NULL,
        financial_assets bigint NOT NULL,
        aum bigint NOT NULL,
        deposits bigint NOT NULL,
        snapshot_date date,
        before_financial_assets bigint,
        previous_financial_assets bigint,
        previous_aum bigint,
        previous_deposits bigint,
        occupation text NOT NULL,
        household_finances text NOT NULL,
        preferences text NOT NULL,
        appointment_habit smallint NOT NULL,
        preferred_channel smallint NOT NULL,
        preferred_time smallint NOT NULL,
        employer text NOT NULL,
        family_notes text NOT NULL,
        next_contact_on date,
        groomed_date date,
        last_contact_time timestamptz,
        last_contact_channel smallint NOT NULL,
        last_contact_result smallint NOT NULL,
        last_contact_staff text NOT NULL,
        move_version integer NOT NULL,
        do_not_disturb boolean NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, number))""",
    """
    CREATE TABLE customer_readers (
        branch_id integer NOT NULL,
        number text NOT NULL,
        staff text NOT NULL,
        until_time timestamptz,
        access_version bigint NOT NULL,
        PRIMARY KEY (branch_id, number, staff))""",
    """
    CREATE TABLE reveals (
        branch_id integer NOT NULL,
        staff text NOT NULL,
        day date NOT NULL,
        used integer NOT NULL,
        PRIMARY KEY (branch_id, staff, day))""",
    """
    CREATE TABLE positions (
        branch_id integer NOT NULL,
        number text NOT NULL,
        snapshot_date date NOT NULL,
        financial_assets bigint NOT NULL,
        aum bigint NOT NULL,
        deposits bigint NOT NULL,
        currency text NOT NULL,
        before_financial_assets bigint,
        before_aum bigint,
        before_deposits bigint,
        PRIMARY KEY (branch_id, number, snapshot_date))""",
    """
    CREATE TABLE holdings (
        branch_id integer NOT NULL,
        holding_id text NOT NULL,
        number text NOT NULL,
        product_code text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        start_date date,
        maturity_date date,
        closed boolean NOT NULL,
        announced_date date,
        update_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, holding_id))""",
    """
    CREATE TABLE movements (
        branch_id integer NOT NULL,
        movement_id text NOT NULL,
        number text NOT NULL,
        day date NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        channel text NOT NULL,
        snapshot_date date NOT NULL,
        PRIMARY KEY (branch_id, movement_id))""",
    """
    CREATE TABLE consents (
        branch_id integer NOT NULL,
        consent_id uuid NOT NULL,
        number text NOT NULL,
        act smallint NOT NULL,
        channel smallint NOT NULL,
        purpose smallint NOT NULL,
        evidence_kind smallint NOT NULL,
        evidence_reference text NOT NULL,
        text_version text NOT NULL,
        evidence_time timestamptz,
        recorder text NOT NULL,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (branch_id, consent_id))""",
    """
    CREATE TABLE customer_groups (
        branch_id integer NOT NULL,
        group_id uuid NOT NULL,
        display_name text NOT NULL,
        description text NOT NULL,
        kind smallint NOT NULL,
        keeper text NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        delete_time timestamptz,
        version integer NOT NULL,
        PRIMARY KEY (branch_id, group_id))""",
    """
    CREATE TABLE group_members (
        branch_id integer NOT NULL,
        group_id uuid NOT NULL,
        number text NOT NULL,
        add_time timestamptz NOT NULL,
        remove_time timestamptz,
        ordinal integer NOT NULL,
        PRIMARY KEY (branch_id, group_id, number))""",
    """
    CREATE TABLE imports (
        branch_id integer NOT NULL,
        import_id uuid NOT NULL,
        source text NOT NULL,
        snapshot_date date NOT NULL,
        digest text NOT NULL,
        state smallint NOT NULL,
        totals jsonb NOT NULL,
        counts jsonb NOT NULL,
        last_chunk integer NOT NULL,
        failure_reason text NOT NULL,
        sender text NOT NULL,
        taker uuid NOT NULL,
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        end_time timestamptz,
        PRIMARY KEY (branch_id, import_id))""",
    """
    CREATE TABLE import_faults (
        branch_id integer NOT NULL,
        import_id uuid NOT NULL,
        entity smallint NOT NULL,
        line_number bigint NOT NULL,
        field text NOT NULL,
        key text NOT NULL,
        reason text NOT NULL,
        warning boolean NOT NULL,
        PRIMARY KEY (branch_id, import_id, entity, line_number, field))""",
)

INDEXES = (
    "CREATE INDEX customers_assets ON customers (branch_id, financial_assets, number)",
    "CREATE INDEX customers_owner ON customers (branch_id, owner, financial_assets)",
    "CREATE INDEX customers_name ON customers (branch_id, display_name text_pattern_ops)",
    "CREATE INDEX customers_mobile ON customers (branch_id, mobile_index)",
    "CREATE INDEX customers_suffix ON customers (branch_id, mobile_suffix)",
    "CREATE INDEX customers_birth ON customers (branch_id, birth_date)",
    "CREATE INDEX customers_open ON customers (branch_id, open_date)",
    "CREATE INDEX customers_next ON customers (branch_id, next_contact_on) WHERE next_contact_on IS NOT NULL",
    "CREATE INDEX customers_moved ON customers (branch_id, snapshot_date)",
    "CREATE INDEX holdings_customer ON holdings (branch_id, number)",
    """
    CREATE INDEX holdings_maturity ON holdings (branch_id, maturity_date)
    WHERE maturity_date IS NOT NULL AND NOT closed""",
    "CREATE INDEX movements_shown ON movements (branch_id, snapshot_date)",
    "CREATE INDEX movements_customer ON movements (branch_id, number, day)",
    "CREATE INDEX consents_customer ON consents (branch_id, number, consent_id)",
    "CREATE INDEX group_members_customer ON group_members (branch_id, number)",
    "CREATE UNIQUE INDEX imports_once ON imports (branch_id, source, snapshot_date)",
)

PROTECTED = (
    "customers",
    "customer_readers",
    "reveals",
    "positions",
    "holdings",
    "movements",
    "customer_groups",
    "group_members",
    "imports",
    "import_faults",
)


def upgrade() -> None:
    create_frame_tables("customer")
    run_each(*TABLES, *INDEXES)
    for table in PROTECTED:
        protect(table, "customer")
    protect("consents", "customer", append_only=True, movable=True)
    grant("products", "customer")
