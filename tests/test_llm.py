"""The language model's synthesizer, against a real HTTP server that plays the model."""

from __future__ import annotations

import email.utils
import json
import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sql_synthesizer.errors import Declined, ModelInvalid, ModelUnavailable, StatementInvalid
from sql_synthesizer.model import Statement
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.synthesizer import Context, llm
from sql_synthesizer.synthesizer.endpoint import Endpoint, _parse_retry_after
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from sql_synthesizer.synthesizer.reply import EndpointError
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from sql_synthesizer.telemetry.traceparent import parse_traceparent
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.llm import context
from tests.support.serving import HANG, until

KEY = "sk-do-not-log-7f3a"
REST = 3600.0
"""Seconds that the breaker stays open; tests put them into the past."""


def settings(fake: FakeOpenAI | None = None, **more) -> Settings:
    defaults = {"openai_api_key": KEY, "model": "test-model", "model_provider": "test", "model_retries": 1}
    return load(**{**defaults, "openai_base_url": fake.base_url if fake else None, **more})


@pytest.fixture
def fake():
    with FakeOpenAI(lambda _: "SELECT count(*) FROM customers") as server:
        yield server


@pytest.fixture
def telemetry():
    facade = Telemetry()
    facade.observers.append(MemoryObserver())
    return facade


@pytest.fixture
def build(fake, telemetry):
    made = []

    def make(**more) -> LLMSynthesizer:
        made.append(LLMSynthesizer(settings(fake, **more), telemetry))
        return made[-1]

    yield make
    for synthesizer in made:
        synthesizer.close()


def calls(telemetry: Telemetry) -> list:
    telemetry.fold()
    return telemetry.observers[0].operations(vocabulary.LLM_REQUEST)


def outcomes(telemetry: Telemetry) -> list[str]:
    return [call.labels["outcome"] for call in calls(telemetry)]


# --- replies --------------------------------------------------------------------------------


def test_statement(build, fake):
    fake.reply("  SELECT count(*) FROM customers ", "Counts\nall  customers.")
    statement = build().synthesize(context())
    assert statement == Statement("SELECT count(*) FROM customers", "llm", "Counts all customers.")


def test_request_shape(build, fake):
    build().synthesize(context())
    (chat,) = fake.chats
    body = chat.json
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("test-model", 0, 800)
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["strict"] is True
    assert set(body["response_format"]["json_schema"]["schema"]["properties"]) == {"sql", "explanation", "reason"}
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert chat.question == "how many customers are there?"
    assert chat.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "text",
    [
        '{"sql": "SELECT 1", "explanation": "One."}',
        '```json\n{"sql": "SELECT 1", "explanation": "One."}\n```',
        '```\n{"sql": "SELECT 1", "explanation": "One."}\n```\n',
        '<think>SELECT 2? no</think>\n{"sql": "SELECT 1", "explanation": "One.", "extra": 1}',
    ],
)
def test_tolerated_forms(build, fake, text):
    fake.reply(text=text)
    assert build().synthesize(context()).sql == "SELECT 1"


@pytest.mark.parametrize(
    "text",
    [
        "Here is your query: SELECT 1",
        "",
        "SELECT 1",
        "[]",
        '"SELECT 1"',
        '{"sql": 1}',
        '{"explanation": "no sql"}',
        '{"sql": "   "}',
        '{"sql": "SELECT 1"',
        'Sure: {"sql": "SELECT 1"}',
        '{"sql": "' + "x" * 20_001 + '"}',
    ],
)
def test_unusable_replies(build, fake, telemetry, text):
    fake.reply(text=text)
    with pytest.raises(ModelInvalid) as caught:
        build().synthesize(context())
    assert outcomes(telemetry) == ["invalid"]
    assert calls(telemetry)[0].reason == "model_invalid"
    assert not text or text not in str(caught.value.body("t"))


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b"\xff", b"x" * 1_100_000])
def test_malformed_completions(build, fake, telemetry, body):
    fake.send(body)
    with pytest.raises(ModelInvalid):
        build().synthesize(context())
    assert outcomes(telemetry) == ["invalid"]


def test_compressed_reply_is_refused(build, fake, telemetry):
    fake.send(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    with pytest.raises(ModelInvalid):
        build().synthesize(context())
    assert fake.chats[0].headers["accept-encoding"] == "identity"
    assert outcomes(telemetry) == ["invalid"]


@pytest.mark.parametrize(
    "reply", [{"sql": None, "reason": "no such data"}, {"refusal": "I will not."}, {"finish_reason": "content_filter"}]
)
def test_declined(build, fake, telemetry, reply):
    fake.reply(**reply)
    with pytest.raises(Declined) as caught:
        build().synthesize(context())
    assert outcomes(telemetry) == ["success"]
    assert "no such data" not in json.dumps(caught.value.body("t"))


def test_any_sql_is_passed_on(build, fake):
    fake.reply("DROP TABLE customers; --")
    assert build().synthesize(context()).sql == "DROP TABLE customers; --"


# --- faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_retry_then_success(build, fake, telemetry, status):
    fake.fail(status)
    assert build().synthesize(context()).sql
    assert outcomes(telemetry) == ["rejected" if status == 429 else "error", "success"]
    assert calls(telemetry)[0].reason == "model_unavailable"


def test_retries_end(build, fake, telemetry):
    fake.fail(500, times=9)
    with pytest.raises(ModelUnavailable):
        build(model_retries=2).synthesize(context())
    assert outcomes(telemetry) == ["error"] * 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_no_retry(build, fake, telemetry, status):
    fake.fail(status)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context())
    assert outcomes(telemetry) == ["rejected"]
    assert calls(telemetry)[0].details.status == status


@pytest.mark.parametrize(
    ("retry_after", "seconds", "tries"),
    [
        (1, 0.9, 1),
        (0, 60, 2),
        (2, 60, 1),
        (60, 600, 1),
        ("date", 600, 1),
        ("nonsense", 60, 2),
        (-3, 60, 2),
        ("9" * 400, 60, 1),
    ],
)
def test_retry_after_is_respected_when_it_is_short(build, fake, retry_after, seconds, tries):
    value = email.utils.formatdate(time.time() + 60, usegmt=True) if retry_after == "date" else retry_after
    fake.fail(429, times=2, retry_after=value)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context(seconds=seconds))
    assert len(fake.chats) == tries


def test_dropped_connection(build, fake, telemetry):
    fake.drop()
    build().synthesize(context())
    assert outcomes(telemetry) == ["error", "success"]


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_timeout(build, fake, telemetry, fault):
    getattr(fake, fault)()
    with pytest.raises(ModelUnavailable):
        build(model_timeout=0.2, model_retries=0).synthesize(context())
    (call,) = calls(telemetry)
    assert call.labels["outcome"] == "timeout"


def test_deadline_wins_over_timeout(build, fake, telemetry):
    fake.hang()
    with pytest.raises(ModelUnavailable):
        build(model_timeout=300, model_retries=5).synthesize(context(seconds=0.4))
    assert outcomes(telemetry) == ["timeout"]


def test_no_time_left(build, fake):
    with pytest.raises(ModelUnavailable):
        build().synthesize(context(seconds=0))
    assert not fake.chats


def test_nobody_listens(telemetry):
    with FakeOpenAI() as gone:
        url = gone.base_url
    synthesizer = LLMSynthesizer(settings(openai_base_url=url, model_retries=0), telemetry)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    with pytest.raises(ModelUnavailable):
        synthesizer.ping(1.0)
    synthesizer.close()
    (call,) = calls(telemetry)
    assert (call.labels["outcome"], call.details.sent_bytes) == ("error", 0)


# --- optional parameters --------------------------------------------------------------------


def test_response_format_is_given_up_once(build, fake, telemetry):
    fake.reject("response_format", "'response_format' is not supported by this endpoint")
    fake.reply(text='```json\n{"sql": "SELECT 1"}\n```')
    synthesizer = build()
    assert synthesizer.synthesize(context()).sql == "SELECT 1"
    synthesizer.synthesize(context())
    assert ["response_format" in chat.json for chat in fake.chats] == [True, False, False]
    assert outcomes(telemetry) == ["rejected", "success", "success"]


def test_reasoning_model_parameters(build, fake):
    fake.reject("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead.")
    fake.reject("temperature", "Unsupported value: 'temperature' does not support 0 with this model.")
    build().synthesize(context())
    body = fake.chats[-1].json
    assert body["max_completion_tokens"] == 800
    assert not {"max_tokens", "temperature"} & set(body)


class InStep(Endpoint):
    """An endpoint whose first two errors come at the same moment, as of two requests that were both under way."""

    barrier = threading.Barrier(2)
    errors = 0

    def complete(self, messages, **more):
        try:
            return super().complete(messages, **more)
        except EndpointError:
            if self.errors < 2:
                self.errors += 1
                self.barrier.wait(30)
            raise


def test_requests_under_way_are_each_sent_again_without_what_is_refused(fake, telemetry, monkeypatch):
    fake.reject("temperature", "Unsupported value: 'temperature' does not support 0 with this model.")
    monkeypatch.setattr(llm, "Endpoint", InStep)
    synthesizer = LLMSynthesizer(settings(fake, model_retries=0), telemetry)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: synthesizer.synthesize(context()), range(2)))
    synthesizer.close()
    assert [statement.source for statement in made] == ["llm", "llm"]
    assert ["temperature" in chat.json for chat in fake.chats] == [True, True, False, False]


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_a_date_to_retry_after_is_read_as_utc(zone):
    moment = email.utils.formatdate(time.time() + 60).replace("-0000", zone)
    assert 50 < _parse_retry_after(moment) <= 60


# --- circuit breaker ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 429, 401, 404])
def test_breaker_opens_and_recovers(build, fake, status):
    synthesizer = build(breaker_failures=2, breaker_reset=REST, model_retries=0)
    fake.fail(status, times=2)
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            synthesizer.synthesize(context())
    assert len(fake.chats) == 2
    with pytest.raises(ModelUnavailable):
        synthesizer.ping(1.0)
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    assert synthesizer.synthesize(context()).sql
    assert synthesizer.synthesize(context()).sql


def test_breaker_stays_open_after_a_failed_trial(build, fake):
    synthesizer = build(breaker_failures=1, breaker_reset=REST, model_retries=0)
    fake.fail(500, times=2)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            synthesizer.synthesize(context())
    assert len(fake.chats) == 2


def test_one_trial_at_a_time(build, fake):
    synthesizer = build(breaker_failures=1, breaker_reset=REST, model_retries=0)
    fake.fail(500)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    fake.hang()
    trial = threading.Thread(target=fails, args=(synthesizer, context(seconds=1)))
    trial.start()
    until(lambda: len(fake.chats) == 2)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    trial.join(HANG)
    assert len(fake.chats) == 2


@pytest.mark.parametrize("answer", [{"text": "prose"}, {"sql": None}])
def test_breaker_ignores_answers(build, fake, answer):
    synthesizer = build(breaker_failures=1)
    for _ in range(3):
        fake.reply(**answer)
        with pytest.raises((Declined, ModelInvalid)):
            synthesizer.synthesize(context())
    assert synthesizer.synthesize(context()).sql


def test_breaker_does_not_serialize(telemetry):
    gate = threading.Barrier(3, timeout=HANG)
    with FakeOpenAI(lambda _: gate.wait() is not None and "SELECT 1") as fake:
        synthesizer = LLMSynthesizer(settings(fake), telemetry)
        threads = [threading.Thread(target=synthesizer.synthesize, args=(context(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.wait()  # broken unless both requests are at the endpoint at once
        for thread in threads:
            thread.join()
        synthesizer.close()
        assert len(fake.chats) == 2


def test_ping_costs_nothing(build, fake):
    build().ping(1.0)
    assert [request.method for request in fake.requests] == ["GET"]


def fails(synthesizer: LLMSynthesizer, asked: Context) -> None:
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(asked)


def end_rest(synthesizer: LLMSynthesizer) -> None:
    """Makes the breaker's rest lie in the past."""
    synthesizer._circuit.opened_at -= timedelta(seconds=REST)


# --- telemetry ------------------------------------------------------------------------------


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


# --- configuration --------------------------------------------------------------------------


def test_endpoint_without_key(fake, telemetry, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    synthesizer = LLMSynthesizer(load(openai_base_url=fake.base_url), telemetry)
    assert synthesizer.synthesize(context()).sql
    synthesizer.close()


def test_openai_is_imported_only_when_needed():
    code = "import sys, sql_synthesizer.wiring; sys.exit('openai' in sys.modules or 'httpx2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG)


def test_repair(build, fake):
    error = StatementInvalid(details={"class": "undefined_column", "identifier": "nme"})
    fake.reply("SELECT name FROM customers")
    statement = build().repair(context(), Statement("SELECT nme FROM customers", "llm"), error)
    assert statement.sql == "SELECT name FROM customers"
    messages = fake.chats[0].json["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert json.loads(messages[2]["content"]) == {"sql": "SELECT nme FROM customers"}
    assert "undefined_column" in messages[3]["content"]
    assert '"nme"' in messages[3]["content"]
