"""Resource names: ``branches/101`` on the wire, the bare key in tables."""

import re
from typing import Any

from services.chassis.errors import Invalid

RESOURCE = re.compile(r"[a-z][A-Za-z]*/[A-Za-z0-9._~-]+")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")


def key_of(collection: str, name: str) -> str:
    """Return the key in *name*, which must read ``collection/key``; refuse NAME_MALFORMED otherwise."""
    head, _, key = name.partition("/")
    if head != collection or not KEY.fullmatch(key):
        raise Invalid("NAME_MALFORMED", pattern=f"{collection}/...")
    return key


def number_of(collection: str, name: str) -> int:
    """Return the number in *name*, for resources that are keyed by the bank's own numbers."""
    key = key_of(collection, name)
    if not key.isdecimal() or len(key) > 9:
        raise Invalid("NAME_MALFORMED", pattern=f"{collection}/<number>")
    return int(key)


def optional_key(collection: str, name: str) -> str:
    """Return the key in *name*, empty when there is no name."""
    return key_of(collection, name) if name else ""


def keys_of(collection: str, names: list[str]) -> list[str]:
    """Return the keys of *names* in their order."""
    return [key_of(collection, name) for name in names]


def name_of(collection: str, key: object) -> str:
    """Return the resource name of *key*; empty when there is no key."""
    return f"{collection}/{key}" if key not in (None, "") else ""


def names_in(request: Any) -> list[str]:
    """Return the resource names that the fields of *request* hold; those of lists, which may be long, come last."""
    alone: list[str] = []
    listed: list[str] = []
    for field, value in request.ListFields() if request is not None else ():
        if field.type == field.TYPE_STRING:
            if isinstance(value, str):
                alone.append(value)
            else:
                listed += value
    return [one for one in (*alone, *listed) if RESOURCE.fullmatch(one)]
