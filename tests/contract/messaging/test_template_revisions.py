"""Edited templates: every revision is kept, approval starts anew, and a batch of an older one goes nowhere."""

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.messaging.v1 import batch_pb2
from guanhu.messaging.v1 import template_pb2 as pb

from tests import messages
from tests.builders import request_id
from tests.messages import (
    MARKETING,
    a_group,
    a_template,
    approve,
    approve_template,
    approved,
    confirm,
    consent,
    plan,
    submit,
    templates,
)
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Three customers of a teller, beside the service that writes to them."""
    running = await messages.start(bank)
    yield running
    await messages.stop(running)


def editing(template, paths=None, *, etag=None, **values):
    """Return the request that changes *values* of a template."""
    etag = template.etag if etag is None else etag
    return pb.UpdateTemplateRequest(
        template=pb.Template(name=template.name, etag=etag, **values),
        update_mask=FieldMask(paths=paths or list(values)),
        request_id=request_id(),
    )


async def edit(town, template, *paths, who="teller", **values):
    """Change a template."""
    return await templates(town, who).UpdateTemplate(editing(template, paths, **values))


async def revisions(town, template, who="auditor", **more):
    """Return a page of what a template said."""
    return await templates(town, who).ListTemplateRevisions(
        pb.ListTemplateRevisionsRequest(template=template.name, **more)
    )


async def test_an_edited_template_is_a_draft_of_whoever_edited_it(town):
    """The approval is gone, the revision counts up, fields and text follow, and who edits cannot review."""
    done = await approved(town, name="编辑")
    body = "{{owner_name}}提醒您：产品到期。"
    edited = await edit(town, done, body=body, who="manager")
    sent = await submit(town, edited, who="manager")
    own = await refused(approve_template(town, sent, who="manager"))
    again = await approve_template(town, sent, who="upper_manager")

    assert (done.revision, done.author) == (1, "staff/teller")
    assert (edited.state, edited.revision) == (pb.TEMPLATE_STATE_DRAFT, 2)
    assert (edited.author, edited.display_name) == ("staff/manager", "编辑")
    assert (edited.body, list(edited.fields)) == (body, ["owner_name"])
    assert own == ("PERMISSION_DENIED", "REVIEWER_IS_AUTHOR")
    assert (again.state, again.revision) == (pb.TEMPLATE_STATE_APPROVED, 2)


async def test_only_the_author_or_a_branch_manager_edits(town):
    """Another member of staff is refused, and so is an auditor, who changes nothing at all."""
    draft = await a_template(town, name="他人的模板")
    other = await refused(edit(town, draft, body="改", who="keeper"))
    auditor = await refused(edit(town, draft, body="改", who="auditor"))
    mine = await edit(town, draft, body="改")

    assert other == ("PERMISSION_DENIED", "TEMPLATE_OF_ANOTHER")
    assert auditor == ("PERMISSION_DENIED", "ROLE_MISSING")
    assert mine.body == "改"


async def test_an_edit_is_refused_as_the_first_writing_is(town):
    """Old etags, no etag, other fields, emptied fields, forged texts, a name that is taken, and what is not there."""
    await a_template(town, name="已有名称")
    draft = await a_template(town, name="要改的")
    stub = templates(town)
    missing = pb.Template(
        name="templates/00000000-0000-0000-0000-000000000000", etag="1"
    )
    found = [
        await refused(stub.UpdateTemplate(request))
        for request in (
            editing(draft, body="新", etag="9"),
            editing(draft, body="新", etag=""),
            editing(draft, ["state"]),
            editing(draft, ["body"]),
            editing(draft, ["purpose"]),
            editing(draft, body="【工商银行】您好"),
            editing(draft, body="{{balance}}"),
            editing(draft, display_name="已有名称"),
            editing(missing, body="新"),
        )
    ]
    kept = await revisions(town, draft)

    assert found == [
        ("ABORTED", "CHANGED_MEANWHILE"),
        ("INVALID_ARGUMENT", "ETAG_REQUIRED"),
        ("INVALID_ARGUMENT", "MASK_UNKNOWN"),
        ("INVALID_ARGUMENT", "FIELD_INVALID"),
        ("INVALID_ARGUMENT", "FIELD_INVALID"),
        ("INVALID_ARGUMENT", "TEMPLATE_FORGES"),
        ("INVALID_ARGUMENT", "TEMPLATE_FIELD_UNKNOWN"),
        ("ALREADY_EXISTS", "TEMPLATE_NAME_TAKEN"),
        ("NOT_FOUND", "NOT_FOUND"),
    ]
    assert kept.total_size == 1


async def test_the_same_request_edits_once_and_the_same_text_not_at_all(town):
    """A repeated request gets the stored answer; writing what is there already keeps approval and revision."""
    done = await approved(town, name="一次")
    same = await edit(town, done, body=done.body, purpose=done.purpose)
    request = editing(done, body="新的正文")
    first = await templates(town).UpdateTemplate(request)
    again = await templates(town).UpdateTemplate(request)

    assert same == done
    assert first == again
    assert first.revision == 2


async def test_every_revision_is_kept_and_paged_newest_first(town):
    """Who wrote what, when, in which order; pages of two hold each once, and a text can be looked for."""
    template = await a_template(town, name="第1版", body="正文1")
    for number in range(2, 6):
        who = "manager" if number % 2 else "upper_manager"
        values = {"display_name": f"第{number}版", "body": f"正文{number}"}
        template = await edit(town, template, who=who, **values)
    found, token = [], ""
    while True:
        page = await revisions(town, template, page_size=2, page_token=token)
        found += page.revisions
        token = page.next_page_token
        if not token:
            break
    oldest = await revisions(town, template, order_by="revision", page_size=1)
    third = await revisions(town, template, query="正文3")
    missing = await refused(
        revisions(town, pb.Template(name=f"templates/{request_id()}"))
    )

    assert [(one.revision, one.display_name, one.body) for one in found] == [
        (number, f"第{number}版", f"正文{number}") for number in range(5, 0, -1)
    ]
    authors = ["manager", "upper_manager", "manager", "upper_manager", "teller"]
    assert [one.author for one in found] == [f"staff/{who}" for who in authors]
    assert page.total_size == 5
    assert {one.template for one in found} == {template.name}
    assert oldest.revisions[0].create_time == template.create_time
    assert [one.revision for one in third.revisions] == [3]
    assert missing == ("NOT_FOUND", "NOT_FOUND")


async def test_what_the_release_before_wrote_is_kept_with_the_first_edit(town):
    """A template without a kept revision, as the release before writes it, keeps its text when it is edited."""
    draft = await a_template(town, name="旧版写入", body="旧正文")
    await town.messaging.sql("DELETE FROM template_revisions")
    edited = await edit(town, draft, body="新正文")
    page = await revisions(town, edited)

    assert [(one.revision, one.body) for one in page.revisions] == [
        (2, "新正文"),
        (1, "旧正文"),
    ]


async def test_a_batch_of_an_older_revision_is_not_confirmed(town):
    """Edited between planning and the answer, even when the text is approved again; planned anew, it goes out."""
    template = await approved(town, name="计划后修改")
    group = await a_group(town, "01", "02")
    batch = await plan(town, template, group)
    edited = await edit(town, template, body="换了一段话。")
    draft = await refused(confirm(town, batch))
    template = await approve_template(town, await submit(town, edited))
    again = await refused(confirm(town, batch))
    fresh = await plan(town, template, group)
    done = await confirm(town, fresh)

    assert draft == again == ("FAILED_PRECONDITION", "TEMPLATE_CHANGED")
    assert fresh.digest != batch.digest
    assert done.state == batch_pb2.BATCH_STATE_SENDING


async def test_a_batch_of_an_older_revision_is_not_approved(town):
    """Edited between the answer and the second person; one that was approved before goes on as approved."""
    await consent(town, "01", "02")
    template = await approved(town, name="营销", purpose=MARKETING)
    group = await a_group(town, "01", "02", name="营销")
    first = await confirm(town, await plan(town, template, group))
    second = await confirm(town, await plan(town, template, group))
    running = await approve(town, first)
    await edit(town, template, body="新品上市。")
    late = await refused(approve(town, second))
    after = await messages.get(town, running)

    assert late == ("FAILED_PRECONDITION", "TEMPLATE_CHANGED")
    assert after.state == batch_pb2.BATCH_STATE_SENDING
