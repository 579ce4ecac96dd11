"""The contracts as they are declared: every service of ours with its RPCs, read from the descriptors."""

import importlib
from pathlib import Path

from google.protobuf import descriptor_pool
from guanhu.policy.v1 import policy_pb2

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
SERVICES = ("customer", "allocation", "engagement", "messaging")
"""The four services, in the order of the walk."""


def proto_files():
    """Return every contract of ours, by its path below protos/."""
    return sorted(
        str(path.relative_to(PROTOS)) for path in PROTOS.glob("guanhu/*/v1/*.proto")
    )


def descriptors():
    """Return the file descriptors of every contract."""
    found = []
    for name in proto_files():
        module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
        found.append(importlib.import_module(module).DESCRIPTOR)
    return found


def rpcs():
    """Return every RPC with its policy."""
    found = []
    for file in descriptors():
        for service in file.services_by_name.values():
            found += [
                (method, method.GetOptions().Extensions[policy_pb2.access])
                for method in service.methods
            ]
    return found


def messages():
    """Return every message of every contract, nested ones too."""
    waiting = [
        message
        for file in descriptors()
        for message in file.message_types_by_name.values()
    ]
    found = []
    while waiting:
        message = waiting.pop()
        found.append(message)
        waiting += message.nested_types
    return found


def service_of(name):
    """Return the descriptor of a gRPC service."""
    return descriptor_pool.Default().FindServiceByName(name)
