"""Error pages: every refusal of a service and every fault of HTTP as a page, or as JSON for scripts."""

from typing import Any

import grpc
from flask import Flask, g, jsonify, render_template, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from admin import sayings
from admin.login import leave, turned_out
from admin.rights import wants_json

RETRIED = {429, 503}
"""Statuses after which the same page may come up by itself."""

ICONS = {401: "lock", 403: "lock", 404: "search-off", 409: "merge", 503: "cloud-off"}


def title(status: int) -> str:
    """Return the heading of the page for *status*."""
    return {
        400: _("This form is no longer valid"),
        401: _("Please sign in"),
        403: _("Not allowed"),
        404: _("Not found"),
        405: _("This address does not take that"),
        409: _("It was changed or is not ready"),
        413: _("Too much was sent"),
        422: _("Something is not right"),
        429: _("Too many requests"),
        503: _("A service cannot be reached"),
    }.get(status, _("Something unexpected happened"))


def advice(status: int) -> str:
    """Return what to do about *status*, for faults that no service explained."""
    return {
        400: _(
            "The page was open too long or the form was sent twice. Go back, load the page again and repeat."
        ),
        401: _("Your session has ended; sign in again."),
        403: _(
            "Your posts do not allow this. Ask the operator of your branch if you need it."
        ),
        404: _("Check the address, or choose a page from the menu."),
        405: _("Go back and use the buttons of the page."),
        413: _("Send less at once."),
        429: _("Wait a moment; the page opens again by itself."),
        503: _(
            "Nothing was lost. The page tries again by itself and opens as soon as the service answers."
        ),
    }.get(
        status, _("The fault has been noted. Tell the support desk the number below.")
    )


def page(status: int, text: str, *, wait: int = 0) -> Any:
    """
    Return the answer for *status* with *text* to read.

    Args:
        status: HTTP status.
        text: One or two sentences.
        wait: Seconds after which a GET is tried again by itself; 0 for never.

    """
    if wants_json():
        answer = jsonify(error=text, number=g.get("trace_id", ""))
        answer.status_code = status
    else:
        body = render_template(
            "portal/error.html",
            status=status,
            title=title(status),
            text=text,
            icon_name=ICONS.get(status, "alert"),
            wait=wait if request.method == "GET" else 0,
        )
        answer = Flask.response_class(body, status)
    if wait:
        answer.headers["Retry-After"] = str(wait)
    return answer


def of_call(error: grpc.RpcError) -> Any:
    """Return the page of a call that a service refused or did not answer."""
    if error.code() == grpc.StatusCode.UNAUTHENTICATED:
        return gone_json() if wants_json() else turned_out()
    status = sayings.http_status(error)
    wait = sayings.retry_after(error) if status in RETRIED else 0
    text = sayings.sentence(error)
    if not sayings.reason(error) and status in RETRIED:
        text = f"{text} {advice(status)}"
    return page(status, text, wait=wait)


def gone_json() -> Any:
    """Tell a script that the session has ended at the services."""
    leave()
    return page(401, advice(401))


def of_http(error: HTTPException) -> Any:
    """Return the page of a fault of HTTP."""
    status = error.code or 500
    if status < 400:
        return error
    return page(status, advice(status), wait=10 if status in RETRIED else 0)


def install(app: Flask) -> None:
    """Let *app* answer every fault with a page; what is not foreseen ends as 500 and in the log."""
    app.register_error_handler(grpc.RpcError, of_call)
    app.register_error_handler(HTTPException, of_http)
