"""The audit record: what is settled is durable, bounded, in order, and without secrets."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from sql_synthesizer.audit import AuditLog, RecordFilter, log, read_records, redact_sql, search_records
from sql_synthesizer.audit.chain import text_commitment
from sql_synthesizer.audit.folding import ADDRESSES, BURST, TOTAL, Folding
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.record import DETAILS_LIMIT, TEXT_LIMIT, format_rfc3339
from sql_synthesizer.audit.redact import mask_secrets
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import HANG, until

KEY = b"k" * 32
NAMES = vocabulary.SECURITY_EVENTS


class Bench:
    """An audit log in a directory of its own, with the telemetry it reports to."""

    def __init__(self, root: Path, **settings):
        self.directory = root / "audit"
        self.telemetry = Telemetry()
        self.observer = MemoryObserver()
        self.telemetry.observers.append(self.observer)
        self.settings = Settings(audit_dir=self.directory, **settings)
        self.log = AuditLog(self.settings, self.telemetry)
        self.log._folding = Folding(clock=lambda: 1.0)
        self.telemetry.recorder = self.log

    def ask(self, text="how many customers", actor="key-1", **details):
        with self.telemetry.operation(vocabulary.COMMAND) as operation:
            operation.trace.actor, operation.trace.address = actor, "192.0.2.1"
            self.telemetry.emit(NAMES["query_execution"], question=text, **details)
            ticket = operation.trace.ticket
            self.telemetry.settle()
            return ticket

    def refuse(self, address="203.0.113.7", name="authentication_failure", actor=""):
        return self.log.append(
            Event(NAMES[name], 1_700_000_000_000_000_000, Trace("t", False, actor=actor, address=address), "", {})
        )

    def records(self):
        return list(read_records(self.directory))

    def asked(self):
        """Who asked; who got no answer is marked by the record that says so."""
        withheld = {record["trace_id"] for record in self.records() if record["event_type"] == "answer_withheld"}
        return [
            record["actor"] + " (withheld)" * (record["trace_id"] in withheld)
            for record in read_records(self.directory, report=lambda *_: None)
            if record["event_type"] != "answer_withheld"
        ]

    def reported(self, name):
        self.telemetry.fold()
        return self.observer.events(name)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.log.close()


def files(directory):
    return sorted(directory.glob("*.jsonl"))


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


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("list users where password=hunter2 now", "list users where password=*** now"),
        ("use api_key: 'abc123'", "use api_key: ***"),
        ("db_password = hunter2", "db_password = ***"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ('secret: "two words" end', "secret: *** end"),
        ("mysql://bob:p@ss@db/x", "mysql://bob:***@db/x"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: ***"),
        ("send bearer abcdefghijkl", "send bearer ***"),
        ("postgresql://bob:s3cret@db/x", "postgresql://bob:***@db/x"),
        ("key sk-proj-abcdefghijklmnop1234 here", "key *** here"),
        ("sqs_a1b2_" + "x" * 43, "***"),
        ("ghp_" + "a" * 36, "***"),
        ("github_pat_" + "a" * 36, "***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "*** end"),
        ("orders paid by 4111 1111 1111 1111", "orders paid by ***"),
        ("customer 4111 1111 1111 1112", "customer 4111 1111 1111 1112"),
        ("orders between 2024-01-01 and 2024-12-31", "orders between 2024-01-01 and 2024-12-31"),
        ("what is the password policy", "what is the password policy"),
    ],
)
def test_known_secrets_are_masked(text, masked):
    assert mask_secrets(text) == masked


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


# --- group commit ------------------------------------------------------------------------------


def test_many_callers_share_syncs_and_every_record_is_there_once(bench):
    def work(number):
        for n in range(50):
            bench.ask(actor=f"{number}-{n}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = bench.records()
    assert [record["sequence"] for record in records] == list(range(1, 801))
    assert len({record["actor"] for record in records}) == 800
    reported = bench.reported("audit_recorded")
    assert sum(event.count for event in reported) == 800
    assert len(reported) < 800
    assert bench.log.pending == 0


def test_settle_covers_the_last_record_of_the_trace_only_once(bench):
    bench.ask()
    bench.log.settle(1)
    assert len(bench.reported("audit_recorded")) == 1


def test_a_record_that_nobody_waits_for_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "IDLE_COMMIT", 0.01)
    bench = Bench(tmp_path)
    bench.refuse()
    until(lambda: bench.log.pending == 0)
    assert len(bench.records()) == 1
    bench.log.close()


def test_batched_mode_answers_first_and_writes_soon(tmp_path):
    bench = Bench(tmp_path, audit_mode="batched", audit_batch_seconds=0.02)
    for _ in range(5):
        bench.ask()
    until(lambda: bench.log.pending == 0)
    assert len(bench.records()) == 5
    bench.log.close()


def test_batched_mode_counts_what_a_crash_would_lose_and_close_writes_it(tmp_path):
    bench = Bench(tmp_path, audit_mode="batched", audit_batch_seconds=10)
    bench.ask()
    assert (bench.log.pending, files(bench.directory)) == (1, [])
    bench.log.close()
    assert (bench.log.pending, len(bench.records())) == (0, 1)


def test_batched_mode_refuses_once_writes_fail(tmp_path):
    bench = Bench(tmp_path, audit_mode="batched", audit_batch_seconds=0.02)
    bench.directory.write_text("in the way")
    bench.ask()
    until(lambda: bench.reported("audit_failure"))
    with pytest.raises(AuditUnavailable):
        bench.ask()
    bench.directory.unlink()
    until(lambda: bench.log.pending == 0)
    bench.ask()
    bench.log.close()
    assert sorted(bench.asked()) == ["key-1", "key-1", "key-1 (withheld)"]


def test_no_more_waits_than_fits(bench, monkeypatch):
    monkeypatch.setattr(log, "PENDING_RECORDS", 3)
    bench.directory.write_text("in the way")
    for _ in range(3):
        bench.refuse(actor="key-1")
    with pytest.raises(AuditUnavailable):
        bench.refuse(actor="key-1")
    bench.directory.unlink()


def test_a_closed_log_takes_nothing(bench):
    bench.log.close()
    bench.log.close()
    with pytest.raises(AuditUnavailable):
        bench.refuse()


def test_a_waiter_gives_up_after_its_time_and_the_lead_goes_on(bench):
    with bench.log._hold_lead():
        ticket = bench.refuse()
        with pytest.raises(AuditUnavailable):
            bench.log._commit_ticket(ticket, timeout=0.01)
    bench.log.settle(ticket)
    assert len(bench.records()) == 1


def test_segments_follow_each_other_without_a_gap(tmp_path):
    bench = Bench(tmp_path, audit_segment_bytes=10_000)
    for _ in range(100):
        bench.ask()
    bench.log.close()
    assert [path.name for path in files(bench.directory)] == [
        f"{bench.log.writer}-{n:06d}.jsonl" for n in range(len(files(bench.directory)))
    ]
    assert len(files(bench.directory)) > 2
    assert [record["sequence"] for record in bench.records()] == list(range(1, 101))


def test_nothing_is_left_of_a_log_that_was_never_used(tmp_path):
    Bench(tmp_path).log.close()
    assert not (tmp_path / "audit").exists()


# --- faults of the disk ------------------------------------------------------------------------


def test_a_directory_that_cannot_be_made_refuses_and_recovers_by_itself(bench):
    bench.directory.write_text("in the way")
    with pytest.raises(AuditUnavailable):
        bench.ask(actor="first")
    assert bench.reported("audit_failure")[0].details["sink"] == "file"
    with pytest.raises(AuditUnavailable):
        bench.log.ping(1.0)
    bench.directory.unlink()
    bench.ask(actor="second")
    bench.log.ping(1.0)
    assert bench.asked() == ["first (withheld)", "second"]


@pytest.mark.parametrize("fault", ["removed", "moved", "cut", "directory removed"])
def test_a_segment_changed_by_somebody_else_fails_once_and_the_next_takes_over(bench, fault):
    bench.ask(actor="before")
    (path,) = files(bench.directory)
    if fault == "cut":
        os.truncate(path, 10)
    elif fault == "moved":
        path.rename(path.with_suffix(".old"))
    else:
        path.unlink()
        if fault == "directory removed":
            shutil.rmtree(bench.directory)
    with pytest.raises(AuditUnavailable):
        bench.ask(actor="during")
    bench.ask(actor="after")
    assert bench.asked() == ["during (withheld)", "after"]


def test_a_failed_sync_is_never_believed_later(bench):
    bench.ask(actor="before")
    (path,) = files(bench.directory)
    read_end, write_end = os.pipe()
    descriptor = bench.log._segments._descriptor
    os.dup2(write_end, descriptor)  # a pipe takes writes and cannot be synced
    with pytest.raises(AuditUnavailable):
        bench.ask(actor="during")
    bench.ask(actor="after")
    os.close(read_end)
    os.close(write_end)
    assert bench.asked() == ["before", "during (withheld)", "after"]
    assert files(bench.directory) != [path]
    assert verify_record(bench.directory, bench.log.keyring).sound


def test_callers_under_failing_syncs_are_told_the_truth_and_none_is_left_waiting(bench):
    settled, refused = [], []

    def work():
        for _ in range(100):
            try:
                settled.append(bench.ask())
            except AuditUnavailable:
                refused.append(1)

    settled.append(bench.ask())
    read_end, write_end = os.pipe()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for number in range(20):
        with bench.log._hold_lead():
            if bench.log._segments._descriptor is not None:
                os.dup2(write_end, bench.log._segments._descriptor)
        if number == 0:  # the first to write finds the fault, whoever is scheduled when
            for thread in threads:
                thread.start()
    for thread in threads:
        thread.join()
    bench.log.close()
    os.close(read_end)
    os.close(write_end)
    records = bench.records()
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
    assert len(bench.asked()) == len(settled) + len(refused) == 801
    assert sum(name.endswith("(withheld)") for name in bench.asked()) == len(refused)
    assert verify_record(bench.directory, bench.log.keyring).sound
    assert refused
    assert bench.reported("audit_failure")


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.test_audit import Bench
from sql_synthesizer.errors import AuditUnavailable

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
bench = Bench(Path(sys.argv[1]))
bench.ask(actor="before")
(path,) = bench.directory.glob("*.jsonl")
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        bench.ask(actor="during")
        sys.exit("settled on a full disk")
    except AuditUnavailable:
        assert path.stat().st_size == size, "half a line was left"
assert len(bench.reported("audit_failure")) >= 3
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
bench.ask(actor="after")
bench.log.close()
"""


def test_a_full_disk_refuses_leaves_no_half_line_and_loses_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    actors = [(record["actor"], record["event_type"]) for record in read_records(tmp_path / "audit")]
    withheld = [("during", "query_execution"), ("during", "answer_withheld")] * 3
    assert actors == [("before", "query_execution"), *withheld, ("after", "query_execution")]
    assert verify_record(tmp_path / "audit", Keyring(tmp_path / "audit.key")).sound
    assert len(files(tmp_path / "audit")) == 1


CRASH = """
import os, signal, sys, threading
from pathlib import Path
from tests.test_audit import Bench

def serve(output):
    bench = Bench(Path(sys.argv[1]), audit_segment_bytes=50_000)
    def work():
        while True:
            ticket = bench.ask()
            os.write(output, b"%s %d\\n" % (bench.log.writer.encode(), ticket))
    for _ in range(7):
        threading.Thread(target=work, daemon=True).start()
    work()

for _ in range(10):
    pipe, output = os.pipe()
    child = os.fork() or serve(output)
    os.close(output)
    with open(pipe, "rb") as said:
        lines = [said.readline() for _ in range(200)]
        os.kill(child, signal.SIGKILL)
        lines += said.readlines()
    os.waitpid(child, 0)
    sys.stdout.write(b"".join(lines).decode())
"""


def test_nothing_settled_is_missing_after_kills(tmp_path):
    done = subprocess.run([sys.executable, "-c", CRASH, tmp_path], stdout=subprocess.PIPE, text=True, check=True)
    settled = {tuple(text.split()) for text in done.stdout.splitlines()}
    assert len(settled) >= 2000
    by_writer = {}
    for record in read_records(tmp_path / "audit", report=lambda *_: None):
        by_writer.setdefault(record["writer"], []).append(record["sequence"])
    assert len(by_writer) == 10
    for sequences in by_writer.values():
        assert sequences == list(range(1, len(sequences) + 1))
    assert all(int(sequence) <= len(by_writer[writer]) for writer, sequence in settled)


FORKED = """
import os, sys, threading
from pathlib import Path
from tests.test_audit import Bench

bench = Bench(Path(sys.argv[1]), audit_mode="batched")
bench.ask(actor="parent")
bench.log.flush()
bench.ask(actor="parent")
bench.refuse()
with bench.log._mutex, bench.log._folding._lock:
    pid = os.fork()
if pid == 0:
    assert bench.log.pending == 0
    assert bench.log._thread is None
    bench.ask(actor="child")
    assert bench.log._thread.is_alive()
    bench.log.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
bench.ask(actor="parent")
bench.log.close()
"""


def test_a_forked_child_is_a_writer_of_its_own_whatever_its_parent_was_doing(tmp_path):
    subprocess.run([sys.executable, "-c", FORKED, tmp_path], check=True, timeout=HANG)
    records = list(read_records(tmp_path / "audit"))
    assert sorted((r["actor"], r["sequence"]) for r in records) == [
        ("", 3),
        ("child", 1),
        ("parent", 1),
        ("parent", 2),
        ("parent", 4),
    ]
    assert len({r["writer"] for r in records}) == len(files(tmp_path / "audit")) == 2


# --- refusals of strangers ---------------------------------------------------------------------


def test_a_flood_from_one_address_takes_few_records_and_every_refusal_is_counted(bench):
    tickets = [bench.refuse() for _ in range(1000)]
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 1000
    assert len(records) <= BURST + 3
    assert max(tickets) == BURST
    assert records[-1]["details"]["first"] == format_rfc3339(1_700_000_000_000_000_000)


def test_a_flood_from_many_addresses_is_bounded_too(bench):
    for n in range(3000):
        bench.refuse(address=f"2001:db8::{n:x}")
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 3000
    assert len(records) <= TOTAL + 2 * (ADDRESSES + 1)


def test_a_known_caller_over_its_limit_is_folded_too(bench):
    for n in range(1000):
        bench.refuse(address=f"2001:db8::{n:x}", name="rate_limit_exceeded", actor="key-1")
    for _ in range(1000):
        bench.refuse(name="rate_limit_exceeded", actor="key-2")
    bench.log.close()
    records = bench.records()
    for actor in ("key-1", "key-2"):
        counts = [record["count"] for record in records if record["actor"] == actor]
        assert sum(counts) == 1000
        assert len(counts) <= BURST + 3


def test_beyond_so_many_callers_their_refusals_are_counted_by_type_alone(bench):
    for n in range(3000):
        bench.refuse(name="rate_limit_exceeded", actor=f"key-{n}")
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 3000
    assert max(records, key=lambda record: record["count"])["actor"] == ""


@pytest.mark.parametrize(("name", "actor"), [("authentication_failure", "key-1"), ("query_execution", "")])
def test_what_a_known_caller_does_or_what_is_answered_is_never_folded(bench, name, actor):
    for _ in range(TOTAL + 1):
        bench.refuse(name=name, actor=actor)
    bench.log.close()
    assert [record["count"] for record in bench.records()] == [1] * (TOTAL + 1)


def test_folded_refusals_that_find_no_room_are_kept_for_later(bench, monkeypatch):
    monkeypatch.setattr(log, "PENDING_RECORDS", BURST)
    bench.directory.write_text("in the way")
    for _ in range(BURST + 5):
        bench.refuse()
    bench.log.flush()
    assert bench.log.pending == BURST + 1
    bench.directory.unlink()
    bench.log.close()
    assert sum(record["count"] for record in bench.records()) == BURST + 5


def test_the_ticket_of_a_folded_refusal_still_covers_the_trace(bench):
    with bench.telemetry.operation(vocabulary.COMMAND) as operation:
        bench.telemetry.emit(NAMES["query_execution"])
        operation.trace.address = "192.0.2.1"
        for _ in range(BURST + 2):
            bench.telemetry.emit(NAMES["access_denied"])
        assert operation.trace.ticket == BURST + 1
        bench.telemetry.settle()
    assert len(bench.records()) == BURST + 1


# --- reading -----------------------------------------------------------------------------------


def test_a_torn_last_line_and_a_damaged_one_are_skipped_and_reported(bench):
    bench.ask(actor="a")
    bench.ask(actor="b")
    bench.log.close()
    (path,) = files(bench.directory)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"not json\n[]\n" + second + b'{"writer":"x","seq')
    found = []
    actors = [r["actor"] for r in read_records(bench.directory, report=lambda *fault: found.append(fault))]
    assert actors == ["a", "b"]
    size = len(first)
    assert found == [
        (path, size, "damaged"),
        (path, size + 9, "damaged"),
        (path, size + 12 + len(second), "torn"),
    ]


def test_records_of_several_writers_come_in_time_order(tmp_path):
    benches = [Bench(tmp_path) for _ in range(3)]
    for n in range(9):
        benches[n % 3].ask(actor=str(n))
    for bench in benches:
        bench.log.close()
    assert [record["actor"] for record in read_records(tmp_path / "audit")] == [str(n) for n in range(9)]


def test_a_line_that_was_written_twice_counts_once(bench):
    bench.ask()
    bench.log.close()
    (path,) = files(bench.directory)
    path.with_name(path.name.replace("-000000", "-000001")).write_bytes(path.read_bytes())
    assert len(bench.records()) == 1


def test_search_finds_who_did_what_when(bench):
    for n in range(6):
        bench.ask(actor=f"key-{n % 2}")
    bench.refuse(actor="key-1", name="access_denied")
    bench.log.close()
    records = bench.records()
    asked = search_records(bench.directory, RecordFilter(actor="key-1", event_type="query_execution"))
    assert [r["sequence"] for r in asked] == [2, 4, 6]
    newest = search_records(bench.directory, RecordFilter(until=datetime.now(UTC), actor="key-0"), limit=2)
    assert [r["sequence"] for r in newest] == [3, 5]
    assert search_records(bench.directory, RecordFilter(trace_id=records[3]["trace_id"])) == [records[3]]
    assert search_records(bench.directory, RecordFilter(question_id="none")) == []
    assert search_records(bench.directory, RecordFilter(since=datetime.now(UTC) + timedelta(minutes=1))) == []
    assert search_records(bench.directory / "absent", RecordFilter()) == []
    since = datetime.fromisoformat(records[5]["time"])
    assert [r["sequence"] for r in search_records(bench.directory, RecordFilter(since=since))] == [6]


def test_a_question_id_in_the_details_becomes_the_records(bench):
    bench.ask(question_id="q7")
    assert [r["question_id"] for r in search_records(bench.directory, RecordFilter(question_id="q7"))] == ["q7"]


# --- health ------------------------------------------------------------------------------------


def test_ping_proves_that_the_directory_can_be_written_and_leaves_nothing(bench):
    bench.log.ping(1.0)
    assert list(bench.directory.iterdir()) == []
    bench.refuse()
    bench.log._written_at = float("-inf")
    bench.log.ping(1.0)
    assert len(bench.records()) == 1


def test_free_space_is_read(bench):
    bench.telemetry.fold(readings=True)
    (reading,) = [f for f in bench.observer.facts if getattr(f, "type", None) is vocabulary.AUDIT_FREE_BYTES]
    assert reading.value > 0
