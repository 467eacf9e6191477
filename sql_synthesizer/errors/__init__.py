"""Every error that can leave the service: one tree, each with an HTTP status and a stable reason.

The reasons are label values of metrics, so they are never renamed. ``outcome`` says who has to act:
only ``failed`` counts as ``success="error"``. ``event`` is the security event that an error of this
kind is recorded as; the telemetry facade emits it when the innermost open operation closes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sql_synthesizer.errors.requests import *  # noqa: F403 - this is the table of all
from sql_synthesizer.errors.root import SqlSynthesizerError as SqlSynthesizerError


class UnexpectedError(SqlSynthesizerError):
    """An exception nobody foresaw; its text stays in the log."""

    event = "unexpected_error"


# --- the caller may not ---------------------------------------------------------------------
class AuthenticationRequired(SqlSynthesizerError):
    """No credentials were given where they are needed."""

    status = 401
    reason = "authentication_required"
    outcome = "denied"
    event = "authentication_failure"
    default_message = "An API key is required."
    default_hint = "Send it as 'Authorization: Bearer KEY'; an operator makes one with: sql-synthesizer keys create."


class AuthenticationFailed(AuthenticationRequired):
    """The credentials are wrong, revoked or expired."""

    reason = "authentication_failed"
    default_message = "The API key is not valid."
    default_hint = "Check that it is complete and has not been revoked; ask an operator for a new one."


class AccessDenied(SqlSynthesizerError):
    """The caller's role does not allow this."""

    status = 403
    reason = "access_denied"
    outcome = "denied"
    event = "access_denied"
    default_message = "Your role does not allow this."
    default_hint = "Ask an operator for a key with a higher role."


class CsrfFailed(SqlSynthesizerError):
    """A browser request came without a valid CSRF token or from another origin."""

    status = 403
    reason = "csrf_failed"
    outcome = "denied"
    event = "csrf_failure"
    default_message = "The request did not come from this page."
    default_hint = "Reload the page and try again."


class RateLimited(SqlSynthesizerError):
    """The caller asks faster than its limit."""

    status = 429
    reason = "rate_limited"
    outcome = "limited"
    event = "rate_limit_exceeded"
    default_message = "Too many requests."
    default_hint = "Wait for the time that the Retry-After header gives."


class BudgetSpent(SqlSynthesizerError):
    """The caller's team has used what it may in this month."""

    status = 429
    reason = "budget_spent"
    outcome = "limited"
    default_message = "Your team has used its budget of this month."
    default_hint = "Ask again next month (UTC), or have an operator raise the team's budget in SQL_SYNTHESIZER_TEAMS."


class QueueFull(SqlSynthesizerError):
    """As many questions of jobs wait as may, in all or of this caller."""

    status = 429
    reason = "queue_full"
    outcome = "limited"
    event = "rate_limit_exceeded"
    default_message = "As many questions of jobs wait as may."
    default_hint = "Send the job again after the time that the Retry-After header gives, or in smaller parts."


class OwnerRefused(SqlSynthesizerError):
    """The owner of a job no longer has the right to ask: its key was revoked, has expired or is gone."""

    status = 403
    reason = "owner_refused"
    outcome = "denied"
    event = "access_denied"
    default_message = "The API key that the job was submitted with is no longer valid."
    default_hint = "Submit the job again with another key."


DECLINED_TOPICS = ("advice", "ambiguous", "cause", "change", "future", "secret", "trend", "words")
"""What declined questions are about: advice, causes, changes of data, the future, a secret in the text, trends; more
than one reading; else words that nobody knows."""


# --- the question cannot or must not be answered ---------------------------------------------
class Declined(SqlSynthesizerError):
    """The question is not understood well enough to answer it truthfully."""

    status = 422
    reason = "declined"
    outcome = "declined"
    default_message = "I cannot answer this from the data with certainty."
    default_hint = "Name a table or column of the schema in the question."

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        suggestions: tuple[str, ...] = (),
        topic: str = "words",
        choices: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.suggestions = suggestions
        self.topic = topic
        self.choices = choices

    def body(self, trace_id: str) -> dict[str, object]:
        """As the root's, with questions of the same kind that can be answered, and what it could have meant."""
        about = {"suggestions": list(self.suggestions), "choices": list(self.choices)}
        return {**super().body(trace_id), **about}


class QuestionRefused(SqlSynthesizerError):
    """The text looks like an attack; ``event`` is the grade that the guard gave it."""

    status = 422
    reason = "question_refused"
    outcome = "refused"
    event = "suspicious_input"
    default_message = "The text was refused because it looks like an attempt to inject SQL or to steer the model."
    default_hint = "Say in plain words what you want to know, without SQL fragments or instructions."


class StatementRefused(SqlSynthesizerError):
    """The statement guard did not let the SQL pass."""

    status = 422
    reason = "statement_refused"
    outcome = "refused"
    event = "statement_rejected"
    default_message = "The statement was refused: only a single read-only query is allowed."
    default_hint = "Use one SELECT over the tables of the schema and ordinary functions."


class Cancelled(SqlSynthesizerError):
    """The caller went away or took the request back."""

    status = 499
    reason = "cancelled"
    outcome = "cancelled"
    default_message = "The request was cancelled."
    default_hint = "Ask again."


# --- the service failed ----------------------------------------------------------------------
class ServiceFailure(SqlSynthesizerError):
    """Something the service needs did not work; these are ``success="error"``."""

    status = 503


class DatabaseUnavailable(ServiceFailure):
    """The database cannot be reached or broke the connection."""

    reason = "database_unavailable"
    default_message = "The database cannot be reached."
    default_hint = "Try again in a minute; operators: see the dependency panel and GET /health."


class SettingNotHeld(DatabaseUnavailable):
    """A setting that changes what a statement says did not take its pinned value; ``details`` name it."""

    reason = "setting_not_held"
    default_message = "The database would not read statements as they were judged, so it is not asked."
    default_hint = "Operators: the log names the setting; docs/statements.md lists those that are pinned."


class PrivilegedLogin(DatabaseUnavailable):
    """The login may do more than any statement should; ``details`` say what."""

    reason = "privileged_login"
    default_message = "The service's database login may do too much, so the database is not asked."
    default_hint = "Operators: make the role of docs/statements.md, or set SQL_SYNTHESIZER_ALLOW_PRIVILEGED_LOGIN."


class DatabaseFailed(ServiceFailure):
    """The database failed while it ran a statement that the service made."""

    status = 502
    reason = "database_failed"
    default_message = "The database failed to run the statement."
    default_hint = "Rephrase the question; operators find the driver's message in the log by trace id."


class PrivilegeMissing(ServiceFailure):
    """The service's login may not read what the schema shows."""

    status = 502
    reason = "privilege_missing"
    default_message = "The service may not read a table or column of this database."
    default_hint = "Operators: grant it, as docs/statements.md says, or leave it out with tables or hidden."


class StatementCancelled(ServiceFailure):
    """Somebody else ended the statement in the database before its deadline."""

    reason = "statement_cancelled"
    default_message = "The statement was ended in the database by its administrator."
    default_hint = "Ask again; operators: see who ended it, and why."


class PoolTimeout(ServiceFailure):
    """Every connection of the pool is in use and none came free in time."""

    reason = "pool_timeout"
    default_message = "All database connections are in use."
    default_hint = "Try again in a moment; operators: raise pool_size or look for slow statements."


class StatementTimeout(ServiceFailure):
    """The statement ran past its deadline and was cancelled in the database."""

    status = 504
    reason = "statement_timeout"
    default_message = "The statement took longer than the time limit and was cancelled."
    default_hint = "Narrow the question, for example by a date or a limit."


class SchemaTimeout(ServiceFailure):
    """The schema of the database was not read in time."""

    status = 504
    reason = "schema_timeout"
    default_message = "Reading the schema of the database takes longer than the time limit."
    default_hint = "Try again in a minute; operators: raise schema_timeout, or name schemas and tables to be read."


class ModelUnavailable(ServiceFailure):
    """The model endpoint failed or did not answer in time, and no fallback could answer."""

    reason = "model_unavailable"
    default_message = "The language model did not answer, and the rules engine could not answer alone."
    default_hint = "Try again in a minute, or use simpler words that name a table."


class ModelInvalid(ServiceFailure):
    """The model's reply was not a usable statement, and no fallback could answer."""

    status = 502
    reason = "model_invalid"
    default_message = "The language model did not return a usable statement."
    default_hint = "Rephrase the question, naming the table or column you mean."


class CacheUnavailable(ServiceFailure):
    """The cache failed; it is counted and never reaches a caller."""

    reason = "cache_unavailable"
    default_message = "The cache cannot be reached."
    default_hint = "Questions are answered without it; operators: see GET /health."


class StoreUnavailable(ServiceFailure):
    """The service's own state (keys, history, feedback) cannot be read or written."""

    reason = "store_unavailable"
    default_message = "The service's own state cannot be read or written."
    default_hint = "Operators: check the state directory or the store's database, and GET /health."


class AuditUnavailable(ServiceFailure):
    """The audit record could not be made durable, so nothing may be answered."""

    reason = "audit_unavailable"
    event = "answer_withheld"
    default_message = "The audit record cannot be written, so no answer may be given."
    default_hint = "Operators: check free space and permissions of the audit directory."


class Overloaded(ServiceFailure):
    """As many questions as the server can hold are already running."""

    reason = "overloaded"
    default_message = "The service is answering as many questions as it can."
    default_hint = "Try again after the time that the Retry-After header gives."


class JobTimeout(ServiceFailure):
    """A job ran for longer than one may."""

    status = 504
    reason = "job_timeout"
    default_message = "The job took longer than the time limit."
    default_hint = "Split it; operators: raise job_seconds, or start further workers."


class WorkerLost(ServiceFailure):
    """The process that worked on a question of a job ended, as often as it may be tried."""

    reason = "worker_lost"
    default_message = "The process that worked on the question ended before it had an answer, again and again."
    default_hint = "Ask it alone; operators: look in the log for why the worker ended."


class WebhookFailed(ServiceFailure):
    """The address of a webhook did not answer, or not with success."""

    status = 502
    reason = "webhook_failed"
    default_message = "The address of the webhook did not take the message."
    default_hint = "Look at the receiver: it answers with a status of 200 to 299 within 10 seconds."


class WebhookGone(ServiceFailure):
    """The receiver of a webhook has answered 410: it wants no more messages."""

    status = 502
    reason = "webhook_gone"
    default_message = "The address of the webhook wants no more messages."
    default_hint = "Submit jobs without it."


class ConfigurationError(SqlSynthesizerError):
    """The settings cannot be used; all faults are listed together at start."""

    reason = "configuration"
    default_message = "The configuration cannot be used."
    default_hint = "Every setting is described in docs/settings.md."


def error_classes(root: type[SqlSynthesizerError] = SqlSynthesizerError) -> Iterator[type[SqlSynthesizerError]]:
    """Every error class, the root first."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


OUTCOME_BY_REASON = {"ok": "answered"} | {cls.reason: cls.outcome for cls in reversed([*error_classes()])}
"""Reason -> outcome; ``ok`` is the reason of an operation that ended without an error."""
