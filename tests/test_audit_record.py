"""What stands in a record: every field, bounded, and nothing secret in clear."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import orjson
import pytest

from sql_synthesizer.audit import redact_sql
from sql_synthesizer.audit.chain import text_commitment
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.record import DETAILS_LIMIT, TEXT_LIMIT
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.telemetry import vocabulary
from tests.support.audit import NAMES, Bench, files
from tests.support.audit import bench as bench

KEY = b"k" * 32


# --- a record ----------------------------------------------------------------------------------


def test_a_settled_record_is_in_the_file_with_every_field(bench):
    with bench.telemetry.operation(vocabulary.COMMAND) as operation:
        trace = operation.trace
        trace.actor, trace.role, trace.address, trace.question_id = "key-1", "analyst", "192.0.2.1", "q1"
        bench.telemetry.emit(NAMES["query_execution"], question="how many orders", given_severity="high")
        bench.telemetry.settle()
        (path,) = files(bench.directory)
        record = orjson.loads(path.read_bytes())
    assert re.fullmatch(r"[0-9a-f]{32}", record.pop("mac"))
    salt, question = record.pop("text")
    assert question == "how many orders"
    assert record["details"] == {"question": text_commitment(salt, question, bench.log.keyring.current.values)}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record.pop("time"))
    assert record == {
        "writer": bench.log.writer,
        "sequence": 1,
        "event_type": "query_execution",
        "severity": "info",
        "given_severity": "high",
        "trace_id": trace.trace_id,
        "span_id": operation.span_id,
        "question_id": "q1",
        "actor": "key-1",
        "role": "analyst",
        "address": "192.0.2.1",
        "count": 1,
        "details": record["details"],
    }
    assert bench.records()[0]["details"] == {"question": "how many orders"}


def test_files_are_for_their_owner_only(bench):
    bench.ask()
    key = bench.directory.with_name("audit.key")
    assert stat.S_IMODE(bench.directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (*files(bench.directory), key)] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\nb\x00", "a\nb\x00"),
        ("\ud800", "\\ud800"),
        (1 << 70, str(1 << 70)),
        (float("nan"), None),
        (b"x", "b'x'"),
        (Path("/x"), "/x"),
        ({1: {2: {3: {4: 5}}}}, {"1": {"2": {"3": "[cut 1 entries]"}}}),
        (("a", None), ["a", None]),
        ("x" * 5000, "x" * TEXT_LIMIT + "… [cut 1000 characters]"),
        (list(range(70)), [*range(64), "[cut 6 entries]"]),
    ],
)
def test_any_value_is_stored_bounded_and_readable(bench, value, stored):
    bench.ask(value=value)
    assert bench.records()[0]["details"]["value"] == stored


def test_an_object_that_cannot_tell_its_text_is_named_by_its_type(bench):
    class Mute:
        def __str__(self):
            raise RuntimeError

    bench.ask(value=Mute())
    assert bench.records()[0]["details"]["value"] == "[Mute]"


def test_details_are_bounded_together(bench):
    bench.ask(**{f"part{n}": "é" * 3000 for n in range(20)}, small="kept")
    (path,) = files(bench.directory)
    assert len(path.read_bytes()) < DETAILS_LIMIT + 1500
    details = bench.records()[0]["details"]
    assert details["small"] == "kept"
    assert "[cut 6002 bytes]" in details.values()


# --- what may not stand in clear ---------------------------------------------------------------


def test_values_under_a_secret_name_are_masked(bench):
    bench.ask(headers={"Authorization": "x", "cookie": "y", "accept": "z"}, input_tokens="12")
    assert bench.records()[0]["details"] == {
        "question": "how many customers",
        "headers": {"Authorization": "***", "cookie": "***", "accept": "z"},
        "input_tokens": "12",
    }


def test_hashed_question_text_can_be_matched_and_not_read(tmp_path):
    bench = Bench(tmp_path, audit_question_text="hashed")
    for text in ("salary of Ann", "salary of Ann", "salary of Bob"):
        bench.ask(text)
    bench.log.close()
    first, second, third = (record["details"]["question"] for record in bench.records())
    assert re.fullmatch("#[0-9a-f]{32}", first)
    assert first == second != third


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("sqlite", "select a from t where n = 'O''Brien' -- secret", "select a from t where n = #"),
        ("sqlite", 'select "x y" /* secret */ from t where b=1.5e3 limit 10', "select # from t where b=# limit #"),
        ("sqlite", "select X'41', 0x1F, 1_000", "select #, #, ##"),
        ("postgresql", "select $a$x$a$, E'\\n', U&'d', 'b'::text", "select #, #, #, #::text"),
        ("mariadb", 'select `c` from t where a = "secret" # x', "select `c` from t where a = #"),
        ("unknown", 'select a from t where b = "secret"', "select a from t where b = #"),
        ("sqlite", "select 'unterminated secret", "#"),
    ],
)
def test_sql_is_kept_without_its_literals(dialect, sql, expected):
    assert re.sub("#[0-9a-f]+", "#", redact_sql(sql, dialect, KEY)) == expected


def test_equal_literals_have_equal_hashes_under_one_key_only():
    one, other = (redact_sql("select 'a', 'a', 'b'", "sqlite", key).split() for key in (KEY, b"x" * 32))
    assert one[1].rstrip(",") == one[2].rstrip(",") != one[3]
    assert one[1] != other[1]


@pytest.mark.parametrize("details", [{"source": "analyst", "sql": "x"}, {"sql": "select 'secret'"}])
def test_a_statement_that_was_typed_as_the_question_is_treated_as_sql(bench, details):
    bench.ask("select 'secret'", database_type="sqlite", **details)
    assert "secret" not in files(bench.directory)[0].read_text()


def test_the_key_is_made_once_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "state" / "audit.key"
    assert Keyring(path).current == Keyring(path).current
    path.write_text("00")
    with pytest.raises(ConfigurationError):
        Keyring(path)
