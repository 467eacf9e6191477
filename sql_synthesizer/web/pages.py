"""The page to ask on, errors as pages, health and metrics."""

from __future__ import annotations

from flask import Response, g, render_template, request
from flask_openapi3 import OpenAPI, Tag
from werkzeug.wrappers import Response as BaseResponse

from sql_synthesizer import __version__
from sql_synthesizer.errors import AccessDenied, NotFound, SqlSynthesizerError
from sql_synthesizer.model import Role
from sql_synthesizer.monitoring import exposition
from sql_synthesizer.monitoring.health import HealthReply
from sql_synthesizer.web.admission import Strangers, allow, redirect_to_login
from sql_synthesizer.wiring import Rooms


def wants_page(error: SqlSynthesizerError) -> bool:
    """Whether a person's browser requested a page, not a program data."""
    return (
        isinstance(error, NotFound | AccessDenied)
        and request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    )


def page_context() -> dict[str, object]:
    """What every template is rendered with."""
    caller = g.get("caller")
    return {"caller": caller, "open": caller is not None and caller.method == "open", "version": __version__}


def _name_trace(reply: HealthReply) -> HealthReply:
    """With the id of its trace when the check failed; others leave none."""
    body, status = reply
    return ({**body, "trace_id": g.operation.trace.trace_id}, status) if status >= 500 else reply


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the page, health and metrics."""
    operating = [Tag(name="operating")]

    @app.route("/")
    @allow(Role.VIEWER, Strangers.SERVED)
    def index() -> BaseResponse | str:
        # Where keys are not required, a link on another site arrives without a caller; what the page sends has one.
        if g.caller is None and rooms.access.keys_required:
            return redirect_to_login()
        return render_template("index.html")

    @app.get("/health", summary="Each dependency, checked every few seconds", tags=operating)
    @allow(None)
    def health() -> HealthReply:
        return _name_trace(rooms.health.health_reply())

    @app.get("/health/ready", summary="Whether questions may be sent", tags=operating)
    @allow(None)
    def health_ready() -> HealthReply:
        return _name_trace(rooms.health.readiness_reply())

    @app.get("/health/live", summary="Whether the process runs", tags=operating)
    @allow(None)
    def health_live() -> HealthReply:
        return rooms.health.liveness_reply()

    if rooms.settings.metrics_enabled:

        @app.get("/metrics", summary="Prometheus metrics", tags=operating)
        @allow(Role.OPERATOR, Strangers.LOCAL)
        def metrics() -> Response:
            body, content_type = exposition.render_metrics(request.headers.get("Accept"), rooms.metrics.read_fresh())
            return Response(body, content_type=content_type)
