"""The synthesizer that asks a language model: any endpoint that offers OpenAI's chat completions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from sql_synthesizer.errors import Declined, ModelInvalid, ModelUnavailable, StatementInvalid
from sql_synthesizer.model import MASK, Statement
from sql_synthesizer.model.masking import mask_secrets
from sql_synthesizer.settings import Settings
from sql_synthesizer.settings.business import MICRO, price_of
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.endpoint import Endpoint
from sql_synthesizer.synthesizer.exposure import one_line
from sql_synthesizer.synthesizer.prompt import question_messages, repair_messages
from sql_synthesizer.synthesizer.reply import EndpointError, ModelAnswer, ModelReply, read_answer
from sql_synthesizer.synthesizer.topics import topic_of
from sql_synthesizer.telemetry import Operation, Telemetry, vocabulary
from sql_synthesizer.telemetry.traceparent import format_traceparent

LEAST_TIME = 0.05
"""Seconds that must be left for a call to be worth its start."""
LONGEST_WAIT = 1.0
"""Seconds that a retry may be put off; the question keeps its slot meanwhile."""
EXPLANATION_CHARS = 500

_log = logging.getLogger(__name__)
_backoff = wait_exponential_jitter(multiplier=0.2, max=LONGEST_WAIT, jitter=0.2)


class LLMSynthesizer:
    """Asks the configured model."""

    source = "llm"

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        telemetry.declared.declare(vocabulary.PROVIDER, settings.model_provider)
        telemetry.declared.declare(vocabulary.MODEL, settings.model)
        self._settings = settings
        own_price = settings.model_input_price, settings.model_output_price
        self._price = price_of(settings.model, settings.model_prices, own_price)
        self._telemetry = telemetry
        self._endpoint = Endpoint(settings)
        self._circuit = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            fail_max=settings.breaker_failures,
            reset_timeout=settings.breaker_reset,
            exclude=[_is_no_fault],
            state_storage=self._circuit,
        )
        self._trial = threading.Lock()

    def synthesize(self, context: Context) -> Statement:
        """SQL that the model wrote, not yet guarded. Raises Declined, ModelUnavailable, ModelInvalid."""
        context = _without_secrets(context)
        return self._request_statement(context, question_messages(context, self._settings.model_prompt_bytes))

    def repair(self, context: Context, statement: Statement, error: StatementInvalid) -> Statement:
        """A second try, with the reason why the first was refused. Raises Declined, ModelUnavailable, ModelInvalid."""
        context = _without_secrets(context)
        return self._request_statement(
            context, repair_messages(context, self._settings.model_prompt_bytes, statement, error)
        )

    def ping(self, timeout: float) -> None:
        """Checks the endpoint within ``timeout`` seconds, at no cost. Raises ModelUnavailable."""
        if self._is_circuit_open():
            raise ModelUnavailable("The language model is being given a rest after repeated failures.")
        try:
            self._endpoint.ping(timeout)
        except EndpointError as error:
            raise _public_error(error) from None

    def close(self) -> None:
        """Lets go of the connections."""
        self._endpoint.close()

    def _request_statement(self, context: Context, messages: list[dict[str, str]]) -> Statement:
        retrying = Retrying(
            stop=stop_after_attempt(1 + self._settings.model_retries)
            | stop_before_delay(context.deadline - time.monotonic() - LEAST_TIME),
            wait=_retry_delay,
            retry=retry_if_exception(_is_retryable),
            reraise=True,
        )
        try:
            answer = retrying(self._attempt_request, messages, context.deadline)
        except CircuitBreakerError:
            raise ModelUnavailable from None
        except EndpointError as error:
            raise _public_error(error) from None
        if answer.sql is None:
            reason = one_line(answer.reason or "", EXPLANATION_CHARS)
            message = reason and f"The language model cannot answer this: {reason}"
            raise Declined(message, topic=topic_of(context.question))
        if MASK in context.question and MASK in answer.sql:
            raise Declined(
                "The question holds what looks like a password, key or card number, which no model is sent.",
                hint="Ask without it, or name the row in another way.",
                topic="secret",
            )
        explanation = one_line(answer.explanation, EXPLANATION_CHARS)
        return Statement(sql=answer.sql.strip(), source=self.source, explanation=explanation)

    def _attempt_request(self, messages: list[dict[str, str]], deadline: float) -> ModelAnswer:
        while True:
            timeout = min(self._settings.model_timeout, deadline - time.monotonic())
            if timeout < LEAST_TIME:
                raise ModelUnavailable("No time was left to ask the language model.")
            try:
                with self._apply_breaker():
                    return self._call_model(messages, timeout)
            except EndpointError as error:
                if error.refused_parameter is None:
                    raise
                self._endpoint.drop_parameter(error.refused_parameter)

    @contextmanager
    def _apply_breaker(self) -> Iterator[None]:
        """The circuit breaker around one call; while it is not closed, one caller at a time may try.

        ``calling`` is used because ``call`` would hold the breaker's lock, and so every other caller, for as
        long as the model takes.
        """
        closed = self._breaker.current_state == STATE_CLOSED
        if not closed and not self._trial.acquire(blocking=False):
            raise CircuitBreakerError("another call tries the endpoint")
        try:
            with self._breaker.calling():
                yield
        finally:
            if not closed:
                self._trial.release()

    def _call_model(self, messages: list[dict[str, str]], timeout: float) -> ModelAnswer:
        settings = self._settings
        with self._telemetry.operation(
            vocabulary.LLM_REQUEST, provider=settings.model_provider, model=settings.model, outcome="error"
        ) as operation:
            operation.details.max_tokens = settings.model_max_tokens
            try:
                reply = self._endpoint.complete(messages, timeout=timeout, traceparent=format_traceparent(operation))
            except EndpointError as error:
                failure = error
                self._record_failure(operation, error)
            else:
                self._record_reply(operation, reply)
                operation.labels["outcome"] = "invalid"
                answer = read_answer(reply, settings.max_sql_chars)
                operation.labels["outcome"] = "success"
                return answer
        # Raised here, so that the operation keeps the public error and not this one.
        raise failure

    def _record_reply(self, operation: Operation, reply: ModelReply) -> None:
        settings, details = self._settings, operation.details
        details.sent_bytes, details.reply_model, details.reply_id = reply.sent_bytes, reply.model, reply.id
        details.finish_reason = reply.finish_reason
        details.input_tokens, details.output_tokens = reply.input_tokens, reply.output_tokens
        if self._price is None or reply.input_tokens is None or reply.output_tokens is None:
            _count_unpriced(operation)
            cost = None
        else:
            cost = self._price.cost_microusd(reply.input_tokens, reply.output_tokens)
            details.cost_usd = cost / MICRO
        if (question := operation.trace.question) is not None:
            question.provider, question.model = settings.model_provider, settings.model
            question.input_tokens = _add_known(question.input_tokens, reply.input_tokens)
            question.output_tokens = _add_known(question.output_tokens, reply.output_tokens)
            question.cost_microusd = _add_known(question.cost_microusd, cost)

    def _record_failure(self, operation: Operation, error: EndpointError) -> None:
        operation.labels["outcome"] = error.outcome
        details = operation.details
        details.sent_bytes, details.failure, details.status = error.sent_bytes, error.kind, error.status
        operation.fail(_public_error(error))
        if error.may_be_billed:
            _count_unpriced(operation)
            if (question := operation.trace.question) is not None:
                question.provider, question.model = self._settings.model_provider, self._settings.model
        if error.status in (401, 403):
            _log.error("The model endpoint refused the key (HTTP %s); check OPENAI_API_KEY.", error.status)

    def _is_circuit_open(self) -> bool:
        opened = self._circuit.opened_at
        reset = timedelta(seconds=self._settings.breaker_reset)
        return self._breaker.current_state == STATE_OPEN and opened is not None and datetime.now(UTC) < opened + reset


def _without_secrets(context: Context) -> Context:
    return replace(context, question=mask_secrets(context.question))


def _add_known(total: int | None, amount: int | None) -> int | None:
    return total if amount is None else (total or 0) + amount


def _count_unpriced(operation: Operation) -> None:
    operation.details.unpriced = 1
    if (question := operation.trace.question) is not None:
        question.unpriced = (question.unpriced or 0) + 1


def _public_error(error: EndpointError) -> ModelUnavailable | ModelInvalid:
    return ModelInvalid() if error.outcome == "invalid" else ModelUnavailable()


def _is_no_fault(error: BaseException) -> bool:
    """Whether the breaker takes an error for a sign of life."""
    return not (isinstance(error, EndpointError) and error.is_endpoint_fault)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, EndpointError) and error.transient and (error.retry_after or 0.0) <= LONGEST_WAIT


def _retry_delay(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, EndpointError) else None
    return _backoff(state) if asked is None else asked
