"""What a refused call means, said to the person at the browser in their language."""

from collections.abc import Iterator

import grpc
from flask_babel import get_locale
from flask_babel import gettext as _
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "guanhu"

CODE = grpc.StatusCode

STATUS = {
    CODE.INVALID_ARGUMENT: 422,
    CODE.OUT_OF_RANGE: 422,
    CODE.UNAUTHENTICATED: 401,
    CODE.PERMISSION_DENIED: 403,
    CODE.NOT_FOUND: 404,
    CODE.ALREADY_EXISTS: 409,
    CODE.ABORTED: 409,
    CODE.FAILED_PRECONDITION: 409,
    CODE.RESOURCE_EXHAUSTED: 429,
    CODE.UNAVAILABLE: 503,
    CODE.DEADLINE_EXCEEDED: 503,
    CODE.CANCELLED: 503,
}
"""HTTP status of a gRPC status; everything else is 500."""

AWAY = {CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED, CODE.CANCELLED}
"""The service did not answer; nothing is known to be wrong with what was asked."""


def in_chinese() -> bool:
    """Say whether the person at the browser reads Chinese."""
    locale = get_locale()
    return locale is None or locale.language == "zh"


def http_status(error: grpc.RpcError) -> int:
    """Return the HTTP status that a refused call becomes."""
    return STATUS.get(error.code(), 500)


def _details(error: grpc.RpcError, kind: type[Message]) -> Iterator[Message]:
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        detail = kind()
        if packed.Unpack(detail):
            yield detail


def reason(error: grpc.RpcError) -> str:
    """Return the reason the service named, empty when it named none of ours."""
    for info in _details(error, error_details_pb2.ErrorInfo):
        if info.domain == DOMAIN:
            return str(info.reason)
    return ""


def sentence(error: grpc.RpcError) -> str:
    """
    Return one sentence for the person at the browser.

    A service of ours sends both languages; anything else, a dead connection above all, is told by its code.
    """
    if not reason(error):
        return plain(error.code())
    if not in_chinese():
        return str(error.details())
    for message in _details(error, error_details_pb2.LocalizedMessage):
        if message.locale == "zh-CN":
            return str(message.message)
    return plain(error.code())


def plain(code: grpc.StatusCode) -> str:
    """Return the sentence for a status about which nothing else is known."""
    return {
        CODE.INVALID_ARGUMENT: _(
            "Something filled in is not right; check it and try again."
        ),
        CODE.OUT_OF_RANGE: _(
            "Something filled in is not right; check it and try again."
        ),
        CODE.UNAUTHENTICATED: _("Your session has ended; sign in again."),
        CODE.PERMISSION_DENIED: _("Your posts do not allow this action."),
        CODE.NOT_FOUND: _("This record is not there, or not in your scope."),
        CODE.ALREADY_EXISTS: _("There is such a record already."),
        CODE.ABORTED: _("Somebody else changed this meanwhile; read it again."),
        CODE.FAILED_PRECONDITION: _("This cannot be done in the present state."),
        CODE.RESOURCE_EXHAUSTED: _("Too many requests; try again in a moment."),
        CODE.UNAVAILABLE: _("The service cannot be reached at the moment."),
        CODE.DEADLINE_EXCEEDED: _("The service did not answer in time."),
        CODE.CANCELLED: _("The service broke the call off."),
    }.get(code, _("Something unexpected happened."))


def violations(error: grpc.RpcError) -> dict[str, list[str]]:
    """Return what is wrong with each field, keyed by the last part of its path."""
    found: dict[str, list[str]] = {}
    for faults in _details(error, error_details_pb2.BadRequest):
        for fault in faults.field_violations:
            told = fault.localized_message
            chinese = in_chinese() and told.locale == "zh-CN" and told.message
            name = fault.field.rsplit(".", 1)[-1]
            found.setdefault(name, []).append(chinese or fault.description)
    return found


def retry_after(error: grpc.RpcError, default: int = 10) -> int:
    """Return the seconds after which the same call may succeed, at least one."""
    for hint in _details(error, error_details_pb2.RetryInfo):
        return max(1, hint.retry_delay.seconds)
    return default
