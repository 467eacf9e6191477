"""Pages, health and metrics; and who is let in before any route runs."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, g, redirect, render_template, request, session, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response as BaseResponse

from sql_synthesizer import __version__
from sql_synthesizer.access import Credentials
from sql_synthesizer.errors import (
    AuthenticationFailed,
    AuthenticationRequired,
    NotFound,
    SqlSynthesizerError,
)
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.monitoring import exposition
from sql_synthesizer.wiring import Rooms

FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
PUBLIC = {"static", "health", "health_ready", "health_live", "login", "login_submit", "metrics"}
"""Endpoints that decide for themselves, or need no caller."""


def rooms() -> Rooms:
    """The rooms of the current application."""
    found: Rooms = current_app.extensions["rooms"]
    return found


def admit(rooms: Rooms) -> None:
    """Sets ``g.caller`` for every route that needs one, and counts it against the caller's rate limit."""
    g.caller = None
    if request.endpoint in PUBLIC:
        return
    credentials = _credentials()
    try:
        caller = rooms.access.authenticate(credentials)
    except AuthenticationRequired:
        if request.endpoint == "index":
            return
        raise
    if caller.method == "session" and request.method not in ("GET", "HEAD"):
        _csrf().protect()
    _remember(caller)
    rooms.access.limit(caller)


def wants_page(error: SqlSynthesizerError) -> bool:
    """Whether a person's browser asked for a page, not a program for data."""
    return isinstance(error, NotFound) and request.accept_mimetypes.best == "text/html"


def error_page(error: SqlSynthesizerError) -> Response:
    """The error as a page."""
    return Response(render_template("error.html", error=error, **_context()), status=error.status)


def register(app: Flask, rooms: Rooms) -> None:
    """Adds the page, sign-in, health and metrics."""

    @app.get("/")
    def index() -> BaseResponse | str:
        if g.caller is None and rooms.access.keys_required:
            return redirect(url_for("login"))
        return render_template("index.html", **_context())

    @app.get("/login")
    def login() -> str:
        return render_template("login.html", error=None, **_context())

    @app.post("/login")
    def login_submit() -> BaseResponse | tuple[str, int]:
        _csrf().protect()
        try:
            caller = rooms.access.authenticate(_credentials(key=request.form.get("api_key", "").strip()))
        except AuthenticationFailed as error:
            g.operation.fail(error)
            return render_template("login.html", error=error, **_context()), error.status
        session.clear()
        session.permanent = True
        session["key"] = caller.identity
        return redirect(url_for("index"))

    @app.post("/logout")
    def logout() -> BaseResponse:
        _csrf().protect()
        session.clear()
        return redirect(url_for("login"))

    @app.get("/health")
    def health() -> tuple[dict[str, Any], int]:
        status, body = rooms.health.report()
        return body, status

    @app.get("/health/ready")
    def health_ready() -> tuple[dict[str, Any], int]:
        status, body = rooms.health.ready()
        return body, status

    @app.get("/health/live")
    def health_live() -> dict[str, str]:
        return {"status": "alive"}

    if rooms.settings.metrics_enabled:

        @app.get("/metrics")
        def metrics() -> Response:
            _allow_metrics(rooms)
            body, content_type = exposition.render(request.headers.get("Accept"))
            return Response(body, content_type=content_type)


def _allow_metrics(rooms: Rooms) -> None:
    credentials = _credentials()
    if not rooms.access.is_local(credentials):
        caller = rooms.access.authenticate(credentials)
        _remember(caller)
        rooms.access.require(caller, Role.OPERATOR)


def _remember(caller: Caller) -> None:
    g.caller = caller
    trace = g.operation.trace
    trace.actor, trace.role, trace.address = caller.identity, caller.role, caller.address


def _credentials(key: str | None = None) -> Credentials:
    headers = request.headers
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if key is None:
        key = token.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key")
    return Credentials(
        key=key,
        session=session.get("key") if key is None else None,
        address=request.remote_addr or "",
        host=request.host,
        origin=headers.get("Origin"),
        fetch_site=headers.get("Sec-Fetch-Site"),
        forwarded=_forwarded(),
        method=request.method,
    )


def _forwarded() -> bool:
    return any(name in request.headers for name in FORWARDING_HEADERS)


def _csrf() -> CSRFProtect:
    found: CSRFProtect = current_app.extensions["csrf"]
    return found


def _context() -> dict[str, Any]:
    caller = g.get("caller")
    return {"caller": caller, "open": caller is not None and caller.method == "open", "version": __version__}
