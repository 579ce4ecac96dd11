"""What a refused call answered: code, reason, and whether it keeps the house's promises about errors."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis.errors import sayings


async def refused(call, *, fields=False):
    """
    Await *call*, which must be refused, and return (code, reason), with the faulty fields when asked for.

    Every refusal carries exactly one ErrorInfo of our domain, whose reason the contract explains, and a sentence
    in Chinese; no detail comes twice.
    """
    try:
        await call
    except grpc.RpcError as error:
        return read(error, fields=fields)
    raise AssertionError("the call was not refused")


def read(error, *, fields=False):
    """Return what a refusal says, after checking its form."""
    status = rpc_status.from_call(error)
    assert status is not None, (error.code(), error.details())
    kinds = [detail.TypeName() for detail in status.details]
    assert len(kinds) == len(set(kinds))
    info, chinese, faulty = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.LocalizedMessage(),
        [],
    )
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(chinese)
        wrong = error_details_pb2.BadRequest()
        if detail.Unpack(wrong):
            faulty = sorted(violation.field for violation in wrong.field_violations)
    assert info.domain == "guanhu"
    assert info.reason in sayings()
    assert chinese.locale == "zh-CN"
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese.message)
    assert "{" not in chinese.message + status.message
    answer = (error.code().name, info.reason)
    return (*answer, faulty) if fields else answer
