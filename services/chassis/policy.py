"""What the contracts declare about RPCs and fields, read once at start; an RPC without a policy stops the server."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from guanhu.policy.v1 import policy_pb2

from services.chassis.caller import Caller
from services.chassis.vault import mask_value

ACCESS: Any = policy_pb2.access
DATA: Any = policy_pb2.data
FULL: Any = policy_pb2.full

OPEN_TO_ANYONE = frozenset(
    {"SignIn", "ExchangeIdToken", "ListKeys", "IssueServiceToken", "IssueAccountToken"}
)
"""The only RPCs of the identity service that answer without a token."""

EXEMPT = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.reflection.v1.ServerReflection",
    }
)
"""Services of gRPC itself that carry no policy option."""


class PolicyMissing(RuntimeError):
    """A contract lets somebody in without saying who; the server does not start."""


@dataclass(frozen=True, slots=True)
class Access:
    """The policy of one RPC."""

    method: str
    roles: frozenset[int]
    scope: int
    audit: int
    request_id: bool
    approval: bool
    services: frozenset[str] = frozenset()

    @property
    def audited(self) -> bool:
        """Say whether every call leaves a record."""
        return self.audit in (policy_pb2.AUDIT_WRITE, policy_pb2.AUDIT_REVEAL)

    @property
    def anyone(self) -> bool:
        """Say whether the call needs no token."""
        return policy_pb2.ROLE_ANYONE in self.roles


def _faults(service: ServiceDescriptor) -> Iterator[str]:
    for method in service.methods:
        name = f"{service.full_name}/{method.name}"
        option = method.GetOptions().Extensions[ACCESS]
        if not (option.roles and option.scope and option.audit):
            yield f"{name} has no complete guanhu.policy.v1.access"
        elif policy_pb2.ROLE_ANYONE in option.roles and (
            method.name not in OPEN_TO_ANYONE
            or service.full_name != "guanhu.identity.v1.IdentityService"
        ):
            yield f"{name} is open to anyone"
        fields = method.input_type.fields_by_name
        if (
            option.request_id
            and not method.client_streaming
            and "request_id" not in fields
        ):
            yield f"{name} wants a request_id that its request does not have"


def policies(services: Iterable[str]) -> dict[str, Access]:
    """
    Return the policy of every RPC of *services* by its path, ``/package.Service/Method``.

    Raises PolicyMissing with every fault, one a line, when a contract is incomplete.
    """
    pool = descriptor_pool.Default()
    found: dict[str, Access] = {}
    faults: list[str] = []
    for name in services:
        service = pool.FindServiceByName(name)
        faults += _faults(service)
        for method in service.methods:
            option = method.GetOptions().Extensions[ACCESS]
            path = f"/{name}/{method.name}"
            found[path] = Access(
                method=f"{name}.{method.name}",
                roles=frozenset(option.roles),
                scope=option.scope,
                audit=option.audit,
                request_id=option.request_id,
                approval=option.approval,
                services=frozenset(option.services),
            )
    if faults:
        raise PolicyMissing("\n".join(faults))
    return found


def roles_named(names: Iterable[str]) -> list[Any]:
    """Return the roles called *names*, without their prefix, ascending."""
    return sorted(policy_pb2.Role.Value(f"ROLE_{name}") for name in names)


def names_of_roles(roles: Iterable[int]) -> list[str]:
    """Return the names of *roles* without their prefix, ascending."""
    name = policy_pb2.Role.Name
    return sorted(name(role).removeprefix("ROLE_") for role in roles)  # type: ignore[arg-type]


def allows(access: Access, roles: frozenset[int]) -> bool:
    """Say whether a caller with *roles* may call; ROLE_STAFF stands for any post of a person."""
    if not access.roles.isdisjoint(roles):
        return True
    person = any(
        policy_pb2.ROLE_BRANCH_MANAGER <= role <= policy_pb2.ROLE_OPERATOR
        for role in roles
    )
    return person and policy_pb2.ROLE_STAFF in access.roles


def names_service(access: Access, caller: Caller) -> bool:
    """Say whether a service that calls, be it for somebody, is one of those that *access* names, if it names any."""
    if not access.services or policy_pb2.ROLE_SERVICE not in caller.roles:
        return True
    return (caller.agent or caller.subject).partition("/")[2] in access.services


Step = tuple[FieldDescriptor, int | None, "list[Step]"]
"""A field, its mask when it is a masked one, and the steps below it when it is a message."""


@cache
def _personal_steps(descriptor: Any, path: tuple[str, ...] = ()) -> list[Step]:
    if descriptor.full_name in path or descriptor.full_name.startswith("google."):
        return []
    steps: list[Step] = []
    for field in descriptor.fields:
        options = field.GetOptions()
        if field.message_type is not None:
            if below := _personal_steps(
                field.message_type, (*path, descriptor.full_name)
            ):
                steps.append((field, None, below))
        elif (mask := options.Extensions[DATA].mask) and not options.Extensions[FULL]:
            steps.append((field, mask, []))
    return steps


def _apply(message: Message, steps: list[Step]) -> None:
    for field, mask, below in steps:
        value = getattr(message, field.name)
        if mask is not None:
            if value:
                setattr(message, field.name, mask_value(value, mask))
        elif field.is_repeated:
            for one in value.values() if _is_map(field) else value:
                _apply(one, below)
        elif message.HasField(field.name):
            _apply(value, below)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def masker(descriptor: Any) -> Callable[[Message], None] | None:
    """
    Return what masks every masked field of a message in place, or None when it has none.

    Stored masks pass through unchanged (masking is idempotent), so this is the second wall: a full value that
    slipped into an answer leaves masked all the same, unless the contract marks the field as ``full``.
    """
    steps = _personal_steps(descriptor)
    return (lambda message: _apply(message, steps)) if steps else None
