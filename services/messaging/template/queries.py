"""Reads of templates, of what they said before, and of how they go out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from services.chassis.caller import HEAD_OFFICE
from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.template import rules
from services.messaging.template.rules import Compiled, Fault, Purpose
from services.messaging.template.tables import Revision, Template

LISTING = Listing(
    orders={
        "display_name": Template.display_name,
        "update_time": Template.update_time,
    },
    default="update_time desc",
    unique=(Template.template_id,),
)
REVISIONS = Listing(
    orders={"revision": Revision.revision},
    default="revision desc",
    unique=(Revision.revision,),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    purpose: int = 0
    state: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """What is sent for a purpose, before the frame is put around it."""

    body: str
    purpose: int


@dataclass(frozen=True, slots=True)
class Frame:
    """
    What the system puts around every text: the signature, and the words to refuse.

    ``signatures`` are those of single purposes, by the purpose's name; an empty one leaves the bank's.
    """

    signature: str
    refusal: str
    signatures: Mapping[str, str]

    def signature_of(self, purpose: int) -> str:
        """Return the signature of texts for *purpose*."""
        return rules.signature_of(purpose, self.signature, self.signatures)

    def around(self, row: Any) -> Compiled:
        """Return the text of a template as it goes out."""
        signature = self.signature_of(row.purpose)
        return rules.compiled(row.body, signature, self.refusal, row.purpose)


async def frame(work: Work, branch_id: int = HEAD_OFFICE) -> Frame:
    """Return what is put around the texts of a branch."""
    return Frame(
        await work.parameter("sms_signature", branch_id),
        await work.parameter("refusal_words", branch_id),
        await work.parameter("purpose_signatures", branch_id),
    )


@dataclass(frozen=True, slots=True)
class PurposeRule:
    """What a purpose decides in a branch: the frame, who must agree, when messages go out, and how many."""

    purpose: int
    signature: str
    refusal: str
    approval_size: int
    hours: tuple[int, int]
    caps: tuple[int, int]

    @property
    def marketing(self) -> bool:
        """Say whether customers must have agreed, and every batch needs a second person."""
        return self.purpose == Purpose.MARKETING


async def purpose_rule(work: Work, purpose: int, branch_id: int) -> PurposeRule:
    """Return what *purpose* decides in a branch; service notices go out at every hour, caps are marketing's."""
    around = await frame(work, branch_id)
    hours = await work.parameter("sms_hours", branch_id)
    caps = await work.parameter("marketing_cap", branch_id)
    marketing = purpose == Purpose.MARKETING
    return PurposeRule(
        purpose=purpose,
        signature=around.signature_of(purpose),
        refusal=around.refusal if marketing else "",
        approval_size=await work.parameter("approval_size", branch_id),
        hours=(0, 24) if purpose == Purpose.SERVICE else (hours["from"], hours["to"]),
        caps=(caps["week"], caps["month"]) if marketing else (0, 0),
    )


async def faults(work: Work, text: Any) -> list[Fault]:
    """Return everything for which *text* cannot be a template of the bank; empty when it will do."""
    found = rules.body_faults(
        text.body,
        phrases=await work.parameter("forbidden_phrases"),
        words=await work.parameter("opt_out_words"),
    )
    whole = rules.previewed((await frame(work)).around(text), {}).text
    limit = await work.parameter("segment_limit")
    long = rules.length_fault(whole, limit)
    return [*found, long] if long else found


@dataclass(frozen=True, slots=True)
class Preview:
    """A text as it would go out, with everything that is wrong with it, and what its purpose decides."""

    fields: Sequence[str]
    shown: rules.Preview
    faults: Sequence[Fault]
    rule: PurposeRule


async def preview(
    work: Work, text: Any, given: Mapping[str, str], branch_id: int
) -> Preview:
    """Return how *text* would go out in a branch with the values *given*; its faults come before theirs."""
    around = await frame(work, branch_id)
    shown = rules.previewed(around.around(text), given)
    wrong = await faults(work, text)
    return Preview(
        fields=rules.fields_of(text.body),
        shown=shown,
        faults=[*wrong, *shown.faults],
        rule=await purpose_rule(work, text.purpose, branch_id),
    )


async def held(work: Work, template_id: UUID) -> Template:
    """Return one template; refuse NOT_FOUND when there is none."""
    row = await work.find(Template, template_id)
    if row is None:
        raise NotFound("template", "短信模板")
    return row


def listed(filters: Filters) -> Select[Any]:
    """Return the statement of a list."""
    statement = select(*Template.__table__.columns)
    narrowed: Mapping[Any, int] = {
        Template.purpose: filters.purpose,
        Template.state: filters.state,
    }
    for column, value in narrowed.items():
        if value:
            statement = statement.where(column == value)
    if filters.query:
        found = Template.display_name.contains(filters.query, autoescape=True)
        statement = statement.where(found)
    return statement


def revisions(template_id: UUID, query: str) -> Select[Any]:
    """Return the statement of what a template said, of texts that hold *query*."""
    statement = select(*Revision.__table__.columns)
    if query:
        found = Revision.body.contains(query, autoescape=True)
        statement = statement.where(found)
    return statement.where(Revision.template_id == template_id)
