"""Reads of log-ins, sessions and keys; and the key set as allocation itself knows it."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select

from services.allocation.branch import queries as branches
from services.allocation.identity import rules
from services.allocation.identity.tables import (
    Account,
    Operator,
    Revocation,
    Session,
    SigningKey,
)
from services.allocation.staff.tables import Staff
from services.chassis.caller import service_caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.keyring import KeySet


async def operator(work: Work, operator_no: str) -> Operator | None:
    """Return the log-in of this number, or None."""
    return await work.find(Operator, operator_no)


async def operator_of(work: Work, staff_id: str) -> Operator | None:
    """Return the log-in of a member of staff, or None."""
    found = await work.session.execute(
        select(Operator).where(Operator.staff_id == staff_id)
    )
    return found.scalar_one_or_none()


async def staff(work: Work, staff_id: str) -> Staff | None:
    """Return a member of staff wherever the branch is, or None; for callers that see the whole bank."""
    found = await work.session.execute(select(Staff).where(Staff.staff_id == staff_id))
    return found.scalar_one_or_none()


async def session_by_secret(work: Work, digest: bytes) -> Session | None:
    """Return the session whose secret has this SHA-256, or None."""
    found = await work.session.execute(select(Session).where(Session.secret == digest))
    return found.scalar_one_or_none()


async def live_sessions(work: Work, staff_id: str) -> Sequence[Session]:
    """Return the sessions of a member of staff that have not been ended."""
    where = (Session.staff_id == staff_id) & Session.end_time.is_(None)
    return (await work.session.execute(select(Session).where(where))).scalars().all()


async def account(work: Work, name: str) -> Account | None:
    """Return another system's account, or None."""
    return await work.find(Account, name)


async def public_keys(work: Work) -> dict[str, str]:
    """Return the newest public key and those before it that may have signed a token still alive, newest first."""
    made = SigningKey.create_time
    after = func.lag(made).over(order_by=made.desc()).label("next_time")
    known = select(SigningKey.key_id, SigningKey.public_jwk, made, after).subquery()
    needed = known.c.next_time.is_(None) | (
        known.c.next_time > work.now - rules.KEY_KEPT
    )
    rows = await work.execute(
        select(known).where(needed).order_by(known.c.create_time.desc())
    )
    return {row.key_id: row.public_jwk for row in rows}


async def key_due(work: Work) -> bool:
    """Say whether it is time for the next signing key: there is none, or the newest is old."""
    newest = (await work.execute(select(func.max(SigningKey.create_time)))).scalar()
    return newest is None or work.now - newest >= rules.KEY_LIFE


async def revocations(work: Work) -> dict[str, float]:
    """Return what was revoked within the life of a token, as seconds since 1970."""
    since = work.now - rules.TOKEN_LIFE - timedelta(minutes=1)
    rows = await work.execute(
        select(Revocation.subject, Revocation.revoke_time).where(
            Revocation.revoke_time > since
        )
    )
    return {row.subject: row.revoke_time.timestamp() for row in rows}


class LocalKeys:
    """The key set read from the identity service's own tables."""

    def __init__(self, uow: UnitOfWork) -> None:
        """Read through *uow*."""
        self._uow = uow
        self._caller = service_caller("allocation")

    async def fetch(self) -> KeySet:
        """Return keys, revocations and the tree."""
        async with self._uow.read(self._caller) as work:
            return KeySet(
                keys=await public_keys(work),
                revocations=await revocations(work),
                tree=await branches.tree(work),
            )
