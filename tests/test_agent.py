"""The service inside another process: what is counted, recorded and traced is what it would be over HTTP."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from sql_synthesizer import AsyncQueryAgent, QueryAgent, errors
from sql_synthesizer.agent import AskOptions
from sql_synthesizer.errors import ConfigurationError, InvalidRequest, SqlSynthesizerError
from sql_synthesizer.model import Answer, Role
from sql_synthesizer.monitoring.metrics import get_metrics, track_query_metrics
from sql_synthesizer.settings import child_environment, load
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.app import App
from tests.support.serving import HANG, ROOT, ends, until

QUESTION = "how many customers are there"
COUNT = "SELECT count(*) FROM customers"
ENDLESS = "SELECT count(*) FROM orders a" + "".join(f" JOIN orders {n} ON {n}.id <> a.id" for n in "bcd")
PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Gate:
    """A model whose replies are held back until they are let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.sql: Callable[[str], str] = lambda _: COUNT

    def answer(self, question: str) -> str:
        assert self.open.wait(HANG)
        return self.sql(question)


@pytest.fixture
def agents(app_settings: dict[str, Any]) -> Iterator[Callable[..., tuple[QueryAgent, App]]]:
    with ExitStack() as stack:

        def make(identity: str = "reports", settings: dict[str, Any] | None = None, **more: Any) -> Any:
            made = stack.enter_context(QueryAgent(identity, load(**app_settings | (settings or {})), **more))
            return made, App(made.rooms)

        yield make


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def with_model(app_settings: dict[str, Any], gate: Gate) -> Iterator[dict[str, Any]]:
    with FakeOpenAI(gate.answer) as model:
        waits = {"model_timeout": HANG, "deadline": 2 * HANG, "statement_timeout": HANG, "cache": "off", "threads": 4}
        yield {**app_settings, "openai_base_url": model.base_url, "openai_api_key": "sk-test", **waits}
        gate.open.set()


# --- one question ----------------------------------------------------------------------------


def test_a_question_leaves_what_it_leaves_over_http(agents: Any) -> None:
    agent, seen = agents()
    answer = agent.ask(QUESTION, max_rows=5)
    (record,) = seen.records("query_execution")  # durable by now
    assert (record["actor"], record["role"], record["trace_id"]) == ("agent:reports", "viewer", answer.trace_id)
    assert record["details"]["outcome"] == "answered"
    assert seen.counted("queries_total", success="success") == seen.counted("question_outcomes_total") == 1
    assert b"sql_synthesizer_queries_total" in agent.render_metrics()[0]
    assert agent.render_metrics("application/openmetrics-text; version=1.0.0")[0].endswith(b"# EOF\n")
    assert agent.rooms.health.liveness_reply()[1] == 200


REFUSED: list[tuple[str, AskOptions, type[SqlSynthesizerError], str | None]] = [
    ("why is the sky blue", {}, errors.Declined, None),
    ("' OR 1=1 -- ", {}, errors.QuestionRefused, "sql_injection_attempt"),
    (QUESTION, {"database": "nowhere"}, errors.UnknownDatabase, "invalid_request"),
    (QUESTION, {"user": "a b"}, errors.InvalidRequest, "invalid_request"),
    (QUESTION, {"user": "x" * 65}, errors.InvalidRequest, "invalid_request"),
    ("", {}, errors.QuestionEmpty, "invalid_request"),
    ("x" * 20_000, {}, errors.QuestionTooLong, "request_too_large"),
]


def test_refusals_are_recorded(agents: Any) -> None:
    agent, seen = agents()
    for question, options, error, event in REFUSED:
        with pytest.raises(error) as caught:
            agent.ask(question, **options)
        recorded = {r["event_type"]: r for r in seen.records() if r["trace_id"] == caught.value.trace_id}
        assert {record["actor"] for record in recorded.values()} == {"agent:reports"}
        assert event is None or event in recorded


def test_what_nobody_foresaw_is_recorded_once(agents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, seen = agents()
    monkeypatch.setattr(agent.rooms.service, "schemas", None)
    with pytest.raises(errors.UnexpectedError):
        agent.ask(QUESTION)
    assert seen.ask(QUESTION).status_code == 500
    assert len(seen.records("unexpected_error")) == 2


def test_an_answer_without_its_record_is_withheld(agents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, seen = agents()

    def fail(_ticket: int) -> None:
        raise errors.AuditUnavailable

    monkeypatch.setattr(agent.rooms.audit, "settle", fail)
    with pytest.raises(errors.AuditUnavailable) as caught:
        agent.ask(QUESTION)
    assert caught.value.trace_id
    assert seen.counted("queries_total", success="error") == 1


@pytest.mark.parametrize("identity", ["", "a b", "-x", "x" * 65, "a/b", "a\nb"])
def test_an_identity_is_a_name(app_settings: dict[str, Any], identity: str) -> None:
    with pytest.raises(ConfigurationError):
        QueryAgent(identity, load(**app_settings))


def test_a_rate_limit_is_one(app_settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="rate limit"):
        QueryAgent("reports", load(**app_settings), rate_limit="often")


def test_each_user_has_a_limit_and_stands_in_the_record(agents: Any) -> None:
    agent, seen = agents(rate_limit="1/hour", role=Role.ANALYST)
    for user in ("", "alice@example.org", "bob"):
        agent.ask(QUESTION, user=user)
        with pytest.raises(errors.RateLimited):
            agent.ask(QUESTION, user=user)
    asked = {(record["actor"], record["role"]) for record in seen.records("query_execution")}
    assert asked == {(f"agent:reports{user}", "analyst") for user in ("", "/alice@example.org", "/bob")}
    assert len(seen.records("rate_limit_exceeded")) == 3


# --- traces ----------------------------------------------------------------------------------


def test_the_caller_s_trace_is_continued(agents: Any) -> None:
    agent, seen = agents()
    other = Telemetry()
    tracer = TracerProvider().get_tracer("host")
    with other.operation(vocabulary.COMMAND) as above:
        assert agent.ask(QUESTION).trace_id == above.trace.trace_id
        with tracer.start_as_current_span("theirs") as span:
            theirs = f"{span.get_span_context().trace_id:032x}"
            assert agent.ask(QUESTION).trace_id == theirs
            assert agent.ask(QUESTION, traceparent=PARENT).trace_id == "a" * 32
            assert agent.ask(QUESTION, traceparent="nonsense").trace_id == theirs
            assert {r.trace_id for r in agent.ask_many([QUESTION] * 3)} == {theirs}
    assert trace.get_current_span() is trace.INVALID_SPAN
    alone = agent.ask(QUESTION).trace_id
    assert alone not in {above.trace.trace_id, theirs, "a" * 32}
    assert len(seen.records("query_execution")) == 8


def test_decorated_functions_beside_it(agents: Any) -> None:
    agent, seen = agents()

    @track_query_metrics("set", "sqlite")
    def ask_both() -> list[Any]:
        return agent.ask_many([QUESTION, QUESTION.upper()], user="alice")

    name = 'sql_synthesizer_queries_total{database_type="sqlite",query_type="set",success="success"}'
    before = name + " 1.0" in get_metrics()
    first, second = ask_both()
    assert first.trace_id == second.trace_id
    assert not before
    assert name + " 1.0" in get_metrics()
    assert seen.counted("queries_total") == 2
    assert {record["actor"] for record in seen.records()} == {"agent:reports/alice"}


# --- several ---------------------------------------------------------------------------------


def test_one_that_fails_does_not_lose_the_others(agents: Any) -> None:
    agent, seen = agents()
    asked = [QUESTION, "why is the sky blue", "how many orders are there", "' OR 1=1 -- ", QUESTION]
    results = agent.ask_many(asked)
    assert [type(result) for result in results] == [Answer, errors.Declined, Answer, errors.QuestionRefused, Answer]
    assert results[0].rows == results[4].rows != results[2].rows
    assert len(seen.records("query_execution")) == 5
    assert agent.ask_many([]) == []
    with pytest.raises(InvalidRequest, match="1,000"):
        agent.ask_many([QUESTION] * 1001)


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (None, 2), (9, 2)])
def test_no_more_run_at_once_than_is_said(with_model: Any, gate: Gate, at_once: int | None, most: int) -> None:
    with QueryAgent("reports", load(**with_model)) as agent:
        running = agent.rooms.service
        taken: list[int] = []
        questions = (taken.append(n) or f"number {n}" for n in range(5))
        stream = agent.stream(questions, at_once=at_once)
        first = threading.Thread(target=lambda: taken.append(next(stream)[0] + 100))
        first.start()
        until(lambda: running.slots.running == most)
        assert taken == list(range(most)), "no more are taken than run"
        gate.open.set()
        first.join(HANG)
        assert sorted(index for index, _ in stream) == sorted({*range(5)} - {taken[most] - 100})


def test_results_come_as_they_end(with_model: Any, gate: Gate) -> None:
    slow = threading.Event()
    gate.open.set()
    gate.sql = lambda question: COUNT if "first" not in question or slow.wait(HANG) else ""
    with QueryAgent("reports", load(**with_model)) as agent:
        stream = agent.stream(["the first", "the second", "the third"])
        assert [next(stream)[0], next(stream)[0]] == [1, 2]
        slow.set()
        assert [index for index, _ in stream] == [0]


def test_leaving_the_loop_cancels_what_runs(with_model: Any, gate: Gate) -> None:
    gate.open.set()
    gate.sql = lambda question: ENDLESS if "long" in question else COUNT
    with QueryAgent("reports", load(**with_model)) as agent:
        seen = App(agent.rooms)
        for _index, result in agent.stream(["a long one", "a short one"]):
            assert isinstance(result, Answer)
            break
        until(lambda: agent.rooms.service.slots.running == 0)
        until(lambda: len(seen.records("query_execution")) == 2)
        assert seen.counted("question_outcomes_total", outcome="cancelled") == 1
        assert seen.counted("queries_total", success="error") == 0


# --- coroutines ------------------------------------------------------------------------------


def test_coroutines(app_settings: dict[str, Any]) -> None:
    async def main() -> None:
        async with AsyncQueryAgent("reports", load(**app_settings), role=Role.ANALYST) as agent:
            with Telemetry().operation(vocabulary.COMMAND) as above:
                answers = await asyncio.gather(*(agent.ask(QUESTION) for _ in range(20)))
                assert {answer.trace_id for answer in answers} == {above.trace.trace_id}
            results = await agent.ask_many([QUESTION, "why is the sky blue"], at_once=1)
            assert [type(result) for result in results] == [Answer, errors.Declined]
            assert sorted([index async for index, _ in agent.stream([QUESTION] * 3)]) == [0, 1, 2]
            assert b"sql_synthesizer_queries_total" in (await agent.render_metrics())[0]
            asked = App(agent.rooms).records("query_execution")
            assert {record["role"] for record in asked} == {"analyst"}
            assert len(asked) == 25

    asyncio.run(main())


def test_an_agent_is_started_first(app_settings: dict[str, Any]) -> None:
    agent = AsyncQueryAgent("reports", load(**app_settings))
    with pytest.raises(ConfigurationError, match="started"):
        asyncio.run(agent.ask(QUESTION))
    asyncio.run(agent.close())


def test_who_waits_may_be_cancelled(with_model: Any, gate: Gate) -> None:
    """The statement ends, the slots come back, and those that had not begun never do."""
    gate.open.set()
    gate.sql = lambda question: ENDLESS if "long" in question else COUNT

    async def main() -> None:
        async with AsyncQueryAgent("reports", load(**with_model)) as agent:
            seen, rooms = App(agent.rooms), agent.rooms
            tasks = [asyncio.create_task(agent.ask(f"a long one, number {n}")) for n in range(5)]
            in_use = rooms.databases._pools["shop"].pool.checkedout
            await asyncio.to_thread(until, lambda: in_use() == 2)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in ended)
            assert isinstance(await agent.ask("a short one"), Answer)
            await asyncio.to_thread(until, lambda: rooms.service.slots.running == 0)
            outcomes = [record["details"]["outcome"] for record in seen.records("query_execution")]
            assert sorted(outcomes) == ["answered", "cancelled", "cancelled"]

    asyncio.run(main())


# --- the end ---------------------------------------------------------------------------------


def test_closing_lets_a_question_end(with_model: Any, gate: Gate) -> None:
    agent = QueryAgent("reports", load(**with_model))
    asked: list[Answer] = []
    asking = threading.Thread(target=lambda: asked.append(agent.ask(QUESTION)))
    asking.start()
    until(lambda: agent.rooms.service.slots.running == 1)
    closing = threading.Thread(target=agent.close, args=(HANG,))
    closing.start()
    with pytest.raises(ConfigurationError, match="closed"):
        until(lambda: agent.ask("refused") and None)
    gate.open.set()
    closing.join(HANG)
    asking.join(HANG)
    assert len(asked) == 1


def test_closing_cancels_what_does_not_end(with_model: Any, gate: Gate) -> None:
    gate.open.set()
    gate.sql = lambda _: ENDLESS
    agent = QueryAgent("reports", load(**with_model))
    ended: list[BaseException | None] = []

    def ask() -> None:
        results = agent.ask_many(["one", "two", "three", "four"])
        ended.extend(result if isinstance(result, SqlSynthesizerError) else None for result in results)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: agent.rooms.databases._pools["shop"].pool.checkedout() == 2)
    ends(lambda: agent.close(0.0))
    asking.join(HANG)
    assert [type(error) for error in ended[:2]] == [errors.Cancelled] * 2
    assert [type(error) for error in ended[2:]] == [ConfigurationError] * 2
    agent.close()


def test_too_many_at_once_are_turned_away(agents: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql_synthesizer.agent.CALLS", 0)
    agent, _ = agents()
    with pytest.raises(errors.Overloaded):
        agent.ask(QUESTION)


def test_a_fork_has_no_agent(agents: Any) -> None:
    agent, _ = agents()
    told = multiprocessing.get_context("fork").SimpleQueue()

    def ask() -> None:
        with suppress(ConfigurationError):
            agent.ask(QUESTION)
        told.put("refused")

    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join(HANG)
    assert not told.empty()
    assert isinstance(agent.ask(QUESTION), Answer)


# --- processes -------------------------------------------------------------------------------

SHARED = """
from sql_synthesizer import QueryAgent
from sql_synthesizer.monitoring.metrics import get_metrics
with QueryAgent("reports") as agent:
    agent.ask_many(["how many customers are there", "how many orders are there"])
    for text in (agent.render_metrics()[0].decode(), get_metrics()):
        print(sum(float(line.split()[-1]) for line in text.splitlines() if "r_queries_total{" in line))
"""


def test_processes_share_their_metrics(app_settings: dict[str, Any], tmp_path: Any) -> None:
    (tmp_path / "metrics").mkdir()
    environment = child_environment(app_settings, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"))
    command = [sys.executable, "-W", "error", "-c", SHARED]
    for sum in ("2.0", "4.0"):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.split() == [sum, sum], done.stderr


def test_the_package_loads_the_agents_when_they_are_named() -> None:
    code = "import sys, sql_synthesizer as s; a = 'sqlalchemy' in sys.modules; s.QueryAgent; print(a, s.__all__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False ['AsyncQueryAgent', 'QueryAgent', '__version__']"
