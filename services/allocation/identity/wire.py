"""Sessions, keys and nodes of the tree as the contract's messages; posts as roles and back."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from guanhu.identity.v1 import identity_pb2
from guanhu.policy.v1 import policy_pb2

from services.allocation.identity.actions.sessions import SignedIn, staff_claims
from services.allocation.identity.tables import Account
from services.allocation.staff.rules import scope_of
from services.allocation.staff.tables import Staff
from services.chassis.caller import HEAD_OFFICE
from services.chassis.keyring import KeySet
from services.chassis.policy import roles_named
from services.chassis.wiretypes import time_to


def scope_to(posts: Iterable[str]) -> Any:
    """Return the scope that posts give."""
    return policy_pb2.Scope.Value(f"SCOPE_{scope_of(list(posts))}")


def claims_of_staff(staff: Staff, session_id: UUID) -> dict[str, object]:
    """Return what the token of a member of staff says."""
    return staff_claims(
        staff, session_id, roles_named(staff.posts), scope_to(staff.posts)
    )


def claims_of_service(service: str) -> dict[str, object]:
    """Return what the token of a service says."""
    return _bank_wide(f"services/{service}", [policy_pb2.ROLE_SERVICE])


def claims_of_account(account: Account) -> dict[str, object]:
    """Return what the token of another system says."""
    return _bank_wide(f"accounts/{account.account}", roles_named(account.roles))


def _bank_wide(subject: str, roles: list[int]) -> dict[str, object]:
    scope = policy_pb2.SCOPE_BANK
    return {
        "sub": subject,
        "roles": roles,
        "scope": scope,
        "branch": HEAD_OFFICE,
        "roots": [],
    }


def session_to(found: SignedIn) -> identity_pb2.Session:
    """Return a session as the contract shows it."""
    return identity_pb2.Session(
        name=f"sessions/{found.session.session_id}",
        staff=f"staff/{found.staff.staff_id}",
        display_name=found.staff.display_name,
        roles=roles_named(found.staff.posts),
        scope=scope_to(found.staff.posts),
        branch_id=found.staff.branch_id,
        branch_display_name=found.branch.display_name if found.branch else "",
        create_time=time_to(found.session.create_time),
        expire_time=time_to(found.session.expire_time),
    )


def signed_in_to(found: SignedIn) -> identity_pb2.SignInResponse:
    """Return a fresh session with its token and secret."""
    return identity_pb2.SignInResponse(
        session=session_to(found),
        token=found.token,
        expire_time=time_to(found.expires),
        session_secret=found.secret,
    )


def renewed_to(found: SignedIn) -> identity_pb2.RenewTokenResponse:
    """Return a renewed token."""
    return identity_pb2.RenewTokenResponse(
        token=found.token, expire_time=time_to(found.expires), session=session_to(found)
    )


def service_token_to(
    token: str, expires: datetime
) -> identity_pb2.IssueServiceTokenResponse:
    """Return a service's token."""
    return identity_pb2.IssueServiceTokenResponse(
        token=token, expire_time=time_to(expires)
    )


def account_token_to(
    token: str, expires: datetime
) -> identity_pb2.IssueAccountTokenResponse:
    """Return an account's token."""
    return identity_pb2.IssueAccountTokenResponse(
        token=token, expire_time=time_to(expires)
    )


def keys_to(keys: dict[str, str]) -> identity_pb2.ListKeysResponse:
    """Return public keys, newest first."""
    return identity_pb2.ListKeysResponse(
        keys=[
            identity_pb2.Key(key_id=key_id, jwk_json=jwk)
            for key_id, jwk in keys.items()
        ]
    )


def revocations_to(found: dict[str, float]) -> identity_pb2.ListRevocationsResponse:
    """Return what was revoked."""
    answer = identity_pb2.ListRevocationsResponse()
    for subject, moment in found.items():
        answer.revocations.add(subject=subject).revoke_time.FromNanoseconds(
            int(moment * 1e9)
        )
    return answer


def tree_to(found: KeySet) -> identity_pb2.ListBranchTreeResponse:
    """Return the tree of branches, ascending."""
    return identity_pb2.ListBranchTreeResponse(
        branches=[
            identity_pb2.BranchNode(
                branch_id=node.branch_id,
                parent_branch_id=node.parent,
                display_name=node.title,
                time_zone=node.zone,
            )
            for node in sorted(
                found.tree.branches.values(), key=lambda one: one.branch_id
            )
        ]
    )
