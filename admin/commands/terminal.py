"""What every command needs: how it ends, how it reaches a service, who is calling, how it shows that it goes on."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, NoReturn
from uuid import uuid4

import grpc
import typer
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from admin.settings import PortalSettings

REFUSED, UNDONE = 1, 2
"""How a command ends: something was found wrong, or what was asked could not be done at all."""

RENEW_SECONDS = 240
"""A token is renewed when it is this old; it lives five minutes."""

ANSWER_SECONDS = 10

ANSWER_BYTES = 64 << 20
"""The largest page that is taken; 500 records of the trail may each name a hundred resources."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Pairs = Callable[[], list[tuple[str, str]]]
"""Gives the metadata of the next call: a token that still holds."""

OperatorOption = Annotated[
    str,
    typer.Option(
        metavar="NUMBER",
        help="Sign in as the member of staff with this operator number instead. The password is asked for at the"
        " terminal; it is taken from no argument and no variable, which other programs could read.",
    ),
]


class UndoneError(Exception):
    """What was asked cannot be done; the text is one sentence for whoever asked."""


def stop(text: str, status: int = REFUSED) -> NoReturn:
    """Say one sentence and end with *status*."""
    err.print(text, markup=False, soft_wrap=True)
    raise typer.Exit(status)


@contextmanager
def sentences() -> Iterator[None]:
    """End the command with one sentence and UNDONE where something within cannot be done."""
    try:
        yield
    except UndoneError as error:
        stop(str(error), UNDONE)


def channel_to(settings: PortalSettings, service: str) -> grpc.Channel:
    """Return a channel to *service*, with certificates where they are configured."""
    address = settings.address(service)
    target = f"ipv4:{address}" if "," in address else address
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", ANSWER_BYTES),
    ]
    if not (settings.tls_certificate and settings.tls_key and settings.tls_authority):
        return grpc.insecure_channel(target, options=options)
    credentials = grpc.ssl_channel_credentials(
        settings.tls_authority.read_bytes(),
        settings.tls_key.read_bytes(),
        settings.tls_certificate.read_bytes(),
    )
    return grpc.secure_channel(target, credentials, options=options)


def in_chinese() -> bool:
    """Say whether the terminal's language is Chinese."""
    told = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, told), "").startswith("zh")


def sentence(error: grpc.RpcError) -> str:
    """Return a refusal's own sentence, in Chinese where the terminal is."""
    status = rpc_status.from_call(error)
    for packed in status.details if status and in_chinese() else ():
        found = error_details_pb2.LocalizedMessage()
        if packed.Unpack(found) and found.locale == "zh-CN":
            return str(found.message)
    return str(error.details() or error.code().name)


def sentence_of(error: grpc.RpcError, settings: PortalSettings, service: str) -> str:
    """Return why a call to *service* failed: a refusal's own sentence, or that it is away and where it was sought."""
    away = error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
    if away and rpc_status.from_call(error) is None:
        return f"The {service} service cannot be reached at {settings.address(service)}: {error.code().name}."
    return f"The {service} service refused: {sentence(error)}"


def account_token(settings: PortalSettings, account: str) -> str:
    """Return a token for *account*, whose secret lies in the folder of secrets; raises UndoneError when refused."""
    try:
        secret = settings.secret(f"account-{account}")
    except OSError as error:
        raise UndoneError(
            f"The secret of the account {account} cannot be read: {error}"
        ) from None
    stub = IdentityServiceStub(channel_to(settings, "allocation"))
    request = identity_pb2.IssueAccountTokenRequest(account=account, secret=secret)
    try:
        return str(stub.IssueAccountToken(request, timeout=ANSWER_SECONDS).token)
    except grpc.RpcError as error:
        raise UndoneError(
            f"The account {account} was not let in: {sentence(error)}"
        ) from None


class Person:
    """A member of staff who signed in at the terminal; the session ends with the command."""

    def __init__(self, settings: PortalSettings, number: str) -> None:
        """Ask for the password of *number* and sign in; raises UndoneError when refused."""
        self._stub = IdentityServiceStub(channel_to(settings, "allocation"))
        try:
            password = typer.prompt(f"Password of {number}", hide_input=True, err=True)
        except typer.Abort:
            raise UndoneError("No password was given.") from None
        request = identity_pb2.SignInRequest(operator_no=number, password=password)
        try:
            answer = self._stub.SignIn(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise UndoneError(
                f"The operator {number} was not let in: {sentence(error)}"
            ) from None
        self._token, self._secret = answer.token, answer.session_secret

    def _pairs(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self._token}")]

    def token(self) -> str:
        """Return a token that still holds; the first is the one of the sign-in."""
        return str(self._token)

    def renew(self) -> str:
        """Return a fresh token of the session; raises UndoneError when it has ended."""
        request = identity_pb2.RenewTokenRequest(session_secret=self._secret)
        try:
            answer = self._stub.RenewToken(
                request, metadata=self._pairs(), timeout=ANSWER_SECONDS
            )
        except grpc.RpcError as error:
            raise UndoneError(
                f"The session could not be kept: {sentence(error)}"
            ) from None
        self._token = answer.token
        return str(answer.token)

    def leave(self) -> None:
        """End the session; one that cannot be ended ends by itself after 15 idle minutes."""
        request = identity_pb2.SignOutRequest(request_id=str(uuid4()))
        with suppress(grpc.RpcError):
            self._stub.SignOut(request, metadata=self._pairs(), timeout=ANSWER_SECONDS)


@contextmanager
def calling(settings: PortalSettings, account: str, operator: str) -> Iterator[Pairs]:
    """
    Let calls be made as *operator*, or as *account* where there is none; yields what gives their metadata.

    Raises UndoneError when neither is let in.
    """
    person = Person(settings, operator) if operator else None
    token = person.token() if person else account_token(settings, account)
    made = time.monotonic()

    def pairs() -> list[tuple[str, str]]:
        nonlocal token, made
        if time.monotonic() - made > RENEW_SECONDS:
            token = person.renew() if person else account_token(settings, account)
            made = time.monotonic()
        return [("authorization", f"Bearer {token}")]

    try:
        yield pairs
    finally:
        if person is not None:
            person.leave()


@contextmanager
def progress_of(
    said: str, total: int, *, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar from 0 to *total* while something goes on; yields what moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not shown) as progress:
        task = progress.add_task(said, total=total)
        yield lambda gone: progress.update(task, completed=gone)
