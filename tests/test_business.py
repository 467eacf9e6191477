"""Figures of the business: what is counted, from which record, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import generate_latest

from sql_synthesizer.errors import DECLINED_TOPICS, AuditUnavailable, ConfigurationError
from sql_synthesizer.monitoring import business
from sql_synthesizer.monitoring.report import make_report
from sql_synthesizer.settings import load
from sql_synthesizer.settings.business import Price, parse_prices, price_of
from sql_synthesizer.synthesizer.topics import topic_of
from sql_synthesizer_proof.evidence.business import read_series
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.app import App, running

MODEL = "test-model"
ASKED = "How many customers are there?"


@pytest.fixture
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda _: "SELECT count(*) FROM customers") as fake:
        yield fake


@pytest.fixture
def priced(app_settings: dict[str, Any], model: FakeOpenAI) -> Iterator[App]:
    """An application with a model at 0.40 and 1.60 US dollars for a million tokens."""
    more = {"openai_base_url": model.base_url, "openai_api_key": "sk-test", "model": MODEL, "model_retries": 0}
    with running(load(**app_settings, **more, model_prices=f"other=1/1, {MODEL}=0.40/1.60")) as app:
        yield app


def figures_of(app: App) -> dict[business.Series, int]:
    return dict(business.count_records(app.records()))


def assert_agrees(app: App) -> None:
    """Each figure of the record is what the metric of its name counts, to the last unit."""
    for metric in business.METRICS:
        scale = 1_000_000 if metric.unit else 1
        of_record = {labels: amount for (name, labels), amount in figures_of(app).items() if name == metric.name}
        if metric.kind == "counter":
            assert round(app.counted(metric.name) * scale) == sum(of_record.values()), metric.name
        for labels, amount in of_record.items():
            named = dict(zip(metric.label_names, labels, strict=True))
            assert round(app.counted(metric.name, **named) * scale) == amount, (metric.name, labels)


def test_a_question_is_on_record_with_what_it_cost_and_an_equal_one_with_what_it_saved(
    priced: App, model: FakeOpenAI
) -> None:
    model.reply("SELECT count(*) FROM customers", usage=(1000, 201))
    first, again = priced.ask(ASKED).get_json(), priced.ask(ASKED).get_json()
    assert (first["source"], again["source"]) == ("llm", "cache")
    asked, cached = (record["details"] for record in priced.records("query_execution"))
    used = {name: asked[name] for name in ("provider", "model", "input_tokens", "output_tokens", "cost_microusd")}
    assert used == {
        "provider": "openai",
        "model": MODEL,
        "input_tokens": 1000,
        "output_tokens": 201,
        "cost_microusd": 722,  # 400 and 321.6, rounded
    }
    assert cached["saved_microusd"] == 722
    assert cached["saved_ms"] > 0
    assert cached["tables"] == asked["tables"] == ["customers"]
    assert "cost_microusd" not in cached
    assert priced.counted("llm_cost_usd_total") == pytest.approx(0.000722, abs=1e-12)
    assert priced.counted("cache_saved_usd_total") == pytest.approx(0.000722, abs=1e-12)
    assert priced.counted("table_questions_total", table="shop.customers") == 2
    assert_agrees(priced)


def test_a_call_without_a_price_is_counted_and_never_zero(app_settings: dict[str, Any], model: FakeOpenAI) -> None:
    prices = {"model": "unlisted", "model_prices": f"{MODEL}=1/1"}
    with running(load(**app_settings, openai_base_url=model.base_url, openai_api_key="sk-test", **prices)) as app:
        app.ask(ASKED)
        app.ask(ASKED)
        details = app.records("query_execution")[0]["details"]
        assert details["unpriced"] == 1
        assert "cost_microusd" not in details
        assert app.counted("llm_unpriced_requests_total") == 1
        assert app.counted("llm_cost_usd_total") == 0
        assert app.counted("cache_saved_unpriced_requests_total") == 1
        assert_agrees(app)


def test_figures_of_the_record_are_those_of_the_metrics(app: App) -> None:
    for question in (ASKED, ASKED, "what will sales be next year", "why is the sky blue", "'; DROP TABLE x --"):
        app.ask(question)
    app.post("/api/sql", {"sql": "SELECT id, name FROM products LIMIT 7"})
    app.post("/api/sql", {"sql": "SELECT nonsense FROM products"})
    found = figures_of(app)
    assert found["business_questions_total", ("cache", "answered")] == 1
    assert found["business_questions_total", ("analyst", "answered")] == 1
    assert found["delivered_rows_total", ("analyst",)] == 7
    assert found["declined_questions_total", ("future",)] == found["declined_questions_total", ("cause",)] == 1
    assert found["table_questions_total", ("shop.products",)] == 1
    assert found["cache_saved_seconds_total", ()] > 0
    assert sum(amount for (name, _), amount in found.items() if name == "business_questions_total") == 7
    assert_agrees(app)
    assert read_series(generate_latest(app.rooms.metrics.read_fresh()).decode()) == found


def test_a_table_is_counted_without_case_as_it_was_declared() -> None:
    details = {"outcome": "answered", "database": "shop", "tables": ["SalesOrders", "salesorders"]}
    assert list(business.table_questions(details)) == [(("shop.salesorders",), 1)]


def test_tables_beyond_the_bound_are_other(app: App) -> None:
    declared = app.rooms.telemetry.declared
    declared._values[business.vocabulary.TABLE] = {"shop.orders": None}
    app.ask(ASKED)
    assert app.counted("table_questions_total", table="other") == 1
    assert app.counted("label_values_refused_total") == 0


def test_questions_that_the_service_asks_itself_are_no_business(app: App) -> None:
    with app.rooms.telemetry.operation(business.vocabulary.QUESTION, source="rules") as operation:
        operation.trace.actor = business.CANARY
    app.rooms.telemetry.emit(business.vocabulary.SECURITY_EVENTS["query_execution"], outcome="answered")
    app.rooms.telemetry.settle()
    assert app.counted("business_questions_total") == 0
    assert figures_of(app) == {}


def test_callers_of_the_last_day_are_counted_and_not_named(app: App) -> None:
    before = app.rooms.store.count_callers(0)
    app.ask(ASKED)
    app.get("/api/history")  # waits until it is kept
    assert (before, app.rooms.store.count_callers(0), app.rooms.store.count_callers(2**40)) == (0, 1, 0)
    (_, source) = next((t, s) for t, s in app.rooms.telemetry._readings.items() if t.name == "active_callers")
    assert [labels for labels, _ in source()] == [{"window": "day"}, {"window": "week"}]


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("Will sales grow?", "future"),
        ("Why did they leave", "cause"),
        ("What should I do", "advice"),
        ("Delete all orders", "change"),
        ("Revenue versus costs", "trend"),
        ("how green is it", "words"),
    ],
)
def test_topics(question: str, topic: str) -> None:
    assert topic in DECLINED_TOPICS
    assert topic_of(question) == topic


def test_prices() -> None:
    assert parse_prices(" a=0.1/2.000001 ,b/c:d=3/4,") == {
        "a": Price(100_000, 2_000_001),
        "b/c:d": Price(3_000_000, 4_000_000),
    }
    assert price_of("a", "a=1/1", (0.1, 0.2)) == Price(100_000, 200_000)
    assert price_of("a", "a=1/1", (0.1, None)) == Price(1_000_000, 1_000_000)
    assert price_of("a", "", (None, None)) is None
    # of sums of binary fractions, these would be off by one
    assert Price(100_000, 200_000).cost_microusd(15, 0) == 2
    assert Price(400_000, 0).cost_microusd(10**12, 0) == 400_000_000_000


@pytest.mark.parametrize(
    "table", ["a", "a=1/2,a=3/4", "a=1", "a=1/x", "a=-1/1", "a=1/1/1", "a b=1/1", "a=1/1;b=1/1", "a=1e3/1"]
)
def test_a_price_table_that_cannot_be_read_is_refused(table: str) -> None:
    with pytest.raises(ConfigurationError, match="SQL_SYNTHESIZER_MODEL_PRICES"):
        load(model_prices=table)


def test_an_answer_is_rated_by_its_trace_and_the_rating_is_on_record(app: App) -> None:
    answer = app.ask(ASKED).get_json()
    trace = {"trace_id": answer["trace_id"]}
    assert app.post("/api/feedback", {**trace, "rating": "down"}).status_code == 201
    assert app.post("/api/feedback", {"question_id": answer["question_id"], "rating": "up"}).status_code == 201
    first, second = app.records("answer_rated")
    assert (first["question_id"], second["question_id"]) == (answer["question_id"],) * 2
    about = {"rated_trace_id": answer["trace_id"], "source": "rules"}
    assert (first["details"], second["details"]) == (
        {"rating": "down", **about},
        {"rating": "up", "former": "down", **about},
    )
    assert figures_of(app)["feedback_total", ("up",)] == app.counted("feedback_total", rating="up") == 1
    for body in ({}, {**trace, "question_id": answer["question_id"]}, {"trace_id": "x"}):
        assert app.post("/api/feedback", {**body, "rating": "up"}).status_code == 400
    assert app.post("/api/feedback", {"trace_id": "f" * 32, "rating": "up"}).status_code == 404


def test_a_rating_counts_once_and_a_changed_one_moves(app: App) -> None:
    answer = {"question_id": app.ask(ASKED).get_json()["question_id"]}
    for rating in ("down", "down", "up", "up"):
        assert app.post("/api/feedback", {**answer, "rating": rating}).status_code == 201
    assert len(app.records("answer_rated")) == 2
    found = figures_of(app)
    for name, of_up, of_down in (("feedback_total", 1, 1), ("feedback_withdrawn_total", 0, 1)):
        assert (found.get((name, ("up",)), 0), found[name, ("down",)]) == (of_up, of_down)
        assert (app.counted(name, rating="up"), app.counted(name, rating="down")) == (of_up, of_down)
    assert make_report("2030-01", app.records()).to_json({})["ratings"] == {"up": 1}


def test_what_is_no_answer_is_not_rated(app: App) -> None:
    app.ask("why is the sky blue")
    (asked,) = app.get("/api/history").get_json()["items"]
    refused = app.post("/api/feedback", {"question_id": asked["question_id"], "rating": "up"})
    assert (refused.status_code, app.records("answer_rated")) == (400, [])
    assert "no answer" in refused.get_json()["message"]


def test_a_rating_that_cannot_be_recorded_is_not_kept(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"question_id": app.ask(ASKED).get_json()["question_id"], "rating": "up"}
    emit = app.rooms.telemetry.emit

    def fail(event: Any, *args: Any, **details: Any) -> Any:
        if event.name == "answer_rated":
            raise AuditUnavailable
        return emit(event, *args, **details)

    monkeypatch.setattr(app.rooms.telemetry, "emit", fail)
    assert app.post("/api/feedback", answer).status_code == 503
    monkeypatch.undo()
    assert app.post("/api/feedback", answer).status_code == 201
    assert "former" not in app.records("answer_rated")[0]["details"]


def test_a_trace_of_two_questions_names_none(app: App) -> None:
    trace_id = "a" * 32
    for _ in range(2):
        app.post("/api/query", {"question": ASKED}, headers={"traceparent": f"00-{trace_id}-{'b' * 16}-01"})
    refused = app.post("/api/feedback", {"trace_id": trace_id, "rating": "up"})
    assert refused.status_code == 404
    assert "several" in refused.get_json()["message"]
    assert "question_id" in refused.get_json()["hint"]


@pytest.mark.parametrize(("teams", "why"), [("lab=5usd,lab=1questions", "twice"), ("Sales", "lower-case")])
def test_teams_that_are_refused_are_told_why(teams: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load(teams=teams)
