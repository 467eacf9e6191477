"""The public face of the audit record."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from sql_synthesizer import telemetry
from sql_synthesizer.audit import read_records
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError, InvalidRequest
from sql_synthesizer.monitoring import metrics
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver, MemoryRecorder


@pytest.fixture
def recorder():
    return MemoryRecorder()


@pytest.fixture
def facade(recorder):
    made = Telemetry()
    made.recorder = recorder
    made.observers.append(MemoryObserver())
    return made


@pytest.mark.parametrize("name", [*vocabulary.SECURITY_EVENTS, *vocabulary.EVENT_ALIASES])
def test_every_type_and_every_older_spelling_is_recorded_as_its_type(facade, recorder, name):
    SecurityAuditLogger(facade).log_event(name, {"a": 1})
    (record,) = recorder.records
    assert record.type.name == vocabulary.EVENT_ALIASES.get(name, name)
    assert record.details == {"a": 1}


def test_metrics_and_record_get_the_same_event(facade, recorder):
    SecurityAuditLogger(facade).log_event("access_denied", {})
    facade.fold()
    assert facade.observers[0].events("access_denied") == recorder.records


@pytest.mark.parametrize(
    ("severity", "kept"), [("info", None), ("medium", None), ("critical", "critical"), ("odd", "odd")]
)
def test_a_severity_that_differs_is_kept_beside_the_catalogues(facade, recorder, severity, kept):
    SecurityAuditLogger(facade).log_event("access_denied", {}, severity)
    assert recorder.records[0].details.get("given_severity") == kept


@pytest.mark.parametrize("name", ["coffee_spilled", "feedback", "", None, ["x"]])
def test_an_unknown_type_is_recorded_as_other_and_warned_about_once(facade, recorder, caplog, name):
    logger = SecurityAuditLogger(facade)
    for _ in range(2):
        logger.log_event(name, {"a": 1})
    assert [r.type.name for r in recorder.records] == ["other"] * 2
    assert recorder.records[0].details == {"a": 1, "unknown_event_type": str(name)}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("severity", "kept"), [("critical", "critical"), ("info", "info"), ("enormous", "low")])
def test_an_unknown_type_is_as_severe_as_its_reporter_says(recorder, severity, kept):
    registry, facade = CollectorRegistry(), Telemetry()
    facade.observers.append(MetricsObserver(registry, facade.declared))
    facade.recorder = recorder
    SecurityAuditLogger(facade).log_event("coffee_spilled", {}, severity)
    facade.fold()
    (record,) = recorder.records
    assert record.type.severity == kept
    labels = {"event_type": "other", "severity": kept}
    assert registry.get_sample_value("sql_synthesizer_security_events_total", labels) == 1


def test_both_ways_of_reporting_name_and_record_an_unknown_type_alike(recorder, monkeypatch):
    monkeypatch.setattr(telemetry.default, "recorder", recorder)
    metrics.track_security_event("coffee_spilled", "high")
    SecurityAuditLogger().log_event("coffee_spilled", {}, "high")
    one, other = recorder.records
    assert one.type == other.type
    assert one.details == other.details == {"unknown_event_type": "coffee_spilled"}


def test_details_may_have_any_names(facade, recorder):
    logger = SecurityAuditLogger(facade)
    logger.log_event("access_denied", {"type": "x", "self": "y", "count": 9, 3: "z"})
    logger.log_event("access_denied")
    assert recorder.records[0].details == {"type": "x", "self": "y", "given_count": 9, "3": "z"}
    assert recorder.records[0].count == 1


@pytest.mark.parametrize("operation", [None, vocabulary.TRACKED_QUERY, vocabulary.COMMAND])
def test_the_event_is_durable_on_return(facade, recorder, operation):
    recorder.failing = AuditUnavailable()
    with (
        pytest.raises(AuditUnavailable),
        contextlib.nullcontext() if operation is None else facade.operation(operation),
    ):
        SecurityAuditLogger(facade).log_event("access_denied", {})


def test_inside_a_decorated_function_the_event_is_in_the_file_on_return(tmp_path):
    facade = Telemetry()
    logger = SecurityAuditLogger(facade, directory=tmp_path / "audit")
    with facade.operation(vocabulary.TRACKED_QUERY):
        logger.log_event("access_denied", {})
        assert len(list(read_records(tmp_path / "audit"))) == 1
    facade.close()


def test_with_a_directory_it_keeps_the_record_itself(tmp_path):
    facade = Telemetry()
    for _ in range(2):
        SecurityAuditLogger(facade, directory=tmp_path / "audit").log_event("login_failed", {"password": "x"}, "high")
    facade.close()
    records = list(read_records(tmp_path / "audit"))
    assert [(r["event_type"], r["given_severity"], r["details"]) for r in records] == [
        ("authentication_failure", "high", {"password": "***"})
    ] * 2


def test_who_did_it_is_kept_where_others_are(facade, recorder):
    logger = SecurityAuditLogger(facade)
    with facade.operation(vocabulary.COMMAND) as operation:
        operation.trace.actor, operation.trace.role, operation.trace.address = "k1", "viewer", "10.0.0.1"
        logger.log_event("access_denied", {}, actor="anna", address="192.0.2.7")
        logger.log_event("access_denied", {}, address="192.0.2.8")
        logger.log_event("access_denied", {})
    logger.log_event("access_denied", actor="bob")
    told = [(r.trace.actor, r.trace.role, r.trace.address) for r in recorder.records]
    assert told == [
        ("anna", "", "192.0.2.7"),
        ("k1", "viewer", "192.0.2.8"),
        ("k1", "viewer", "10.0.0.1"),
        ("bob", "", ""),
    ]
    assert {r.trace.trace_id for r in recorder.records[:3]} == {operation.trace.trace_id}


@pytest.mark.parametrize("details", ["text", ["a"], 7])
def test_details_that_are_no_mapping_are_refused(facade, recorder, details):
    with pytest.raises(InvalidRequest, match="are a mapping"):
        SecurityAuditLogger(facade).log_event("access_denied", details)
    assert recorder.records == []


def test_one_directory_may_be_named_in_several_ways(tmp_path, monkeypatch):
    facade = Telemetry()
    monkeypatch.chdir(tmp_path)
    SecurityAuditLogger(facade, directory="audit")
    SecurityAuditLogger(facade, directory=tmp_path / "x" / ".." / "audit").log_event("access_denied")
    facade.close()
    assert len(list(read_records(tmp_path / "audit"))) == 1


def test_a_second_directory_is_refused(tmp_path, facade):
    with pytest.raises(ConfigurationError):
        SecurityAuditLogger(facade, directory=tmp_path)


ALONE = """
import sys
from sql_synthesizer.security_audit import SecurityAuditLogger
logger = SecurityAuditLogger(directory=sys.argv[1])
logger.log_event("sql_injection", {"rule": "r1"}, severity="critical")
"""


def test_it_works_alone_in_another_process(tmp_path):
    subprocess.run([sys.executable, "-c", ALONE, tmp_path / "audit"], check=True)
    (record,) = read_records(tmp_path / "audit")
    assert (record["event_type"], record["severity"], record["given_severity"]) == (
        "sql_injection_attempt",
        "high",
        "critical",
    )


COUNTED = """
import sys
from sql_synthesizer.security_audit import SecurityAuditLogger
SecurityAuditLogger(directory=sys.argv[1]).log_event("sql_injection", {})
from sql_synthesizer.monitoring.metrics import get_metrics
print(get_metrics())
"""


def test_what_it_records_is_counted_whoever_was_imported_first(tmp_path):
    command = [sys.executable, "-c", COUNTED, tmp_path / "audit"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert 'security_events_total{event_type="sql_injection_attempt",severity="high"} 1.0' in text


FORKED = """
import os, sys
from sql_synthesizer.security_audit import SecurityAuditLogger
logger = SecurityAuditLogger(directory=sys.argv[1])
logger.log_event("schema_access", {"who": "parent"})
for child in range(2):
    pid = os.fork()
    if pid == 0:
        for _ in range(5):
            logger.log_event("schema_access", {"who": f"child {child}"})
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    logger.log_event("schema_access", {"who": "parent"})
"""


def test_forked_children_keep_records_of_their_own(tmp_path):
    subprocess.run([sys.executable, "-c", FORKED, tmp_path / "audit"], check=True)
    records = list(read_records(tmp_path / "audit"))
    by_writer = {}
    for record in records:
        by_writer.setdefault((record["details"]["who"], record["writer"]), []).append(record["sequence"])
    assert {who: sequences for (who, _), sequences in by_writer.items()} == {
        "parent": [1, 2, 3],
        "child 0": [1, 2, 3, 4, 5],
        "child 1": [1, 2, 3, 4, 5],
    }
    assert len(by_writer) == 3


def test_by_default_it_reports_to_the_facade_of_the_process():
    assert SecurityAuditLogger()._telemetry is telemetry.default
