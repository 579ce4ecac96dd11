"""Log-ins, sessions, accounts, keys: reference tables without a branch; what they guard is guarded elsewhere."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Integer, LargeBinary, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.chassis.tables import Moment, rows_of

Row = rows_of("allocation")


class Operator(Row):  # type: ignore[valid-type,misc]
    """A log-in (操作员号) of a member of staff; ``password`` is an argon2id hash."""

    __tablename__ = "operators"

    operator_no: Mapped[str] = mapped_column(Text, primary_key=True)
    staff_id: Mapped[str] = mapped_column(Text)
    password: Mapped[str] = mapped_column(Text)
    failures: Mapped[int] = mapped_column(Integer)
    next_try_time: Mapped[datetime | None] = mapped_column(Moment)
    update_time: Mapped[datetime] = mapped_column(Moment)


class Session(Row):  # type: ignore[valid-type,misc]
    """A sign-in that lasts: tokens are renewed by a secret of which only the SHA-256 is kept."""

    __tablename__ = "sessions"

    session_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    staff_id: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[datetime] = mapped_column(Moment)
    expire_time: Mapped[datetime] = mapped_column(Moment)
    use_time: Mapped[datetime] = mapped_column(Moment)
    end_time: Mapped[datetime | None] = mapped_column(Moment)


class Account(Row):  # type: ignore[valid-type,misc]
    """Another system of the bank; ``secret`` is an argon2id hash, ``roles`` are names without prefix."""

    __tablename__ = "accounts"

    account: Mapped[str] = mapped_column(Text, primary_key=True)
    secret: Mapped[str] = mapped_column(Text)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    enabled: Mapped[bool] = mapped_column(Boolean)
    update_time: Mapped[datetime] = mapped_column(Moment)


class SigningKey(Row):  # type: ignore[valid-type,misc]
    """A key that tokens are signed with; the private part is sealed by the vault."""

    __tablename__ = "signing_keys"

    key_id: Mapped[str] = mapped_column(Text, primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    public_jwk: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(Moment)


class Revocation(Row):  # type: ignore[valid-type,misc]
    """A subject whose tokens issued before a moment hold no longer."""

    __tablename__ = "revocations"

    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    revoke_time: Mapped[datetime] = mapped_column(Moment)
