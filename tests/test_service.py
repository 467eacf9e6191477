"""The pipeline against real faults: models, databases, pools and caches that fail or hang."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from sql_synthesizer.demo import load_demo
from sql_synthesizer.settings import Settings, load
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.app import App, running
from tests.support.serving import HANG, until

QUESTION = "how many customers are there"
COUNT = "SELECT count(*) AS n FROM customers"


@pytest.fixture
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def model_settings(app_settings: dict[str, Any], model: FakeOpenAI) -> dict[str, Any]:
    return {
        **app_settings,
        "openai_base_url": model.base_url,
        "openai_api_key": "sk-test",
        "model_retries": 0,
        "model_timeout": HANG,
        "deadline": 2 * HANG,
    }


@pytest.fixture
def with_model(model_settings: dict[str, Any]) -> Iterator[App]:
    with running(load(**model_settings)) as app:
        yield app


def test_the_model_answers(with_model: App, model: FakeOpenAI) -> None:
    model.reply(sql=COUNT, explanation="Counts the customers.")
    body = with_model.ask(QUESTION).get_json()
    assert (body["source"], body["explanation"]) == ("llm", "Counts the customers.")
    assert with_model.counted("llm_requests_total", outcome="success") == 1
    assert with_model.counted("llm_sent_bytes_total") > 0
    sent = model.chats[0].body.decode()
    assert "email" not in sent
    assert "phone" not in sent


def test_a_dead_model_falls_back_to_the_rules(with_model: App, model: FakeOpenAI) -> None:
    model.fail(500, times=5)
    body = with_model.ask(QUESTION).get_json()
    assert body["source"] == "rules"
    assert with_model.counted("fallbacks_total", reason="model_unavailable") == 1


MODEL_FAULTS = [
    ("dead", lambda m: m.fail(500, times=5), 503, "model_unavailable", None),
    ("hanging", lambda m: m.hang(), 503, "model_unavailable", None),
    ("prose", lambda m: m.reply(text="I would rather talk about the weather."), 502, "model_invalid", None),
    ("a write", lambda m: reply_twice(m, "DELETE FROM orders"), 502, "model_invalid", "statement_rejected"),
    ("two", lambda m: reply_twice(m, "SELECT 1; DROP TABLE orders"), 502, "model_invalid", "statement_rejected"),
    ("no SQL", lambda m: reply_twice(m, "SELEC count(*) FROM orders"), 502, "model_invalid", "statement_rejected"),
    ("declining", lambda m: m.reply(reason="Feelings are not stored."), 422, "declined", None),
]


def reply_twice(model: FakeOpenAI, sql: str) -> None:
    """The model repeats its statement when it is asked to mend it."""
    model.reply(sql=sql)
    model.reply(sql=sql)


@pytest.mark.parametrize(
    ("fault", "status", "reason", "event"), [r[1:] for r in MODEL_FAULTS], ids=[r[0] for r in MODEL_FAULTS]
)
def test_model_faults(
    model_settings: dict[str, Any], model: FakeOpenAI, fault: Any, status: int, reason: str, event: str | None
) -> None:
    fault(model)
    with running(load(**model_settings | {"model_timeout": 1.0})) as app:
        reply = app.ask("which customers feel lonely at night")
        assert (reply.status_code, reply.get_json()["reason"]) == (status, reason)
        failed = int(status >= 500)
        assert app.counted("queries_total", success="error") == failed
        assert app.counted("queries_total") == failed
        (record,) = app.records("query_execution")
        assert record["details"]["reason"] == reason
        if event:
            assert app.records(event)


def test_what_was_not_attempted_is_counted_by_its_outcome_alone(app: App) -> None:
    for question in ("what will the weather be tomorrow", "' OR 1=1 --"):
        assert app.ask(question).status_code == 422
    assert app.post("/api/sql", {"sql": "DELETE FROM orders"}).status_code == 422
    assert app.counted("queries_total") == app.counted("query_duration_seconds_count") == 0
    assert app.counted("question_outcomes_total", outcome="declined") == 1
    assert app.counted("question_outcomes_total", outcome="refused") == 2
    assert app.ask(QUESTION).status_code == 200
    assert app.counted("queries_total", success="success") == app.counted("query_duration_seconds_count") == 1


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT count(customer_identity) FROM customers", "customer_identity"),
        ("SELECT count(c.customer_identity) FROM customers c", "customer_identity"),
        ("SELECT count(*) FROM clients", "clients"),
    ],
)
def test_a_wrong_name_is_repaired_once(with_model: App, model: FakeOpenAI, sql: str, name: str) -> None:
    model.reply(sql=sql)
    model.reply(sql=COUNT)
    body = with_model.ask(QUESTION).get_json()
    assert body["row_count"] == 1
    assert len(model.chats) == 2
    assert name in model.chats[1].body.decode()


@pytest.mark.world
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nonsense FROM customers",
        "SELECT * FROM clients",
        "DELETE FROM customers",
        "SELEC 1",
        "SELECT 1; SELECT 2",
    ],
)
def test_statements_that_stay_unusable_fall_back_to_the_rules(with_model: App, model: FakeOpenAI, sql: str) -> None:
    reply_twice(model, sql)
    assert with_model.ask(QUESTION).get_json()["source"] == "rules"
    assert len(model.chats) == 2
    assert with_model.counted("fallbacks_total", reason="model_invalid") == 1
    assert with_model.counted("queries_total", success="success") == 1


@pytest.mark.world
@pytest.mark.parametrize(
    "sql", ["DELETE FROM customers", "SELEC 1", "SELECT 1; SELECT 2", "SELECT nonsense FROM customers"]
)
def test_a_refused_statement_is_repaired_once(with_model: App, model: FakeOpenAI, sql: str) -> None:
    model.reply(sql=sql)
    model.reply(sql=COUNT)
    assert with_model.ask(QUESTION).get_json()["source"] == "llm"
    assert "Kind of error" in model.chats[1].body.decode()
    assert with_model.counted("fallbacks_total", reason="model_invalid") == 0


def test_a_database_may_forbid_models(app_settings: dict[str, Any], model: FakeOpenAI) -> None:
    path = app_settings["databases_file"]
    document = json.loads(path.read_text())
    document["databases"]["shop"]["models"] = False
    path.write_text(json.dumps(document))
    with running(load(**app_settings, openai_base_url=model.base_url)) as app:
        assert app.ask(QUESTION).get_json()["source"] == "rules"
        assert not model.chats


@dataclass
class SlowModel:
    """Answers once it is told to; ``asked`` is set when a question has come."""

    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)

    def __call__(self, _question: str) -> str:
        self.asked.set()
        assert self.answer.wait(HANG)
        return COUNT


@pytest.fixture
def slow() -> SlowModel:
    return SlowModel()


@pytest.fixture
def with_slow_model(model_settings: dict[str, Any], slow: SlowModel) -> Iterator[App]:
    with (
        FakeOpenAI(slow) as model,
        running(load(**model_settings | {"openai_base_url": model.base_url, "threads": 7})) as app,
    ):
        yield app
        slow.answer.set()


def post(app: App) -> TestResponse:
    client = app.flask.test_client()
    return client.post("/api/query", json={"question": QUESTION}, environ_overrides={"HTTP_HOST": "127.0.0.1"})


def test_equal_questions_at_once_are_worked_on_once(with_slow_model: App, slow: SlowModel) -> None:
    locks = with_slow_model.rooms.cache._locks._locks
    with ThreadPoolExecutor(5) as pool:
        replies = [pool.submit(post, with_slow_model) for _ in range(5)]
        until(lambda: [users for _, users in locks.values()] == [5])
        slow.answer.set()
        sources = [reply.result().get_json()["source"] for reply in replies]
    assert sorted(sources) == ["cache"] * 4 + ["llm"]
    assert with_slow_model.counted("coalesced_questions_total") == 4


def settings_of(tmp_path: Path, url: str, **more: Any) -> Any:
    given = {"rate_limit": "", "allow_privileged_login": True, **more}
    return load(state_dir=tmp_path / "state", database_url=url, **given)


def test_unreachable_database(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://u:secret@127.0.0.1:{taken.getsockname()[1]}/d"
        with running(settings_of(tmp_path, url)) as app:
            reply = app.ask(QUESTION)
            assert (reply.status_code, reply.get_json()["reason"]) == (503, "database_unavailable")
            assert "secret" not in reply.text
            assert app.counted("queries_total", database_type="postgresql", success="error") == 1
            assert app.get("/health").status_code == 503
            assert app.get("/health/ready").status_code == 503
            assert app.get("/health/live").status_code == 200


@pytest.mark.server
def test_hanging_database(tmp_path: Path, own_postgres: Any) -> None:
    load_demo(own_postgres.url)
    with running(settings_of(tmp_path, own_postgres.url)) as app:
        assert app.ask(QUESTION).status_code == 200
        own_postgres.freeze()
        try:
            reply = app.ask("how many orders are there")
        finally:
            own_postgres.thaw()
        assert (reply.status_code, reply.get_json()["reason"]) in [
            (504, "statement_timeout"),
            (503, "database_unavailable"),
        ]
        assert app.counted("queries_total", success="error") == 1


def test_full_pool(app_settings: dict[str, Any]) -> None:
    with running(load(**app_settings, pool_size=1, pool_wait=0.1)) as app:
        app.get("/api/schema")
        app.rooms.schemas.values("shop").find("x")
        (pool,) = app.rooms.databases._pools.values()
        until(lambda: pool.slots._value == 1)  # the index of values is built
        with app.rooms.databases.connect("shop", HANG):
            reply = app.ask(QUESTION)
        assert (reply.status_code, reply.get_json()["reason"]) == (503, "pool_timeout")
        assert app.counted("connection_timeouts_total", database="shop") >= 1
        assert app.ask(QUESTION).status_code == 200


def test_overload_is_refused_at_once(model_settings: dict[str, Any], slow: SlowModel) -> None:
    with (
        FakeOpenAI(slow) as model,
        running(load(**model_settings | {"openai_base_url": model.base_url, "threads": 3, "question_queue": 0})) as app,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(post, app)
        assert slow.asked.wait(HANG)
        reply = app.ask("how many orders are there")
        slow.answer.set()
        assert (reply.status_code, reply.get_json()["reason"]) == (503, "overloaded")
        assert reply.headers["Retry-After"] == "1"
        assert first.result().status_code == 200


def test_others_wait_and_cached_answers_do_not(model_settings: dict[str, Any], slow: SlowModel) -> None:
    with (
        FakeOpenAI(slow) as model,
        running(load(**model_settings | {"openai_base_url": model.base_url, "threads": 3})) as app,
        ThreadPoolExecutor(2) as pool,
    ):
        slow.answer.set()
        assert post(app).status_code == 200
        slow.answer.clear()
        one, two = (pool.submit(app.ask, question) for question in ("how many orders are there", "count the products"))
        until(lambda: app.rooms.service.slots.waiting == 1)
        assert app.counted("questions_waiting") == 1
        assert post(app).get_json()["source"] == "cache"
        slow.answer.set()
        assert [reply.result().status_code for reply in (one, two)] == [200, 200]
        assert app.counted("stage_duration_seconds_count", stage="queue") == 3
        assert app.rooms.service.slots.running == app.rooms.service.slots.waiting == 0


def test_no_slot_is_held_while_the_record_is_written(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(app.rooms.audit, "settle", lambda _: held.append(app.rooms.service.slots.running))
    assert app.ask(QUESTION).status_code == 200
    assert held
    assert not any(held)


@pytest.mark.server
def test_dead_cache_never_fails_a_question(app_settings: dict[str, Any], own_redis: Any) -> None:
    with running(load(**app_settings, cache="redis", redis_url=own_redis.url)) as app:
        assert [app.ask(QUESTION).get_json()["source"] for _ in range(2)] == ["rules", "cache"]
        own_redis.stop()
        assert app.ask(QUESTION).get_json()["source"] == "rules"
        assert app.counted("cache_operations_total", cache_type="redis", hit_miss="error") >= 1
        app.rooms.health.check()
        assert app.get("/health").get_json()["status"] == "degraded"


@pytest.mark.server
@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_the_same_questions_on_other_engines(tmp_path: Path, server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server)
    load_demo(url)
    questions = ["how many customers are there", "how many orders per status", "top 5 products by price"]

    def answers(settings: Settings) -> list[list[str]]:
        with running(settings) as app:
            return [sorted(map(str, app.ask(question).get_json()["rows"])) for question in questions]

    embedded = answers(load(state_dir=tmp_path / "embedded", rate_limit=""))
    assert answers(settings_of(tmp_path, url)) == embedded
