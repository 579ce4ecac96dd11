"""Commands on templates: write, edit, submit, approve, reject; nobody reviews their own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from services.chassis.caller import Caller, Role
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import AlreadyExists, Denied, Invalid, Stale, Unready
from services.messaging.template import queries, rules
from services.messaging.template.rules import State
from services.messaging.template.tables import Revision, Template

FIRST = 1
"""The revision of a template that was never edited."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A template as its author writes it."""

    display_name: str
    purpose: int
    body: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A template with what the system puts around its text."""

    row: Template
    frame: queries.Frame


async def create(uow: UnitOfWork, caller: Caller, *, draft: Draft) -> Shown:
    """
    Write a template as a draft of the caller.

    Refuses FIELD_INVALID, TEMPLATE_NAME_TAKEN, and the first of the text's faults: TEMPLATE_TEXT_EMPTY,
    TEMPLATE_CHARACTERS_HIDDEN, TEMPLATE_FIELD_UNKNOWN, TEMPLATE_BRACES_STRAY, TEMPLATE_FORGES,
    TEMPLATE_PHRASE_FORBIDDEN, TEMPLATE_TOO_LONG.
    """
    async with uow(caller) as work:
        await _check(work, draft)
        template_id = uuid7()
        await _check_name(work, draft.display_name, template_id)
        row = Template(
            template_id=template_id,
            display_name=draft.display_name,
            purpose=draft.purpose,
            body=draft.body,
            fields=rules.fields_of(draft.body),
            state=State.DRAFT,
            author=caller.key,
            reviewer="",
            review_remark="",
            create_time=work.now,
            update_time=work.now,
            revision=FIRST,
        )
        work.add(row)
        await _keep(work, row, work.now)
        return await _noted(work, row)


async def update(
    uow: UnitOfWork,
    caller: Caller,
    *,
    template_id: UUID,
    version: int,
    fields: Mapping[str, Any],
) -> Shown:
    """
    Change the *fields* of a template: it is the caller's draft then, whatever was approved before.

    A branch manager may edit everybody's, others their own. What changes nothing leaves state and revision.
    Refuses NOT_FOUND, CHANGED_MEANWHILE, TEMPLATE_OF_ANOTHER, and what ``create`` refuses.
    """
    async with uow(caller) as work:
        row = await queries.held(work, template_id)
        if row.version != version:
            raise Stale("CHANGED_MEANWHILE")
        if row.author != caller.key and not caller.has(Role.ROLE_BRANCH_MANAGER):
            raise Denied("TEMPLATE_OF_ANOTHER")
        was = Draft(row.display_name, row.purpose, row.body)
        draft = replace(was, **fields)
        if draft == was:
            return await _noted(work, row)
        await _check(work, draft)
        await _check_name(work, draft.display_name, template_id)
        await _keep(work, row, row.update_time)
        row.display_name, row.purpose = draft.display_name, draft.purpose
        row.body, row.fields = draft.body, rules.fields_of(draft.body)
        row.state, row.author = State.DRAFT, caller.key
        row.revision, row.update_time = row.revision + 1, work.now
        await _keep(work, row, work.now)
        return await _noted(work, row)


async def _check(work: Work, draft: Draft) -> None:
    name = draft.display_name
    if rules.hidden(name) or not name.strip():
        path = "template.display_name"
        faults = {path: "holds characters that cannot be seen"}
        raise Invalid("FIELD_INVALID", fields=faults, count=1, named=path)
    wrong = await queries.faults(work, draft)
    if wrong:
        raise Invalid(wrong[0].reason, **dict[str, Any](wrong[0].facts))


async def _check_name(work: Work, display_name: str, template_id: UUID) -> None:
    taken = select(Template.template_id).where(
        (Template.display_name == display_name) & (Template.template_id != template_id)
    )
    if (await work.execute(taken)).first():
        raise AlreadyExists("TEMPLATE_NAME_TAKEN")


async def _keep(work: Work, row: Template, moment: datetime) -> None:
    """Write down what a template says now; nothing happens when its revision was written down before."""
    kept = {
        "template_id": row.template_id,
        "revision": row.revision,
        "display_name": row.display_name,
        "purpose": row.purpose,
        "body": row.body,
        "author": row.author,
        "create_time": moment,
    }
    await work.execute(insert(Revision).values(kept).on_conflict_do_nothing())


async def submit(
    uow: UnitOfWork, caller: Caller, *, template_id: UUID, version: int
) -> Shown:
    """Submit a draft or a rejected template for review; refuses NOT_FOUND, CHANGED_MEANWHILE, TEMPLATE_STATE_UNFIT."""
    async with uow(caller) as work:
        row = await _held(
            work, template_id, version=version, states=(State.DRAFT, State.REJECTED)
        )
        row.state, row.update_time = State.SUBMITTED, work.now
        return await _noted(work, row)


async def review(
    uow: UnitOfWork,
    caller: Caller,
    *,
    template_id: UUID,
    version: int,
    approved: bool,
    remark: str = "",
) -> Shown:
    """
    Approve or reject a submitted template of somebody else.

    Refuses NOT_FOUND, CHANGED_MEANWHILE, TEMPLATE_STATE_UNFIT and REVIEWER_IS_AUTHOR; approving also checks the text
    anew, because what is forbidden may have changed since it was written.
    """
    async with uow(caller) as work:
        row = await _held(work, template_id, version=version, states=(State.SUBMITTED,))
        if row.author == caller.key:
            raise Denied("REVIEWER_IS_AUTHOR")
        if approved:
            await _check(work, Draft(row.display_name, row.purpose, row.body))
        row.state = State.APPROVED if approved else State.REJECTED
        row.reviewer, row.review_remark = caller.key, remark
        row.update_time = work.now
        return await _noted(work, row)


async def _held(
    work: Work, template_id: UUID, *, version: int, states: tuple[State, ...]
) -> Template:
    row = await queries.held(work, template_id)
    if row.version != version:
        raise Stale("CHANGED_MEANWHILE")
    if row.state not in states:
        raise Unready("TEMPLATE_STATE_UNFIT", state=State(row.state).name)
    return row


async def _noted(work: Work, row: Template) -> Shown:
    """Write the row, so that its version counts up, and enter it in the audit record."""
    await work.session.flush()
    work.note(
        f"templates/{row.template_id}",
        branch_id=work.caller.branch_id,
        state=State(row.state).name,
        revision=row.revision,
    )
    return Shown(row, await queries.frame(work))
