"""What is told of a call to the model, and what is not."""

from __future__ import annotations

import logging

import pytest

from sql_synthesizer.errors import ModelInvalid, ModelUnavailable
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.traceparent import parse_traceparent
from tests.support.endpoint import KEY, calls
from tests.support.endpoint import build as build
from tests.support.endpoint import fake as fake
from tests.support.endpoint import telemetry as telemetry
from tests.support.llm import context


def test_facts_of_a_call(build, fake, telemetry):
    fake.reply("SELECT 1", usage=(1000, 200))
    build(model_input_price=0.5, model_output_price=2.0).synthesize(context())
    (call,) = calls(telemetry)
    assert call.labels == {"provider": "test", "model": "test-model", "outcome": "success"}
    assert call.details.known() == {
        "max_tokens": 800,
        "sent_bytes": len(fake.chats[0].body),
        "reply_model": "test-model-fake",
        "reply_id": "chatcmpl-fake",
        "finish_reason": "stop",
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost_usd": pytest.approx(0.0009),
    }
    assert telemetry.declared.values(vocabulary.PROVIDER) == ("test",)
    assert telemetry.declared.values(vocabulary.MODEL) == ("test-model",)


@pytest.mark.parametrize("prices", [{}, {"model_input_price": 1.0}])
def test_unpriced(build, telemetry, prices):
    build(**prices).synthesize(context())
    details = calls(telemetry)[0].details
    assert (details.unpriced, details.cost_usd) == (1, None)


def test_a_call_that_may_be_billed_is_unpriced(build, fake, telemetry):
    fake.fail(500)
    fake.drop()
    synthesizer = build(model_retries=0, model_input_price=1.0, model_output_price=1.0)
    with telemetry.operation(vocabulary.QUESTION) as question:
        question.trace.question = question.details
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                synthesizer.synthesize(context())
    assert (question.details.unpriced, question.details.model) == (1, "test-model")
    assert [call.details.unpriced for call in calls(telemetry)] == [None, 1]


def test_sent_bytes_of_a_failure(build, fake, telemetry):
    fake.fail(400)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context("¿cuántos clientes?"))
    (call,) = calls(telemetry)
    assert call.details.sent_bytes == len(fake.chats[0].body)
    assert call.details.failure == "BadRequestError"


def test_traceparent(build, fake, telemetry):
    fake.fail(500)
    with telemetry.operation(vocabulary.QUESTION) as question:
        build().synthesize(context())
    sent = [parse_traceparent(chat.headers["traceparent"]) for chat in fake.chats]
    assert sent == [(question.trace.trace_id, call.span_id, True) for call in calls(telemetry)]
    assert {call.parent_id for call in calls(telemetry)} == {question.span_id}


def test_failed_calls_are_no_security_event(build, fake, telemetry):
    fake.fail(500, times=2)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context())
    telemetry.fold()
    assert telemetry.observers[0].events("unexpected_error") == []


def test_secrets_stay_out_of_logs(build, fake, caplog):
    caplog.set_level(logging.DEBUG)
    fake.fail(401, message=f"Incorrect API key provided: {KEY}")
    fake.reply(text="the model's prose")
    synthesizer = build()
    for error in (ModelUnavailable, ModelInvalid):
        with pytest.raises(error) as caught:
            synthesizer.synthesize(context("a question about zebras"))
        assert KEY not in repr(caught.value)
        assert caught.value.__cause__ is None
    fake.drop()
    synthesizer.synthesize(context("a question about zebras"))
    written = "\n".join(record.getMessage() + (record.exc_text or "") for record in caplog.records)
    for secret in (KEY, "zebras", "prose", "CREATE TABLE"):
        assert secret not in written
    assert "refused the key" in written
    assert {record.levelname for record in caplog.records if record.name.endswith("llm")} == {"ERROR"}
