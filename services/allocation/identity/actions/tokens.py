"""Keys that change by themselves, and tokens signed with them: for sessions, services and accounts."""

import json
from collections.abc import Callable
from datetime import datetime

from joserfc.jwk import OKPKey
from sqlalchemy import func, select, update
from uuid_utils.compat import uuid7

from services.allocation.identity import queries, rules
from services.allocation.identity.rules import NOBODY, matches
from services.allocation.identity.tables import Account, SigningKey
from services.chassis.caller import HEAD_OFFICE, Caller, service_caller
from services.chassis.db import UnitOfWork, Work
from services.chassis.errors import Unauthenticated
from services.chassis.keyring import KeySet, sign
from services.chassis.vault import Vault

AccountClaims = Callable[[Account], dict[str, object]]
"""Makes the claims of an account's token; the edge knows how roles are numbered."""

PLACE = "signing_keys.sealed|{}"


async def signing_key(work: Work, vault: Vault) -> tuple[str, OKPKey]:
    """Return the key that signs now, and its id: the newest that every service has had the time to fetch."""
    made = SigningKey.create_time
    # Where no key is that old, as at the first start, the newest signs: nobody holds a token of another.
    known = (made > work.now - rules.KEY_LEAD, made.desc())
    statement = select(SigningKey.key_id, SigningKey.sealed).order_by(*known).limit(1)
    row = (await work.execute(statement)).one()
    return row.key_id, OKPKey.import_key(
        json.loads(vault.open(row.sealed, PLACE.format(row.key_id)))
    )


async def rotate_key(uow: UnitOfWork, caller: Caller, vault: Vault) -> None:
    """
    Make a signing key when it is time for the next one, once however many processes try.

    The private parts of keys that sign no more are forgotten.
    """
    async with uow(caller) as work:
        await work.run("SELECT pg_advisory_xact_lock(7002)")
        if not await queries.key_due(work):
            return
        made = SigningKey.create_time
        newest = select(func.max(made)).scalar_subquery()
        gone = update(SigningKey).where(made < newest, SigningKey.sealed != b"")
        await work.execute(gone.values(sealed=b""))
        key = OKPKey.generate_key("Ed25519")
        key_id = uuid7().hex
        private, public = (
            json.dumps(key.as_dict(private=True)),
            json.dumps(key.as_dict(private=False)),
        )
        sealed = vault.seal(private, PLACE.format(key_id))
        work.add(
            SigningKey(
                key_id=key_id, sealed=sealed, public_jwk=public, create_time=work.now
            )
        )


class OwnKeys:
    """The key set as allocation knows it; every process looks every two seconds, and the first makes the next key."""

    def __init__(self, uow: UnitOfWork, vault: Vault) -> None:
        """Read and make keys through *uow*; *vault* seals their private parts."""
        self._uow = uow
        self._vault = vault
        self._caller = service_caller("allocation")

    async def fetch(self) -> KeySet:
        """Return keys, revocations and the tree, after making the next signing key when it is time."""
        async with self._uow.read(self._caller) as work:
            due = await queries.key_due(work)
        if due:
            await rotate_key(self._uow, self._caller, self._vault)
        return await queries.LocalKeys(self._uow).fetch()


async def token_of(
    work: Work, vault: Vault, claims: dict[str, object]
) -> tuple[str, datetime]:
    """Return a signed token with *claims*, and when it expires."""
    key_id, key = await signing_key(work, vault)
    expires = work.now + rules.TOKEN_LIFE
    stamped = {**claims, "iat": work.now.timestamp(), "exp": int(expires.timestamp())}
    return sign(stamped, key=key, kid=key_id), expires


async def issue_service_token(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    service: str,
    claims: dict[str, object],
) -> tuple[str, datetime]:
    """Return a token for *service*, which the servicer has recognised."""
    async with uow(caller) as work:
        work.note(f"services/{service}", branch_id=HEAD_OFFICE)
        return await token_of(work, vault, claims)


async def issue_account_token(
    uow: UnitOfWork,
    caller: Caller,
    vault: Vault,
    *,
    account: str,
    secret: str,
    claims: AccountClaims,
) -> tuple[str, datetime]:
    """Return a token for another system; refuse SIGN_IN_REFUSED alike for a wrong name and a wrong secret."""
    async with uow.read(caller) as work:
        found = await queries.account(work, account)
    right = await matches(found.secret if found else NOBODY, secret)
    if found is None or not right or not found.enabled:
        raise Unauthenticated("SIGN_IN_REFUSED")
    async with uow(caller) as work:
        work.note(f"accounts/{account}", branch_id=HEAD_OFFICE)
        return await token_of(work, vault, claims(found))
