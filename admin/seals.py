"""What a page carries to the browser and must come back unchanged: sealed for one purpose and one person."""

from typing import Any

from flask import abort, current_app, g
from itsdangerous import BadSignature, URLSafeSerializer


def _sealer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key, f"{purpose} {g.person.staff}")


def seal(purpose: str, content: object) -> str:
    """Return *content*, JSON at most, as text that only the same person can hand back for the same *purpose*."""
    return str(_sealer(purpose).dumps(content))


def unseal(purpose: str, sealed: str) -> Any:
    """Return what was sealed; anything else ends the request with 400."""
    try:
        return _sealer(purpose).loads(sealed)
    except BadSignature:
        abort(400)
