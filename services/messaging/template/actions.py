"""Commands on templates: write, submit, approve, reject; nobody reviews their own."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import AlreadyExists, Denied, Invalid, Stale, Unready
from services.messaging.template import queries, rules
from services.messaging.template.rules import State
from services.messaging.template.tables import Template


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

    Refuses FIELD_INVALID, TEMPLATE_FIELD_UNKNOWN, TEMPLATE_BRACES_STRAY, TEMPLATE_FORGES, TEMPLATE_PHRASE_FORBIDDEN
    and TEMPLATE_NAME_TAKEN.
    """
    async with uow(caller) as work:
        await _check(work, draft)
        taken = select(Template.template_id).where(
            Template.display_name == draft.display_name
        )
        if (await work.execute(taken)).first():
            raise AlreadyExists("TEMPLATE_NAME_TAKEN")
        row = Template(
            template_id=uuid7(),
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
        )
        work.add(row)
        await work.session.flush()
        return await _noted(work, row)


async def _check(work: Work, draft: Draft) -> None:
    for field in ("display_name", "body"):
        text = getattr(draft, field)
        if rules.hidden(text) or not text.strip():
            path = f"template.{field}"
            faults = {path: "holds characters that cannot be seen"}
            raise Invalid("FIELD_INVALID", fields=faults, count=1, named=path)
    fault = rules.body_fault(
        draft.body,
        phrases=await work.parameter("forbidden_phrases"),
        words=await work.parameter("opt_out_words"),
    )
    if fault is not None:
        raise Invalid(fault.reason, **dict[str, Any](fault.facts))


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
    )
    return Shown(row, await queries.frame(work))
