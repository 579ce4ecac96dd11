"""Templates between the contract's messages and values."""

from typing import Any
from uuid import UUID

from guanhu.messaging.v1 import template_pb2 as pb

from services.chassis.db import chosen
from services.chassis.errors import sayings
from services.chassis.names import key_of, name_of
from services.chassis.wiretypes import time_to, version_from
from services.messaging.template.actions import Draft
from services.messaging.template.queries import (
    Filters,
    Frame,
    Preview,
    PurposeRule,
    Text,
)
from services.messaging.template.rules import FIELDS, Fault, Field

ENCODINGS = {"gsm7": pb.AIR_ENCODING_GSM7, "ucs2": pb.AIR_ENCODING_UCS2}


def id_from(name: str) -> UUID:
    """Return the identifier in the name of a template."""
    return UUID(key_of("templates", name))


def draft_from(template: pb.Template) -> Draft:
    """Return what the author of a template wrote."""
    return Draft(template.display_name, template.purpose, template.body)


def update_from(request: pb.UpdateTemplateRequest) -> dict[str, Any]:
    """Return what an update asks for; refuses MASK_UNKNOWN."""
    template = request.template
    values: dict[str, object] = {
        "display_name": template.display_name,
        "purpose": template.purpose,
        "body": template.body,
    }
    return {
        "template_id": id_from(template.name),
        "version": version_from(template.etag),
        "fields": chosen(values, request.update_mask.paths),
    }


def text_from(request: pb.PreviewTemplateRequest) -> Text:
    """Return the text that is not stored and to be shown."""
    return Text(request.body, request.purpose)


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
        revision=row.revision,
    )


def revision_to(row: Any) -> pb.TemplateRevision:
    """Return one row as the contract's revision."""
    return pb.TemplateRevision(
        template=name_of("templates", row.template_id),
        revision=row.revision,
        display_name=row.display_name,
        purpose=row.purpose,
        body=row.body,
        author=name_of("staff", row.author),
        create_time=time_to(row.create_time),
    )


def fields_to() -> pb.ListTemplateFieldsResponse:
    """Return the whole catalogue."""
    return pb.ListTemplateFieldsResponse(
        fields=[field_to(name, field) for name, field in FIELDS.items()]
    )


def field_to(name: str, field: Field) -> pb.TemplateField:
    """Return one field of the catalogue."""
    return pb.TemplateField(
        field=name,
        field_type=field.field_type.value,  # type: ignore[arg-type]
        longest=field.longest,
        shown_tail=field.tail,
        example=field.example,
        label=field.label,
        label_zh=field.label_zh,
    )


def preview_to(found: Preview) -> pb.PreviewTemplateResponse:
    """Return a text as it would go out."""
    shown = found.shown
    return pb.PreviewTemplateResponse(
        full_text=shown.text,
        characters=shown.characters,
        segments=shown.segments,
        encoding=ENCODINGS[shown.encoding],
        encoded_segments=shown.encoded,
        fields=found.fields,
        faults=map(fault_to, found.faults),
        purpose_rule=rule_to(found.rule),
    )


def fault_to(fault: Fault) -> pb.TemplateFault:
    """Return a fault with the sentences of its reason."""
    saying = sayings()[fault.reason]
    return pb.TemplateFault(
        reason=fault.reason,
        message=saying.en.format_map(fault.facts),
        message_zh=saying.zh.format_map(fault.facts),
    )


def rule_to(rule: PurposeRule) -> pb.PurposeRule:
    """Return what a purpose decides."""
    return pb.PurposeRule(
        purpose=rule.purpose,  # type: ignore[arg-type]
        signature=rule.signature,
        refusal_words=rule.refusal,
        needs_consent=rule.marketing,
        always_approved=rule.marketing,
        approval_size=rule.approval_size,
        from_hour=rule.hours[0],
        to_hour=rule.hours[1],
        week_cap=rule.caps[0],
        month_cap=rule.caps[1],
    )
