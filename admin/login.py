"""
The door: signing in and out, the language, and what is checked of every request before a page sees it.

Passwords are checked by IdentityService alone. The token and the secret that renews it stay in the session on the
server; a browser never has them.
"""

import threading
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import grpc
from flask import (
    Blueprint,
    Flask,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_babel import refresh as refresh_language
from guanhu.identity.v1 import identity_pb2 as pb
from guanhu.identity.v1 import identity_pb2_grpc
from guanhu.policy.v1 import policy_pb2
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length

from admin import sayings
from admin.channels import Channels
from admin.forms import Form
from admin.rights import Person, person, to_sign_in
from admin.sessions import ServerSession, Sessions
from admin.settings import PortalSettings

RENEW_SECONDS = 120
"""A token is renewed when it has less than this left."""

SIGN_IN_SECONDS = 15
"""IdentityService slows wrong passwords down by up to eight seconds."""

SAFE = {"GET", "HEAD", "OPTIONS"}

LANGUAGES = ("zh_Hans_CN", "en")

OPEN = {"static", "healthz"}
"""Endpoints that are not about a person."""


class SignInForm(Form):
    """Operator number and password."""

    operator_no = StringField(
        lazy_gettext("Operator number"),
        [InputRequired(lazy_gettext("Enter your operator number.")), Length(max=32)],
    )
    password = PasswordField(
        lazy_gettext("Password"),
        [InputRequired(lazy_gettext("Enter your password.")), Length(max=256)],
    )


class OwnToken:
    """The portal's own token, with which it renews those of its users; fetched when needed, kept half its life."""

    def __init__(self, stub: Any, settings: PortalSettings) -> None:
        """Ask by certificate, or by the start-up secret where there are no certificates."""
        self._stub = stub
        self._settings = settings
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def value(self) -> str:
        """Return a token that holds; raises grpc.RpcError when none can be had."""
        with self._lock:
            if time.time() >= self._renew_at:
                self._fetch()
            return self._token

    def _fetch(self) -> None:
        by_certificate = self._settings.tls_certificate is not None
        secret = "" if by_certificate else self._settings.secret("start-up-secret")
        request = pb.IssueServiceTokenRequest(service="portal", secret=secret)
        answer = self._stub.IssueServiceToken(request, metadata_sent=())
        now = time.time()
        self._token = answer.token
        self._renew_at = now + max(1.0, (answer.expire_time.seconds - now) / 2)


class Door:
    """Lets people in and out, and looks at every request before its page does."""

    def __init__(
        self, channels: Channels, settings: PortalSettings, sessions: Sessions
    ) -> None:
        """Ask IdentityService over *channels* and keep what it says in *sessions*."""
        self._identity = channels.stub(
            "allocation", identity_pb2_grpc.IdentityServiceStub
        )
        self._own = OwnToken(self._identity, settings)
        self._sessions = sessions

    def install(self, app: Flask) -> None:
        """Add the door's pages and its look at every request to *app*."""
        pages = Blueprint("door", __name__)
        pages.add_url_rule("/sign-in", "sign_in", self.sign_in, methods=["GET", "POST"])
        pages.add_url_rule("/sign-out", "sign_out", self.sign_out, methods=["POST"])
        pages.add_url_rule("/language", "language", self.language, methods=["POST"])
        app.register_blueprint(pages)
        app.before_request(self.look)
        app.extensions["door"] = self

    def form_token(self) -> str:
        """Return what every form of this session must carry."""
        return self._sessions.token(held_session())

    def look(self) -> None:
        """Find out who is asking, keep their token fresh, and refuse a form that did not come from our own page."""
        if request.endpoint in OPEN:
            return
        if request.method not in SAFE:
            sent = request.form.get("csrf_token", "") or request.headers.get(
                "X-CSRF-Token", ""
            )
            if not self._sessions.holds(held_session(), sent):
                abort(400)
        if "token" in session:
            self._keep_fresh()
        if "person" in session:
            kept = session["person"]
            g.person = Person(**{**kept, "roles": tuple(kept["roles"])})
            g.token = session["token"]

    def _keep_fresh(self) -> None:
        left = session["token_until"] - time.time()
        if left >= RENEW_SECONDS:
            return
        renewal = pb.RenewTokenRequest(session_secret=session["secret"])
        try:
            pairs = (("authorization", f"Bearer {self._own.value()}"),)
            answer = self._identity.RenewToken(renewal, metadata_sent=pairs)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                leave()
            elif left <= 0:
                raise
            return
        remember(answer.token, answer.expire_time.seconds, answer.session)

    def sign_in(self) -> Any:
        """Show the form, or let somebody in whose operator number and password fit."""
        if request.method == "GET" and person() is not None:
            return redirect(safe_target(request.args.get("next")))
        form = SignInForm(request.form if request.method == "POST" else None)
        status = 200
        if request.method == "POST" and form.validate():
            asked = pb.SignInRequest(
                operator_no=form.operator_no.data, password=form.password.data
            )
            try:
                answer = self._identity.SignIn(
                    asked, timeout=SIGN_IN_SECONDS, metadata_sent=()
                )
            except grpc.RpcError as error:
                flash(sayings.sentence(error), "danger")
                status = sayings.http_status(error)
            else:
                held_session().end()
                session["secret"] = answer.session_secret
                remember(answer.token, answer.expire_time.seconds, answer.session)
                return redirect(safe_target(request.args.get("next")), 303)
        elif request.method == "POST":
            status = 422
        return render_template("portal/sign_in.html", form=form), status

    def sign_out(self) -> Any:
        """End the session, here and at IdentityService."""
        if person() is not None:
            try:
                self._identity.SignOut(pb.SignOutRequest(request_id=str(uuid.uuid4())))
            except grpc.RpcError as error:
                current_app.logger.warning(
                    "sign-out not taken by IdentityService: %s", error.code().name
                )
        leave()
        flash(_("You have signed out."), "success")
        return redirect(url_for("door.sign_in"), 303)

    def language(self) -> Any:
        """Switch the language and return to the page that was open."""
        wanted = request.form.get("language", "")
        if wanted not in LANGUAGES:
            abort(400)
        session["language"] = wanted
        refresh_language()
        return redirect(safe_target(request.form.get("url")), 303)


def held_session() -> ServerSession:
    """Return the session itself, not Flask's stand-in for it."""
    held: ServerSession = session._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    return held


def remember(token: str, until: int, who: pb.Session) -> None:
    """Keep a token and whom it is of in the session."""
    session["token"] = token
    session["token_until"] = until
    session["person"] = {
        "staff": who.staff,
        "display_name": who.display_name,
        "roles": [
            policy_pb2.Role.Name(role).removeprefix("ROLE_") for role in who.roles
        ],
        "scope": policy_pb2.Scope.Name(who.scope).removeprefix("SCOPE_"),
        "branch_id": who.branch_id,
        "branch": who.branch_display_name,
    }


def leave() -> None:
    """Forget who was signed in; the old cookie opens nothing any more."""
    held_session().end()
    g.pop("person", None)
    g.pop("token", None)


def turned_out() -> Any:
    """Answer a call that the services refused because the session has ended there."""
    leave()
    flash(_("Your session has ended; sign in again."), "warning")
    return to_sign_in()


def safe_target(url: str | None) -> str:
    """Return *url* when it is a path of this portal, else the first page; no way leads to another host."""
    if url and url.startswith("/") and not url.startswith(("//", "/\\")):
        parts = urlsplit(url)
        if not parts.scheme and not parts.netloc and url.isprintable():
            return url
    return url_for("admin.index")


def chosen_language() -> str:
    """Return the language of the session; Chinese unless another was chosen."""
    return str(session.get("language", LANGUAGES[0])) if request else LANGUAGES[0]
