"""Who may call a route: each view says so where it is defined, and ``admit_request`` decides before it runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from flask import Flask, current_app, g, redirect, request, session, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response

from sql_synthesizer.access import Credentials, Session
from sql_synthesizer.errors import AuthenticationFailed, AuthenticationRequired
from sql_synthesizer.model import Role
from sql_synthesizer.wiring import Rooms

View = TypeVar("View", bound=Callable[..., object])

FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in ("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "VIA")
)
_RETURN_PATH = re.compile(r"/audit(?:[/?][!-~]{0,2000})?")
"""Addresses that a sign-in may lead to besides ``/``: no host, no scheme, nothing that a header could break at."""
_AUDIENCE = "audience"
CSRF = CSRFProtect()
"""Checks the page's token where a view or ``admit_request`` calls ``protect``; it holds nothing of an application."""


class Strangers(StrEnum):
    """How a route answers a request without valid credentials, in the words of docs/access.md."""

    REFUSED = "refused"  # 401
    SIGN_IN = "sign-in page"  # a redirect to it
    LOCAL = "this machine"  # a request from this machine is served, and needs no key; others are refused
    SERVED = "served"  # the view runs with ``g.caller`` None


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may call a route: callers of ``role`` or above; with None everybody, and credentials are not looked at."""

    role: Role | None = Role.OPERATOR
    strangers: Strangers = Strangers.REFUSED


def allow(role: Role | None, strangers: Strangers = Strangers.REFUSED) -> Callable[[View], View]:
    """Declares the audience of a view; it stands next to the function, below the decorator of the route."""

    def declare_audience(view: View) -> View:
        setattr(view, _AUDIENCE, Audience(role, strangers))
        return view

    return declare_audience


def find_audience(app: Flask, endpoint: str | None) -> Audience:
    """The audience that the endpoint's view declares, else operators only."""
    found: Audience = getattr(app.view_functions.get(endpoint or ""), _AUDIENCE, Audience())
    return found


def admit_request(rooms: Rooms) -> Response | None:
    """Sets ``g.caller`` and counts the request against its rate limit; returns a redirect for strangers to sign in.

    Raises what ``Access`` raises, and CSRFError when a session changes something without the page's token.
    """
    g.caller = None
    audience = find_audience(current_app, request.endpoint)
    if audience.role is None:
        return None
    credentials = read_credentials()
    local = audience.strangers is Strangers.LOCAL
    if local and rooms.access.is_local(credentials):
        return None
    try:
        caller = rooms.access.authenticate(credentials)
    except AuthenticationRequired as error:
        if local or audience.strangers is Strangers.REFUSED:
            raise
        if isinstance(error, AuthenticationFailed):  # a wrong key is on record, no key is not
            g.operation.fail(error)
        return redirect_to_login() if audience.strangers is Strangers.SIGN_IN else None
    if caller.method == "session" and request.method not in ("GET", "HEAD"):
        # A browser adds the cookie to any site's form, but only the page knows the token.
        CSRF.protect()
    g.caller = caller
    trace = g.operation.trace
    trace.actor, trace.role, trace.address = caller.identity, caller.role, caller.address
    if not local:  # a scrape is not a question: it must succeed also when its key has been used up
        rooms.access.limit(caller)
    rooms.access.require(caller, audience.role)
    return None


def redirect_to_login() -> Response:
    """Leads a stranger to sign in, and from there back to the requested address, if ``return_path`` allows it."""
    return redirect(url_for("login", next=return_path(request.full_path.removesuffix("?")) or None))


def return_path(path: str) -> str:
    """The address if a sign-in may lead to it, one of the audit record; else empty."""
    return path if _RETURN_PATH.fullmatch(path) else ""


def read_credentials(key: str | None = None) -> Credentials:
    """What the current request says about its sender; a ``key`` from a form takes the place of the headers'."""
    environ = request.environ
    if key is None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY")
    return Credentials(
        key=key,
        session=read_session() if key is None else None,
        address=g.operation.trace.address,
        host=environ.get("HTTP_HOST", ""),
        origin=environ.get("HTTP_ORIGIN"),
        fetch_site=environ.get("HTTP_SEC_FETCH_SITE"),
        forwarded=not FORWARDING_HEADERS.isdisjoint(environ),
        method=request.method,
    )


def read_session() -> Session | None:
    """The session that the request's cookie was signed for."""
    value = session.get("signed_in") if "HTTP_COOKIE" in request.environ else None
    return Session(*value) if value else None
