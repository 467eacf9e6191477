"""Logs: one JSON line each, with ids, without secrets, whatever standard output does."""

from __future__ import annotations

import json
import logging
import os
import threading
import warnings
from collections import Counter
from contextlib import suppress

import pytest
import structlog

from sql_synthesizer import telemetry
from sql_synthesizer.errors import PoolTimeout, QuestionRefused
from sql_synthesizer.monitoring import logs
from sql_synthesizer.monitoring.logs import LineHandler, LogObserver, encode_line, mask_text, mask_value
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver

EVENTS = ["question", "query_execution", "http_request"]
"""What one request leaves, in order."""


class Pipe:
    """The reading end of what a handler writes, and what the facade counts as lost."""

    def __init__(self):
        self.reader, self.descriptor = os.pipe()
        self.facade, self.memory = Telemetry(capacity=100_000), MemoryObserver()
        self.facade.observers.append(self.memory)
        self.output = LineHandler(self.facade, self.descriptor)

    def text(self):
        self.output.flush()
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1_000_000).decode()
        except BlockingIOError:
            return ""

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines()]

    def dropped(self):
        self.facade.fold()
        events = self.memory.events("telemetry_dropped")
        assert {event.details["signal"] for event in events} <= {"logs"}
        return sum(event.count for event in events)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """A busy machine does not make ``flush`` give up."""
    monkeypatch.setattr(logs, "CLOSE_WAIT", 10.0)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.reader, pipe.descriptor):
        with suppress(OSError):
            os.close(descriptor)


other_pipe = pipe


@pytest.fixture
def configured(pipe):
    """Ordinary records go to the pipe."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure_logging(Settings(log_level="info"), pipe.output)
    yield pipe
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def observed(pipe, **settings):
    pipe.facade.observers.append(LogObserver(Settings(**settings), pipe.facade, pipe.output))
    return pipe.facade


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
    assert [line["event"] for line in (question, executed, answered)] == EVENTS
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
    assert [json.loads(line)["event"] for line in text.splitlines()] == EVENTS


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


def test_a_blocked_output_costs_lines_which_are_counted(pipe, monkeypatch):
    monkeypatch.setattr(logs, "CLOSE_WAIT", 0.01)
    pipe.output = LineHandler(pipe.facade, pipe.descriptor, capacity=200_000)
    facade = observed(pipe)
    for _ in range(3000):
        facade.emit(vocabulary.EVENTS["access_denied"])
    facade.fold()
    assert 0 < pipe.dropped() < 3000
    facade.close()  # as the pipe holds 64 KiB, lines still wait
    received = bytearray()
    while received.count(b"\n") < 3000 - pipe.dropped():
        received += os.read(pipe.reader, 65_536)
    assert len(received) > 200_000
    assert all(json.loads(line) for line in received.splitlines())
    assert pipe.text() == ""


def test_a_closed_output_is_survived_and_counted(pipe):
    os.close(pipe.reader)
    pipe.output.enqueue(b"one\n")
    pipe.output.enqueue(b"two\nthree\n")
    pipe.output.flush()
    assert pipe.dropped() == 3
    pipe.output.enqueue(b"four\n")
    pipe.output.flush()
    assert pipe.dropped() == 4


def test_an_application_counts_its_own_losses(pipe, other_pipe):
    os.close(pipe.reader)
    for each in (pipe, other_pipe):
        request(observed(each))
        each.facade.fold()
        each.output.flush()
    assert (pipe.dropped(), other_pipe.dropped()) == (3, 0)
    assert len(other_pipe.lines()) == 3


def test_losses_of_ordinary_records_are_the_processes_own(pipe, monkeypatch):
    default = Pipe().facade
    monkeypatch.setattr(telemetry, "default", default)
    made = []
    monkeypatch.setattr(logs, "LineHandler", lambda facade: made.append(facade) or pipe.output)
    before = logging.getLogger().handlers[:]
    logs.configure_logging(Settings())
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = before
    structlog.reset_defaults()
    assert made == [default]


def test_an_output_that_does_not_block_is_waited_for(pipe):
    os.set_blocking(pipe.descriptor, False)
    pipe.output.enqueue(b"x" * 300_000 + b"\n")
    received = 0
    while received < 300_001:
        received += len(os.read(pipe.reader, 65_536))
    pipe.output.flush()
    assert pipe.dropped() == 0


def test_a_fork_writes_with_a_thread_of_its_own(pipe):
    pipe.output.enqueue(b"parent\n")
    assert os.read(pipe.reader, 100) == b"parent\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        pipe.output.flush()
        pipe.output.enqueue(b"child\n")
        pipe.output.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    pipe.output.enqueue(b"parent\n")
    assert pipe.text() == "child\nparent\n"


def test_a_fork_does_not_wait_for_what_its_parent_is_writing(pipe):
    pipe.output.enqueue(b"x" * 300_000 + b"\n")
    other = LineHandler(pipe.facade, pipe.descriptor)
    assert os.read(pipe.reader, 1) == b"x"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        other.enqueue(b"child\n")
        other.flush()
        os._exit(0)
    received = bytearray()
    while len(received) < 300_006:
        received += os.read(pipe.reader, 65_536)
    assert b"child\n" in received
    assert os.waitpid(child, 0)[1] == 0


def test_lines_of_several_applications_do_not_mix(pipe):
    """Each line is longer than what a pipe takes at once."""
    outputs = [LineHandler(pipe.facade, pipe.descriptor, capacity=100_000_000) for _ in range(3)]
    for _ in range(20):
        for number, output in enumerate(outputs):
            output.enqueue(str(number).encode() * 100_000 + b"\n")
    received = bytearray()
    while received.count(b"\n") < 60:
        received += os.read(pipe.reader, 1_000)
    lines = received.decode().splitlines()
    assert Counter(lines) == {str(number) * 100_000: 20 for number in range(3)}


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


def test_many_threads_write_whole_lines(configured):
    def write():
        for _ in range(200):
            logging.getLogger("sql_synthesizer").info("x" * 20)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    received = bytearray()
    while received.count(b"\n") < 800:
        received += os.read(configured.reader, 65_536)
    assert {json.loads(line)["event"] for line in received.splitlines()} == {"x" * 20}
