"""Jobs in the store: who is next, what is in hand, and that everything ends once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.errors import AuditUnavailable, IdempotencyConflict, QueueFull
from sql_synthesizer.store import Store
from sql_synthesizer.store import jobs as tables
from sql_synthesizer.store._engine import MIGRATIONS, migrate_tables, open_engine
from sql_synthesizer.store.jobs import Claim, Job, JobStore
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url

LIMITS = {"limit": 100, "share": 100}


class Bench:
    """The tables, with what was put on record."""

    def __init__(self, store: Store) -> None:
        self.changes: list[tuple[str, str]] = []
        self.failing = False
        self.jobs: JobStore = store.jobs(self._record)

    def _record(self, job: Job, change: str) -> None:
        if self.failing:
            raise AuditUnavailable
        self.changes.append((job.id, change))

    def add(self, name: str, count: int = 1, owner: str = "k1", token: str = "", **limits: int) -> Job:
        job = Job(name, owner, token or name, f"{count}", "shop", 10, "", count, time.time())
        return self.jobs.add_job(job, [f"{name} {n}" for n in range(count)], **(LIMITS | limits))

    def claim(self, worker: str = "w1") -> Claim:
        claim = self.jobs.claim_question(worker)
        assert claim is not None
        return claim

    def end(self, claim: Claim, outcome: str = "ok", **options: Any) -> bool:
        return self.jobs.end_question(claim, outcome, claim.question, "{}", **options)

    def job(self, name: str) -> Job:
        job = self.jobs.get_job(name)
        assert job is not None
        return job


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


def test_from_its_submission_to_its_end(bench: Bench) -> None:
    bench.add("j1", 2)
    first, second = bench.claim(), bench.claim()
    assert [first.question, second.question] == ["j1 0", "j1 1"]
    assert bench.jobs.claim_question("w2") is None
    assert bench.job("j1").state == "running"
    assert bench.end(second)
    assert bench.end(first, "declined")
    ended = bench.job("j1")
    assert (ended.state, ended.ended, ended.reason) == ("done", 2, "")
    assert ended.ended_at is not None
    assert [row.outcome for row in bench.jobs.questions("j1", 0, 10)] == ["declined", "ok"]
    assert [row.question for row in bench.jobs.questions("j1", 1, 10)] == ["j1 1"]
    assert bench.changes == [("j1", "submitted"), ("j1", "started"), ("j1", "done")]


def test_texts_that_a_database_cannot_hold(bench: Bench) -> None:
    job = Job("j1", "k1", "t", "d", "shop", 10, "", 1, time.time())
    bench.jobs.add_job(job, ["how\0 many\ud800"], **LIMITS)
    assert bench.claim().question == "how many?"


def test_owners_take_turns_and_an_owners_jobs_come_in_order(bench: Bench) -> None:
    bench.add("many", 4, "k1")
    bench.add("more", 1, "k1")
    bench.claim()
    for name in ("a", "b"):
        bench.add(name, 1, "k2")
    bench.add("c", 1, "k3")
    assert [bench.claim().job.id for _ in range(7)] == ["a", "c", "many", "b", "many", "many", "more"]


def test_the_place_in_the_queue_is_as_owners_take_turns(bench: Bench) -> None:
    bench.add("many", 50, "k1")
    assert bench.jobs.count_ahead(bench.add("one", 1, "k2")) == 1
    assert bench.jobs.count_ahead(bench.add("last", 1, "k1")) == 51
    for _ in range(2):
        bench.claim()
    assert bench.jobs.count_ahead(bench.job("last")) == 49


def test_a_question_counts_once_whoever_else_has_had_it(bench: Bench) -> None:
    bench.add("j1")
    lost = bench.claim("gone")
    assert bench.jobs.workers() == {"gone": 0.0}
    assert [(claim.position, claim.attempt) for claim in bench.jobs.claims("gone")] == [(0, 1)]
    assert bench.jobs.return_question(lost, 0)
    again = bench.claim("gone")
    assert again.attempt == 2
    assert not bench.end(lost)
    assert not bench.jobs.return_question(lost, 0)
    assert bench.end(again)
    assert not bench.end(again)
    (row,) = bench.jobs.questions("j1", 0, 10)
    assert (row.outcome, row.attempts) == ("ok", 2)


def test_a_returned_question_waits_and_comes_before_the_next(bench: Bench) -> None:
    bench.add("j1", 2)
    assert bench.jobs.return_question(bench.claim(), 60)
    assert bench.jobs.claim_question("w1") is None
    bench.add("j2", 2)
    assert bench.jobs.return_question(bench.claim(), 0)
    assert [bench.claim().position for _ in range(2)] == [0, 1]


def test_a_job_of_which_a_question_was_given_up_has_failed(bench: Bench) -> None:
    bench.add("j1", 2)
    bench.end(bench.claim(), "worker_lost", given_up=True)
    bench.end(bench.claim())
    assert (bench.job("j1").state, bench.job("j1").reason) == ("failed", "worker_lost")


def test_a_cancelled_job_takes_no_result_any_more(bench: Bench) -> None:
    bench.add("j1", 3)
    held, returned = bench.claim(), bench.claim()
    bench.jobs.return_question(returned, 0)
    assert bench.jobs.beat("w1") == set()
    assert bench.jobs.end_job("j1", "cancelled", "cancelled") is not None
    assert bench.jobs.end_job("j1", "failed", "job_timeout") is None
    assert bench.jobs.beat("w1") == {("j1", 0)}
    assert not bench.end(held)
    assert bench.jobs.beat("w1") == set()
    assert bench.jobs.claim_question("w1") is None
    assert bench.job("j1").state == "cancelled"
    assert bench.changes[-1] == ("j1", "cancelled")
    assert len(bench.changes) == 3


def test_what_is_not_on_record_has_not_happened(bench: Bench) -> None:
    bench.failing = True
    with pytest.raises(AuditUnavailable):
        bench.add("j1")
    assert bench.jobs.get_job("j1") is None
    bench.failing = False
    bench.add("j1")
    bench.failing = True
    with pytest.raises(AuditUnavailable):
        bench.jobs.claim_question("w1")
    assert bench.job("j1").state == "queued"
    bench.failing = False
    claim = bench.claim()
    bench.failing = True
    with pytest.raises(AuditUnavailable):
        bench.end(claim)
    assert bench.job("j1").ended == 0
    bench.failing = False
    assert bench.end(claim)


def test_a_full_queue_refuses_and_recovers(bench: Bench) -> None:
    bench.add("j1", 3, limit=5, share=3)
    with pytest.raises(QueueFull) as refused:
        bench.add("j2", 1, limit=5, share=3)
    assert refused.value.retry_after == tables.NEW_DELAY
    bench.add("j3", 2, "k2", limit=5, share=3)
    with pytest.raises(QueueFull):
        bench.add("j4", 1, "k3", limit=5, share=3)
    bench.claim()
    bench.add("j5", 1, "k3", limit=5, share=3)


def test_a_submission_with_its_key_is_taken_once(bench: Bench) -> None:
    first = bench.add("j1", 2, token="t")
    assert bench.add("j2", 2, token="t", limit=0) == first
    assert bench.add("j3", 2, "k2", token="t").id == "j3"
    with pytest.raises(IdempotencyConflict):
        bench.add("j4", 3, token="t")


def test_levels(bench: Bench) -> None:
    assert bench.jobs.levels() == tables.JobLevels(0, 0, None, None)
    job = bench.add("j1", 2)
    bench.add("j2", 1)
    bench.jobs.beat("w1")
    before = bench.jobs.levels()
    assert (before.waiting, before.running, before.oldest) == (3, 0, job.submitted_at)
    assert before.beat == pytest.approx(time.time(), abs=60)
    bench.claim()
    after = bench.jobs.levels()
    assert (after.waiting, after.running) == (2, 1)
    assert after.oldest == bench.job("j2").submitted_at


def test_ended_jobs_are_kept_for_a_while_and_not_without_end(bench: Bench, url: str | None) -> None:
    for name in ("old", "middle", "new", "open"):
        bench.add(name, 2)
    for name in ("old", "middle", "new"):
        bench.jobs.end_job(name, "cancelled", "cancelled")
    bench.jobs.prune(1, 4)
    assert [job.id for job in bench.jobs.list_jobs("k1", 9)] == ["open", "new", "middle"]
    assert bench.jobs.questions("old", 0, 9) == []
    bench.jobs.prune(0)
    assert [job.id for job in bench.jobs.list_jobs(None, 9)] == ["open"]


def test_a_store_of_the_last_release_takes_jobs(
    url: str | None, tmp_path: Path, open_store: Callable[..., Store]
) -> None:
    engine = open_engine(url, tmp_path)
    migrate_tables(engine, MIGRATIONS[:2])
    engine.dispose()
    assert Bench(open_store(url)).add("j1").id == "j1"
