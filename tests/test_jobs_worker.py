"""The worker of jobs: as whom it asks, what it tries again, and what others do when it is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import orjson
import pytest

from sql_synthesizer.errors import (
    Cancelled,
    DatabaseUnavailable,
    Declined,
    OwnerRefused,
    SqlSynthesizerError,
    StatementTimeout,
    StoreUnavailable,
)
from sql_synthesizer.jobs import JobLimits, JobQueue, JobWorker, Webhooks
from sql_synthesizer.jobs import worker as module
from sql_synthesizer.jobs.bodies import result_body
from sql_synthesizer.model import Answer, Caller, Question, Role, Rows
from sql_synthesizer.store import Store
from sql_synthesizer.store.jobs import Job, JobQuestion
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver, MemoryRecorder
from sql_synthesizer.telemetry.traceparent import parse_traceparent
from tests.support.jobs import working
from tests.support.serving import until

OWNER = Caller("k1", Role.VIEWER)
JOB = Job("j", "k1", "", "", "shop", 10, "", 1, 0.0)
Ask = Callable[[Question], Answer]


def answer(question: Question, rows: tuple[tuple[str, ...], ...] = (("1",),), *, sensitive: bool = False) -> Answer:
    found = Rows(("n",), rows)
    return Answer(question.text, "SELECT 1", "rules", "", found, question.database, "q", "t", sensitive=sensitive)


class Bench:
    """A queue, and workers that ask ``ask``."""

    def __init__(self, store: Store) -> None:
        self.telemetry = Telemetry()
        self.seen = MemoryObserver()
        self.telemetry.observers = [self.seen]
        self.telemetry.recorder = self.recorder = MemoryRecorder()
        self.queue = JobQueue(store, self.telemetry, JobLimits(100, 100, 3600, 7), Webhooks("", "", ""))
        self.asked: list[Question] = []
        self.refused = False

    def submit(self, *questions: str) -> Job:
        return self.queue.submit(OWNER, questions, database="shop", max_rows=10).job

    def authorize(self, owner: str) -> Caller:
        if self.refused:
            raise OwnerRefused
        return Caller(owner, Role.ANALYST)

    def worker(self, ask: Ask = answer, threads: int = 1) -> JobWorker:
        def asked(question: Question) -> Answer:
            self.asked.append(question)
            return ask(question)

        return JobWorker(self.queue, asked, self.authorize, self.telemetry, threads=threads, deadline=9)

    def working(self, ask: Ask = answer, threads: int = 1) -> AbstractContextManager[JobWorker]:
        return working(self.worker(ask, threads))

    def state(self, job: Job) -> str:
        return self.queue.show(OWNER, job.id).job.state

    def until_ended(self, job: Job) -> tuple[Job, list[JobQuestion]]:
        until(lambda: self.state(job) not in ("queued", "running"))
        return self.queue.results(OWNER, job.id, 0, 100)

    def events(self, name: str) -> list[str]:
        self.telemetry.fold()
        return [event.details["reason"] for event in self.seen.events(name)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, seconds in (("BEAT", 0.02), ("LEASE", 0.1), ("POLL", 0.02), ("BACKOFF", 0.01), ("RETRY", 0.02)):
        monkeypatch.setattr(module, name, seconds)
    store = Store(None, tmp_path)
    yield Bench(store)
    store.close()


def failing(error: SqlSynthesizerError, times: int = 1_000) -> Ask:
    left = [error] * times

    def ask(question: Question) -> Answer:
        if left:
            raise left.pop()
        return answer(question)

    return ask


def test_a_job_is_answered_as_its_owner_within_its_trace(bench: Bench) -> None:
    job = bench.submit("how many?", "which?")
    with bench.working():
        ended, rows = bench.until_ended(job)
    assert ended.state == "done"
    assert [row.outcome for row in rows] == ["ok", "ok"]
    assert orjson.loads(rows[1].body)["question"] == "which?"
    question = bench.asked[0]
    assert (question.caller, question.database, question.max_rows) == (Caller("k1", Role.ANALYST), "shop", 10)
    bench.telemetry.fold()
    sent = bench.seen.operations(vocabulary.JOB_SUBMIT)[0]
    tried = bench.seen.operations(vocabulary.JOB_QUESTION)
    assert parse_traceparent(job.traceparent) == (sent.trace.trace_id, sent.span_id, True)
    assert {(o.trace.trace_id, o.parent_id, o.trace.actor) for o in tried} == {
        (sent.trace.trace_id, sent.span_id, "k1")
    }
    assert [(o.details.job_id, o.details.position, o.details.attempt) for o in tried] == [
        (job.id, 0, 1),
        (job.id, 1, 1),
    ]
    changes = [(r.details["change"], r.trace.trace_id) for r in bench.recorder.records if r.type.name == "job_change"]
    assert changes == [(change, sent.trace.trace_id) for change in ("submitted", "started", "done")]


@pytest.mark.parametrize("error", [Declined(suggestions=("a",)), StatementTimeout(), RuntimeError("not ours")])
def test_a_failure_that_stays_is_the_result(bench: Bench, error: SqlSynthesizerError) -> None:
    job = bench.submit("how many?")
    with bench.working(failing(error)):
        ended, (row,) = bench.until_ended(job)
    assert (ended.state, row.attempts) == ("done", 1)
    assert orjson.loads(row.body)["reason"] == row.outcome == getattr(error, "reason", "internal")
    assert bench.events("job_retried") == bench.events("job_given_up") == []


def test_a_failure_that_passes_is_tried_again(bench: Bench) -> None:
    job = bench.submit("how many?")
    with bench.working(failing(DatabaseUnavailable(), 2)):
        ended, (row,) = bench.until_ended(job)
    assert (ended.state, row.outcome, row.attempts) == ("done", "ok", 3)
    assert bench.events("job_retried") == ["database_unavailable"] * 2


def test_one_that_does_not_pass_is_given_up_and_the_others_go_on(bench: Bench) -> None:
    failure = failing(DatabaseUnavailable())
    job = bench.submit("bad", "good")
    with bench.working(lambda question: (failure if question.text == "bad" else answer)(question)):
        ended, (bad, good) = bench.until_ended(job)
    assert (ended.state, ended.reason) == ("failed", "database_unavailable")
    assert (bad.outcome, bad.attempts, good.outcome) == ("database_unavailable", module.ATTEMPTS, "ok")
    assert bench.events("job_given_up") == ["database_unavailable"]


def test_a_job_of_a_revoked_key_fails(bench: Bench) -> None:
    job = bench.submit("how many?", "which?")
    bench.refused = True
    with bench.working():
        ended, rows = bench.until_ended(job)
        until(lambda: not bench.queue.store.levels().running)
    assert (ended.state, ended.reason) == ("failed", "owner_refused")
    assert [row.outcome for row in rows] == ["", ""]
    assert bench.asked == []


def test_a_cancelled_job_stops_what_is_asked_for_it(bench: Bench) -> None:
    asking, stopped = threading.Event(), threading.Event()

    def ask(question: Question) -> Answer:
        assert question.cancellation is not None
        with question.cancellation.stopping(stopped.set):
            asking.set()
            assert stopped.wait(60)
        raise Cancelled

    job = bench.submit("how many?")
    with bench.working(ask):
        assert asking.wait(60)
        assert bench.queue.cancel(OWNER, job.id).job.state == "cancelled"
        until(lambda: not bench.queue.store.levels().running)
    assert bench.queue.cancel(OWNER, job.id).job.state == "cancelled"
    assert bench.queue.results(OWNER, job.id, 0, 1)[1][0].outcome == ""


def test_a_job_that_takes_too_long_fails(bench: Bench) -> None:
    bench.queue.limits = JobLimits(100, 100, 0.05, 7)
    stopped = threading.Event()

    def ask(question: Question) -> Answer:
        assert question.cancellation is not None
        with question.cancellation.stopping(stopped.set):
            assert stopped.wait(60)
        raise Cancelled

    job = bench.submit("how many?")
    with bench.working(ask):
        ended, _ = bench.until_ended(job)
    assert (ended.state, ended.reason) == ("failed", "job_timeout")


def test_what_a_worker_that_is_gone_had_in_hand_is_asked_by_another(bench: Bench) -> None:
    job = bench.submit("how many?")
    assert bench.queue.store.claim_question("gone") is not None
    with bench.working():
        ended, (row,) = bench.until_ended(job)
        until(lambda: "gone" not in bench.queue.store.workers())
    assert (ended.state, row.attempts) == ("done", 2)
    assert bench.events("job_retried") == ["worker_lost"]


def test_a_question_that_ends_every_worker_is_given_up(bench: Bench) -> None:
    job = bench.submit("poison")
    store = bench.queue.store
    for _ in range(module.ATTEMPTS - 1):
        claim = store.claim_question("gone")
        assert claim is not None
        store.return_question(claim, 0)
    assert store.claim_question("gone") is not None
    with bench.working():
        ended, (row,) = bench.until_ended(job)
    assert (ended.reason, row.outcome, row.attempts) == ("worker_lost", "worker_lost", module.ATTEMPTS)
    assert bench.asked == []


def test_a_worker_is_gone_when_its_beat_stands_still(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE", 0.0)
    bench.submit("how many?")
    store, watching = bench.queue.store, bench.worker()
    assert store.claim_question("other") is not None
    for _ in range(3):
        store.beat("other")
        watching._reap_workers()
    assert len(store.claims("other")) == 1
    watching._reap_workers()
    assert store.claims("other") == []


def test_a_stop_waits_for_what_is_in_hand_and_takes_nothing_more(bench: Bench) -> None:
    release, asking = threading.Event(), threading.Event()

    def ask(question: Question) -> Answer:
        asking.set()
        assert release.wait(60)
        return answer(question)

    job = bench.submit("first", "second")
    with bench.working(ask) as worker:
        assert asking.wait(60)
        worker.stop()
        release.set()
    assert [row.outcome for row in bench.queue.results(OWNER, job.id, 0, 9)[1]] == ["ok", ""]
    assert bench.queue.store.workers() == {}


def test_the_store_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store, down = bench.queue.store, threading.Event()
    for name in ("claim_question", "end_question", "beat"):
        monkeypatch.setattr(store, name, _broken_once(getattr(store, name), down))
    job = bench.submit("how many?")
    with bench.working():
        ended, (row,) = bench.until_ended(job)
    assert (ended.state, row.attempts) == ("done", 1)
    assert down.is_set()


def test_a_question_whose_end_cannot_be_kept_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store, left = bench.queue.store, [RuntimeError("not foreseen")]
    end_question = store.end_question

    def broken_once(*args: object, **kwargs: object) -> bool:
        if left:
            raise left.pop()
        return end_question(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "end_question", broken_once)
    job = bench.submit("how many?")
    with bench.working():
        ended, (row,) = bench.until_ended(job)
    assert (ended.state, row.attempts) == ("done", 2)


def _broken_once(step: Callable[..., object], down: threading.Event) -> Callable[..., object]:
    left = [StoreUnavailable()]

    def call(*args: object, **kwargs: object) -> object:
        if left:
            down.set()
            raise left.pop()
        return step(*args, **kwargs)

    return call


def test_answers_are_kept_within_bounds(bench: Bench) -> None:
    question = Question("my password is hunter2hunter2", "shop", OWNER, 10, 0.0)
    wide = tuple(("x" * 100,) for _ in range(2_000))
    kept = orjson.loads(result_body(answer(question, wide), None, JOB))
    assert 100 < kept["row_count"] == len(kept["rows"]) < 2_000
    assert kept["truncated"]
    assert "hunter2" not in kept["question"]
    assert orjson.loads(result_body(answer(question, wide, sensitive=True), None, JOB))["rows"] == []
