"""Signing in on the page, which changes an API key for a session, and signing out."""

from __future__ import annotations

from flask import g, redirect, render_template, request, session, url_for
from flask_openapi3 import OpenAPI
from werkzeug.wrappers import Response

from sql_synthesizer.errors import AuthenticationRequired, RateLimited
from sql_synthesizer.model import Role
from sql_synthesizer.web.admission import CSRF, Strangers, allow, read_credentials, read_session, return_path
from sql_synthesizer.wiring import Rooms


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the sign-in page and what its forms send."""

    @app.route("/login")
    @allow(None)
    def login() -> str:
        return render_template("login.html", error=None, next_path=return_path(request.args.get("next", "")))

    @app.route("/login", methods=["POST"])
    @allow(None)
    def login_submit() -> Response | tuple[str, int]:
        CSRF.protect()
        next_path = return_path(request.form.get("next", ""))
        try:
            caller = rooms.access.authenticate(read_credentials(key=request.form.get("api_key", "").strip() or "none"))
        except (AuthenticationRequired, RateLimited) as error:
            g.operation.fail(error)
            return render_template("login.html", error=error, next_path=next_path), error.status
        session.clear()
        session.permanent = True
        session["signed_in"] = rooms.access.begin_session(caller)
        return redirect(next_path if next_path and caller.role.includes(Role.OPERATOR) else url_for("index"))

    @app.route("/logout", methods=["POST"])
    @allow(Role.VIEWER, Strangers.SERVED)
    def logout() -> Response:
        CSRF.protect()
        if g.caller is not None and (signed_in := read_session()):
            rooms.access.end_sessions(signed_in)
        session.clear()
        return redirect(url_for("login"))
