"""
The gate every call passes: parse, know, allow, check, serve, settle, mask, and say so in one line.

It wraps each handler once, when the method is first called. Servicers raise refusals and hold no ``try``; whatever
else is raised ends here as ``internal error``, its text in the log alone.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from guanhu.policy.v1 import policy_pb2

from services.chassis import metrics
from services.chassis.caller import HEAD_OFFICE, Caller, Scope
from services.chassis.calls import Call, Context, Replayed, serving
from services.chassis.db import UnitOfWork
from services.chassis.errors import (
    Denied,
    Invalid,
    Refusal,
    Refused,
    Unauthenticated,
    refusal_of,
    status_of,
    upstream,
)
from services.chassis.keyring import Keyring
from services.chassis.names import names_in
from services.chassis.policy import Access, allows, masker, names_service
from services.chassis.traces import SERVER, Span, span_of, tell

log = structlog.get_logger()

LEAST_SECONDS = 0.02
"""A call with less time left is refused at once, so that the caller still hears why."""

NOBODY = Caller(
    subject="anyone",
    roles=frozenset({policy_pb2.ROLE_ANYONE}),
    scope=Scope.SCOPE_BANK,
    branch_ids=(-1,),
)
"""The caller of the few RPCs that need no token."""

Method = Callable[[Any, Context], Any]


def violations_of(
    message: Message, validator: protovalidate.Validator
) -> dict[str, str]:
    """Return what breaks the contract's rules in *message*, by field path."""
    found = {}
    for violation in validator.collect_violations(message):
        parts = (
            [part.field_name for part in violation.proto.field.elements]
            if violation.proto.field
            else []
        )
        found[".".join(parts) or "request"] = violation.proto.message
    return found


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Wraps every handler of a server with the frame."""

    def __init__(
        self, *, policies: dict[str, Access], keyring: Keyring, uow: UnitOfWork
    ) -> None:
        """Serve only methods of *policies* and of gRPC itself."""
        self._policies = policies
        self._keyring = keyring
        self.uow = uow
        self._validator = protovalidate.Validator()
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]
        ],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Return the handler, wrapped; reflection too wants a token, health does not."""
        path = details.method
        wrapped = self._wrapped.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(details)
        access = self._policies.get(path)
        if handler is None or path.startswith("/grpc.health."):
            return handler
        if access is None:
            return self._known_only(handler)
        self._wrapped[path] = wrapped = Served(self, handler, access).handler()
        return wrapped

    def _known_only(self, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """Return reflection's handler behind a token."""
        inner = handler.stream_stream

        async def guarded(requests: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self.know(context)
            except Refusal as refusal:
                await context.abort_with_status(status_of(refusal))
            async for answer in inner(requests, context):
                yield answer

        return grpc.stream_stream_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def know(self, context: Any) -> tuple[Caller, Span]:
        """Return who calls, and the span of the call."""
        sent = dict(context.invocation_metadata() or ())
        span = span_of(sent.get("traceparent", ""))
        token = sent.get("authorization", "")
        if not token.startswith("Bearer "):
            raise Unauthenticated("TOKEN_INVALID")
        caller = self._keyring.caller(token[7:])
        actor = sent.get("guanhu-actor", "")
        if actor and policy_pb2.ROLE_SERVICE in caller.roles:
            return on_behalf(caller, actor), span
        return caller, span

    def admit(self, context: Any, access: Access) -> Call:
        """Return the call when its caller may make it; refuse otherwise."""
        left = context.time_remaining()
        if left is not None and left < LEAST_SECONDS:
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT")
        if access.anyone:
            sent = dict(context.invocation_metadata() or ())
            return Call(access, NOBODY, span_of(sent.get("traceparent", "")))
        caller, span = self.know(context)
        caller = caller.narrowed(access.scope, self._keyring.tree)
        call = Call(access=access, caller=caller, span=span)
        if not allows(access, caller.roles):
            raise KnownRefusal(call, Denied("ROLE_MISSING"))
        if not names_service(access, caller):
            raise KnownRefusal(call, Denied("SERVICE_NOT_NAMED"))
        return call

    def check(self, request: Message) -> None:
        """Refuse a message that breaks the rules its contract declares."""
        if faults := violations_of(request, self._validator):
            raise Invalid(
                "FIELD_INVALID",
                fields=faults,
                count=len(faults),
                named=", ".join(faults),
            )

    async def record(self, call: Call, reason: str, request: Any = None) -> None:
        """Write the audit record of *call* in a transaction of its own: refused ones, and streams by what they name."""
        work = await self.uow.open(call.caller)
        try:
            branch_id = getattr(request, "branch_id", 0) or call.caller.branch_id
            for name in names_in(request):
                work.note(name, branch_id=branch_id, **call.told)
            call.request_id = None
            await work.settle(call, None, reason)
        finally:
            await work.end()


class KnownRefusal(Exception):
    """A refusal of a caller who is known, so that it can be audited."""

    def __init__(self, call: Call, refusal: Refusal) -> None:
        """Carry the call beside the refusal."""
        super().__init__(refusal.reason)
        self.call = call
        self.refusal = refusal


def on_behalf(caller: Caller, actor: str) -> Caller:
    """Return the service *caller* acting for *actor*, as the audit trail names them; its powers stay its own."""
    return Caller(
        subject=actor[:128],
        roles=caller.roles,
        scope=caller.scope,
        branch_id=HEAD_OFFICE,
        branch_ids=caller.branch_ids,
        agent=caller.subject,
    )


class Served:
    """One RPC method with everything around it."""

    def __init__(
        self, gate: Gate, handler: grpc.RpcMethodHandler, access: Access
    ) -> None:
        """Precompute what does not depend on the call."""
        self._gate = gate
        self._inner = handler
        self._access = access
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._mask: Callable[[Message], None] | bool | None = False

    def handler(self) -> grpc.RpcMethodHandler:
        """Return the handler to register, of the same arity, which takes raw bytes and parses them itself."""
        pack = {"request_deserializer": None, "response_serializer": None}
        if self._inner.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary, **pack)
        if self._inner.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream_out, **pack)
        if self._inner.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._stream_in, **pack)
        raise TypeError(
            f"{self._access.method}: streams in both directions are not served"
        )

    def _read(self, raw: bytes) -> Any:
        try:
            request = self._parse(raw)
        except DecodeError:
            raise Invalid("MALFORMED_REQUEST") from None
        self._gate.check(request)
        return request

    def _write(self, reply: Message) -> bytes:
        if self._mask is False:
            self._mask = masker(reply.DESCRIPTOR)
        if self._mask:
            self._mask(reply)  # type: ignore[operator]
        return self._serialize(reply)

    async def _guard(
        self, context: Any, serve: Callable[[list[Call]], Awaitable[Any]]
    ) -> Any:
        """Run *serve* and turn whatever it raises into a status; log and count the outcome."""
        started = time.perf_counter()
        made: list[Call] = []
        outcome, reason = grpc.StatusCode.OK, ""
        try:
            return await serve(made)
        except Refusal as refusal:
            outcome, reason = refusal.code, refusal.reason
            await self._refuse(context, refusal, made)
        except KnownRefusal as known:
            outcome, reason = known.refusal.code, known.refusal.reason
            await self._refuse(context, known.refusal, [known.call])
        except asyncio.CancelledError:
            outcome = grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            meant = (
                upstream(error, "other")
                if isinstance(error, grpc.RpcError)
                else refusal_of(error)
            )
            if meant is None:
                log.exception("call.failed", method=self._access.method)
                meant = Refused(grpc.StatusCode.INTERNAL, "INTERNAL")
            outcome, reason = meant.code, meant.reason
            await self._refuse(context, meant, made)
        finally:
            self._say(outcome, reason, made, started)

    async def _refuse(self, context: Any, refusal: Refusal, made: list[Call]) -> None:
        if (
            made
            and self._access.audited
            and refusal.code is not grpc.StatusCode.UNAVAILABLE
        ):
            try:
                await self._gate.record(made[0], refusal.reason)
            except Exception as error:  # noqa: BLE001 - a store that is away must not hide the refusal itself
                log.error(
                    "audit.unwritten",
                    method=self._access.method,
                    error=type(error).__name__,
                )
        await context.abort_with_status(status_of(refusal))

    def _say(
        self, outcome: grpc.StatusCode, reason: str, made: list[Call], started: float
    ) -> None:
        taken = time.perf_counter() - started
        metrics.CALLS.labels(self._access.method, outcome.name).observe(taken)
        call = made[0] if made else None
        log.info(
            "call.answered",
            method=self._access.method,
            code=outcome.name,
            reason=reason,
            ms=round(taken * 1000, 2),
            caller=call.caller.subject if call else "",
            trace=call.trace_id if call else "",
        )
        if call:
            tell(
                call.span,
                self._access.method,
                SERVER,
                outcome.name,
                **{"rpc.system.name": "grpc", "rpc.response.status_code": outcome.name},
            )

    async def _unary(self, raw: bytes, context: Any) -> bytes:
        async def serve(made: list[Call]) -> bytes:
            call = self._gate.admit(context, self._access)
            made.append(call)
            request = self._read(raw)
            self._claim(call, request, raw)
            with serving(call):
                try:
                    return await self._answer(call, request, context)
                finally:
                    if call.work is not None:
                        await call.work.end()
                        call.work = None

        return await self._guard(context, serve)

    def _claim(self, call: Call, request: Any, raw: bytes) -> None:
        call.joined = self._access.audited or self._access.request_id
        if not self._access.request_id:
            return
        if not request.request_id:
            raise Invalid("REQUEST_ID_REQUIRED")
        call.request_id = UUID(request.request_id)
        call.digest = hashlib.sha256(raw).digest()

    async def _answer(self, call: Call, request: Any, context: Any) -> bytes:
        """Serve, then settle effect, answer and audit record in one transaction; a repeat gets the stored answer."""
        method: Method = self._inner.unary_unary
        try:
            reply = await method(
                request, Context(call.caller, context, self._gate.check)
            )
            answer = self._write(reply)
            if call.joined:
                work = await self._gate.uow.joined(call)
                await work.settle(call, answer)
        except Replayed as before:
            return before.answer
        return answer

    async def _stream_out(self, raw: bytes, context: Any) -> None:
        """
        Serve a stream of answers; where it is audited, the record is committed before the first answer leaves.

        The first is made before it, so that the record holds what the stream tells of itself, and refusals only once.
        """

        async def serve(made: list[Call]) -> None:
            call = self._gate.admit(context, self._access)
            made.append(call)
            request = self._read(raw)
            with serving(call):
                told = Context(call.caller, context, self._gate.check)
                replies = aiter(self._inner.unary_stream(request, told))
                reply = await anext(replies, None)
                if self._access.audited:
                    await self._gate.record(call, "OK", request)
                while reply is not None:
                    await context.write(self._write(reply))
                    reply = await anext(replies, None)

        await self._guard(context, serve)

    async def _stream_in(self, raws: AsyncIterator[bytes], context: Any) -> bytes:
        """Serve a stream of requests; each unit of work within is a transaction of its own."""

        async def serve(made: list[Call]) -> bytes:
            call = self._gate.admit(context, self._access)
            made.append(call)
            with serving(call):
                reply = await self._inner.stream_unary(
                    self._each(raws),
                    Context(call.caller, context, self._gate.check),
                )
                if self._access.audited:
                    await self._gate.record(call, "OK")
                return self._write(reply)

        return await self._guard(context, serve)

    async def _each(self, raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in raws:
            try:
                request = self._parse(raw)
            except DecodeError:
                raise Invalid("MALFORMED_REQUEST") from None
            yield request
