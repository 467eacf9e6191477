"""What is settled is durable, once and in order, and many callers share a sync."""

from __future__ import annotations

import threading

import pytest

from sql_synthesizer.audit import log
from sql_synthesizer.errors import AuditUnavailable
from sql_synthesizer.telemetry import vocabulary
from tests.support.audit import Bench, files
from tests.support.audit import bench as bench
from tests.support.serving import until

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
