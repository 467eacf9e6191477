"""The public face of the audit record."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sql_synthesizer import events, telemetry
from sql_synthesizer.audit import read
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError
from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.testing import MemoryObserver, MemoryRecorder


@pytest.fixture
def recorder():
    return MemoryRecorder()


@pytest.fixture
def facade(recorder):
    made = Telemetry()
    made.recorder = recorder
    made.observers.append(MemoryObserver())
    return made


@pytest.mark.parametrize("name", [*events.SECURITY_EVENTS, *events.EVENT_ALIASES])
def test_every_type_and_every_older_spelling_is_recorded_as_its_type(facade, recorder, name):
    SecurityAuditLogger(facade).log_event(name, {"a": 1})
    (record,) = recorder.records
    assert record.type is events.SECURITY_EVENTS[events.EVENT_ALIASES.get(name, name)]
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
def test_an_unknown_type_is_named_in_an_unexpected_error_and_warned_about_once(facade, recorder, caplog, name):
    logger = SecurityAuditLogger(facade)
    for _ in range(2):
        logger.log_event(name, {"a": 1})
    assert [r.type.name for r in recorder.records] == ["unexpected_error"] * 2
    assert recorder.records[0].details == {"a": 1, "unknown_event_type": str(name)}
    assert len(caplog.records) == 1


def test_details_may_have_any_names(facade, recorder):
    logger = SecurityAuditLogger(facade)
    logger.log_event("access_denied", {"type": "x", "self": "y", "count": 9, 3: "z"})
    logger.log_event("access_denied")
    assert recorder.records[0].details == {"type": "x", "self": "y", "given_count": 9, "3": "z"}
    assert recorder.records[0].count == 1


def test_outside_an_operation_the_event_is_durable_on_return(facade, recorder):
    recorder.failing = AuditUnavailable()
    with pytest.raises(AuditUnavailable):
        SecurityAuditLogger(facade).log_event("access_denied", {})


def test_inside_an_operation_the_edge_settles(facade, recorder):
    recorder.failing = AuditUnavailable()
    with facade.operation(events.COMMAND):
        SecurityAuditLogger(facade).log_event("access_denied", {})
        with pytest.raises(AuditUnavailable):
            facade.settle()


def test_with_a_directory_it_keeps_the_record_itself(tmp_path):
    facade = Telemetry()
    for _ in range(2):
        SecurityAuditLogger(facade, directory=tmp_path / "audit").log_event("login_failed", {"password": "x"}, "high")
    facade.close()
    records = list(read(tmp_path / "audit"))
    assert [(r["event_type"], r["given_severity"], r["details"]) for r in records] == [
        ("authentication_failure", "high", {"password": "***"})
    ] * 2


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
    (record,) = read(tmp_path / "audit")
    assert (record["event_type"], record["severity"], record["given_severity"]) == (
        "sql_injection_attempt",
        "high",
        "critical",
    )


def test_by_default_it_reports_to_the_facade_of_the_process():
    assert SecurityAuditLogger()._telemetry is telemetry.default
