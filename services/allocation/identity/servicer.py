"""The identity service of the system: unpack, act, pack."""

import hmac

from guanhu.identity.v1 import identity_pb2 as pb
from guanhu.identity.v1 import identity_pb2_grpc

from services.allocation.identity import queries, wire
from services.allocation.identity.actions import sessions, tokens
from services.allocation.identity.rules import Provider
from services.chassis.calls import Context
from services.chassis.errors import Unauthenticated
from services.chassis.keyring import KeySet
from services.chassis.server import Frame

IDENTITY_OF = "spiffe://guanhu/{}"
"""The identity in a service's certificate."""


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Hands out and checks identities."""

    def __init__(self, frame: Frame, provider: Provider | None = None) -> None:
        """Stand on *frame*; *provider* is the bank's own OpenID Connect provider, where there is one."""
        self._uow = frame.uow
        self._vault = frame.vault
        self._shared = frame.settings.shared
        self._provider = provider

    async def SignIn(
        self, request: pb.SignInRequest, context: Context
    ) -> pb.SignInResponse:
        """Open a session by operator number and password."""
        found = await sessions.sign_in(
            self._uow,
            context.caller,
            self._vault,
            operator_no=request.operator_no,
            password=request.password,
            claims=wire.claims_of_staff,
        )
        return wire.signed_in_to(found)

    async def ExchangeIdToken(
        self, request: pb.ExchangeIdTokenRequest, context: Context
    ) -> pb.SignInResponse:
        """Open a session by the token of the bank's own provider."""
        found = await sessions.exchange(
            self._uow,
            context.caller,
            self._vault,
            provider=self._provider,
            id_token=request.id_token,
            nonce=request.nonce,
            claims=wire.claims_of_staff,
        )
        return wire.signed_in_to(found)

    async def SignOut(
        self, request: pb.SignOutRequest, context: Context
    ) -> pb.SignOutResponse:
        """End the caller's session."""
        await sessions.sign_out(self._uow, context.caller)
        return pb.SignOutResponse()

    async def RenewToken(
        self, request: pb.RenewTokenRequest, context: Context
    ) -> pb.RenewTokenResponse:
        """Give a live session a fresh token."""
        secret = request.session_secret
        found = await sessions.renew(
            self._uow,
            context.caller,
            self._vault,
            secret=secret,
            claims=wire.claims_of_staff,
        )
        return wire.renewed_to(found)

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.Session:
        """Show who is signed in."""
        return wire.session_to(await sessions.session(self._uow, context.caller))

    async def SetPassword(
        self, request: pb.SetPasswordRequest, context: Context
    ) -> pb.SetPasswordResponse:
        """Set a new password."""
        await sessions.set_password(
            self._uow,
            context.caller,
            old=request.old_password,
            new=request.new_password,
        )
        return pb.SetPasswordResponse()

    async def IssueServiceToken(
        self, request: pb.IssueServiceTokenRequest, context: Context
    ) -> pb.IssueServiceTokenResponse:
        """Issue a token to a service that proves itself by certificate or by the start-up secret."""
        self._recognise(request, context)
        claims = wire.claims_of_service(request.service)
        return wire.service_token_to(
            *await tokens.issue_service_token(
                self._uow,
                context.caller,
                self._vault,
                service=request.service,
                claims=claims,
            )
        )

    def _recognise(
        self, request: pb.IssueServiceTokenRequest, context: Context
    ) -> None:
        if self._shared.tls:
            shown = context.wire.auth_context().get("peer_spiffe_id", [b""])[0].decode()
            known = shown == IDENTITY_OF.format(request.service)
        else:
            secret = self._shared.secret("start-up-secret")
            known = hmac.compare_digest(request.secret.encode(), secret.encode())
        if not known:
            raise Unauthenticated("SIGN_IN_REFUSED")

    async def IssueAccountToken(
        self, request: pb.IssueAccountTokenRequest, context: Context
    ) -> pb.IssueAccountTokenResponse:
        """Issue a token to another system of the bank."""
        return wire.account_token_to(
            *await tokens.issue_account_token(
                self._uow,
                context.caller,
                self._vault,
                account=request.account,
                secret=request.secret,
                claims=wire.claims_of_account,
            )
        )

    async def ListKeys(
        self, request: pb.ListKeysRequest, context: Context
    ) -> pb.ListKeysResponse:
        """List the public keys."""
        async with self._uow.read(context.caller) as work:
            return wire.keys_to(await queries.public_keys(work))

    async def ListRevocations(
        self, request: pb.ListRevocationsRequest, context: Context
    ) -> pb.ListRevocationsResponse:
        """List what was revoked within the life of a token."""
        async with self._uow.read(context.caller) as work:
            return wire.revocations_to(await queries.revocations(work))

    async def ListBranchTree(
        self, request: pb.ListBranchTreeRequest, context: Context
    ) -> pb.ListBranchTreeResponse:
        """List the tree of branches."""
        found: KeySet = await queries.LocalKeys(self._uow).fetch()
        return wire.tree_to(found)
