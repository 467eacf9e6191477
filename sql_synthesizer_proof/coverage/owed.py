"""Which signals a path owes, how each looks, and why it owes no others: the one place that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from sql_synthesizer.errors import error_classes
from sql_synthesizer.monitoring import catalog, logs
from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer.monitoring.spans import OWN, is_span_event
from sql_synthesizer.telemetry import Event, Trace, vocabulary
from sql_synthesizer.telemetry.vocabulary import EventType, OperationType
from sql_synthesizer_proof.coverage.derive import ALWAYS, ANSWERS, FIGURE, TYPED
from sql_synthesizer_proof.coverage.path import Owed, Path, Sample

EVENT_OF = {cls.reason: cls.event for cls in reversed([*error_classes()]) if cls.event}
STATUS_OF = {cls.reason: cls.status for cls in reversed([*error_classes()])}
REFUSED_LATER = {"question / * / statement_refused", "question / * / execute / statement_invalid"}
"""Where nobody typed the statement, the service is to blame: the question ends in another reason than its stage."""
SIGN_IN = 302
LOGGED = {row.name for row in logs.LOGGED}

PROBE = "a probe that succeeds comes every few seconds: it is counted, and tells nothing else"
UNHEALTHY = "that a dependency is down is logged once, not with each probe that says so, and is no security event"
SAME_FOR_ALL = "the page is the same for everybody, and holds no data"
OWN_THINGS = "a caller looks at its own things, whose making is on record"
FIGURES = "an operator looks at figures, which hold no data"
TERMINAL = "what a command says is its output; the lines of a service are the service's"
UNCOUNTED = "the catalogue has no metric of it: what it does is counted by the operations and events within"
COUNTED = "it is a count beside the operation that it happens in, whose span and line tell the rest"
LEVEL = "a level is looked at, and happens in no request"
CHECKPOINT = "it is an anchor for the log; its metric is a level"
UNREQUESTED = "the server has no request that it could name a caller of"
COUNTED_BY_EVENTS = "commands are counted by the events that they cause"
NO_EVENT = "the audit record holds security events, and this reason is none"
PASSED_BY = "the audit record has one entry for the whole question"
ASIDE = "the command makes or reads files beside the service, finds what is sound, or runs until it is stopped"

UNRECORDED: Mapping[str, str] = {
    "GET /static/*": SAME_FOR_ALL,
    "GET /openapi/*": SAME_FOR_ALL,
    "GET /": SAME_FOR_ALL,
    "GET /login": SAME_FOR_ALL,
    "GET /api/me": OWN_THINGS,
    "GET /api/history": OWN_THINGS,
    "POST /api/feedback": OWN_THINGS,
    "GET /api/jobs": OWN_THINGS,
    "GET /api/jobs/<string:job_id>": OWN_THINGS,
    "GET /api/schedules": OWN_THINGS,
    "GET /api/schedules/<string:schedule_id>": OWN_THINGS,
    "GET /api/ops/*": FIGURES,
    "GET /metrics": FIGURES,
    "GET /health*": PROBE,
}
"""Routes that leave no record when they succeed; every other one does."""
BY_COMMAND = {"audit_verification_failed"}
"""Events that only commands emit."""
SILENT_COMMANDS = {"serve", "stack", "worker", "inbox", "traffic", "traces", "demo create", "demo load"}
SILENT_COMMANDS |= {"store backup", "store restore", "audit verify", "regress versions"}
READING_COMMANDS = {"jobs list", "jobs show", "schedules list", "schedules show", "keys list"}


def owed_signals(path: Path) -> Owed:
    """What a path owes."""
    return {
        "question": _of_question,
        "route": _of_route,
        "event": _of_event,
        "operation": _of_operation,
        "level": _of_level,
        "job": _of_job,
        "command": _of_command,
    }[path.kind](path)


# --- questions -------------------------------------------------------------------------------


def final_reason(path: Path) -> str:
    """The reason that the whole question ends with."""
    if path.outcome == "cache_unavailable" or path.stage == ANSWERS:
        return "ok"
    if path.surface != TYPED and any(path.fits(pattern) for pattern in REFUSED_LATER):
        return "model_invalid"
    return path.outcome


def _of_question(path: Path) -> Owed:
    final = final_reason(path)
    outcome: Sample = ("question_outcomes_total", {"reason": final})
    line: dict[str, object] | None = {"event": "question", "reason": final}
    why: Mapping[str, str] = {}
    if path.surface == "ask":
        line, why = None, {"log": TERMINAL}
    record: Mapping[str, object] = {"event_type": "query_execution", "reason": final}
    if path.stage == ANSWERS:
        source = {"source": path.outcome}
        span = {"name": "question", OWN + "source": path.outcome}
        told = (outcome[0], {**outcome[1], **source})
        return Owed((told,), span, line and line | source, {**record, **source}, why)
    span = {OWN + "stage": path.stage, "reason": path.outcome}
    stage: Sample = ("stage_duration_seconds_count", {"stage": path.stage})
    if path.stage == "cache":
        span = {"name": "cache *", "reason": path.outcome}
    elif path.stage == "settle":
        stage, span = ("audit_write_failures_total", {}), {"name": "audit_settle", "reason": path.outcome}
        record = {"event_type": "answer_withheld"}
    return Owed((outcome, stage), span, line, record, why)


# --- routes ----------------------------------------------------------------------------------


def _of_route(path: Path) -> Owed:
    method, _, route = path.surface.partition(" ")
    labels = {"method": method, "route": route or method} if route else {"route": method}
    samples: list[Sample] = [("http_requests_total", labels)]
    line = {"event": "http_request", **labels}
    span: dict[str, object] = {"http.route": labels["route"]}
    probe = labels["route"].startswith(vocabulary.PROBES)
    if path.outcome in ("ok", "unhealthy"):
        if probe:
            if path.outcome == "ok":
                return Owed(tuple(samples), None, None, None, dict.fromkeys(("span", "log", "audit"), PROBE))
            samples = [("http_requests_total", {**labels, "status": "5xx"})]
            return Owed(tuple(samples), span, None, None, dict.fromkeys(("log", "audit"), UNHEALTHY))
        span["reason"] = line["reason"] = "ok"
        told = [text for row, text in UNRECORDED.items() if fnmatchcase(path.surface, row)]
        why = {"audit": told[0]} if told else {}
        return Owed(tuple(samples), span, line, None if why else {}, why)
    samples.append(("errors_total", {"reason": path.outcome}))
    span["reason"], line["reason"] = path.outcome, path.outcome
    event = EVENT_OF.get(path.outcome)
    record = {"event_type": event, "reason": path.outcome} if event else None
    return Owed(tuple(samples), span, line, record, {} if event else {"audit": NO_EVENT})


# --- events, operations, levels, jobs, commands ----------------------------------------------


def _of_event(path: Path) -> Owed:
    row = vocabulary.EVENTS[path.stage]
    samples = tuple(_event_samples(row, path.outcome)) or None
    if not row.audited:
        logged = row is vocabulary.AUDIT_CHECKPOINT
        why = dict.fromkeys(("span", "audit", *(() if logged else ("log",))), COUNTED)
        why |= {} if samples else {"metric": CHECKPOINT}
        return Owed(samples, None, {"event": row.name} if logged else None, None, why)
    event = Event(row, 0, Trace("", sampled=True), "")
    span = {"event": row.name} if is_span_event(event) else {}
    line: dict[str, object] | None = {"event": row.name}
    record: dict[str, object] = {"event_type": row.name}
    if row.labels:
        record[row.labels[0].name] = path.outcome
    if row.name in BY_COMMAND:
        line = None
    return Owed(samples, span, line, record, {} if line else {"log": TERMINAL})


def _event_samples(row: EventType, outcome: str) -> Iterator[Sample]:
    for metric in _fed_from(row):
        if metric.name == "security_events_total":
            yield metric.name, {"event_type": row.name}
        elif not row.audited or row.labels:
            values = outcome.split(", ") if outcome != "emitted" else []
            yield metric.name, dict(zip(metric.label_names, values, strict=False))
        elif metric.name == outcome:
            yield _sample_name(metric), {}


def _fed_from(row: EventType | OperationType) -> Iterator[Metric]:
    """The metrics that every fact of this type feeds."""
    for metric in catalog.METRICS:
        if any(feed.source is row and feed.value in ALWAYS for feed in metric.feeds):
            yield metric


def _sample_name(metric: Metric) -> str:
    return metric.name + ("_count" if metric.kind == "histogram" else "")


_SPAN_NAMES = {
    "http_request": "* /*",
    "cache": "cache *",
    "llm_request": "chat *",
    "job_submit": "send jobs",
    "job_question": "process jobs",
    "job_webhook": "POST",
    "canary_question": "question",
}
_ATTRIBUTES = {
    ("http_request", "method"): "http.request.method",
    ("http_request", "status"): "http.response.status_code",
    ("llm_request", "outcome"): OWN + "llm_outcome",
}


def _of_operation(path: Path) -> Owed:
    row = vocabulary.OPERATIONS[path.surface]
    span: dict[str, object] = {"name": _SPAN_NAMES.get(row.name, row.name)}
    if path.stage == FIGURE:
        metric = catalog.BY_NAME[catalog.PREFIX + path.outcome]
        return Owed(((_sample_name(metric), {}),), span, None, None, dict.fromkeys(("log", "audit"), COUNTED))
    samples: list[Sample] = []
    for metric in _fed_from(row):
        named = {label.key: label.name for label in metric.labels}
        if path.stage == "ends":
            samples.append((_sample_name(metric), {}))
        elif path.stage in named:
            samples.append((_sample_name(metric), {named[path.stage]: path.outcome}))
    line: dict[str, object] | None = {"event": row.name} if row.name in LOGGED else None
    if path.stage != "ends":
        value = path.outcome.replace("xx", "??") if path.stage == "status" else path.outcome
        span = {_ATTRIBUTES.get((row.name, path.stage), OWN + path.stage): value}
        if line is not None:
            line[path.stage] = value
    elif row is vocabulary.STAGE_OPERATION:
        span = {OWN + "stage": "*"}
    if path.outcome == "cache" and path.stage == "stage":
        span = {"name": "cache *"}  # an operation of its own type
    record = {"event_type": row.event} if row.event and path.stage == "ends" else None
    why = {name: COUNTED for name, given in (("log", line), ("audit", record)) if given is None}
    return Owed(tuple(samples) or None, span, line, record, why if samples else {**why, "metric": UNCOUNTED})


def _of_level(path: Path) -> Owed:
    row = next(m for m in catalog.METRICS if any(feed.source.name == path.stage for feed in m.feeds))
    return Owed(((row.name, {}),), None, None, None, dict.fromkeys(("span", "log", "audit"), LEVEL))


def _of_job(path: Path) -> Owed:
    details = {"change": path.stage}
    if path.stage == "failed":
        details["reason"] = path.outcome
    event = {"event": "job_change", **details}
    sample: Sample = ("job_changes_total", {"change": path.stage})
    return Owed((sample,), {"event": "job_change"}, event, {"event_type": "job_change", **details})


def _of_command(path: Path) -> Owed:
    if path.surface in SILENT_COMMANDS:
        return Owed(None, None, None, None, dict.fromkeys(("metric", "span", "log", "audit"), ASIDE))
    if path.surface == "canaries":
        samples: tuple[Sample, ...] = tuple((metric.name, {}) for metric in _fed_from(vocabulary.CANARY_CHECK))
        return Owed(samples, {"name": "canary_check"}, None, {"event_type": "query_execution"}, {"log": TERMINAL})
    if path.surface in READING_COMMANDS:
        why = {"metric": COUNTED_BY_EVENTS, "log": TERMINAL, "audit": OWN_THINGS}
        return Owed(None, {"name": "command"}, None, None, why)
    return Owed((("security_events_total", {}),), {"name": "command"}, None, {}, {"log": TERMINAL})
