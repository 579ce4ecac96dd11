"""
Refusals: the one family of errors that services raise on purpose, and how they cross the wire.

Sentences are not written here: each reason carries its own in the contract (``enum Reason``), in English and
Chinese. Everything that is not a refusal reaches the caller as ``internal error`` and the log in full.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from guanhu.policy.v1 import policy_pb2, reason_pb2

DOMAIN = "guanhu"


class Refusal(Exception):
    """A call that is turned down for a reason the caller can act on."""

    code = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        reason: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        **facts: object,
    ) -> None:
        """
        Name the *reason* and the facts its sentence mentions.

        Args:
            reason: A value of some contract's ``Reason``, without the prefix ``REASON_``.
            fields: Path of each field at fault, with what is wrong with it.
            retry_after: Seconds after which the same call may succeed.
            facts: What the sentence's placeholders stand for; never a personal value.

        """
        super().__init__(reason)
        self.reason = reason
        self.fields = dict(fields or {})
        self.retry_after = retry_after
        self.facts = {key: str(value) for key, value in facts.items()}

    def sentences(self) -> tuple[str, str]:
        """Return the English and the Chinese sentence with the facts filled in."""
        saying = sayings()[self.reason]
        return saying.en.format_map(_Facts(self.facts)), saying.zh.format_map(
            _Facts(self.facts)
        )


class Invalid(Refusal):
    """The request itself is wrong; the same request will never do."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(Refusal):
    """Nobody known is calling."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Denied(Refusal):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(Refusal):
    """There is no such thing, or not for this caller; the two look the same."""

    code = grpc.StatusCode.NOT_FOUND

    def __init__(self, kind: str, kind_zh: str = "记录") -> None:
        """Say what *kind* of thing was not found, in both languages."""
        super().__init__("NOT_FOUND", kind=kind, kind_zh=kind_zh)


class AlreadyExists(Refusal):
    """There is one of this name already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Stale(Refusal):
    """What the caller read has changed since."""

    code = grpc.StatusCode.ABORTED


class Unready(Refusal):
    """The thing is not in a state that allows this."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Exhausted(Refusal):
    """A quota, a size or the room has been used up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(Refusal):
    """Something needed cannot be reached at the moment; the same call may be repeated."""

    code = grpc.StatusCode.UNAVAILABLE


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


_catalogue: dict[str, policy_pb2.Saying] = {}


def learn_reasons(*enums: object) -> None:
    """Add the sentences of contracts' ``Reason`` enums, given as generated modules."""
    for module in enums:
        for value in module.DESCRIPTOR.enum_types_by_name["Reason"].values:  # type: ignore[attr-defined]
            if value.number:
                name = value.name.removeprefix("REASON_")
                _catalogue[name] = value.GetOptions().Extensions[policy_pb2.saying]


def sayings() -> Mapping[str, policy_pb2.Saying]:
    """Return every known reason with its two sentences."""
    return _catalogue


learn_reasons(reason_pb2)

CONFLICTS = {"40001", "40P01"}
FULL = {"53100", "53200", "53300", "53400"}


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE behind *error*, following what it wraps; empty when there is none."""
    seen = 0
    while error is not None and seen < 6:
        found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if found:
            return str(found)
        error = getattr(error, "orig", None) or error.__cause__
        seen += 1
    return ""


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the refusal that a store's *error* means, or None when it is a bug."""
    state = sqlstate_of(error)
    if state in CONFLICTS or type(error).__name__ == "StaleDataError":
        return Stale("CHANGED_MEANWHILE" if not state else "WRITE_CONFLICT")
    if state == "55P03":
        return Stale("REQUEST_IN_PROGRESS", retry_after=0.2)
    if state in FULL:
        return Exhausted("STORE_FULL")
    if state == "57014":
        return Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT")
    lost = (
        isinstance(error, OSError)
        or type(error).__name__
        in {
            "InterfaceError",
            "ConnectionDoesNotExistError",
            "InternalClientError",  # asyncpg, of a connection that broke while it was given back
        }
    )
    if lost or state.startswith(("08", "57P")):
        return Unavailable("STORE_UNAVAILABLE", retry_after=1)
    return None


class Refused(Refusal):
    """A refusal with a status of its own: one handed on from another service, or a deadline."""

    def __init__(self, code: grpc.StatusCode, reason: str, **facts: Any) -> None:
        """Keep the *code* beside the reason."""
        super().__init__(reason, **facts)
        self.code = code


def _packed(messages: Iterable[Message]) -> list[any_pb2.Any]:
    details = []
    for message in messages:
        holder = any_pb2.Any()
        holder.Pack(message)
        details.append(holder)
    return details


def status_of(refusal: Refusal) -> grpc.Status:
    """Return what goes over the wire: the code, one ErrorInfo, the Chinese sentence, faulty fields, when to retry."""
    english, chinese = refusal.sentences()
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=refusal.reason, domain=DOMAIN, metadata=refusal.facts
        ),
        error_details_pb2.LocalizedMessage(locale="zh-CN", message=chinese),
    ]
    if refusal.fields:
        faults = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=what)
            for field, what in refusal.fields.items()
        ]
        details.append(error_details_pb2.BadRequest(field_violations=faults))
    if refusal.retry_after is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromMilliseconds(int(refusal.retry_after * 1000))
        details.append(info)
    number = getattr(code_pb2, refusal.code.name)
    return rpc_status.to_status(
        status_pb2.Status(code=number, message=english, details=_packed(details))
    )


def info_of(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """Return the ErrorInfo another service answered with, or None when it gave none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


def upstream(error: grpc.RpcError, service: str) -> Refusal:
    """Return the refusal to hand on when *service* did not do what was asked of it."""
    info = info_of(error)
    if info is not None and info.domain == DOMAIN and info.reason in _catalogue:
        return Refused(error.code(), info.reason, **dict(info.metadata))
    return Unavailable("UPSTREAM_UNAVAILABLE", service=service, retry_after=1)
