"""
What a signed-in person may see in the portal.

The rules are not written here: each page names the RPC behind each of its endpoints, and the RPC's own contract says
which posts may call it. The portal hides what would be refused; the services decide again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import abort, g, redirect, request, url_for
from guanhu.policy.v1 import policy_pb2

from admin.channels import access_of


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, as IdentityService said last."""

    staff: str
    display_name: str
    roles: tuple[str, ...]
    scope: str
    branch_id: int
    branch: str

    def may(self, rpc: str) -> bool:
        """Say whether the contract of *rpc* (``package.Service.Method``) admits one of the person's posts."""
        admitted = {
            policy_pb2.Role.Name(role).removeprefix("ROLE_")
            for role in access_of(rpc).roles
        }
        return bool(admitted & {*self.roles, "STAFF", "ANYONE"})


def person() -> Person | None:
    """Return who is signed in, or None."""
    found: Person | None = g.get("person")
    return found


def may(rpc: str) -> bool:
    """Say whether somebody is signed in whose posts *rpc* admits."""
    found = person()
    return found is not None and found.may(rpc)


class Guarded:
    """
    A page that only those see whom the services behind it would answer.

    ``asks`` names the RPC behind each view function; the entry ``""`` holds for the page as a whole and for every
    function without an entry of its own. A page without that entry is for everybody who is signed in.
    """

    asks: ClassVar[Mapping[str, str]] = {}

    def allows(self, function: str) -> bool:
        """Say whether the person at the browser may run the view function of this name."""
        rpc = self.asks.get(function) or self.asks.get("")
        return person() is not None and (rpc is None or may(rpc))

    def is_accessible(self) -> bool:
        """Say whether the page is shown in the menu and opened at all."""
        return self.allows("")

    def inaccessible_callback(self, name: str, **_arguments: Any) -> Any:
        """Send strangers to the sign-in page and everybody else to 403."""
        return to_sign_in() if person() is None else abort(403)

    def _handle_view(self, name: str, **arguments: Any) -> Any:
        turned_away = super()._handle_view(name, **arguments)  # type: ignore[misc]
        if turned_away is None and not self.allows(name):
            abort(403)
        return turned_away

    def _run_view(
        self, function: Callable[..., Any], *given: Any, **arguments: Any
    ) -> Any:
        """Run the view function, once: Flask-Admin would run it again, differently, after any TypeError."""
        return function(self, *given, **arguments)


def to_sign_in() -> Any:
    """Return the way to the sign-in page and, for pages that can be opened again, back here."""
    if wants_json():
        abort(401)
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("door.sign_in", next=back))


def wants_json() -> bool:
    """Say whether a script of ours is asking, which wants a sentence and no page."""
    return request.accept_mimetypes.best == "application/json"
