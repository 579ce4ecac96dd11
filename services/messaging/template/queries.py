"""Reads of templates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from services.chassis.caller import HEAD_OFFICE
from services.chassis.db import Work
from services.chassis.errors import NotFound
from services.chassis.paging import Listing
from services.messaging.template.rules import Compiled, compiled
from services.messaging.template.tables import Template

LISTING = Listing(
    orders={
        "display_name": Template.display_name,
        "update_time": Template.update_time,
    },
    default="update_time desc",
    unique=(Template.template_id,),
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; unset fields narrow nothing."""

    query: str = ""
    purpose: int = 0
    state: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What the system puts around every text: the signature, and the words to refuse."""

    signature: str
    refusal: str

    def around(self, row: Any) -> Compiled:
        """Return the text of a template as it goes out."""
        return compiled(
            row.body,
            signature=self.signature,
            refusal=self.refusal,
            purpose=row.purpose,
        )


async def frame(work: Work, branch_id: int = HEAD_OFFICE) -> Frame:
    """Return what is put around the texts of a branch."""
    return Frame(
        await work.parameter("sms_signature", branch_id),
        await work.parameter("refusal_words", branch_id),
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
