"""Signing in, tokens and what makes them worthless."""

import asyncio
import base64
import json
import time

import grpc
import pytest
import pytest_asyncio
from guanhu.identity.v1 import identity_pb2 as pb
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from services.allocation.__main__ import SERVICE
from services.allocation.identity import wire
from services.allocation.identity.actions import sessions, tokens
from services.allocation.identity.rules import Provider
from services.chassis.caller import service_caller
from services.chassis.errors import Refusal
from tests.builders import (
    a_branch,
    a_member_of_staff,
    an_account,
    an_operator,
    put,
    request_id,
)
from tests.refusals import refused

PASSWORD = "correct horse battery"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def allocation(bank):
    """The allocation service with its own keys, two branches and some staff."""
    served = await bank.serve(SERVICE, own_keys=True)
    await put(
        served,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        a_branch(103, state="CLOSED"),
        a_member_of_staff("s1"),
        an_operator("s1"),
        a_member_of_staff("s2", posts=["BRANCH_MANAGER", "CUSTOMER_MANAGER"]),
        an_operator("s2"),
        a_member_of_staff("gone", state="LEFT"),
        an_operator("gone"),
        an_account(),
        an_account("old-system", enabled=False),
    )
    await served.frame.keyring.refresh()
    yield served
    await served.stop()


def anyone(allocation):
    """Return a stub without a token."""
    return IdentityServiceStub(allocation.channel)


async def signed_in(allocation, staff="s1"):
    """Sign a member of staff in."""
    return await anyone(allocation).SignIn(
        pb.SignInRequest(operator_no=f"op-{staff}", password=PASSWORD)
    )


async def test_a_service_gets_a_token_for_the_start_up_secret(allocation):
    """A service that shows the start-up secret gets a token that other calls take."""
    request = pb.IssueServiceTokenRequest(
        service="customer", secret="trial-start-up-secret"
    )
    answer = await anyone(allocation).IssueServiceToken(request)
    tree = await allocation.as_token(answer.token)(IdentityServiceStub).ListBranchTree(
        pb.ListBranchTreeRequest()
    )

    assert [(node.branch_id, node.parent_branch_id) for node in tree.branches] == [
        (100, 0),
        (101, 100),
    ]


async def test_a_wrong_start_up_secret_is_refused(allocation):
    """A service that shows another secret gets nothing, and is not told why."""
    request = pb.IssueServiceTokenRequest(service="customer", secret="wrong")

    assert await refused(anyone(allocation).IssueServiceToken(request)) == (
        "UNAUTHENTICATED",
        "SIGN_IN_REFUSED",
    )


async def test_signing_in_shows_posts_scope_and_branch(allocation):
    """A branch manager who also looks after customers signs in with both posts and sees the subtree."""
    answer = await signed_in(allocation, "s2")
    session = await allocation.as_token(answer.token)(IdentityServiceStub).GetSession(
        pb.GetSessionRequest()
    )

    assert session == answer.session
    assert session.staff == "staff/s2"
    assert list(session.roles) == [3, 5]
    assert (session.scope, session.branch_id, session.branch_display_name) == (
        3,
        101,
        "网点101",
    )


async def test_every_wrong_pair_reads_the_same(allocation):
    """A wrong password, an unknown operator and one who left get one and the same answer."""
    seen = set()
    for number, password in (
        ("op-s1", "wrong"),
        ("op-nobody", PASSWORD),
        ("op-gone", PASSWORD),
    ):
        call = anyone(allocation).SignIn(
            pb.SignInRequest(operator_no=number, password=password)
        )
        with pytest.raises(grpc.RpcError) as caught:
            await call
        seen.add((caught.value.code(), caught.value.details()))

    assert seen == {
        (
            grpc.StatusCode.UNAUTHENTICATED,
            "The operator number or the password is not right.",
        )
    }


async def test_failures_slow_down_and_never_lock(allocation):
    """After failures the next try waits, the right password still gets in, and the count starts anew."""
    await put(allocation, a_member_of_staff("slow"), an_operator("slow"))
    for _ in range(3):
        await refused(
            anyone(allocation).SignIn(
                pb.SignInRequest(operator_no="op-slow", password="wrong")
            )
        )
    started = time.monotonic()
    await signed_in(allocation, "slow")
    waited = time.monotonic() - started
    rows = await allocation.sql(
        "SELECT failures FROM operators WHERE operator_no = 'op-slow'"
    )

    assert waited > 0.7
    assert rows[0]["failures"] == 0


async def test_a_sign_in_leaves_one_audit_record_without_the_password(allocation):
    """Signing in is recorded in the branch of the member of staff; refused ones at the head office."""
    before = len(await allocation.sql("SELECT 1 FROM audit_records"))
    await signed_in(allocation)
    await refused(
        anyone(allocation).SignIn(
            pb.SignInRequest(operator_no="op-s1", password="wrong")
        )
    )
    rows = await allocation.sql(
        "SELECT * FROM audit_records ORDER BY create_time, sequence OFFSET $1", before
    )

    assert [(row["branch_id"], row["decision"]) for row in rows] == [
        (101, "OK"),
        (0, "SIGN_IN_REFUSED"),
    ]
    assert rows[0]["resources"] == "staff/s1"
    assert not any(PASSWORD in str(dict(row)) for row in rows)


async def test_a_session_ends_with_sign_out(allocation):
    """After signing out neither the token nor the session's secret is worth anything."""
    answer = await signed_in(allocation)
    stub = allocation.as_token(answer.token)(IdentityServiceStub)
    await stub.SignOut(pb.SignOutRequest(request_id=request_id()))
    await allocation.frame.keyring.refresh()

    assert await refused(stub.GetSession(pb.GetSessionRequest())) == (
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
    )
    token = await service_token(allocation)
    renewal = allocation.as_token(token)(IdentityServiceStub)
    request = pb.RenewTokenRequest(session_secret=answer.session_secret)
    assert await refused(renewal.RenewToken(request)) == (
        "UNAUTHENTICATED",
        "SESSION_ENDED",
    )


async def service_token(allocation, service="portal"):
    """Return the token of a service."""
    request = pb.IssueServiceTokenRequest(
        service=service, secret="trial-start-up-secret"
    )
    return (await anyone(allocation).IssueServiceToken(request)).token


async def test_a_renewed_token_has_the_posts_as_they_are_now(allocation):
    """A change of posts shows in the next token of the same session."""
    await put(allocation, a_member_of_staff("moved"), an_operator("moved"))
    answer = await signed_in(allocation, "moved")
    await allocation.sql(
        "UPDATE staff SET posts = '{LOBBY_MANAGER}' WHERE staff_id = 'moved'"
    )
    portal = allocation.as_token(await service_token(allocation))(IdentityServiceStub)
    renewed = await portal.RenewToken(
        pb.RenewTokenRequest(session_secret=answer.session_secret)
    )

    assert list(renewed.session.roles) == [4]
    assert renewed.session.scope == 2
    shown = await allocation.as_token(renewed.token)(IdentityServiceStub).GetSession(
        pb.GetSessionRequest()
    )
    assert shown.name == answer.session.name


async def test_an_idle_session_cannot_be_renewed(allocation):
    """A session nobody used for a quarter of an hour has ended."""
    await put(allocation, a_member_of_staff("idle"), an_operator("idle"))
    answer = await signed_in(allocation, "idle")
    await allocation.sql(
        "UPDATE sessions SET use_time = now() - interval '16 minutes' WHERE staff_id = 'idle'"
    )
    portal = allocation.as_token(await service_token(allocation))(IdentityServiceStub)
    request = pb.RenewTokenRequest(session_secret=answer.session_secret)

    assert await refused(portal.RenewToken(request)) == (
        "UNAUTHENTICATED",
        "SESSION_ENDED",
    )


async def test_a_new_password_ends_other_sessions(allocation):
    """Setting a password asks for the old one, ends every other session and keeps this one."""
    await put(allocation, a_member_of_staff("secret"), an_operator("secret"))
    other, own = (
        await signed_in(allocation, "secret"),
        await signed_in(allocation, "secret"),
    )
    stub = allocation.as_token(own.token)(IdentityServiceStub)
    wrong = pb.SetPasswordRequest(
        old_password="no", new_password="a longer password", request_id=request_id()
    )
    right = pb.SetPasswordRequest(
        old_password=PASSWORD, new_password="a longer password", request_id=request_id()
    )

    assert await refused(stub.SetPassword(wrong)) == (
        "INVALID_ARGUMENT",
        "PASSWORD_WRONG",
    )
    await stub.SetPassword(right)
    await allocation.frame.keyring.refresh()
    await stub.GetSession(pb.GetSessionRequest())
    ended = allocation.as_token(other.token)(IdentityServiceStub)
    assert await refused(ended.GetSession(pb.GetSessionRequest())) == (
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
    )
    await anyone(allocation).SignIn(
        pb.SignInRequest(operator_no="op-secret", password="a longer password")
    )


async def test_a_short_password_is_refused_by_the_contract(allocation):
    """The contract's own rule names the faulty field, in a BadRequest detail."""
    answer = await signed_in(allocation)
    stub = allocation.as_token(answer.token)(IdentityServiceStub)
    request = pb.SetPasswordRequest(
        old_password=PASSWORD, new_password="short", request_id=request_id()
    )

    assert await refused(stub.SetPassword(request), fields=True) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        ["new_password"],
    )


async def test_an_account_gets_a_token_of_its_roles(allocation):
    """Another system signs in with its secret; a disabled one and a wrong secret read the same."""
    request = pb.IssueAccountTokenRequest(
        account="core-banking", secret="feed secret of the trial"
    )
    answer = await anyone(allocation).IssueAccountToken(request)
    caller = allocation.frame.keyring.caller(answer.token)

    assert (caller.subject, caller.branch_ids, caller.roles) == (
        "accounts/core-banking",
        (-1,),
        frozenset({14}),
    )
    for account, secret in (
        ("core-banking", "wrong"),
        ("old-system", "feed secret of the trial"),
        ("none", "x"),
    ):
        wrong = pb.IssueAccountTokenRequest(account=account, secret=secret)
        assert await refused(anyone(allocation).IssueAccountToken(wrong)) == (
            "UNAUTHENTICATED",
            "SIGN_IN_REFUSED",
        )


async def test_keys_change_and_the_key_before_still_verifies(allocation):
    """When the newest key is a day old a fresh one signs, and tokens of the one before are still taken."""
    answer = await signed_in(allocation)
    await allocation.sql(
        "UPDATE signing_keys SET create_time = create_time - interval '25 hours'"
    )
    await tokens.rotate_key(
        allocation.frame.uow, service_caller("allocation"), allocation.frame.vault
    )
    await allocation.frame.keyring.refresh()
    keys = (await anyone(allocation).ListKeys(pb.ListKeysRequest())).keys
    await allocation.sql(
        "UPDATE signing_keys SET create_time = create_time - interval '1 minute'"
    )
    fresh = await signed_in(allocation)
    header = json.loads(base64.urlsafe_b64decode(fresh.token.split(".")[0] + "=="))

    assert len(keys) == 2
    assert header["kid"] == keys[0].key_id
    await allocation.as_token(answer.token)(IdentityServiceStub).GetSession(
        pb.GetSessionRequest()
    )


async def test_the_private_key_lies_sealed_in_the_store(allocation):
    """The column of the private key holds neither its number nor any JSON."""
    rows = await allocation.sql("SELECT sealed, public_jwk FROM signing_keys")
    async with allocation.frame.uow.read(service_caller("allocation")) as work:
        _, key = await tokens.signing_key(work, allocation.frame.vault)
    private = key.as_dict(private=True)["d"].encode()

    assert rows
    assert not any(
        private in row["sealed"]
        or b'"kty"' in row["sealed"]
        or '"d"' in row["public_jwk"]
        for row in rows
    )


async def test_a_providers_token_opens_a_session(allocation):
    """An identity token of the bank's provider opens a session; a wrong nonce, audience or key does not."""
    key, other = OKPKey.generate_key("Ed25519"), OKPKey.generate_key("Ed25519")
    provider = Provider(
        issuer="https://idp.bank", audience="guanhu", keys=KeySet([key])
    )
    caller = service_caller("allocation")

    def token(by=key, **more):
        claims = {
            "iss": "https://idp.bank",
            "aud": "guanhu",
            "nonce": "n" * 16,
            "exp": time.time() + 60,
        }
        return jwt.encode(
            {"alg": "Ed25519"},
            {**claims, "preferred_username": "op-s1", **more},
            by,
            algorithms=["Ed25519"],
        )

    async def exchange(id_token):
        return await sessions.exchange(
            allocation.frame.uow,
            caller,
            allocation.frame.vault,
            provider=provider,
            id_token=id_token,
            nonce="n" * 16,
            claims=wire.claims_of_staff,
        )

    assert (await exchange(token())).staff.staff_id == "s1"
    for wrong in (
        token(other),
        token(nonce="x" * 16),
        token(aud="other"),
        token(exp=1),
        token(preferred_username="op-none"),
    ):
        with pytest.raises(Refusal, match="SIGN_IN_REFUSED"):
            await exchange(wrong)


async def test_without_a_provider_exchange_is_refused(allocation):
    """Where no provider is configured the call says so."""
    request = pb.ExchangeIdTokenRequest(id_token="x", nonce="n" * 16)

    assert await refused(anyone(allocation).ExchangeIdToken(request)) == (
        "FAILED_PRECONDITION",
        "PROVIDER_MISSING",
    )


async def test_revocations_are_listed_while_tokens_live(allocation):
    """What was signed out a moment ago is in the list that services fetch; old entries are not."""
    answer = await signed_in(allocation)
    stub = allocation.as_token(answer.token)(IdentityServiceStub)
    await stub.SignOut(pb.SignOutRequest(request_id=request_id()))
    await allocation.sql(
        "INSERT INTO revocations VALUES ('staff/old', now() - interval '1 hour')"
    )
    service = allocation.as_token(await service_token(allocation))(IdentityServiceStub)
    listed = await service.ListRevocations(pb.ListRevocationsRequest())
    subjects = [one.subject for one in listed.revocations]

    assert answer.session.name in subjects
    assert "staff/old" not in subjects


async def test_two_processes_make_one_key(bank):
    """Two processes that start at once on an empty store end with one signing key."""
    served = await bank.serve(SERVICE, own_keys=True)
    await served.sql("DELETE FROM signing_keys")
    caller = service_caller("allocation")
    await asyncio.gather(
        *(
            tokens.rotate_key(served.frame.uow, caller, served.frame.vault)
            for _ in range(4)
        )
    )
    rows = await served.sql("SELECT 1 FROM signing_keys")
    await served.stop()

    assert len(rows) == 1
