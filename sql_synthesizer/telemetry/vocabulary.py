"""What the service reports: operation, event and reading types with their closed vocabularies.

An *operation* has a duration and an outcome, an *event* is a fact, a *reading* is a level that is looked at
from time to time. ``labels`` may become metric labels, so each has a vocabulary; everything else that is
worth knowing goes into ``details``, which reach spans, logs and the audit record but never a label.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sql_synthesizer.errors import DECLINED_TOPICS, OUTCOME_BY_REASON
from sql_synthesizer.model import Cause
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.telemetry.labels import OTHER as OTHER
from sql_synthesizer.telemetry.labels import ROUTE as ROUTE
from sql_synthesizer.telemetry.labels import Declared as Declared
from sql_synthesizer.telemetry.labels import Vocabulary as Vocabulary

OUTCOME = Vocabulary("outcome", dict.fromkeys(OUTCOME_BY_REASON.values()))
REASON = Vocabulary("reason", OUTCOME_BY_REASON)
SUCCESS = Vocabulary("success", ("success", "error"))
QUERY_TYPE = Vocabulary("query_type", ("select", "join", "aggregate", "set", "unknown"))
DATABASE_TYPE = Vocabulary("database_type", (*DIALECTS, "unknown"))
DATABASE = Vocabulary("database", declared=True)
CAUSE = Vocabulary("cause", Cause)
SOURCE = Vocabulary("source", ("llm", "rules", "cache", "analyst", "none"))
CACHE_TYPE = Vocabulary("cache_type", ("memory", "redis", "memcached"))
CACHE_OPERATION = Vocabulary("operation", ("get", "set", "delete"))
HIT_MISS = Vocabulary("hit_miss", ("hit", "miss", "ok", "error"))
STAGE = Vocabulary("stage", ("guard_question", "cache", "schema", "queue", "synthesize", "guard_statement", "execute"))
METHOD = Vocabulary("method", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
STATUS = Vocabulary("status", ("2xx", "3xx", "4xx", "5xx"))
DEPENDENCY = Vocabulary("dependency", declared=True)
PROVIDER = Vocabulary("provider", declared=True)
MODEL = Vocabulary("model", declared=True)
LLM_OUTCOME = Vocabulary("outcome", ("success", "timeout", "error", "rejected", "invalid"))
TOKEN_DIRECTION = Vocabulary("direction", ("input", "output"))
RATING = Vocabulary("rating", ("up", "down"))
SIGNAL = Vocabulary("signal", ("metrics", "traces", "trace_store", "logs", "history", "all"))
SEVERITY = Vocabulary("severity", ("info", "low", "medium", "high", "critical"))
SINK = Vocabulary("sink", ("file",))
VERSION = Vocabulary("version", declared=True)
LAYER = Vocabulary("layer", ("fragment", "decoding", "intent"))
GRADE = Vocabulary("grade", ("weak", "suspicious", "attack"))
SCHEDULE_CHANGE = Vocabulary("change", ("created", "changed", "deleted", "run", "skipped", "refused"))
TEAM = Vocabulary("caller_team", partial=True)
"""Not ``team``, which says in an alert whom it is for."""
TABLE = Vocabulary("table", partial=True)
"""``database.table``, of as many tables as there is room for."""
TOPIC = Vocabulary("topic", DECLINED_TOPICS)
WINDOW = Vocabulary("window", ("day", "week"))
JOB_CHANGE = Vocabulary("change", ("submitted", "started", "done", "failed", "cancelled", "delivered", "undelivered"))
CANARY_NAME = Vocabulary("canary", declared=True)
CANARY_RESULT = Vocabulary("result", ("right", "wrong", "empty", "declined", "failed"))
REGRESSION = Vocabulary(
    "series",
    ("latency", *STAGE.values, "model", "errors", "declined", "empty", "fallbacks", "cost", "canaries"),
)
SCHEMA_NAME = Vocabulary("object", declared=True)


@dataclass(frozen=True, slots=True)
class OperationType:
    """A kind of work with a duration. ``event`` is emitted when it closes, whatever the outcome.

    ``inner`` work belongs to other work: by itself it is the service's own upkeep, and begins no sampled trace.
    """

    name: str
    labels: tuple[Vocabulary, ...] = ()
    event: str | None = None
    inner: bool = False


HTTP_REQUEST = OperationType("http_request", (METHOD, ROUTE, STATUS))
QUESTION = OperationType("question", (QUERY_TYPE, DATABASE_TYPE, SOURCE, DATABASE), event="query_execution")
CANARY_QUESTION = OperationType("canary_question", QUESTION.labels, event="query_execution")
"""What a question is that the service asks itself: recorded like any other, and in no figure of what people ask."""
CANARY_CHECK = OperationType("canary_check", (CANARY_NAME, CANARY_RESULT))
STAGE_OPERATION = OperationType("stage", (STAGE,))
CACHE_ACCESS = OperationType("cache", (CACHE_OPERATION, CACHE_TYPE, HIT_MISS), inner=True)
LLM_REQUEST = OperationType("llm_request", (PROVIDER, MODEL, LLM_OUTCOME))
CONNECTION_WAIT = OperationType("connection_wait", (DATABASE,), inner=True)
AUDIT_SETTLE = OperationType("audit_settle")
SCHEMA_READ = OperationType("schema_read", (DATABASE_TYPE,), event="schema_access", inner=True)
EXPORT = OperationType("export", (DATABASE_TYPE,), event="result_export")
PAGE_READ = OperationType("page_read", (DATABASE_TYPE,), event="result_export")
TRACKED_QUERY = OperationType("tracked_query", (QUERY_TYPE, DATABASE_TYPE))
COMMAND = OperationType("command")
JOB_SUBMIT = OperationType("job_submit")
JOB_QUESTION = OperationType("job_question")
JOB_READ = OperationType("job_read", event="result_export")
JOB_WEBHOOK = OperationType("job_webhook")
AGENT_CALL = OperationType("agent_call")

PROBES = ("/health", "/metrics")
"""How the routes begin that are polled: what asks for them begins no trace, unless it fails."""

OPERATIONS = {row.name: row for row in list(globals().values()) if isinstance(row, OperationType)}


@dataclass(frozen=True, slots=True)
class EventType:
    """A fact. ``severity`` follows the type; audited types are security events and leave a record each.

    ``owasp`` is the nearest name of the OWASP Logging Vocabulary; where it has none, ``unnamed`` says why.
    """

    name: str
    severity: str = "info"
    audited: bool = False
    labels: tuple[Vocabulary, ...] = ()
    help: str = ""
    aliases: tuple[str, ...] = field(default=())
    owasp: str = ""
    unnamed: str = ""


def _make_security_event(
    name: str,
    severity: str,
    help: str,
    *aliases: str,
    labels: tuple[Vocabulary, ...] = (),
    owasp: str = "",
    unnamed: str = "",
) -> EventType:
    return EventType(
        name, severity, audited=True, labels=labels, help=help, aliases=aliases, owasp=owasp, unnamed=unnamed
    )


_ORDINARY = "it names what is out of the ordinary"
_FAULT = "it names what callers do, not how a service fails"

SECURITY_EVENTS: dict[str, EventType] = {
    event.name: event
    for event in (
        _make_security_event(
            "authentication_failure",
            "medium",
            "Credentials were missing where they are needed, wrong, revoked or expired.",
            "api_key_auth_failed",
            "auth_failure",
            "login_failed",
            owasp="authn_login_fail",
        ),
        _make_security_event(
            "authentication_success",
            "info",
            "A caller proved who it is.",
            "api_key_auth_success",
            "login_success",
            owasp="authn_login_success",
        ),
        _make_security_event(
            "credential_change",
            "medium",
            "An API key was made, changed, replaced or revoked, or its sessions ended.",
            "api_key_created",
            owasp="privilege_permissions_changed",
        ),
        _make_security_event(
            "access_denied",
            "medium",
            "A caller asked for what its role does not allow.",
            "unauthorized_access",
            owasp="authz_fail",
        ),
        _make_security_event(
            "csrf_failure",
            "medium",
            "A browser request came from elsewhere or without its token.",
            "csrf_violation",
            owasp="malicious_cors",
        ),
        _make_security_event(
            "rate_limit_exceeded",
            "low",
            "A caller went over its rate limit.",
            "rate_limit_hit",
            owasp="excess_rate_limit_exceeded",
        ),
        _make_security_event(
            "request_too_large", "low", "A body or text was over its size limit.", owasp="input_validation_fail"
        ),
        _make_security_event(
            "invalid_request",
            "low",
            "A request did not have the documented form.",
            "input_validation_failed",
            owasp="input_validation_fail",
        ),
        _make_security_event(
            "sql_injection_attempt",
            "high",
            "A question carried an SQL injection.",
            "sql_injection",
            owasp="malicious_extraneous",
        ),
        _make_security_event(
            "prompt_injection_attempt",
            "high",
            "A question tried to steer the model.",
            "prompt_injection",
            owasp="malicious_extraneous",
        ),
        _make_security_event(
            "suspicious_input",
            "low",
            "A question was refused on weaker evidence, or let pass in spite of a weak sign.",
            "suspicious_query",
            owasp="malicious_extraneous",
        ),
        _make_security_event(
            "statement_rejected",
            "medium",
            "The statement guard refused an SQL statement.",
            "query_blocked",
            owasp="input_validation_fail",
        ),
        _make_security_event(
            "query_execution",
            "info",
            "A question or statement ended, with its outcome.",
            "query_executed",
            unnamed=_ORDINARY,
        ),
        _make_security_event("schema_access", "info", "A caller read the schema.", unnamed=_ORDINARY),
        _make_security_event(
            "sensitive_data_access",
            "medium",
            "A statement read columns marked sensitive.",
            "data_access",
            owasp="sensitive_read",
        ),
        _make_security_event("result_export", "low", "A caller exported a result.", unnamed=_ORDINARY),
        _make_security_event(
            "job_change",
            "info",
            "A job was submitted or begun, or has ended.",
            labels=(JOB_CHANGE,),
            unnamed=_ORDINARY,
        ),
        _make_security_event(
            "schedule_change",
            "info",
            "A schedule was made, changed or deleted, or its time has come.",
            labels=(SCHEDULE_CHANGE,),
            unnamed=_ORDINARY,
        ),
        _make_security_event(
            "answer_rated",
            "info",
            "A caller said whether an answer was right.",
            labels=(RATING,),
            unnamed=_ORDINARY,
        ),
        _make_security_event("audit_access", "low", "Someone read the audit record.", owasp="sensitive_read"),
        _make_security_event(
            "audit_verification_failed",
            "critical",
            "The audit record does not verify.",
            unnamed="it knows no record",
        ),
        _make_security_event(
            "answer_withheld",
            "medium",
            "A reply was held back because its record could not be kept.",
            unnamed=_FAULT,
        ),
        _make_security_event(
            "unexpected_error", "high", "An exception that nobody foresaw.", "system_error", unnamed=_FAULT
        ),
        _make_security_event(
            OTHER,
            "low",
            "An event of a type that is not listed here; its severity is the reporter's.",
            unnamed="its name is the reporter's",
        ),
    )
}

FEEDBACK = SECURITY_EVENTS["answer_rated"]
JOB_RETRIED = EventType("job_retried", labels=(REASON,), help="A question of a job will be asked again.")
JOB_GIVEN_UP = EventType("job_given_up", labels=(REASON,), help="A question of a job was given up: a dead letter.")
FALLBACK = EventType("fallback", labels=(REASON,), help="A question went to the rules engine: the model had failed.")
REPAIR = EventType("repair", help="A model mended its own statement.")
EMPTY_ANSWER = EventType("empty_answer", help="A question was answered without a row.")
COALESCED = EventType("coalesced", help="A question waited for an equal one instead of being worked on twice.")
SESSION_LEFT = EventType(
    "session_left", labels=(DATABASE,), help="A session of a database could not be ended at its deadline."
)
QUESTION_VERDICT = EventType("question_verdict", labels=(LAYER, GRADE), help="A layer of the question guard spoke.")
LABEL_REFUSED = EventType("label_refused", help="A label value outside its vocabulary became 'other'.")
TELEMETRY_DROPPED = EventType("telemetry_dropped", labels=(SIGNAL,), help="Facts were dropped at a full queue.")
TELEMETRY_ERROR = EventType("telemetry_error", labels=(SIGNAL,), help="An observer raised an exception.")
AUDIT_RECORDED = EventType("audit_recorded", labels=(SINK,), help="Audit records were made durable.")
AUDIT_FAILURE = EventType("audit_failure", labels=(SINK,), help="A write of the audit record failed.")
AUDIT_CHECKPOINT = EventType(
    "audit_checkpoint", help="Where the audit record stands, signed; always a line of the log."
)

EVENTS = SECURITY_EVENTS | {row.name: row for row in list(globals().values()) if isinstance(row, EventType)}

EVENT_TYPE = Vocabulary("event_type", SECURITY_EVENTS)
FOREIGN_EVENT = "declared_event_type"
"""The detail of an ``other`` event that names the type which another program declared."""
EVENT_ALIASES: dict[str, str] = {alias: event.name for event in EVENTS.values() for alias in event.aliases}


def find_security_event(name: str, severity: str) -> EventType:
    """The security event of this name or older spelling.

    Other names are ``other``, of this severity if there is such a severity, else of the catalogue's.
    """
    known = SECURITY_EVENTS.get(EVENT_ALIASES.get(name, name))
    if known is not None and known.name != OTHER:
        return known
    other = SECURITY_EVENTS[OTHER]
    return replace(other, severity=severity) if severity in SEVERITY else other


@dataclass(frozen=True, slots=True)
class ReadingType:
    """A level that its owner is asked for about once a second."""

    name: str
    labels: tuple[Vocabulary, ...] = ()
    help: str = ""


POOL_IN_USE = ReadingType("pool_in_use", (DATABASE_TYPE,), "Connections handed out.")
POOL_LIMIT = ReadingType("pool_limit", (DATABASE_TYPE,), "Connections that may be handed out.")
POOL_USE = ReadingType("pool_use", (DATABASE,), "Connections handed out, per connection that may be.")
WRITING_LOGINS = ReadingType("writing_logins", (DATABASE,), "1 when the login may write, else 0.")
OBJECTS_LEFT_OUT = ReadingType("objects_left_out", (DATABASE, CAUSE), "Tables, views and columns that are not offered.")
QUESTIONS_RUNNING = ReadingType("questions_running", (), "Questions being worked on.")
QUESTIONS_WAITING = ReadingType("questions_waiting", (), "Questions that wait for others to end.")
QUESTIONS_LIMIT = ReadingType("questions_limit", (), "Questions that may run at once.")
DEPENDENCY_UP = ReadingType("dependency_up", (DEPENDENCY,), "1 when the last ping succeeded, else 0.")
AUDIT_FREE_BYTES = ReadingType("audit_free_bytes", (), "Free space of the audit volume.")
AUDIT_PENDING = ReadingType("audit_pending", (), "Audit records that are not durable yet.")
AUDIT_FINGERPRINT = ReadingType("audit_fingerprint", (), "Start of the MAC at the last checkpoint.")
AUDIT_VERIFIED = ReadingType(
    "audit_verified", (), "When the audit record was last found sound, else when this process started, in Unix time."
)
AUDIT_CLOCK_LEAD = ReadingType(
    "audit_clock_lead", (), "Seconds that the clock is ahead of the time that is known to have passed."
)
JOB_WAITING = ReadingType("job_waiting", (), "Questions of jobs that wait.")
JOB_RUNNING = ReadingType("job_running", (), "Questions of jobs that a worker has in hand.")
JOB_OLDEST = ReadingType("job_oldest", (), "Age of the oldest job that nobody has begun, in seconds.")
JOB_BEAT = ReadingType("job_beat", (), "When a worker of jobs last said that it lives, in Unix time.")
ACTIVE_CALLERS = ReadingType("active_callers", (WINDOW,), "Callers that asked within the window that ends now.")
REGRESSIONS = ReadingType("regressions", (REGRESSION,), "1 where a series took a step for the worse, else 0.")
CONFIGURATION = ReadingType("configuration", (), "A number that differs when the settings do.")
SCHEMA_VERSION = ReadingType("schema_version", (DATABASE,), "A number that differs when the schema does.")
SCHEMA_DRIFT = ReadingType(
    "schema_drift", (DATABASE, SCHEMA_NAME), "1 while a table or column that canaries read is gone, else 0."
)
TEAM_BUDGET = ReadingType("team_budget", (TEAM,), "What a team has used of its budget of the month, 1 for all of it.")
CACHE_ENTRIES = ReadingType("cache_entries", (CACHE_TYPE,), "Entries held in the memory cache.")
TELEMETRY_QUEUE = ReadingType("telemetry_queue", (), "Facts that wait to be folded.")
LAST_FOLD = ReadingType("last_fold", (), "When facts were last folded, in Unix time.")
WORKER_START = ReadingType("worker_start", (), "When this worker started, in Unix time.")
