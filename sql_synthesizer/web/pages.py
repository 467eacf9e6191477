"""Pages, health and metrics; and who is let in before any route runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, g, redirect, render_template, request, session, url_for
from flask_openapi3 import OpenAPI, Tag
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response as BaseResponse

from sql_synthesizer import __version__
from sql_synthesizer.access import Credentials, Session
from sql_synthesizer.errors import (
    AccessDenied,
    AuthenticationFailed,
    AuthenticationRequired,
    NotFound,
    RateLimited,
    SqlSynthesizerError,
)
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.monitoring import exposition
from sql_synthesizer.wiring import Rooms

FORWARDING_HEADERS = frozenset(
    f"HTTP_{name}"
    for name in ("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_REAL_IP", "VIA")
)
PUBLIC = frozenset(("static", "health", "health_ready", "health_live", "login", "login_submit", "metrics"))
"""Endpoints that need no caller; ``metrics`` decides for itself."""
SIGN_IN = frozenset(("index", "logout", "audit", "audit_record"))
"""Endpoints that lead a stranger to sign in."""
ROLES = {
    **dict.fromkeys(("index", "logout", "query", "schema", "result", "history", "feedback", "me"), Role.VIEWER),
    **dict.fromkeys(("openapi.openapi", "openapi.doc_url", "openapi.static"), Role.VIEWER),
    **dict.fromkeys(("swagger.swagger", "swagger.static", "swagger.oauth2-redirect"), Role.VIEWER),
    **dict.fromkeys(("sql", "export"), Role.ANALYST),
    **dict.fromkeys(("audit", "audit_record"), Role.OPERATOR),
}
"""The role that every other endpoint needs; one that is missing here needs an operator."""


_WAY_BACK = re.compile(r"/audit(?:[/?][!-~]{0,2000})?")
"""Addresses that a sign-in may lead to besides ``/``: no host, no scheme, nothing that a header could break at."""


def current_rooms() -> Rooms:
    """The rooms of the current application."""
    found: Rooms = current_app.extensions["rooms"]
    return found


def authorize_request(rooms: Rooms) -> None:
    """Sets ``g.caller`` for every route that needs one, and counts it against the caller's rate limit."""
    g.caller = None
    if request.endpoint in PUBLIC:
        return
    credentials = _read_credentials()
    try:
        caller = rooms.access.authenticate(credentials)
    except AuthenticationRequired as error:
        if request.endpoint not in SIGN_IN:
            raise
        if isinstance(error, AuthenticationFailed):
            g.operation.fail(error)
        return
    if caller.method == "session" and request.method not in ("GET", "HEAD"):
        _csrf_protection().protect()
    _set_caller(caller)
    rooms.access.limit(caller)
    rooms.access.require(caller, ROLES.get(request.endpoint or "", Role.OPERATOR))


def redirect_to_login() -> BaseResponse:
    """Leads a stranger to sign in, and from there back to the address asked for, if it is one of the audit record."""
    asked = request.full_path.removesuffix("?")
    return redirect(url_for("login", next=asked if _WAY_BACK.fullmatch(asked) else None))


def _way_back(given: Mapping[str, str]) -> str:
    asked = given.get("next", "")
    return asked if _WAY_BACK.fullmatch(asked) else ""


def wants_page(error: SqlSynthesizerError) -> bool:
    """Whether a person's browser asked for a page, not a program for data."""
    return (
        isinstance(error, NotFound | AccessDenied)
        and request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    )


def error_page(error: SqlSynthesizerError) -> Response:
    """The error as a page."""
    return Response(render_template("error.html", error=error, **page_context()), status=error.status)


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the page, sign-in, health and metrics."""

    @app.route("/")
    def index() -> BaseResponse | str:
        if g.caller is None and rooms.access.keys_required:
            return redirect(url_for("login"))
        return render_template("index.html", **page_context())

    @app.route("/login")
    def login() -> str:
        return render_template("login.html", error=None, way_back=_way_back(request.args), **page_context())

    @app.route("/login", methods=["POST"])
    def login_submit() -> BaseResponse | tuple[str, int]:
        _csrf_protection().protect()
        try:
            caller = rooms.access.authenticate(_read_credentials(key=request.form.get("api_key", "").strip() or "none"))
        except (AuthenticationRequired, RateLimited) as error:
            g.operation.fail(error)
            page = render_template("login.html", error=error, way_back=_way_back(request.form), **page_context())
            return page, error.status
        session.clear()
        session.permanent = True
        session["signed_in"] = rooms.access.begin_session(caller)
        way_back = _way_back(request.form) if caller.role.includes(Role.OPERATOR) else ""
        return redirect(way_back or url_for("index"))

    @app.route("/logout", methods=["POST"])
    def logout() -> BaseResponse:
        _csrf_protection().protect()
        if g.caller is not None and (signed_in := _current_session()):
            rooms.access.end_sessions(signed_in)
        session.clear()
        return redirect(url_for("login"))

    operating: Any = {"tags": [Tag(name="operating")]}

    @app.get("/health", summary="Each dependency, checked every few seconds", **operating)
    def health() -> tuple[dict[str, Any], int]:
        status, body = rooms.health.health_reply()
        return body, status

    @app.get("/health/ready", summary="Whether questions may be sent", **operating)
    def health_ready() -> tuple[dict[str, Any], int]:
        status, body = rooms.health.readiness_reply()
        return body, status

    @app.get("/health/live", summary="Whether the process runs", **operating)
    def health_live() -> dict[str, str]:
        return {"status": "alive"}

    if rooms.settings.metrics_enabled:

        @app.get("/metrics", summary="Prometheus metrics", **operating)
        def metrics() -> Response:
            _check_metrics_access(rooms)
            body, content_type = exposition.render_metrics(request.headers.get("Accept"), rooms.metrics.read_fresh())
            return Response(body, content_type=content_type)


def _check_metrics_access(rooms: Rooms) -> None:
    credentials = _read_credentials()
    if not rooms.access.is_local(credentials):
        caller = rooms.access.authenticate(credentials)
        _set_caller(caller)
        rooms.access.require(caller, Role.OPERATOR)


def _set_caller(caller: Caller) -> None:
    g.caller = caller
    trace = g.operation.trace
    trace.actor, trace.role, trace.address = caller.identity, caller.role, caller.address


def _read_credentials(key: str | None = None) -> Credentials:
    environ = request.environ
    if key is None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY")
    return Credentials(
        key=key,
        session=_current_session() if key is None else None,
        address=g.operation.trace.address,
        host=environ.get("HTTP_HOST", ""),
        origin=environ.get("HTTP_ORIGIN"),
        fetch_site=environ.get("HTTP_SEC_FETCH_SITE"),
        forwarded=not FORWARDING_HEADERS.isdisjoint(environ),
        method=request.method,
    )


def _current_session() -> Session | None:
    value = session.get("signed_in") if "HTTP_COOKIE" in request.environ else None
    return Session(*value) if value else None


def _csrf_protection() -> CSRFProtect:
    found: CSRFProtect = current_app.extensions["csrf"]
    return found


def page_context() -> dict[str, Any]:
    """What every page is rendered with."""
    caller = g.get("caller")
    return {"caller": caller, "open": caller is not None and caller.method == "open", "version": __version__}
