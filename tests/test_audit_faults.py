"""Disks that fail or are full, processes that are killed or forked: nothing settled is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import pytest

from sql_synthesizer.audit import read_records
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.audit.volume import Volume
from sql_synthesizer.errors import AuditUnavailable
from sql_synthesizer.monitoring.health import Health
from tests.support.audit import bench as bench
from tests.support.audit import files
from tests.support.serving import HANG


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


@pytest.mark.parametrize(("interval", "looks"), [(HANG, 1), (0, 3)])
def test_free_space_is_believed_for_a_moment(tmp_path, monkeypatch, interval, looks):
    asked = []
    monkeypatch.setattr("sql_synthesizer.audit.volume.LOOK_INTERVAL", interval)
    monkeypatch.setattr(Volume, "free_bytes", lambda volume: asked.append(volume) or 9)
    volume = Volume(tmp_path, reserve=10)
    assert [volume.low for _ in range(3)] == [True] * 3
    assert len(asked) == looks


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
from tests.support.audit import Bench
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
from tests.support.audit import Bench

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
from tests.support.audit import Bench

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


@pytest.mark.parametrize("fault", ["emptied", "other key", "damaged key", "no key"])
def test_what_is_lost_while_nobody_asks_is_noticed_by_the_next_ping(bench, fault, caplog):
    bench.ask(actor="before")
    key = bench.log.keyring.path
    before = key.read_bytes()
    assert not bench.log.failing
    if fault == "emptied":
        for path in bench.directory.iterdir():
            path.unlink()
    elif fault == "no key":
        key.unlink()
    else:
        key.write_text("00" * 32 if fault == "other key" else "rubbish")
    for _ in range(2 if fault != "emptied" else 1):
        with pytest.raises(AuditUnavailable):
            bench.log.ping(1.0)
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1, "once"
    assert "put it back" in said[0] or "Put it back" in said[0] or "put that back" in said[0]
    if key.exists():
        assert bench.log.failing is (fault in ("emptied", "other key"))
    key.write_bytes(before)
    os.utime(key, ns=(1, 1))
    bench.log.ping(1.0)
    assert not bench.log.failing


def test_readiness_goes_off_before_the_next_ping(bench, monkeypatch):
    health = Health(bench.telemetry)
    health.register("security_audit", lambda _: None, required=True, failing=lambda: bench.log.failing)
    assert health.readiness_reply()[1] == 200
    monkeypatch.setattr(Volume, "free_bytes", lambda _: 9)
    monkeypatch.setattr("sql_synthesizer.audit.volume.LOOK_INTERVAL", 0)
    assert health.readiness_reply() == ({"status": "not ready", "reasons": ["security_audit is unhealthy"]}, 503)
