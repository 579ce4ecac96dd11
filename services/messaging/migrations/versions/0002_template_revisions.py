"""
Keep every revision of a template, and which one a batch was planned on.

Additive. The release before this one writes templates and batches without a revision, which then is the first: it
never edits a template, so that is what it is; a batch that it plans on a template edited since must be planned anew.
"""

from services.chassis.migrate import grant, run_each

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_each(
        "ALTER TABLE templates ADD COLUMN revision integer NOT NULL DEFAULT 1",
        "ALTER TABLE batches ADD COLUMN template_revision integer NOT NULL DEFAULT 1",
        """
        CREATE TABLE template_revisions (
            template_id uuid NOT NULL,
            revision integer NOT NULL,
            display_name text NOT NULL,
            purpose smallint NOT NULL,
            body text NOT NULL,
            author text NOT NULL,
            create_time timestamptz NOT NULL,
            PRIMARY KEY (template_id, revision))""",
        """
        INSERT INTO template_revisions (template_id, revision, display_name, purpose, body, author, create_time)
        SELECT template_id, 1, display_name, purpose, body, author, create_time FROM templates
        ON CONFLICT DO NOTHING""",
    )
    grant("template_revisions", "messaging", append_only=True)
