"""The HTTP application: one operation a request, errors as JSON, and nothing released before its record is durable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, Request, Response, current_app, g, render_template, request, session
from flask.json.provider import JSONProvider
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_openapi3 import Info, OpenAPI
from flask_wtf.csrf import CSRFError
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from sql_synthesizer import __version__
from sql_synthesizer.access import plain_address
from sql_synthesizer.errors import (
    AuditUnavailable,
    CsrfFailed,
    InvalidEncoding,
    InvalidJson,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestTooLarge,
    SqlSynthesizerError,
    UnexpectedError,
)
from sql_synthesizer.guard.question import intent
from sql_synthesizer.model import Role
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import Operation, vocabulary
from sql_synthesizer.telemetry.traceparent import format_traceparent, parse_traceparent
from sql_synthesizer.web import api, audit_page, jobs, ops, pages, schedules, sign_in
from sql_synthesizer.web.admission import CSRF, admit_request, allow
from sql_synthesizer.web.connection import REFUSAL, translate_parse_error
from sql_synthesizer.wiring import Rooms, build_rooms, first_key_path

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

UNMATCHED = "unmatched"
"""Route label of a request for an address that does not exist."""
LIBRARY_ROUTES = {
    "static": None,
    **dict.fromkeys(("openapi.openapi", "openapi.doc_url", "openapi.static"), Role.VIEWER),
    **dict.fromkeys(("swagger.swagger", "swagger.static", "swagger.oauth2-redirect"), Role.VIEWER),
}
"""Endpoints that Flask and flask-openapi3 register -> the role that they need; None for everybody."""
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
DOCUMENT_POLICY = POLICY + "; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
"""The browsable OpenAPI document starts itself with an inline script; it shows nothing but that document."""
SECURITY_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
]


class _Sessions(SecureCookieSessionInterface):
    """Skips requests without a cookie, which programs send: Flask would build a serializer to read nothing."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)


class _Json(JSONProvider):
    """orjson: quick, strict about UTF-8 and NaN, and bounded in depth. Each reply of the API names its trace."""

    def dumps(self, obj: object, **_: object) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: object) -> object:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        body = self._prepare_response_obj(args, kwargs)
        operation = g.get("operation")
        if operation is not None and isinstance(body, dict) and request.path.startswith("/api/"):
            body = {**body, "trace_id": operation.trace.trace_id}
        return Response(orjson.dumps(body), mimetype="application/json")


def create_app(settings: Settings | None = None, rooms: Rooms | None = None) -> OpenAPI:
    """The WSGI application; without arguments everything comes from the environment. Raises ConfigurationError."""
    rooms = rooms or build_rooms(settings or load())
    settings = rooms.settings
    app = OpenAPI(
        "sql_synthesizer.web",
        info=Info(title="sql_synthesizer", version=__version__, description="Questions in plain language, from SQL."),
        validation_error_status=400,
        validation_error_model=api.ErrorBody,
        validation_error_callback=_refuse_invalid_request,
        security_schemes={"key": {"type": "http", "scheme": "bearer"}},
        template_folder="ui/templates",
        static_folder="ui/static",
    )
    for endpoint in LIBRARY_ROUTES.keys() & app.view_functions.keys():
        app.view_functions[endpoint] = allow(LIBRARY_ROUTES[endpoint])(partial(app.view_functions[endpoint]))
    app.json = _Json(app)
    app.session_interface = _Sessions()
    app.secret_key = rooms.store.secret("session")
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
        SESSION_COOKIE_NAME="__Host-sql_synthesizer" if settings.trusted_proxies else "sql_synthesizer",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.trusted_proxies > 0,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=int(settings.session_hours * 3600),
    )
    app.extensions["rooms"] = rooms
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, settings.trusted_proxies, settings.trusted_proxies)  # type: ignore[method-assign]
    app.wsgi_app = _add_security_headers(app.wsgi_app)  # type: ignore[assignment, method-assign]
    CSRF.init_app(app)
    app.before_request(_begin_request)
    app.after_request(_release_response)
    app.teardown_request(_teardown_request)
    app.register_error_handler(Exception, _handle_error)
    app.context_processor(pages.page_context)
    api.register_routes(app, rooms)
    jobs.register_routes(app, rooms)
    schedules.register_routes(app, rooms)
    ops.register_routes(app, rooms)
    pages.register_routes(app, rooms)
    sign_in.register_routes(app, rooms)
    audit_page.register_routes(app, rooms)
    routes = rooms.telemetry.declared
    routes.declare_route(UNMATCHED, "GET", "HEAD", "POST")
    for rule in app.url_map.iter_rules():
        routes.declare_route(rule.rule, *sorted((rule.methods or set()) - {"OPTIONS"}))
    if rooms.access.ensure_first_key(first_key_path(settings)):
        log.warning("keys are required and there was none: an operator's key is in %s", first_key_path(settings))
    if settings.workers > 1 and rooms.cache.type in ("memory", "off"):
        log.warning("with several workers, pages of answers need a cache that they share: set it to redis or memcached")
    intent.load_intent_model()  # no question has to wait for it
    rooms.start()
    return app


def _add_security_headers(application: WSGIApplication) -> WSGIApplication:
    """Adds the security headers to every response, also to those that no hook has seen."""
    page, document = ([("Content-Security-Policy", policy), *SECURITY_HEADERS] for policy in (POLICY, DOCUMENT_POLICY))

    def secured_application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        security = document if environ.get("PATH_INFO", "").startswith("/openapi") else page

        def start_secured(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            return start_response(status, headers + security, exc_info)

        return application(environ, start_secured)

    return secured_application


def _current_rooms() -> Rooms:
    found: Rooms = current_app.extensions["rooms"]
    return found


def _begin_request() -> BaseResponse | None:
    rooms = _current_rooms()
    route = request.url_rule.rule if request.url_rule and REFUSAL not in request.environ else UNMATCHED
    parent = parse_traceparent(request.environ.get("HTTP_TRACEPARENT"))
    refusal: SqlSynthesizerError | None = request.environ.get(REFUSAL)
    known = refusal is None and request.method in vocabulary.METHOD  # what anybody may send is no mistake of ours
    method = request.method if known else vocabulary.OTHER
    operation = rooms.telemetry.operation(vocabulary.HTTP_REQUEST, parent=parent, method=method, route=route)
    operation.trace.address = plain_address(request.remote_addr or "")
    operation.details.scheme = request.scheme
    if route.startswith(vocabulary.PROBES):
        operation.trace.sampled = parent is not None and parent[2]
    if route != UNMATCHED:  # else it is anybody's text
        operation.details.path = request.path
    g.operation = operation.__enter__()  # closed by _release_response, or by _teardown_request when a hook failed
    if refusal is not None:
        raise refusal
    if request.routing_exception is not None:
        return None
    redirect = admit_request(rooms)
    # A body of unknown length is read up to the limit, where the stream just ends.
    unsized = request.content_length is None and request.path.startswith("/api/")
    if unsized and len(request.get_data()) >= rooms.settings.max_body_bytes:
        raise RequestTooLarge
    return redirect


def _release_response(response: Response) -> Response:
    """Sends the response, with its headers, once the audit record of the request is durable."""
    operation = g.pop("operation", None)
    if operation is None:
        return response
    if operation.reason != AuditUnavailable.reason:  # else the response already says that it is withheld
        response = _settle_response(operation, response)
    _note_status(operation, response.status_code)
    operation.close()
    response.headers["X-Trace-Id"] = operation.trace.trace_id
    response.headers["traceresponse"] = format_traceparent(operation)
    if (question := operation.trace.question) is not None and question.budget_used is not None:
        response.headers["X-Team-Budget-Used"] = str(question.budget_used)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    elif response.status_code == 304 or request.method == "HEAD":
        response.close()  # the server closes only what it sends
    return response


def _note_status(operation: Operation, status: int) -> None:
    """Notes how the request ended; what failed and was not a question, which is counted as such, is a failure."""
    operation.labels["status"] = f"{status // 100}xx"
    operation.details.status = status
    probe = operation.labels.get("route", "").startswith(vocabulary.PROBES)  # whose 503 is an answer
    if status >= 500 and operation.outcome != "invalid" and not operation.trace.question_id and not probe:
        operation.details.failed = 1


def _settle_response(operation: Operation, response: Response) -> Response:
    """The response once its records are durable, or the one that says that they cannot be."""
    try:
        _current_rooms().telemetry.settle()
    except AuditUnavailable as error:
        _mark_failed(operation, error)
        response.close()
        session.clear()
        session.modified = False  # a sign-in without its record must not take effect
        return _error_response(error)
    return response


def _mark_failed(operation: Operation, error: AuditUnavailable) -> None:
    """Sets the outcome, also when the error itself cannot be recorded."""
    with suppress(AuditUnavailable):
        operation.fail(error)


def _teardown_request(error: BaseException | None) -> None:
    operation = g.pop("operation", None)
    if operation is not None:
        _note_status(operation, 500)
        operation.close(error)


def _handle_error(error: Exception) -> Response:
    """Any exception as a response; the text and stack of one that is not ours go to the log alone."""
    known = _translate_error(error)
    if isinstance(known, UnexpectedError):
        log.error("unexpected error", exc_info=error)
    operation = g.get("operation")
    if operation is not None:
        try:
            operation.fail(known)
        except AuditUnavailable as unavailable:
            known = unavailable
            _mark_failed(operation, known)
    if pages.wants_page(known):
        return Response(render_template("error.html", error=known, operation=operation), status=known.status)
    return _error_response(known)


def _error_response(error: SqlSynthesizerError) -> Response:
    operation = g.get("operation") or _current_rooms().telemetry.current()
    body = error.body(operation.trace.trace_id if operation else "")
    response = Response(orjson.dumps(body), status=error.status, mimetype="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if methods := getattr(request.routing_exception, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(methods))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="sql-synthesizer"'
    return response


def _translate_error(error: Exception) -> SqlSynthesizerError:
    if isinstance(error, SqlSynthesizerError):
        return error
    if isinstance(error, CSRFError):
        return CsrfFailed()
    if isinstance(error, ParseException):
        return translate_parse_error(error)
    if isinstance(error, HTTPException):
        by_status = {404: NotFound, 405: MethodNotAllowed, 413: RequestTooLarge}
        if error.code in by_status:
            return by_status[error.code]()
        if error.code is not None and 400 <= error.code < 500:
            return InvalidRequest()
    unexpected = UnexpectedError(details={"error": type(error).__name__})
    unexpected.__cause__ = error
    return unexpected


def _refuse_invalid_request(error: ValidationError) -> Response:
    """Says what is wrong with a request that does not have the documented form."""
    if request.method in ("POST", "PUT"):
        body = request.get_data()
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidEncoding from None
        if not request.is_json:
            raise InvalidJson("The request's Content-Type is not application/json.")
        try:
            if not isinstance(orjson.loads(body), dict):
                raise InvalidJson("The request body is not a JSON object.")
        except orjson.JSONDecodeError:
            raise InvalidJson from None
    fault = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in fault["loc"]) or "body"
    raise InvalidRequest(f"The field '{field[:64]}' is not valid: {fault['msg']}.")
