"""The critical paths, read off the service: errors, vocabularies, routes, commands, catalogue. None is listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask_openapi3 import OpenAPI

from sql_synthesizer.errors import OUTCOME_BY_REASON
from sql_synthesizer.model import Role
from sql_synthesizer.monitoring import catalog
from sql_synthesizer.store.jobs import OPEN
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import EventType, ReadingType, Vocabulary
from sql_synthesizer.web.admission import Audience, Strangers, find_audience
from sql_synthesizer.web.app import UNMATCHED
from sql_synthesizer_proof.coverage.path import Path
from sql_synthesizer_proof.coverage.source import find_commands, raised_in

WORDS = ("query", "job", "agent", "async agent", "ask")
"""Where a question comes in: over HTTP, in a job, from a program or its coroutine, and on the command line."""
TYPED = "sql"
"""Where an analyst's own statement comes in."""
ROOMS: Mapping[str, tuple[str, ...]] = {
    "guard_question": ("guard/question",),
    "cache": ("cache",),
    "schema": ("schema",),
    "queue": ("service/slots.py", "model/cancellation.py"),
    "synthesize": ("synthesizer/llm.py", "synthesizer/reply.py", "synthesizer/rules", "synthesizer/engine"),
    "guard_statement": ("guard/statement",),
    "execute": ("database",),
    "settle": ("audit/log.py",),
}
"""Stage of a question -> the rooms that can end it there."""
UNTYPED = {"guard_question", "cache", "synthesize"}
"""Stages that no statement passes which somebody typed."""
BEFORE = {"configuration", "unknown_database"}
"""Raised before there is a service, or a question: the latter is a path of the routes that take the name."""
ANSWERS = "answer"
FIGURE = "figure"
ALWAYS = {"count", "seconds", "level"}
"""What every fact has that feeds a metric; other figures some have."""
ABSENT = {"result": "page_expired"}
"""Endpoint -> what it says of a thing that is not there, where that is not ``not_found``."""
FAILING_PROBES = {"health", "health_ready"}
"""Endpoints that answer with 503 when the service is not well."""
NAMES: set[Vocabulary] = {vocabulary.DATABASE_TYPE, vocabulary.REASON, vocabulary.OUTCOME}
"""Vocabularies that say what was asked, not how it went, or how it ended, which is a path of its own."""


def derive_paths(app: OpenAPI) -> list[Path]:
    """Every path, each once."""
    found = [
        *question_paths(),
        *route_paths(app),
        *event_paths(),
        *operation_paths(),
        *level_paths(),
        *job_paths(),
        *command_paths(),
    ]
    return list(dict.fromkeys(found))


# --- questions -------------------------------------------------------------------------------


def question_paths() -> Iterator[Path]:
    """Each surface of a question by what answers it, and by each stage and reason with which it may end there."""
    for surface in (*WORDS, TYPED):
        sources = ("llm", "rules", "cache") if surface != TYPED else ("analyst",)
        yield from (Path("question", surface, ANSWERS, source) for source in sources)
        for stage, rooms in ROOMS.items():
            if surface != TYPED or stage not in UNTYPED:
                reasons = sorted(raised_in(*rooms) - BEFORE)
                yield from (Path("question", surface, stage, reason) for reason in reasons)


# --- routes ----------------------------------------------------------------------------------


def route_paths(app: OpenAPI) -> Iterator[Path]:
    """Each route by the reasons that its audience and its form allow, and what the server refuses by itself."""
    for rule in app.url_map.iter_rules():
        audience = find_audience(app, rule.endpoint)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            surface = f"{method} {rule.rule}"
            reasons = ["ok", *_admission_reasons(audience, method), *_form_reasons(app, surface)]
            if rule.arguments:
                reasons.append(ABSENT.get(rule.endpoint, "not_found"))
            if rule.endpoint in FAILING_PROBES:
                reasons.append("unhealthy")
            yield from (Path("route", surface, "request", reason) for reason in reasons)
    refused = raised_in("web/connection.py", "web/worker.py") | {"not_found", "method_not_allowed"}
    yield from (Path("route", UNMATCHED, "request", reason) for reason in sorted(refused))


def _admission_reasons(audience: Audience, method: str) -> Iterator[str]:
    if audience.role is None:
        if method == "POST":
            yield "csrf_failed"
        return
    yield from ("authentication_failed", "store_unavailable")
    if audience.strangers in (Strangers.REFUSED, Strangers.LOCAL):
        yield "authentication_required"
    if audience.strangers is not Strangers.LOCAL:
        yield "rate_limited"
    if audience.role is not Role.VIEWER:
        yield "access_denied"
    if method != "GET":
        yield "csrf_failed"


def _form_reasons(app: OpenAPI, surface: str) -> Iterator[str]:
    names = {*find_parameters(app, surface), *find_body(app, surface)}
    if find_body(app, surface):
        yield from ("invalid_json", "invalid_encoding", "request_too_large")
    if names - {"database"}:
        yield "invalid_request"
    if "database" in names:
        yield "unknown_database"


def _find_document(app: OpenAPI, surface: str) -> Mapping[str, Any]:
    method, _, route = surface.partition(" ")
    paths: Mapping[str, Mapping[str, Any]] = app.api_doc["paths"]
    return paths.get(route.replace("<string:", "{").replace(">", "}"), {}).get(method.lower(), {})  # type: ignore[no-any-return]


def find_parameters(app: OpenAPI, surface: str) -> list[str]:
    """The parameters of a route in its address, as it is documented."""
    return [given["name"] for given in _find_document(app, surface).get("parameters", ())]


def find_body(app: OpenAPI, surface: str) -> Mapping[str, Mapping[str, Any]]:
    """The fields of what a route is sent, as they are documented, ``needed`` or not; none where it is sent nothing."""
    if not (body := _find_document(app, surface).get("requestBody")):
        return {}
    model = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = app.api_doc["components"]["schemas"][model]
    return {
        name: {**field, "needed": name in schema.get("required", ())} for name, field in schema["properties"].items()
    }


# --- events, operations, jobs, commands ------------------------------------------------------


def event_paths() -> Iterator[Path]:
    """Each type of event, by the values of its labels that the catalogue knows, or by the metrics made for it alone."""
    for row in vocabulary.EVENTS.values():
        yield from (Path("event", "event", row.name, outcome) for outcome in _outcomes_of(row))


def _outcomes_of(row: EventType) -> list[str]:
    own = [metric for metric in catalog.METRICS if [feed.source for feed in metric.feeds] == [row]]
    if not row.labels:
        return ["emitted", *(metric.name for metric in own if row.audited)]
    return [", ".join(values) for metric in own for values in metric.combinations(vocabulary.Declared())] or ["emitted"]


def operation_paths() -> Iterator[Path]:
    """Each type of operation as it ends well, each value of a label of its own, and each figure that some have."""
    for row in vocabulary.OPERATIONS.values():
        yield Path("operation", row.name, "ends", "ok")
        for metric in catalog.METRICS:
            if any(feed.source is row and feed.value not in ALWAYS for feed in metric.feeds):
                yield Path("operation", row.name, FIGURE, metric.name)
        for label in row.labels:
            if not label.declared and label not in NAMES:
                yield from (Path("operation", row.name, label.name, value) for value in label.values)


def job_paths() -> Iterator[Path]:
    """Each change of a job, and by what reason or from which state where there are several."""
    for change in vocabulary.JOB_CHANGE.values:
        outcomes = {"failed": sorted(raised_in("jobs/worker.py", "access") & _ENDS), "cancelled": sorted(OPEN)}
        yield from (Path("job", "job", change, outcome) for outcome in outcomes.get(change, ["changed"]))


_ENDS = {"worker_lost", "job_timeout", "owner_refused"}
"""Reasons for which a whole job ends; others end one of its questions."""


def command_paths() -> Iterator[Path]:
    """Each command as it ends well."""
    for words, _ in find_commands():
        yield Path("command", words, "command", "ok")


def level_paths() -> Iterator[Path]:
    """Each level that somebody is asked for."""
    for row in vars(vocabulary).values():
        if isinstance(row, ReadingType):
            yield Path("level", "level", row.name, "read")


assert set(ROOMS) - {"settle"} == set(vocabulary.STAGE.values)  # noqa: S101 - a new stage needs its room
assert all(reason in OUTCOME_BY_REASON for reason in _ENDS)  # noqa: S101 - as a reason that was renamed
