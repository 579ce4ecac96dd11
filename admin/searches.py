"""
What people search for by personal values, kept in their session so that no address ever holds it.

An address goes into histories, bookmarks, logs of proxies and Referer headers; what it holds here is an opaque key.
"""

import secrets

from flask import session

KEPT = 20
"""Searches of one session that can be gone back to."""

FIELD = "searches"


def keep(query: str) -> str:
    """Keep what was searched for and return its key; the same search has one key."""
    held: dict[str, str] = dict(session.get(FIELD, {}))
    known = next((key for key, kept in held.items() if kept == query), "")
    key = known or secrets.token_urlsafe(9)
    held.pop(key, None)
    newest = [*held.items(), (key, query)][-KEPT:]
    session[FIELD] = dict(newest)
    return key


def recall(key: str) -> str | None:
    """Return what was searched for under *key*, or None when this session knows no such search."""
    found = session.get(FIELD, {}).get(key)
    return None if found is None else str(found)
