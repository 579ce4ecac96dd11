"""What the release before kept of templates and batches stands as first revisions after the upgrade."""

from pathlib import Path

import asyncpg
from guanhu.messaging.v1 import template_pb2 as pb
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub

from services.chassis.migrate import upgrade_database
from services.messaging.__main__ import SERVICE
from tests.bank import PASSWORDS

FOLDER = Path("services/messaging/migrations")
TEMPLATE = "01920000-0000-7000-8000-000000000001"
KEPT = f"""
    INSERT INTO templates (template_id, display_name, purpose, body, fields, state, author, reviewer, review_remark,
                           create_time, update_time, version)
    VALUES ('{TEMPLATE}', '旧模板', 1, '您好', '{{}}', 3, 'teller', 'manager', '',
            '2026-11-01T01:00:00Z', '2026-11-02T01:00:00Z', 3)"""


async def before(bank, name):
    """Make a database as the release before left it, with one approved template; return its owner's data source."""
    await bank.database("messaging")  # the roles are made with the first one
    admin = await asyncpg.connect(bank.postgres.dsn())
    await admin.execute(f"CREATE DATABASE {name} OWNER guanhu_messaging_owner")
    await admin.execute(
        f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO guanhu_messaging, guanhu_messaging_bulk"
    )
    await admin.close()
    owner = bank.postgres.dsn(
        name, "guanhu_messaging_owner", PASSWORDS["owner_password"]
    )
    await upgrade_database(owner, FOLDER, "0001")
    connection = await asyncpg.connect(owner)
    await connection.execute(KEPT)
    await connection.close()
    return owner


async def test_a_template_of_the_release_before_is_its_first_revision(bank):
    """It keeps its approval, its text stands in the history by author and day, and the history only grows."""
    name = "messaging_before_revisions"
    owner = await before(bank, name)
    await upgrade_database(owner, FOLDER)
    served = await bank.serve(SERVICE, database=name)
    stub = served.as_("manager")(TemplateServiceStub)
    place = f"templates/{TEMPLATE}"
    found = await stub.GetTemplate(pb.GetTemplateRequest(name=place))
    page = await stub.ListTemplateRevisions(
        pb.ListTemplateRevisionsRequest(template=place)
    )
    connection = await asyncpg.connect(
        bank.postgres.dsn(name, "guanhu_messaging", PASSWORDS["password"])
    )
    try:
        await connection.execute("UPDATE template_revisions SET body = '改写'")
        rewritten = True
    except asyncpg.InsufficientPrivilegeError:
        rewritten = False
    await connection.close()
    await served.stop()

    assert (found.state, found.revision) == (pb.TEMPLATE_STATE_APPROVED, 1)
    [first] = page.revisions
    assert (first.revision, first.body, first.author) == (1, "您好", "staff/teller")
    assert first.create_time == found.create_time
    assert not rewritten
