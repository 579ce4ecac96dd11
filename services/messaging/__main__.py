"""The messaging service: the one place that wires it."""

from collections.abc import Awaitable, Mapping
from datetime import timedelta

from guanhu.customer.v1 import reason_pb2 as customer_reason_pb2
from guanhu.messaging.v1 import (
    batch_pb2_grpc,
    delivery_pb2_grpc,
    gateway_pb2_grpc,
    inbound_pb2_grpc,
    reason_pb2,
    template_pb2_grpc,
)

from services.chassis.caller import service_caller
from services.chassis.config import folder_of_state
from services.chassis.feed import Follower
from services.chassis.server import Frame, Service, Servicers, main
from services.messaging.batch.servicer.batches import SmsBatchServicer
from services.messaging.config import (
    PARAMETERS,
    GatewaySettings,
    Outside,
    read_outside,
)
from services.messaging.delivery.actions.lane import Desk
from services.messaging.delivery.actions.link import Link, Terms
from services.messaging.delivery.actions.news import News
from services.messaging.delivery.actions.presence import Presence
from services.messaging.delivery.actions.station import Patience, Station
from services.messaging.delivery.rules import Tenure
from services.messaging.delivery.servicer import DeliveryServicer
from services.messaging.gateway.actions import Configured, configure
from services.messaging.gateway.rules import PROTOCOLS
from services.messaging.gateway.servicer import GatewayServicer
from services.messaging.gateways import SmsGateway
from services.messaging.gateways.drivers import Described, driver_of
from services.messaging.gateways.tls import encrypted
from services.messaging.inbound.actions.listen import Listener
from services.messaging.inbound.servicer import InboundServicer
from services.messaging.reactions import REACTIONS
from services.messaging.template.servicer import TemplateServicer

CALLER = service_caller("messaging")


def servicers(frame: Frame) -> Servicers:
    """Return the servicers of messaging."""
    return (
        (
            template_pb2_grpc.add_TemplateServiceServicer_to_server,
            TemplateServicer(frame),
        ),
        (gateway_pb2_grpc.add_GatewayServiceServicer_to_server, GatewayServicer(frame)),
        (batch_pb2_grpc.add_SmsBatchServiceServicer_to_server, SmsBatchServicer(frame)),
        (inbound_pb2_grpc.add_InboundServiceServicer_to_server, InboundServicer(frame)),
        (
            delivery_pb2_grpc.add_DeliveryServiceServicer_to_server,
            DeliveryServicer(frame),
        ),
    )


async def prepare(frame: Frame) -> None:
    """Keep the gateways that the environment describes."""
    found = [
        Configured(
            one.name, one.display_name, one.window, one.rate, PROTOCOLS[one.protocol]
        )
        for one in read_outside().messaging_gateways
    ]
    await configure(frame.uow, CALLER, found=found)


def gateway_of(frame: Frame, outside: Outside, one: GatewaySettings) -> SmsGateway:
    """Return the driver of one configured gateway; a gateway of files needs no secret."""
    shared = frame.settings.shared
    secret = shared.secret
    if one.tls_key:
        secret(one.tls_key)  # refuses a key that others can read
    described = Described(
        protocol=one.protocol,
        address=one.address or outside.smsc_address,
        system_id=one.system_id or outside.smsc_system_id,
        password="" if one.protocol == "file" else secret(one.password_file),
        window=one.window,
        final_receipt_after=one.final_receipt_after,
        encryption=encrypted(
            shared.secrets_dir,
            authority=one.tls_authority and secret(one.tls_authority),
            certificate=one.tls_certificate,
            key=one.tls_key,
        )
        if one.tls
        else None,
        bind=one.bind,
        long_messages=one.long_messages,
        verdicts=one.verdicts,
        service_id=one.service_id,
        country_code=one.country_code,
        source=one.source,
        dialect=one.dialect,
        template=one.template,
        app_id=one.app_id,
        region=one.region,
        references=one.references,
        connections=one.connections,
        push_address=one.push_address,
        push_password=secret(one.push_password_file) if one.push_address else "",
        folder=one.folder,
        file_octets=one.file_octets,
        file_seconds=one.file_seconds,
        file_receipts=one.file_receipts,
    )
    return driver_of(described, frame.clock)


def links_of(frame: Frame, outside: Outside) -> Mapping[str, Link]:
    """Return a link for every configured gateway."""
    return {
        one.name: Link(
            one.name,
            gateway_of(frame, outside, one),
            Terms(
                one.source,
                one.rate,
                one.validity_seconds,
                one.final_receipt_after,
                one.encoding,
            ),
            frame.clock,
        )
        for one in outside.messaging_gateways
    }


def loops(frame: Frame, followers: Mapping[str, Follower]) -> list[Awaitable[None]]:
    """Return the sender, which sends by what the follower of the customer service knows of refusals."""
    outside = read_outside()
    desk = Desk(
        uow=frame.uow,
        caller=CALLER,
        vault=frame.vault,
        clock=frame.clock,
        news=News(followers["customer"]),
        tenure=Tenure(outside.messaging_lease_seconds),
    )
    links = links_of(frame, outside)
    listener = Listener(uow=frame.uow, caller=CALLER, vault=frame.vault)
    station = Station(
        desk,
        links,
        folder_of_state() / "flight",
        tree=lambda: frame.keyring.tree,
        patience=Patience(
            timedelta(seconds=outside.messaging_receipt_grace),
            outside.messaging_fence_steady,
        ),
        presence=Presence(frame.settings.own.dsn),
    )
    return [station.run(), *listener.loops(links.values())]


SERVICE = Service(
    name="messaging",
    reasons=(reason_pb2, customer_reason_pb2),
    servicers=servicers,
    parameters=PARAMETERS,
    reactions=lambda frame: REACTIONS,
    loops=loops,
    prepare=prepare,
)

if __name__ == "__main__":
    main(SERVICE, "services.messaging")
