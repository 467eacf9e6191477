"""The record for other programs: nothing is lost on the way, nothing runs in a spreadsheet, OCSF is complete."""

from __future__ import annotations

import csv
import io
import json
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_synthesizer.audit.export import COLUMNS
from sql_synthesizer.audit.ocsf import MAPPING, ocsf_event
from sql_synthesizer.cli.audit import EXPORTS
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.web.csv import csv_lines
from tests.support.audit import Bench
from tests.test_cli import cli  # noqa: F401 - a fixture

BASE = ("activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid")
METADATA = ("metadata.product", "metadata.version")
REQUIRED = {
    2004: (*BASE, *METADATA, "finding_info.uid", "finding_info.title"),
    3001: (*BASE, *METADATA, "user"),
    3002: (*BASE, *METADATA, "user"),
    6003: (*BASE, *METADATA, "actor", "api.operation", "api.request.uid", "src_endpoint"),
}
"""Class -> the attributes that the schema (1.6.0) calls required, also those of the objects within."""
ONE_OF = {
    2004: {"metadata.product": ("name", "uid"), "evidences.0": ("actor", "src_endpoint", "data")},
    3001: {"metadata.product": ("name", "uid"), "user": ("account", "name", "uid")},
    3002: {
        "metadata.product": ("name", "uid"),
        "user": ("account", "name", "uid"),
        "": ("service", "dst_endpoint"),
        "src_endpoint": ("ip", "uid", "name", "hostname"),
    },
    6003: {
        "metadata.product": ("name", "uid"),
        "actor": ("process", "user", "session", "app_name", "app_uid"),
        "actor.user": ("account", "name", "uid"),
        "src_endpoint": ("ip", "uid", "name", "hostname"),
    },
}
"""Class -> object -> attributes of which the schema wants at least one."""
ACTIVITIES = {2004: {1}, 3001: {1, 3, 5, 99}, 3002: {1}, 6003: {1, 2, 3, 4, 99}}
STATUSES = {2004: {1}, 3001: {1}, 3002: {1, 2}, 6003: {0, 1, 2}}


def record(name="query_execution", **fields):
    return {
        "writer": "w-1",
        "sequence": 7,
        "time": "2026-01-02T03:04:05.678901Z",
        "event_type": name,
        "severity": vocabulary.SECURITY_EVENTS[name].severity,
        "trace_id": "t" * 32,
        "span_id": "s" * 16,
        "question_id": "q1",
        "actor": "key-1",
        "role": "analyst",
        "address": "192.0.2.1",
        "count": 1,
        "details": {"question": "how many", "outcome": "answered"},
        "mac": "0" * 32,
        **fields,
    }


def at(made, path):
    for name in filter(None, path.split(".")):
        made = made[int(name)] if name.isdigit() else made[name]
    return made


# --- OCSF --------------------------------------------------------------------------------------


def test_every_security_event_is_mapped():
    assert set(MAPPING) == set(vocabulary.SECURITY_EVENTS)


@pytest.mark.parametrize("name", MAPPING)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"actor": "", "address": "", "role": "", "details": {}},
        {"details": {"change": "created", "action": "erase", "key": "k1", "cause": "revoked"}},
        {"details": {"change": ["odd"], "action": {"odd": 1}, "outcome": "failed"}, "address": "no address"},
    ],
)
def test_what_the_schema_requires_is_there(name, fields):
    made = ocsf_event(record(name, **fields))
    uid, activity = made["class_uid"], made["activity_id"]
    for path in REQUIRED[uid]:
        assert at(made, path) not in ("", None, {}), path
    for path, names in ONE_OF[uid].items():
        assert set(names) & set(at(made, path)), path
    assert (made["category_uid"], made["type_uid"]) == (uid // 1000, uid * 100 + activity)
    assert activity in ACTIVITIES[uid]
    assert (activity == 99) == ("activity_name" in made)
    assert made["status_id"] in STATUSES[uid]
    assert made["severity_id"] in range(1, 6)


def test_times_are_in_milliseconds_and_what_has_no_attribute_is_kept():
    made = ocsf_event(record(given_severity="high"))
    assert made["time"] == 1_767_323_045_678
    assert made["metadata"]["original_time"] == "2026-01-02T03:04:05.678901Z"
    assert made["metadata"]["uid"] == "w-1:7"
    assert made["unmapped"] == {
        "span_id": "s" * 16,
        "question_id": "q1",
        "role": "analyst",
        "details": {"question": "how many", "outcome": "answered"},
        "mac": "0" * 32,
        "given_severity": "high",
    }
    assert (made["actor"], made["src_endpoint"]) == ({"user": {"uid": "key-1"}}, {"ip": "192.0.2.1"})


@pytest.mark.parametrize(
    ("name", "details", "expected"),
    [
        ("query_execution", {"outcome": "answered"}, (600302, 1)),
        ("query_execution", {"outcome": "refused"}, (600302, 2)),
        ("sql_injection_attempt", {}, (200401, 1)),
        ("authentication_failure", {"key": "k1"}, (300201, 2)),
        ("credential_change", {"change": "created"}, (300101, 1)),
        ("credential_change", {"change": "revoked"}, (300105, 1)),
        ("credential_change", {"change": "limited"}, (300199, 1)),
        ("audit_access", {"action": "page"}, (600302, 1)),
        ("audit_access", {"action": "erase"}, (600303, 1)),
        ("invalid_request", {}, (600399, 2)),
    ],
)
def test_types_and_statuses(name, details, expected):
    made = ocsf_event(record(name, details=details))
    assert (made["type_uid"], made["status_id"]) == expected


def test_a_record_that_is_not_sound_is_exported_all_the_same():
    bare = {"writer": "w", "sequence": 1, "time": "2026-01-02T03:04:05Z"}
    odd = {"sequence": 2, "time": "never", "event_type": ["x"], "details": [], "severity": {}, "count": "many"}
    for strange in (bare, odd | {"address": 7}):
        for lines in EXPORTS.values():
            assert b"".join(lines([strange]))


# --- CSV ---------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1), max_size=4))
def test_csv_reads_back(rows):
    text = "".join(csv_lines(rows))
    back = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert [[cell.replace("'", "") for cell in row] for row in back] == [
        [cell.replace("'", "") for cell in row] for row in rows
    ]
    assert text.count("\r\n") >= len(rows)


def test_csv_has_fixed_columns_and_details_as_json():
    text = b"".join(EXPORTS["csv"]([record(), record("access_denied", owasp="authz_fail", count=3)])).decode()
    head, first, second = csv.reader(io.StringIO(text, newline=""))
    assert tuple(head) == COLUMNS
    assert json.loads(first[-1]) == {"question": "how many", "outcome": "answered"}
    assert (first[2], second[2], second[9]) == ("", "authz_fail", "3")


# --- the command -------------------------------------------------------------------------------


def test_export_writes_everything_and_is_on_record(cli, tmp_path):  # noqa: F811
    for n in range(3):
        cli("ask", "how many customers are there" + "?" * n)
    every = [json.loads(line) for line in cli("audit", "search").stdout.splitlines()]
    lines = cli("audit", "export").stdout.splitlines()
    exported = [json.loads(line) for line in lines]
    assert exported[:-1] == every
    assert exported[-1]["details"] == {"action": "export", "format": "jsonl", "output": "-", "search": {}}
    assert next(r for r in exported if r["event_type"] == "query_execution")["details"]["question"].startswith("how")
    path = tmp_path / "out.csv"
    assert cli("audit", "export", "--format", "csv", "--output", str(path), "--event", "query_execution").output == ""
    head, *rows = csv.reader(io.StringIO(path.read_text(), newline=""))
    assert [row[head.index("event_type")] for row in rows] == ["query_execution"] * 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (made,) = cli("audit", "export", "--format", "ocsf", "--severity", "high", "--event", "audit_access").stdout or [""]
    assert made == ""
    done = cli("audit", "export", "--output", str(tmp_path / "absent" / "x"))
    assert done.exit_code != 0
    assert "cannot be written" in str(done.exception)
    assert list(tmp_path.glob(".out*")) == []


MANY = """
import sys, tracemalloc
from pathlib import Path
from sql_synthesizer.cli.audit import EXPORTS
from sql_synthesizer.audit.reading import RecordFilter, filter_records

tracemalloc.start()
for name, make in EXPORTS.items():
    size = sum(map(len, make(filter_records(Path(sys.argv[1]), RecordFilter()))))
    print(name, size, tracemalloc.get_traced_memory()[1])
"""


def test_memory_does_not_grow_with_the_record(tmp_path):
    bench = Bench(tmp_path, audit_mode="batched", audit_segment_bytes=200_000)
    for n in range(5000):
        bench.ask(f"question {n}", padding="x" * 300)
    bench.log.close()
    done = subprocess.run([sys.executable, "-c", MANY, bench.directory], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        name, size, peak = line.split()
        assert int(size) > 2_500_000, name
        assert int(peak) < 1_500_000, name
