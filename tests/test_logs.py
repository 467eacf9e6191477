"""Logs: one JSON line each, with ids, without secrets, whatever standard output does."""

from __future__ import annotations

import json
import logging
import os
import threading
import warnings
from contextlib import suppress

import pytest
import structlog

from sql_synthesizer import telemetry
from sql_synthesizer.errors import PoolTimeout, QuestionRefused
from sql_synthesizer.monitoring import logs
from sql_synthesizer.monitoring.logs import LineWriter, LogObserver, encode_line, mask_text, mask_value
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver


class Pipe:
    """The reading end of what a writer writes."""

    def __init__(self):
        self.reader, self.descriptor = os.pipe()
        self.writer = LineWriter(self.descriptor)

    def text(self):
        assert self.writer.flush(10)
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1_000_000).decode()
        except BlockingIOError:
            return ""

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.reader, pipe.descriptor):
        with suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def configured(pipe):
    """Ordinary records go to the pipe."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure_logging(Settings(log_level="info"), pipe.writer)
    yield pipe
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def observed(pipe, **settings):
    facade = Telemetry()
    facade.observers.append(LogObserver(Settings(**settings), facade, pipe.writer))
    return facade


def request(facade, error=None):
    with facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="/api/query", status="2xx") as http:
        http.trace.question_id, http.trace.actor, http.trace.address = "q1", "key1", "10.0.0.9"
        http.details.status = 200
        with facade.operation(
            vocabulary.QUESTION, query_type="select", database_type="sqlite", source="rules"
        ) as question:
            details = question.details
            details.question, details.sql, details.database = "how many\n{}", "SELECT 1", "shop"
            details.row_count, details.timings_ms = 4, {"execute": 1.5}
            if error is not None:
                raise error
    return http


# --- what the facade reports ----------------------------------------------------------------------


def test_a_request_leaves_its_lines(pipe):
    facade = observed(pipe)
    http = request(facade)
    facade.fold()
    question, executed, answered = pipe.lines()
    assert [line["event"] for line in (question, executed, answered)] == ["question", "query_execution", "http_request"]
    for line in (question, executed, answered):
        assert (line["trace_id"], line["question_id"], line["actor"]) == (http.trace.trace_id, "q1", "key1")
        assert line["time"].endswith("Z")
        assert line["level"] == "info"
    expected = {"method": "POST", "route": "/api/query", "status": 200, "reason": "ok"}
    assert expected.items() <= answered.items()
    expected = {"outcome": "answered", "source": "rules", "database": "shop", "row_count": 4}
    assert expected.items() <= question.items()
    assert question["timings_ms"] == {"execute": 1.5}
    assert question["ms"] >= 0


@pytest.mark.parametrize("log_text", [False, True])
def test_text_appears_only_where_it_is_switched_on(pipe, log_text):
    facade = observed(pipe, log_text=log_text)
    request(facade)
    facade.fold()
    text = pipe.text()
    assert ("SELECT 1" in text) is log_text
    assert ("how many" in text) is log_text
    assert text.count("\n") == 3


def test_failures_and_attacks_have_their_level(pipe):
    facade = observed(pipe, log_level="warning")
    request(facade)
    for error in (PoolTimeout(), QuestionRefused(event="sql_injection_attempt", details={"layer": "shape"})):
        with pytest.raises(type(error)):
            request(facade, error)
    facade.fold()
    lines = pipe.lines()
    assert [(line["event"], line["level"]) for line in lines] == [
        ("question", "error"),
        ("http_request", "error"),
        ("sql_injection_attempt", "error"),
    ]
    assert lines[0]["reason"] == "pool_timeout"
    assert lines[2]["details"] == {"reason": "question_refused", "layer": "shape"}
    assert lines[2]["address"] == "10.0.0.9"


def test_only_named_details_of_an_event_are_shown(pipe):
    facade = observed(pipe)
    facade.emit(vocabulary.EVENTS["access_denied"], count=7, needed="operator", body="private", sql="SELECT 2")
    facade.fold()
    (line,) = pipe.lines()
    assert line["details"] == {"needed": "operator"}
    assert (line["count"], line["severity"]) == (7, "medium")


def test_a_failed_verification_says_what_is_wrong(pipe):
    facade = observed(pipe)
    details = {"faults": 2, "kind": "changed", "file": "w-1.jsonl", "sequence": 7}
    facade.emit(vocabulary.EVENTS["audit_verification_failed"], writer="w", **details)
    facade.fold()
    (line,) = pipe.lines()
    assert line["details"] == details


# --- standard output ------------------------------------------------------------------------------


def test_a_blocked_output_costs_lines_which_are_counted(pipe):
    facade = Telemetry(capacity=100_000)
    writer = LineWriter(pipe.descriptor, capacity=200_000)
    memory = MemoryObserver()
    facade.observers += [LogObserver(Settings(), facade, writer), memory]
    for _ in range(3000):
        facade.emit(vocabulary.EVENTS["access_denied"])
    facade.fold()
    facade.fold()
    dropped = sum(event.count for event in memory.events("telemetry_dropped"))
    assert {event.details["signal"] for event in memory.events("telemetry_dropped")} == {"logs"}
    assert 0 < dropped < 3000
    assert not writer.flush(0.01)
    received = bytearray()
    while received.count(b"\n") < 3000 - dropped:
        received += os.read(pipe.reader, 65_536)
    assert writer.flush(10)
    assert all(json.loads(line) for line in received.splitlines())


def test_a_closed_output_is_survived_and_counted(pipe):
    os.close(pipe.reader)
    pipe.writer.write(b"one\n")
    pipe.writer.write(b"two\n")
    assert pipe.writer.flush(10)
    assert pipe.writer.take_dropped() == 2
    assert pipe.writer.take_dropped() == 0


def test_an_output_that_does_not_block_is_waited_for(pipe):
    os.set_blocking(pipe.descriptor, False)
    pipe.writer.write(b"x" * 300_000 + b"\n")
    received = 0
    while received < 300_001:
        received += len(os.read(pipe.reader, 65_536))
    assert pipe.writer.flush(10)
    assert pipe.writer.take_dropped() == 0


def test_a_fork_writes_with_a_thread_of_its_own(pipe):
    pipe.writer.write(b"parent\n")
    assert pipe.writer.flush(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        pipe.writer.write(b"child\n")
        os._exit(0 if pipe.writer.flush(10) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pipe.text() == "parent\nchild\n"


# --- ordinary records -------------------------------------------------------------------------------


@pytest.mark.parametrize("logger", [logging.getLogger("gunicorn.error"), logging.getLogger("sqlalchemy.pool")])
def test_records_of_any_logger_become_lines(configured, logger):
    logger.warning("pool %s is full", "main")
    (line,) = configured.lines()
    assert (line["event"], line["level"], line["logger"]) == ("pool main is full", "warning", logger.name)
    assert line["time"].endswith("Z")


def test_structured_records_carry_the_current_operation(configured):
    with telemetry.default.operation(vocabulary.COMMAND) as operation:
        operation.trace.question_id = "q7"
        structlog.get_logger("sql_synthesizer.test").info("started", port=5000)
    (line,) = configured.lines()
    assert (line["trace_id"], line["question_id"], line["port"]) == (operation.trace.trace_id, "q7", 5000)


def test_exceptions_stay_in_one_line(configured):
    try:
        raise ValueError("postgresql://admin:hunter2@db/shop")
    except ValueError:
        logging.getLogger("sql_synthesizer").exception("it broke")
    (line,) = configured.lines()
    assert "Traceback" in line["exception"]
    assert "hunter2" not in str(line)


def test_levels_below_the_setting_are_dropped(configured):
    logging.getLogger("sql_synthesizer").debug("noise")
    structlog.get_logger("sql_synthesizer").debug("noise")
    assert configured.lines() == []


def test_warnings_become_lines(configured):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert configured.lines()[0]["logger"] == "py.warnings"


def test_what_cannot_be_printed_is_said_without_its_content(configured):
    handler = logging.getLogger().handlers[0]
    handler.emit(logging.LogRecord("sql_synthesizer", logging.WARNING, "", 1, "%d items", ("hunter2",), None))
    (line,) = configured.lines()
    assert line["event"] == "unprintable log record from sql_synthesizer"
    assert "hunter2" not in str(line)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://admin:hunter2@db/shop",
        "redis://:hunter2@cache:6379/0 refused",
        "mysql://u:hunter2@x@host/db",
        "key sqs_hunter2_hunter2",
        "key sk-hunter2hunter2",
        "Authorization: Bearer hunter2.hunter2",
        'authorization="Basic hunter2=="',
        "connect password=hunter2 host=db",
        '{"password": "hunter2"}',
        "api_key: hunter2",
    ],
)
def test_secrets_are_masked_wherever_they_stand(configured, text):
    assert "hunter2" not in mask_text(text)
    assert "hunter2" not in str(mask_value({"a": [{"b": text}], text: 1}))
    structlog.get_logger("sql_synthesizer").warning("failed: " + text, extra_field={"nested": [text]})
    output = configured.text()
    assert "hunter2" not in output
    assert "failed" in output


@pytest.mark.parametrize("text", ["http://127.0.0.1:5000/metrics", "bearer of news", "how many tokens", "a@b.example"])
def test_harmless_text_is_left_alone(text):
    assert mask_text(text) == text or "bearer" in text


@pytest.mark.parametrize("value", ["a\nb", 'quote " and \\', "\ud800", "\u2028", 2**70, object(), b"\xff", {1: 2}])
def test_nothing_starts_a_second_line(value):
    line = encode_line({"event": mask_value(value)})
    assert line.count(b"\n") == 1
    assert "event" in json.loads(line)


def test_values_are_cut():
    assert len(mask_text("x" * 100_000)) == logs.TEXT_LIMIT


def test_many_threads_write_whole_lines(pipe):
    def write():
        for _ in range(200):
            pipe.writer.write(encode_line({"event": "x" * 20}))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pipe.lines()) == 800
