"""The portal: Flask-Admin on templates of our own, with strict headers, a request number, and pages for every fault."""

import hashlib
import logging
import secrets
import time
import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, get_flashed_messages, redirect, request, url_for
from flask_admin import Admin, BaseView
from flask_admin.theme import Theme
from flask_babel import Babel, get_locale
from werkzeug.middleware.proxy_fix import ProxyFix

from admin import catalogue, errors, formats, menu, sayings
from admin.channels import Channels
from admin.icons import icon
from admin.login import Door, chosen_language
from admin.people import People
from admin.rights import may, person
from admin.sessions import Sessions, SessionStore
from admin.settings import PortalSettings
from admin.views.home import Home

MOST_BYTES = 2 << 20
"""The largest form the portal takes."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

ONE_YEAR = "public, max-age=31536000, immutable"

log = logging.getLogger("guanhu.portal")

SEARCH = "guanhu.customer.v1.CustomerService.SearchCustomers"

Views = Callable[[Channels], Iterable[BaseView]]


class Portal(Flask):
    """Flask, except that a fault reaches the log as kinds and places: its text may hold a personal value."""

    def log_exception(self, exc_info: Any) -> None:
        """Write down which kind of fault happened where, under the request's number."""
        kind, _error, trace = exc_info
        places = [
            f"{Path(place.filename).name}:{place.lineno} {place.name}"
            for place in traceback.extract_tb(trace)[-8:]
        ]
        log.error(
            "request.failed number=%s kind=%s where=%s",
            g.get("trace_id", ""),
            kind.__name__,
            " < ".join(reversed(places)),
        )


def create_app(
    channels: Channels, settings: PortalSettings, views: Views = menu.views
) -> Flask:
    """
    Return the portal.

    Args:
        channels: To the services; nothing is called before the first request.
        settings: What this process was told.
        views: Makes the pages after the first one, in the order of the menu.

    """
    app = Portal(__name__)
    key = settings.key()
    app.config.update(
        SECRET_KEY=hashlib.sha256(b"guanhu portal pages " + key).hexdigest(),
        MAX_CONTENT_LENGTH=MOST_BYTES,
        TIME_ZONE=settings.portal_time_zone,
        BABEL_DEFAULT_LOCALE="zh_Hans_CN",
        BABEL_DEFAULT_TIMEZONE=settings.portal_time_zone,
        BABEL_TRANSLATION_DIRECTORIES=str(catalogue.compile_into(settings.folder)),
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    store = SessionStore(settings.folder / "sessions.sqlite3", key)
    secure = not settings.demonstration
    sessions = Sessions(store, key, secure=secure)
    app.session_interface = sessions
    Babel(app, locale_selector=chosen_language)
    if settings.portal_proxies:
        count = settings.portal_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    _envelope(app, secure=secure)
    door = Door(channels, settings, sessions)
    door.install(app)
    errors.install(app)
    _words(app, door)
    _pages(app, channels, views)
    return app


def _pages(app: Flask, channels: Channels, views: Views) -> None:
    portal = Admin(
        app,
        name="Guanhu",
        theme=Theme(folder="portal", base_template="admin/base.html"),
        translations_path=app.config["BABEL_TRANSLATION_DIRECTORIES"],
        index_view=Home(channels, People(channels)),
    )
    for view in views(channels):
        portal.add_view(view)

    @app.get("/")
    def root() -> Any:
        return redirect(url_for("admin.index"))

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")


def _envelope(app: Flask, *, secure: bool) -> None:
    """Give every request a number and every answer its headers."""

    @app.before_request
    def number() -> None:
        g.started = time.perf_counter()
        g.trace_id = secrets.token_hex(16)

    @app.after_request
    def headers(response: Response) -> Response:
        if response.status_code == 200 and "status" in g:
            response.status_code = g.status
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        versioned = request.endpoint == "static" and "v" in request.args
        found = response.status_code in {200, 304}
        response.headers["Cache-Control"] = (
            ONE_YEAR if versioned and found else "no-store"
        )
        response.headers["X-Request-Id"] = g.get("trace_id", "")
        spent = time.perf_counter() - g.get("started", time.perf_counter())
        response.headers["Server-Timing"] = (
            f"total;dur={spent * 1e3:.1f}, "
            f'calls;dur={g.get("call_seconds", 0.0) * 1e3:.1f};desc="{g.get("calls", 0)}"'
        )
        return response


def _words(app: Flask, door: Door) -> None:
    """Tell templates what every page may use."""

    @lru_cache(64)
    def version(name: str) -> str:
        content = (Path(str(app.static_folder)) / name).read_bytes()
        return hashlib.sha256(content).hexdigest()[:12]

    def static_url(name: str) -> str:
        return url_for("static", filename=name, v=version(name))

    def messages() -> list[tuple[str, str]]:
        return get_flashed_messages(with_categories=True)  # type: ignore[return-value]

    def customer_search() -> str | None:
        page = "customers.seek"
        return url_for(page) if page in app.view_functions and may(SEARCH) else None

    @app.context_processor
    def words() -> dict[str, Any]:
        return {
            "admin": app.extensions["admin"][0],
            "chinese": sayings.in_chinese(),
            "customer_search": customer_search(),
            "fmt": formats,
            "form_token": door.form_token,
            "icon": icon,
            "language": str(get_locale()),
            "may": may,
            "messages": messages,
            "person": person(),
            "static_url": static_url,
        }
