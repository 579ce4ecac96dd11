"""The access matrix, made from the contracts: every RPC of every service against every role, and against nobody."""

import asyncio
import importlib

import grpc
import pytest_asyncio
from google.protobuf.message_factory import GetMessageClass
from guanhu.policy.v1 import policy_pb2

from services.chassis.errors import info_of
from services.chassis.policy import policies
from tests.architecture.contracts import SERVICES, service_of

PERSONS = range(policy_pb2.ROLE_BRANCH_MANAGER, policy_pb2.ROLE_OPERATOR + 1)
ROLES = [
    role
    for role in policy_pb2.Role.values()
    if role
    not in (
        policy_pb2.ROLE_UNSPECIFIED,
        policy_pb2.ROLE_ANYONE,
        policy_pb2.ROLE_STAFF,
    )
]
"""Every role that a token can carry."""


@pytest_asyncio.fixture(params=SERVICES, scope="module", loop_scope="session")
async def served(request, bank):
    """Each service in turn."""
    declared = importlib.import_module(f"services.{request.param}.__main__").SERVICE
    running = await bank.serve(declared)
    yield running
    await running.stop()


def methods_of(served):
    """Return every RPC that the running server serves, with its policy."""
    names = importlib.import_module("services.chassis.server")
    collected = names._Named()
    servicers = [
        *served.service.servicers(served.frame),
        *names.common_servicers(served.frame, served.service, asyncio.Event()),
    ]
    for add, servicer in servicers:
        add(servicer, collected)
    by_path = policies(collected.names)
    found = []
    for name in collected.names:
        found += [
            (method, by_path[f"/{name}/{method.name}"])
            for method in service_of(name).methods
        ]
    return found


async def answer(served, method, token):
    """Call with an empty request; return the reason of the refusal, or an empty text when it was let in."""
    channel = served.channel
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = GetMessageClass(method.input_type)()
    call = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }[(method.client_streaming, method.server_streaming)](
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    metadata = [("authorization", f"Bearer {token}")] if token else []
    given = iter([request]) if method.client_streaming else request
    try:
        pending = call(given, metadata=metadata, timeout=5)
        if method.server_streaming:
            await asyncio.wait_for(anext(aiter(pending), None), 0.3)
            pending.cancel()
        else:
            await pending
    except TimeoutError:
        return ""
    except grpc.RpcError as error:
        info = info_of(error)
        return info.reason if info else error.code().name
    return ""


async def test_only_the_roles_of_the_contract_are_let_in(served):
    """For each RPC, exactly the roles its contract names get past the door, and who brings no token does not."""
    tokens = {
        role: served.keys.token(
            "staff/x" if role in PERSONS else "services/x",
            [policy_pb2.Role.Name(role).removeprefix("ROLE_")],
            scope="BANK",
            branch=101,
        )
        for role in ROLES
    }
    found = methods_of(served)
    wrong = []
    for method, access in found:
        allowed = set(access.roles)
        if policy_pb2.ROLE_STAFF in allowed:
            allowed |= set(PERSONS)
        if policy_pb2.ROLE_ANYONE in allowed:
            allowed |= set(ROLES)
        for role in ROLES:
            got = await answer(served, method, tokens[role])
            if (got == "ROLE_MISSING") == (role in allowed):
                wrong.append((method.full_name, policy_pb2.Role.Name(role), got))
        nobody = await answer(served, method, "")
        if (nobody == "TOKEN_INVALID") == (policy_pb2.ROLE_ANYONE in allowed):
            wrong.append((method.full_name, "nobody", nobody))

    assert len(found) > 10
    assert not wrong
