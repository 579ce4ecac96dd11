"""Signing in and out, and what makes sessions and their tokens worthless."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from services.allocation.branch.tables import Branch
from services.allocation.identity import queries, rules
from services.allocation.identity.actions.tokens import token_of
from services.allocation.identity.rules import NOBODY, Provider, hashed, matches
from services.allocation.identity.tables import (
    Operator,
    Revocation,
    Session,
)
from services.allocation.staff.tables import Staff
from services.chassis.caller import Caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Invalid, Unauthenticated, Unready
from services.chassis.vault import Vault

ClaimsOf = Callable[[Staff, UUID], dict[str, object]]
"""Makes the claims of a member of staff's token; the edge knows how roles are numbered."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session with who it is, its renewing secret where it is new, and a fresh token."""

    session: Session
    staff: Staff
    branch: Branch | None
    token: str
    expires: datetime
    secret: str = ""


def staff_claims(
    staff: Staff, session_id: UUID, roles: list[int], scope: int
) -> dict[str, object]:
    """Return what the token of a member of staff says."""
    return {
        "sub": f"staff/{staff.staff_id}",
        "roles": roles,
        "scope": scope,
        "branch": staff.branch_id,
        "roots": [staff.branch_id],
        "sid": f"sessions/{session_id}",
    }


async def sign_in(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    operator_no: str,
    password: str,
    claims: ClaimsOf,
) -> SignedIn:
    """Open a session for the operator; refuse TOKEN_INVALID with one and the same answer for every wrong pair."""
    async with uow.read(caller) as work:
        found = await queries.operator(work, operator_no)
    if found is not None and found.next_try_time is not None:
        await asyncio.sleep(
            max(
                0.0,
                min(
                    (found.next_try_time - work.now).total_seconds(),
                    rules.SLOWEST.total_seconds(),
                ),
            )
        )
    right = await matches(found.password if found else NOBODY, password)
    if found is None or not right:
        if found is not None:
            await _count_failure(uow, caller, operator_no)
        raise Unauthenticated("SIGN_IN_REFUSED")
    async with uow(caller) as work:
        operator = await work.get(Operator, operator_no)
        operator.failures, operator.next_try_time = 0, None
        staff = await queries.staff(work, found.staff_id)
        if staff is None or staff.state != "ACTIVE":
            raise Unauthenticated("SIGN_IN_REFUSED")
        return await _open_session(work, vault, staff, claims)


def operator_in(provider: Provider, id_token: str, nonce: str, now: datetime) -> str:
    """Return the operator number in an identity token that holds; refuse SIGN_IN_REFUSED for any that does not."""
    try:
        found = jwt.decode(
            id_token, provider.keys, algorithms=["RS256", "ES256", "PS256", "Ed25519"]
        ).claims
        audience = found["aud"] if isinstance(found["aud"], list) else [found["aud"]]
        holds = found["iss"] == provider.issuer and provider.audience in audience
        if (
            holds
            and hmac.compare_digest(str(found["nonce"]), nonce)
            and float(found["exp"]) > now.timestamp()
        ):
            return str(found[provider.claim])
    except (JoseError, KeyError, TypeError, ValueError):
        pass
    raise Unauthenticated("SIGN_IN_REFUSED")


async def exchange(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    provider: Provider | None,
    id_token: str,
    nonce: str,
    claims: ClaimsOf,
) -> SignedIn:
    """Open a session for whoever the provider's token names; refuse PROVIDER_MISSING and SIGN_IN_REFUSED."""
    if provider is None:
        raise Unready("PROVIDER_MISSING")
    async with uow(caller) as work:
        found = await queries.operator(
            work, operator_in(provider, id_token, nonce, work.now)
        )
        staff = await queries.staff(work, found.staff_id) if found else None
        if staff is None or staff.state != "ACTIVE":
            raise Unauthenticated("SIGN_IN_REFUSED")
        return await _open_session(work, vault, staff, claims)


async def session(uow: UnitOfWork, caller: Caller) -> SignedIn:
    """Return the caller's session as it is now; refuse SESSION_ENDED when there is none."""
    async with uow.read(caller) as work:
        found = (
            await work.find(Session, UUID(caller.session.partition("/")[2]))
            if caller.session
            else None
        )
        staff = await queries.staff(work, caller.key) if found else None
        if found is None or staff is None or found.end_time is not None:
            raise Unauthenticated("SESSION_ENDED")
        branch = await work.find(Branch, staff.branch_id)
    return SignedIn(
        session=found, staff=staff, branch=branch, token="", expires=found.expire_time
    )


async def _count_failure(uow: UnitOfWork, caller: Caller, operator_no: str) -> None:
    """Count in a transaction of its own: the call's own is rolled back with the refusal."""
    work = await uow.open(caller)
    try:
        operator = await work.get(Operator, operator_no)
        operator.failures += 1
        operator.next_try_time = work.now + rules.wait_after(operator.failures)
        await work.settle(None, None)
    finally:
        await work.end()


async def _open_session(
    work: Work, vault: Vault, staff: Staff, claims: ClaimsOf
) -> SignedIn:
    secret = secrets.token_urlsafe(32)
    session = Session(
        session_id=uuid7(),
        staff_id=staff.staff_id,
        secret=hashlib.sha256(secret.encode()).digest(),
        create_time=work.now,
        expire_time=work.now + rules.SESSION_LIFE,
        use_time=work.now,
    )
    work.add(session)
    work.note(
        f"staff/{staff.staff_id}",
        branch_id=staff.branch_id,
        session=str(session.session_id),
    )
    token, expires = await token_of(work, vault, claims(staff, session.session_id))
    branch = await work.find(Branch, staff.branch_id)
    return SignedIn(
        session=session,
        staff=staff,
        branch=branch,
        token=token,
        expires=expires,
        secret=secret,
    )


async def renew(
    uow: UnitOfWork, caller: Caller, vault: Vault, *, secret: str, claims: ClaimsOf
) -> SignedIn:
    """Return a fresh token of a live session, with posts and branch as they are now; refuse SESSION_ENDED."""
    async with uow(caller) as work:
        session = await queries.session_by_secret(
            work, hashlib.sha256(secret.encode()).digest()
        )
        staff = await queries.staff(work, session.staff_id) if session else None
        if (
            session is None
            or staff is None
            or staff.state != "ACTIVE"
            or not rules.still_live(
                end=session.end_time,
                expire=session.expire_time,
                used=session.use_time,
                now=work.now,
            )
        ):
            raise Unauthenticated("SESSION_ENDED")
        session.use_time = work.now
        token, expires = await token_of(work, vault, claims(staff, session.session_id))
        branch = await work.find(Branch, staff.branch_id)
    return SignedIn(
        session=session, staff=staff, branch=branch, token=token, expires=expires
    )


async def revoke(work: Work, subject: str) -> None:
    """Make every token of *subject* issued up to now worthless, within the five seconds that services take to hear."""
    row = {"subject": subject, "revoke_time": work.now + timedelta(milliseconds=1)}
    statement = insert(Revocation).values(row)
    await work.execute(
        statement.on_conflict_do_update(
            index_elements=["subject"],
            set_={"revoke_time": statement.excluded.revoke_time},
        )
    )


class Logins:
    """Log-ins as the noun of staff needs them."""

    async def open(
        self, work: Work, *, operator_no: str, staff_id: str, password: str
    ) -> bool:
        """Make a log-in; return False when the operator number is taken."""
        if await work.find(Operator, operator_no) is not None:
            return False
        secret = await asyncio.to_thread(hashed, password)
        work.add(
            Operator(
                operator_no=operator_no,
                staff_id=staff_id,
                password=secret,
                failures=0,
                update_time=work.now,
            )
        )
        return True

    async def rename(self, work: Work, *, staff_id: str, operator_no: str) -> bool:
        """Give a log-in another number; return False when somebody else has that."""
        taken = await queries.operator(work, operator_no)
        found = await queries.operator_of(work, staff_id)
        if found is not None and taken is None:
            change = update(Operator).where(Operator.staff_id == staff_id)
            await work.execute(change.values(operator_no=operator_no))
        return taken is None or taken is found

    async def revoke(self, work: Work, staff_id: str) -> None:
        """Make every token of somebody worthless, and end their sessions."""
        for session in await queries.live_sessions(work, staff_id):
            session.end_time = work.now
        await revoke(work, f"staff/{staff_id}")


async def sign_out(uow: UnitOfWork, caller: Caller) -> None:
    """End the caller's session."""
    async with uow(caller) as work:
        session = await work.find(Session, UUID(caller.session.partition("/")[2]))
        if session is not None and session.end_time is None:
            session.end_time = work.now
        await revoke(work, caller.session)
        work.note(caller.session, branch_id=caller.branch_id)


async def set_password(uow: UnitOfWork, caller: Caller, *, old: str, new: str) -> None:
    """Set a new password, after the old one was given; end every other session. Refuses PASSWORD_WRONG."""
    async with uow.read(caller) as work:
        found = await queries.operator_of(work, caller.key)
    if found is None or not await matches(found.password, old):
        raise Invalid("PASSWORD_WRONG")
    fresh = await asyncio.to_thread(hashed, new)
    async with uow(caller) as work:
        operator = await work.get(Operator, found.operator_no)
        operator.password, operator.update_time = fresh, work.now
        for session in await queries.live_sessions(work, caller.key):
            if f"sessions/{session.session_id}" != caller.session:
                session.end_time = work.now
                await revoke(work, f"sessions/{session.session_id}")
        work.note(caller.subject, branch_id=caller.branch_id, changed="password")
