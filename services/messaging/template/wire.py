"""Templates between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.messaging.v1 import template_pb2 as pb

from services.chassis.names import key_of, name_of
from services.chassis.wiretypes import time_to
from services.messaging.template.actions import Draft
from services.messaging.template.queries import Filters, Frame


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a template."""
    return UUID(key_of("templates", name))


def draft_from(template: pb.Template) -> Draft:
    """Return what the author of a template wrote."""
    return Draft(template.display_name, template.purpose, template.body)


def filters_from(request: pb.ListTemplatesRequest) -> Filters:
    """Return the filters of a list."""
    return Filters(request.query, request.purpose, request.state)


def template_to(row: Any, frame: Frame) -> pb.Template:
    """Return one row as the contract's template, with the text as it goes out."""
    return pb.Template(
        name=name_of("templates", row.template_id),
        display_name=row.display_name,
        purpose=row.purpose,
        body=row.body,
        fields=row.fields,
        full_text=frame.around(row).text,
        state=row.state,
        author=name_of("staff", row.author),
        reviewer=name_of("staff", row.reviewer),
        review_remark=row.review_remark,
        etag=str(row.version),
        create_time=time_to(row.create_time),
        update_time=time_to(row.update_time),
    )
