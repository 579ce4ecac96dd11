"""What every contract keeps: one form of lists, changes, states and personal fields; a policy on each RPC."""

import re

from google.protobuf.descriptor import FieldDescriptor
from guanhu.policy.v1 import policy_pb2

from tests.architecture.contracts import SERVICES, descriptors, messages, rpcs

PAGING = ["page_size", "page_token", "skip", "order_by", "query"]

PAGED_OTHERWISE = {
    "guanhu.events.v1.FeedService.ListHeads": "heads of all branches at once",
    "guanhu.events.v1.FeedService.ListEvents": "a feed is read by sequence",
    "guanhu.events.v1.FeedService.ListParked": "few by nature, by branch and source",
    "guanhu.identity.v1.IdentityService.ListKeys": "a handful",
    "guanhu.identity.v1.IdentityService.ListRevocations": "fetched whole every two seconds",
    "guanhu.identity.v1.IdentityService.ListBranchTree": "fetched whole every two seconds",
    "guanhu.parameter.v1.ParameterService.ListParameters": "declared in code, all at once",
    "guanhu.messaging.v1.TemplateService.ListTemplateFields": "declared in code, all at once",
    "guanhu.audit.v1.AuditService.ListHeads": "one per branch",
    "guanhu.audit.v1.AuditService.ListRecords": "one order, and a trail is not paged by number",
}
"""Lists that are not pages of resources, and why."""

PERSONAL = re.compile(r"(^|_)(mobile|id_number|home_address)$")
"""Names of fields that hold what identifies a person, wherever they occur."""


def test_every_rpc_says_who_may_call_how_far_and_what_is_kept():
    """Roles, scope and audit class are declared on each, and writes carry a request id."""
    for method, access in rpcs():
        name = method.full_name

        assert access.roles, name
        assert access.scope, name
        assert access.audit, name
        own = name.partition(".v1.")[0] in {f"guanhu.{service}" for service in SERVICES}
        if (
            access.audit == policy_pb2.AUDIT_WRITE
            and own
            and not method.client_streaming
        ):
            assert access.request_id, name


def test_reads_are_not_audited_as_writes():
    """Get, List, Watch and Check leave no record; anything that changes does."""
    for method, access in rpcs():
        reads = method.name.startswith(("Get", "List", "BatchGet", "Watch", "Count"))
        if reads:
            assert access.audit == policy_pb2.AUDIT_NONE, method.full_name
            assert not access.request_id, method.full_name


def test_every_list_is_paged_in_one_form():
    """The first five fields of a List request are the same everywhere, and so are the last two of its answer."""
    for method, _ in rpcs():
        if not method.name.startswith("List") or method.full_name in PAGED_OTHERWISE:
            continue
        fields = [(field.number, field.name) for field in method.input_type.fields]
        answer = [field.name for field in method.output_type.fields]

        assert fields[:5] == list(enumerate(PAGING, 1)), method.full_name
        assert answer[1:3] == ["next_page_token", "total_size"], method.full_name


def test_the_lists_of_another_form_exist():
    """No exception outlives what it was made for."""
    names = {method.full_name for method, _ in rpcs()}

    assert set(PAGED_OTHERWISE) <= names


def test_standard_methods_answer_the_resource():
    """Get and Update answer the resource that they are named after."""
    for method, _ in rpcs():
        match = re.fullmatch(r"(Get|Create|Update)([A-Z]\w+)", method.name)
        if match and "identity" not in method.full_name:
            answer = method.output_type.name

            assert answer.endswith((match[2], "Response")), method.full_name


def test_what_can_be_updated_carries_an_etag():
    """A request that names a resource to change carries its etag, itself or within the resource."""
    for method, _ in rpcs():
        if not method.name.startswith("Update"):
            continue
        fields = method.input_type.fields_by_name
        below = [
            field.message_type.fields_by_name
            for field in fields.values()
            if field.message_type
        ]

        assert "update_mask" in fields, method.full_name
        assert any("etag" in one for one in [fields, *below]), method.full_name


def test_names_of_fields_follow_one_form():
    """Moments end in _time, days in _date or _on, amounts in Money or minor units; nothing is a float."""
    floats = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
    for message in messages():
        for field in message.fields:
            name, kind = field.full_name, field.message_type

            assert field.type not in floats, name
            if kind and kind.full_name == "google.protobuf.Timestamp":
                assert field.name.endswith("_time"), name
            if field.name.endswith(("_at", "_ts")):
                raise AssertionError(name)


def test_personal_fields_say_so():
    """What identifies a person is class C2 with a mask, wherever it occurs; full values are marked as such."""
    for message in messages():
        for field in message.fields:
            if not PERSONAL.search(field.name):
                continue
            if field.type != FieldDescriptor.TYPE_STRING:
                continue
            data = field.GetOptions().Extensions[policy_pb2.data]

            assert data.data_class == policy_pb2.DATA_CLASS_C2, field.full_name
            assert data.mask, field.full_name


def test_events_hold_nothing_personal():
    """No field of a published fact carries a class of personal data that identifies, nor a name of a person."""
    for file in descriptors():
        if not file.name.endswith("_events.proto"):
            continue
        waiting = list(file.message_types_by_name.values())
        while waiting:
            message = waiting.pop()
            waiting += message.nested_types
            for field in message.fields:
                data = field.GetOptions().Extensions[policy_pb2.data]

                assert not data.data_class, field.full_name
                assert not PERSONAL.search(field.name), field.full_name
                assert "display_name" not in field.name, field.full_name


def test_every_reason_reads_in_both_languages_and_once():
    """Each reason has an English and a Chinese sentence with the same placeholders; no two services share a name."""
    seen = {}
    for file in descriptors():
        reasons = file.enum_types_by_name.get("Reason")
        for value in reasons.values if reasons else ():
            saying = value.GetOptions().Extensions[policy_pb2.saying]
            holes = [
                sorted(re.findall(r"{(\w+)}", text)) for text in (saying.en, saying.zh)
            ]

            if value.number:
                assert saying.en, value.name
                assert saying.zh, value.name
                assert holes[0] == holes[1] or value.name == "REASON_NOT_FOUND"
                assert value.name not in seen, (value.name, file.name, seen)
                seen[value.name] = file.name


def test_enumerations_begin_with_unspecified():
    """Every value bears its enumeration's name, and zero says nothing."""
    for file in descriptors():
        waiting = list(file.message_types_by_name.values())
        enums = list(file.enum_types_by_name.values())
        while waiting:
            message = waiting.pop()
            waiting += message.nested_types
            enums += message.enum_types
        for enum in enums:
            prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
            zero = enum.values_by_number[0].name

            assert zero == f"{prefix}_UNSPECIFIED", enum.full_name
            assert all(one.name.startswith(f"{prefix}_") for one in enum.values)
