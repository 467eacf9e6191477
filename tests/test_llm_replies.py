"""What the model is asked and what its replies become, against a real HTTP server that plays the model."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_synthesizer.errors import Declined, ModelInvalid, StatementInvalid
from sql_synthesizer.model import Statement
from sql_synthesizer.synthesizer import llm
from sql_synthesizer.synthesizer.endpoint import Endpoint
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from sql_synthesizer.synthesizer.reply import EndpointError, ModelReply, read_answer
from tests.support.endpoint import KEY, calls, outcomes, settings
from tests.support.endpoint import build as build
from tests.support.endpoint import fake as fake
from tests.support.endpoint import telemetry as telemetry
from tests.support.llm import context

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


ONE = '{"sql": "SELECT 1", "explanation": "One."}'
READ = {
    "an object": ONE,
    "a fenced object": f"```json\n{ONE}\n```",
    "a fence without a language": f"```\n{ONE}\n```\n",
    "a thought before": f'<think>{{"sql": "SELECT 2"}}? no</think>\n{ONE}',
    "a thought whose begin is missing": f"SELECT 2? no</think>{ONE}",
    "a thought that holds another": f"<thinking><think>SELECT 2</think></thinking>{ONE}",
    "prose before": f"Sure, here it is: {ONE}",
    "prose after": f"{ONE}\n\nThis counts {{nothing}} else.",
    "prose around a fence": f"Sure:\n```json\n{ONE}\n```\nAnything else?",
    "the same twice": f"{ONE}\n{ONE}",
    "an object in another": f'{{"answer": {ONE}}}',
    "another key": '{"query": "SELECT 1"}',
    "raw line ends in a text": '{"sql": "SELECT 1\n", "explanation": "One\nrow."}',
    "a fence in an object": '{"sql": "```sql\\nSELECT 1\\n```"}',
    "a fenced query": "```sql\nSELECT 1\n```",
    "a fenced query in a line": "```SELECT 1```",
    "a fenced query and prose": "This is it:\n```sql\nSELECT 1\n```\nIt returns one.",
    "a query alone": "SELECT 1",
    "more than asked for": '{"sql": "SELECT 1", "extra": {"sql": "SELECT 2"}}',
}


@pytest.mark.world
@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_replies_are_read_liberally(build, fake, text):
    fake.reply(text=text)
    assert build().synthesize(context()).sql == "SELECT 1"


@pytest.mark.world
def test_a_reply_in_parts_is_read_as_a_whole(build, fake):
    parts = [{"type": "text", "text": ONE[:12]}, {"type": "text", "text": ONE[12:]}]
    fake.send(json.dumps({"choices": [{"message": {"content": parts}}]}).encode())
    assert build().synthesize(context()).sql == "SELECT 1"


UNUSABLE = {
    "nothing": "",
    "prose": "Here is your query: SELECT 1",
    "a list": "[]",
    "a text": '"SELECT 1"',
    "a number for SQL": '{"sql": 1}',
    "no SQL": '{"explanation": "no sql"}',
    "empty SQL": '{"sql": "   "}',
    "a cut object": '{"sql": "SELECT 1"',
    "a cut thought": '<think>Perhaps {"sql": "SELECT 1"}',
    "an open fence": "Sure:\n```sql\nSELECT 1",
    "two that differ": '{"sql": "SELECT 1"} or {"sql": "SELECT 2"}',
    "an answer and none": '{"sql": "SELECT 1"} or {"sql": null}',
    "two queries": "```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```",
    "too long": '{"sql": "' + "x" * 20_001 + '"}',
    "too deep": '{"sql":' * 100_000,
    "many braces": "{" * 100_000,
}


@pytest.mark.world
@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_replies(build, fake, telemetry, text):
    fake.reply(text=text)
    with pytest.raises(ModelInvalid) as caught:
        build().synthesize(context())
    assert outcomes(telemetry) == ["invalid"]
    assert calls(telemetry)[0].reason == "model_invalid"
    assert not text or text not in str(caught.value.body("t"))


@pytest.mark.world
def test_a_query_alone_that_was_cut_off_is_unusable(build, fake):
    fake.reply(text="SELECT name FROM customers WHERE city = 'Paris'", finish_reason="length")
    with pytest.raises(ModelInvalid):
        build().synthesize(context())


@given(reply=st.text() | st.lists(st.sampled_from([*'{}"`:[]\\', *READ.values(), "<think>", "</think>"])).map("".join))
def test_no_reply_is_an_error_of_ours(reply):
    with suppress(ModelInvalid):
        answer = read_answer(ModelReply(reply, False, "stop", "", "", None, None, 0), 100)
        assert answer.sql is None or 0 < len(answer.sql) <= 100


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
    ("reply", "told"),
    [
        ({"sql": None, "reason": "no such\ndata"}, "The language model cannot answer this: no such data"),
        ({"sql": "", "reason": "no such data"}, "The language model cannot answer this: no such data"),
        ({"text": '{"sql": null, "reason": null}'}, Declined.default_message),
        ({"refusal": "I will not."}, Declined.default_message),
        ({"finish_reason": "content_filter"}, Declined.default_message),
    ],
)
def test_the_reason_of_a_model_that_declines_is_told(build, fake, telemetry, reply, told):
    fake.reply(**reply)
    with pytest.raises(Declined) as caught:
        build().synthesize(context())
    assert outcomes(telemetry) == ["success"]
    assert caught.value.message == told


def test_any_sql_is_passed_on(build, fake):
    fake.reply("DROP TABLE customers; --")
    assert build().synthesize(context()).sql == "DROP TABLE customers; --"


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
