"""What ties the demonstration bank together after its customers are in: wishes, owners, groups, templates."""

import time

from guanhu.allocation.v1 import ownership_pb2 as ownership
from guanhu.allocation.v1.ownership_pb2_grpc import OwnershipServiceStub
from guanhu.customer.v1 import consent_pb2 as consent
from guanhu.customer.v1 import customer_pb2 as customer
from guanhu.customer.v1 import group_pb2 as group
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.messaging.v1 import template_pb2 as template
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub

from deploy.demo import choices, words
from deploy.demo.speaking import Demo, at_once, request_id

BATCH = 500
KNOWN_SECONDS = 60
REASON = "演示数据：价值优先分配"


def note_wishes(demo: Demo) -> None:
    """Record who asked not to be disturbed and who agreed to offers."""
    branch_of = {person.number: person.branch_id for person in demo.bank.people}

    def disturb_not(number: str) -> None:
        request = consent.SetDoNotDisturbRequest(
            customer=f"customers/{number}",
            do_not_disturb=True,
            request_id=request_id("undisturbed", number),
        )
        manager = demo.managers[branch_of[number]]
        manager.call("customer", ConsentServiceStub, "SetDoNotDisturb", request)

    def agree(number: str) -> None:
        evidence = consent.Evidence(
            kind=consent.EVIDENCE_KIND_PAPER_FORM,
            reference=f"演示授权书 {number}",
            text_version="2026-01",
        )
        request = consent.GrantConsentRequest(
            customer=f"customers/{number}",
            channel=customer.CHANNEL_SMS,
            purpose=consent.PURPOSE_MARKETING,
            evidence=evidence,
            request_id=request_id("consenting", number),
        )
        manager = demo.managers[branch_of[number]]
        manager.call("customer", ConsentServiceStub, "GrantConsent", request)

    undisturbed, consenting = (
        choices.undisturbed(demo.bank),
        choices.consenting(demo.bank),
    )
    at_once(disturb_not, undisturbed)
    at_once(agree, consenting)
    demo.say(
        f"{len(undisturbed)} customers are not disturbed, {len(consenting)} agreed to offers"
    )


def _wait_until_known(demo: Demo) -> None:
    """Return when allocation has heard of every customer."""
    end = time.monotonic() + KNOWN_SECONDS
    while time.monotonic() < end:
        known = 0
        for branch_id, manager in demo.managers.items():
            request = ownership.ListOwnershipsRequest(page_size=1, branch_id=branch_id)
            page = manager.call(
                "allocation", OwnershipServiceStub, "ListOwnerships", request
            )
            known += page.total_size
        if known >= demo.known:
            return
        time.sleep(0.3)
    raise TimeoutError(
        f"allocation heard of {known} of {demo.known} customers in {KNOWN_SECONDS} seconds"
    )


def assign(demo: Demo) -> None:
    """Give customers to their owners, as the branch manager would."""
    _wait_until_known(demo)
    given = 0
    for share in choices.shares(demo.bank):
        for start in range(0, len(share.numbers), BATCH):
            numbers = share.numbers[start : start + BATCH]
            request = ownership.AssignCustomersRequest(
                customers=[
                    ownership.SeenCustomer(customer=f"customers/{number}")
                    for number in numbers
                ],
                owner=f"staff/{share.owner}",
                mode=customer.MaintenanceMode.Value(f"MAINTENANCE_MODE_{share.mode}"),
                reason=REASON,
                request_id=request_id("assign", *numbers),
            )
            manager = demo.managers[share.branch_id]
            answer = manager.call(
                "allocation", OwnershipServiceStub, "AssignCustomers", request
            )
            given += answer.assigned_count
    demo.say(f"{given} customers have owners")


def make_groups(demo: Demo) -> None:
    """Make the groups of every branch and put customers in."""
    found = choices.groups(demo.bank)
    for named in found:
        manager = demo.managers[named.branch_id]
        made = manager.call(
            "customer",
            GroupServiceStub,
            "CreateGroup",
            group.CreateGroupRequest(
                group=group.Group(
                    display_name=named.display_name, kind=group.GROUP_KIND_STATIC
                ),
                request_id=request_id("group", named.branch_id, named.display_name),
            ),
        )
        if made is not None and named.numbers:
            request = group.AddMembersRequest(
                group=made.name,
                customers=[f"customers/{number}" for number in named.numbers],
                request_id=request_id("members", named.branch_id, named.display_name),
            )
            manager.call("customer", GroupServiceStub, "AddMembers", request)
    demo.say(f"{len(found)} groups have members")


def make_templates(demo: Demo) -> None:
    """Let one branch's manager write the bank's templates, and another's approve them."""
    author, reviewer = list(demo.managers.values())[:2]
    for title, purpose, body in words.TEMPLATES:
        fresh = template.Template(
            display_name=title,
            purpose=consent.Purpose.Value(f"PURPOSE_{purpose}"),
            body=body,
        )
        made = author.call(
            "messaging",
            TemplateServiceStub,
            "CreateTemplate",
            template.CreateTemplateRequest(
                template=fresh, request_id=request_id("template", title)
            ),
        )
        if made is None:
            continue
        submitted = author.call(
            "messaging",
            TemplateServiceStub,
            "SubmitTemplate",
            template.SubmitTemplateRequest(
                name=made.name,
                etag=made.etag,
                request_id=request_id("submit template", title),
            ),
        )
        approve = template.ApproveTemplateRequest(
            name=submitted.name,
            etag=submitted.etag,
            request_id=request_id("approve template", title),
        )
        reviewer.call("messaging", TemplateServiceStub, "ApproveTemplate", approve)
    demo.say(f"{len(words.TEMPLATES)} templates are approved")
