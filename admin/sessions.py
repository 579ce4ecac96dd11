"""
Sessions kept by the server: the browser holds an opaque id and nothing else.

They lie in one SQLite file under the portal's state, out of the standard library. A file per session was the other
candidate; it loses because a request that was under way during a sign-out would write its file back and so revive the
session, whereas ``UPDATE ... WHERE id`` of a deleted row touches nothing. Several processes of one portal share the
file. It holds no data of the bank: whoever deletes it merely sends everybody to the sign-in page.

Each row is sealed with a key made of the cookie's id and the portal's key; the row is found by a keyed
digest of the id. So neither the file alone nor the file with the portal's key opens a session.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

IDLE_SECONDS = 15 * 60
"""A session that nobody used for so long has ended (source: desks are left open)."""

LIFE_SECONDS = 8 * 3600
"""A session ends after a shift, whatever happens."""

TOUCH_SECONDS = 10
"""Use is written down no more often than this."""

ID = re.compile(r"[A-Za-z0-9_-]{43}")

NONCE_BYTES = 12

QUIET_HEADER = "X-Guanhu-Quiet"
"""A request with this header, a page asking for progress by itself, does not count as use."""

STATELESS = ("/static/", "/healthz")

TABLE = """
CREATE TABLE IF NOT EXISTS sessions (
    id BLOB PRIMARY KEY,
    sealed BLOB NOT NULL,
    begun REAL NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID
"""


class ServerSession(CallbackDict[str, Any], SessionMixin):
    """What one browser's session holds; ``id`` is what its cookie says."""

    def __init__(
        self,
        identity: str,
        content: dict[str, Any] | None = None,
        *,
        fresh: bool,
    ) -> None:
        """Begin with *content*, read from the store, or empty; *fresh* ids are not yet in a cookie."""

        def changed(_session: Any) -> None:
            self.modified = True

        super().__init__(content or {}, changed)
        self.id = identity
        self.stored = content is not None
        self.fresh = fresh
        self.left: list[str] = []
        self.modified = False

    def rotate(self) -> None:
        """Take a new id; the old one stops being known."""
        self.left.append(self.id)
        self.id = new_id()
        self.stored, self.fresh, self.modified = False, True, True

    def end(self, *, keep: tuple[str, ...] = ("language",)) -> None:
        """Forget everything but *keep* and take a new id, so that the old cookie opens nothing."""
        kept = {name: self[name] for name in keep if name in self}
        self.clear()
        self.update(kept)
        self.rotate()


def new_id() -> str:
    """Return a fresh opaque id of 256 bits."""
    return secrets.token_urlsafe(32)


class SessionStore:
    """The file of sessions."""

    def __init__(
        self, path: Path, key: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        """Keep sessions in *path*, sealed with *key*; the file is made for its owner alone."""
        self._path = path
        self._key = key
        self._clock = clock
        self._local = threading.local()
        path.touch(mode=0o600, exist_ok=True)
        self._connection().execute(TABLE)

    def load(self, identity: str, *, used: bool = True) -> dict[str, Any] | None:
        """Return what the session holds, or None when it is unknown, idle too long, or too old."""
        now = self._clock()
        row = self._run(
            "SELECT sealed, seen FROM sessions WHERE id = ? AND begun > ? AND seen > ?",
            self._row(identity),
            now - LIFE_SECONDS,
            now - IDLE_SECONDS,
        ).fetchone()
        if row is None:
            return None
        if used and now - row[1] >= TOUCH_SECONDS:
            self._run(
                "UPDATE sessions SET seen = ? WHERE id = ?", now, self._row(identity)
            )
        return self._opened(identity, row[0])

    def insert(self, identity: str, content: dict[str, Any]) -> None:
        """Write a new session down, and clear away those that have ended."""
        now = self._clock()
        self._run(
            "DELETE FROM sessions WHERE begun <= ? OR seen <= ?",
            now - LIFE_SECONDS,
            now - IDLE_SECONDS,
        )
        sealed = self._sealed(identity, content)
        self._run(
            "INSERT INTO sessions (id, sealed, begun, seen) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
            self._row(identity),
            sealed,
            now,
            now,
        )

    def update(self, identity: str, content: dict[str, Any]) -> None:
        """Write the content of a session that is still there; one that was ended meanwhile stays ended."""
        self._run(
            "UPDATE sessions SET sealed = ? WHERE id = ?",
            self._sealed(identity, content),
            self._row(identity),
        )

    def delete(self, identity: str) -> None:
        """End a session."""
        self._run("DELETE FROM sessions WHERE id = ?", self._row(identity))

    def close(self) -> None:
        """Close this thread's connection."""
        self._connection().close()
        self._local.pid = 0

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._local, "pid", 0) != os.getpid():
            opened = sqlite3.connect(self._path, timeout=3, isolation_level=None)
            opened.execute("PRAGMA journal_mode = WAL")
            opened.execute("PRAGMA synchronous = NORMAL")
            opened.execute("PRAGMA secure_delete = ON")
            self._local.connection, self._local.pid = opened, os.getpid()
        found: sqlite3.Connection = self._local.connection
        return found

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection().execute(statement, values)

    def _row(self, identity: str) -> bytes:
        return hmac.digest(self._key, f"row {identity}".encode(), "sha256")

    def _cipher(self, identity: str) -> AESGCM:
        derive = HKDF(hashes.SHA256(), 32, self._key, b"guanhu portal session")
        return AESGCM(derive.derive(identity.encode()))

    def _sealed(self, identity: str, content: dict[str, Any]) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        plain = json.dumps(content, ensure_ascii=False).encode()
        return nonce + self._cipher(identity).encrypt(nonce, plain, None)

    def _opened(self, identity: str, sealed: bytes) -> dict[str, Any]:
        nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        plain = self._cipher(identity).decrypt(nonce, body, None)
        content: dict[str, Any] = json.loads(plain)
        return content


class Sessions(SessionInterface):
    """Opens and keeps the session of every request that is about a person."""

    def __init__(self, store: SessionStore, key: bytes, *, secure: bool) -> None:
        """Use *store*; cookies go over HTTPS only when *secure*."""
        self._store = store
        self._key = key
        self._secure = secure
        self.cookie = "__Host-guanhu" if secure else "guanhu"

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Return the session that the cookie names, or an empty one that nothing is kept of until it is used."""
        identity = request.cookies.get(self.cookie, "")
        if request.path.startswith(STATELESS):
            nobody = ServerSession(new_id(), fresh=True)
            nobody.accessed = False
            return nobody
        if not ID.fullmatch(identity):
            return ServerSession(new_id(), fresh=True)
        content = self._store.load(identity, used=QUIET_HEADER not in request.headers)
        return ServerSession(identity, content, fresh=False)

    def save_session(
        self,
        app: Flask,
        session: SessionMixin,
        response: Response,
    ) -> None:
        """Write what changed, end what was left, and give a fresh id to the browser."""
        held = session
        assert isinstance(held, ServerSession)
        for identity in held.left:
            self._store.delete(identity)
        if held.modified and held.stored:
            self._store.update(held.id, dict(held))
        elif held.modified and held:
            self._store.insert(held.id, dict(held))
        if not held.accessed and not held.modified:
            return
        response.vary.add("Cookie")
        if held.fresh:
            response.set_cookie(
                self.cookie,
                held.id,
                path="/",
                secure=self._secure,
                httponly=True,
                samesite="Lax",
            )

    def token(self, session: ServerSession) -> str:
        """Return the token that forms of this session carry; it changes with the id."""
        mac = hmac.new(self._key, f"form {session.id}".encode(), hashlib.sha256)
        return mac.hexdigest()

    def holds(self, session: ServerSession, token: str) -> bool:
        """Say whether *token* is that of the session."""
        return hmac.compare_digest(self.token(session).encode(), token.encode())
