"""A messaging service beside a customer service: people in groups, templates, batches, and a centre in memory."""

from collections import Counter
from types import SimpleNamespace
from uuid import UUID, uuid4

from guanhu.customer.v1 import consent_pb2, customer_pb2, group_pb2
from guanhu.customer.v1.consent_pb2_grpc import ConsentServiceStub
from guanhu.customer.v1.group_pb2_grpc import GroupServiceStub
from guanhu.engagement.v1 import work_log_pb2
from guanhu.messaging.v1 import batch_pb2, inbound_pb2, template_pb2
from guanhu.messaging.v1.batch_pb2_grpc import SmsBatchServiceStub
from guanhu.messaging.v1.inbound_pb2_grpc import InboundServiceStub
from guanhu.messaging.v1.template_pb2_grpc import TemplateServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE as ALLOCATION
from services.allocation.identity.queries import LocalKeys
from services.chassis.caller import service_caller
from services.customer.__main__ import SERVICE as CUSTOMER
from services.messaging.__main__ import SERVICE
from services.messaging.delivery.actions.lane import Desk, Lane
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.station import Patience, Station
from services.messaging.delivery.rules import source_of
from services.messaging.gateways.memory import RememberingGateway
from services.messaging.inbound.actions.listen import Listener
from services.messaging.reactions import REACTIONS
from tests.builders import request_id
from tests.snapshots import a_customer_line, import_day

SERVICE_PURPOSE, CARE, MARKETING = 1, 2, 3
BODY = "尊敬的{{customer_title}}，您的定期存款即将到期，欢迎莅临{{branch_name}}。"


def mobile_of(number):
    """Return the mobile of a customer of these tests."""
    return f"138{int(number):08}"


async def start(bank, numbers=("01", "02", "03"), owner="teller", same=None):
    """Serve both services, with customers of *owner* in branch 101; those in *same* have another's mobile."""
    customer = await bank.serve(CUSTOMER)
    lines = [
        a_customer_line(
            number,
            mobile=mobile_of((same or {}).get(number, number)),
            display_name=f"王小{number}",
        )
        for number in numbers
    ]
    await import_day(customer, customers=lines)
    await customer.sql(f"UPDATE customers SET owner = '{owner}'")
    messaging = await bank.serve(SERVICE)
    return SimpleNamespace(customer=customer, messaging=messaging)


async def allocation_of(bank):
    """Serve allocation, whose tokens services started from now on take."""
    served = await bank.serve(ALLOCATION)
    found = await LocalKeys(served.frame.uow).fetch()
    bank.keys.more.update(found.keys)
    await served.frame.keyring.refresh()
    return served


async def with_tokens(bank, town):
    """Serve allocation beside a town: a worker in a process of its own needs a token to follow the feed."""
    town.allocation = await allocation_of(bank)
    bank._addresses.pop("allocation")  # the services of later tests ask nobody
    for served in (town.customer, town.messaging):
        await served.frame.keyring.refresh()
    return town


async def stop(town):
    """Stop all."""
    if hasattr(town, "allocation"):
        await town.allocation.stop()
    await town.messaging.stop()
    await town.customer.stop()


def templates(town, who="teller"):
    """Return the stub of templates."""
    return town.messaging.as_(who)(TemplateServiceStub)


def batches(town, who="teller"):
    """Return the stub of batches."""
    return town.messaging.as_(who)(SmsBatchServiceStub)


async def a_template(
    town, name="到期提醒", body=BODY, purpose=SERVICE_PURPOSE, who="teller"
):
    """Write a draft."""
    return await templates(town, who).CreateTemplate(
        template_pb2.CreateTemplateRequest(
            template=template_pb2.Template(
                display_name=name, body=body, purpose=purpose
            ),
            request_id=request_id(),
        )
    )


async def submit(town, template, who="teller"):
    """Submit a template."""
    return await templates(town, who).SubmitTemplate(
        template_pb2.SubmitTemplateRequest(
            name=template.name, etag=template.etag, request_id=request_id()
        )
    )


async def approve_template(town, template, who="manager"):
    """Approve a template."""
    return await templates(town, who).ApproveTemplate(
        template_pb2.ApproveTemplateRequest(
            name=template.name, etag=template.etag, request_id=request_id()
        )
    )


async def approved(town, **more):
    """Return a template that may be sent."""
    return await approve_template(
        town, await submit(town, await a_template(town, **more))
    )


async def a_group(town, *numbers, name="到期客户", who="teller"):
    """Return a group with customers."""
    stub = town.customer.as_(who)(GroupServiceStub)
    group = await stub.CreateGroup(
        group_pb2.CreateGroupRequest(
            group=group_pb2.Group(display_name=name), request_id=request_id()
        )
    )
    for at in range(0, len(numbers), 1000):
        await stub.AddMembers(
            group_pb2.AddMembersRequest(
                group=group.name,
                customers=[f"customers/{one}" for one in numbers[at : at + 1000]],
                request_id=request_id(),
            )
        )
    return group


async def refuse(town, number, purpose=0, channel=0):
    """Enter that a customer asks not to be disturbed."""
    return await town.customer.as_("teller")(ConsentServiceStub).SetDoNotDisturb(
        consent_pb2.SetDoNotDisturbRequest(
            customer=f"customers/{number}",
            do_not_disturb=True,
            purpose=purpose,
            channel=channel,
            request_id=request_id(),
        )
    )


async def consent(town, *numbers):
    """Enter that customers consent to marketing by message."""
    for number in numbers:
        await town.customer.as_("teller")(ConsentServiceStub).GrantConsent(
            consent_pb2.GrantConsentRequest(
                customer=f"customers/{number}",
                channel=customer_pb2.CHANNEL_SMS,
                purpose=MARKETING,
                evidence=consent_pb2.Evidence(kind=1, text_version="2026-01"),
                request_id=request_id(),
            )
        )


async def plan(town, template, *groups, who="teller", **more):
    """Plan a batch."""
    fields = {"request_id": request_id(), **more}
    return await batches(town, who).PlanBatch(
        batch_pb2.PlanBatchRequest(
            template=template.name, groups=[one.name for one in groups], **fields
        )
    )


async def confirm(town, batch, who="teller", **more):
    """Confirm a batch as it was shown."""
    fields = {"digest": batch.digest, "etag": batch.etag, **more}
    return await batches(town, who).ConfirmBatch(
        batch_pb2.ConfirmBatchRequest(
            name=batch.name, request_id=request_id(), **fields
        )
    )


async def approve(town, batch, who="manager", **more):
    """Approve a batch as it was shown."""
    fields = {"digest": batch.digest, "etag": batch.etag, **more}
    return await batches(town, who).ApproveBatch(
        batch_pb2.ApproveBatchRequest(
            name=batch.name, request_id=request_id(), **fields
        )
    )


async def change(town, verb, batch, who="teller"):
    """Pause, resume or cancel a batch."""
    request = getattr(batch_pb2, f"{verb}BatchRequest")
    return await getattr(batches(town, who), f"{verb}Batch")(
        request(name=batch.name, request_id=request_id())
    )


async def get(town, batch, who="teller"):
    """Return a batch as it stands."""
    return await batches(town, who).GetBatch(batch_pb2.GetBatchRequest(name=batch.name))


async def recipients(town, batch, who="teller", **more):
    """Return a page of a batch's people."""
    return await batches(town, who).ListRecipients(
        batch_pb2.ListRecipientsRequest(batch=batch.name, page_size=500, **more)
    )


async def set_parameter(town, key, value_json):
    """Set a parameter of messaging for the whole bank."""
    await town.messaging.as_("operator")(ParameterServiceStub).SetParameter(
        parameter_pb2.SetParameterRequest(
            name=f"parameters/{key}", value_json=value_json, request_id=request_id()
        )
    )


async def tell(town, fact, branch=101):
    """Let messaging react to one fact, as its follower would."""
    caller = service_caller("messaging").in_branch(branch)
    async with town.messaging.frame.uow(caller) as work:
        await REACTIONS["customer"][type(fact)](
            work, fact, SimpleNamespace(branch_id=branch)
        )


def inbox(town, who="teller"):
    """Return the stub of what customers answered."""
    return town.messaging.as_(who)(InboundServiceStub)


async def answers(town, who="teller", **filters):
    """Return a page of what customers answered."""
    return await inbox(town, who).ListInbound(inbound_pb2.ListInboundRequest(**filters))


def counts(batch):
    """Return the eight counts of a batch, in the contract's order."""
    return (
        batch.excluded_count,
        batch.waiting_count,
        batch.sent_count,
        batch.delivered_count,
        batch.failed_count,
        batch.unknown_count,
        batch.cancelled_count,
        batch.submitting_count,
    )


async def contacts(town):
    """Return what engagement is told, by customer."""
    rows = await town.messaging.sql("SELECT request FROM errands ORDER BY errand_id")
    found = Counter()
    for row in rows:
        request = work_log_pb2.RecordBatchContactsRequest.FromString(row["request"])
        found.update(name for one in request.contacts for name in one.customers)
    return found


async def going_out(town, *numbers, purpose=SERVICE_PURPOSE, **more):
    """Return a batch that is being sent."""
    name = f"客群 {uuid4().hex[:8]}"
    template = await approved(town, name=name, purpose=purpose)
    group = await a_group(town, *numbers, name=name)
    batch = await confirm(town, await plan(town, template, group, **more))
    if batch.state == batch_pb2.BATCH_STATE_AWAITING_APPROVAL:
        batch = await approve(town, batch)
    return batch


async def counted(town, batch):
    """Return the eight counts of a batch from its rows, the plain way."""
    people = (await recipients(town, batch)).recipients
    found = Counter(one.state for one in people)
    order = (1, 2, 4, 5, 6, 7, 8, 3)
    return tuple(found[state] for state in order)


class Sender:
    """A sender in this process whose rounds the test turns, with a centre in memory."""

    def __init__(self, town, folder, *, clock=None, tenure=None, rate=0, **centre):
        frame = town.messaging.frame
        clock = clock or frame.clock
        self.gateway = RememberingGateway(clock=clock, **centre)
        self.desk = Desk(
            uow=frame.uow,
            caller=service_caller("messaging"),
            vault=frame.vault,
            clock=clock,
            tenure=tenure,
        )
        self.link = Link("demo", self.gateway, Terms("95599", rate), clock)
        self.station = Station(
            self.desk, {"demo": self.link}, folder, patience=Patience()
        )
        self.lane = Lane(self.desk, self.link)
        self.listener = Listener(
            uow=frame.uow, caller=self.desk.caller, vault=frame.vault
        )

    async def hear(self, number, text, *, batch=None):
        """Let the customer of *number* answer *batch*, or nothing in particular; return how many were stored."""
        dest = "95599"
        if batch is not None:
            dest = source_of(dest, UUID(batch.name.partition("/")[2]))
        self.gateway.hear(f"86{mobile_of(number)}", text, dest=dest)
        return await self.listener.take(self.link)

    async def open(self):
        """Take a seat, settle what was left, and connect."""
        await self.station.open()
        await self.gateway.start(self.link)
        return self

    async def send(self):
        """Hand over chunk by chunk until nothing is left that may go out."""
        sent = 0
        while await self.lane.step():
            sent += 1
        return sent

    def close(self):
        """Leave the seat as a process that ended does."""
        self.desk.seat.release()
