"""The part of the tree of errors whose cause is a request that is wrong; ``errors`` is the table of all."""

from __future__ import annotations

from sql_synthesizer.errors.root import SqlSynthesizerError


class InvalidRequest(SqlSynthesizerError):
    """The request does not have the documented form."""

    status = 400
    reason = "invalid_request"
    outcome = "invalid"
    event: str | None = "invalid_request"
    default_message = "The request does not have the expected form."
    default_hint = "Compare it with the OpenAPI document at /openapi."


class InvalidEncoding(InvalidRequest):
    """The body is not UTF-8."""

    reason = "invalid_encoding"
    default_message = "The request body is not valid UTF-8."
    default_hint = "Send the body as UTF-8 encoded JSON."


class InvalidJson(InvalidRequest):
    """The body is not JSON."""

    reason = "invalid_json"
    default_message = "The request body is not valid JSON."
    default_hint = 'Send an object such as {"question": "how many customers"} as application/json.'


class QuestionEmpty(InvalidRequest):
    """The question has no text."""

    reason = "question_empty"
    default_message = "The question is empty."
    default_hint = "Ask something about the data, for example: how many customers are there?"


class QuestionTooLong(InvalidRequest):
    """The question or statement is longer than the limit."""

    status = 413
    reason = "question_too_long"
    event = "request_too_large"
    default_message = "The text is longer than the limit."
    default_hint = "Shorten it, or split it into several questions."


class RequestTooLarge(InvalidRequest):
    """The body is larger than the limit."""

    status = 413
    reason = "request_too_large"
    event = "request_too_large"
    default_message = "The request body is larger than the limit."
    default_hint = "Send less; the limit is the setting max_body_bytes."


class AddressTooLong(InvalidRequest):
    """The request line is longer than the limit."""

    status = 414
    reason = "address_too_long"
    event = "request_too_large"
    default_message = "The address is longer than the limit."
    default_hint = "Send what is long in the body, as POST /api/query takes it."


class HeaderTooLarge(InvalidRequest):
    """The header fields are larger or more than the limit."""

    status = 431
    reason = "header_too_large"
    event = "request_too_large"
    default_message = "The header of the request is larger than the limit."
    default_hint = "Send fewer and shorter header fields; cookies of other services are often the cause."


class RequestTimeout(InvalidRequest):
    """The request did not come whole in time."""

    status = 408
    reason = "request_timeout"
    default_message = "The request did not come whole in time."
    default_hint = "Send it in one go; if the network is slow, send less."


class UnknownCoding(InvalidRequest):
    """The body comes in a transfer coding that the server does not know."""

    status = 501
    reason = "unknown_coding"
    default_message = "The server does not know the transfer coding of the body."
    default_hint = "Send the body with a Content-Length, or chunked."


class UnknownDatabase(InvalidRequest):
    """No database of this name is configured."""

    status = 404
    reason = "unknown_database"
    default_message = "There is no database of that name."
    default_hint = "GET /api/schema lists the databases that can be asked."


class NotFound(InvalidRequest):
    """The address or the object does not exist, or belongs to another caller."""

    status = 404
    reason = "not_found"
    default_message = "There is nothing at this address."
    default_hint = "The OpenAPI document at /openapi lists the addresses."


class MethodNotAllowed(InvalidRequest):
    """The address does not take this HTTP method."""

    status = 405
    reason = "method_not_allowed"
    default_message = "This address does not take that HTTP method."
    default_hint = "The OpenAPI document at /openapi lists the methods."


class PageExpired(InvalidRequest):
    """The pages of an answer are no longer kept."""

    status = 410
    reason = "page_expired"
    event = None
    default_message = "The pages of this answer are no longer kept."
    default_hint = "Ask the question again."


class StatementInvalid(InvalidRequest):
    """The database refused an analyst's statement as wrong (syntax, unknown name, type)."""

    status = 422
    reason = "statement_invalid"
    event = None
    default_message = "The database could not understand the statement."
    default_hint = "Check the names against GET /api/schema."


class IdempotencyConflict(InvalidRequest):
    """The key of an earlier submission came with other questions."""

    status = 409
    reason = "idempotency_conflict"
    event = None
    default_message = "This idempotency key belongs to a job that asks something else."
    default_hint = "Use a new key for other questions."


class WebhookRefused(InvalidRequest):
    """The address of a webhook may not be called."""

    status = 422
    reason = "webhook_refused"
    default_message = "Webhooks may not call this host."
    default_hint = "Operators: SQL_SYNTHESIZER_WEBHOOK_HOSTS lists the hosts that may be called."


class TooManySchedules(InvalidRequest):
    """A caller has as many schedules as one may."""

    status = 409
    reason = "too_many_schedules"
    event = None
    default_message = "You have as many schedules as one caller may."
    default_hint = "Delete one, or put more questions in each; operators: raise schedule_limit."


class JobEnded(InvalidRequest):
    """The job can no longer be changed."""

    status = 409
    reason = "job_ended"
    event = None
    default_message = "The job has ended."
    default_hint = "GET /api/jobs/ID says how; its results are kept for a while."
