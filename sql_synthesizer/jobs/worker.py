"""The worker: takes questions in hand one by one, asks them as their owner, and keeps how they ended.

Whoever has a question in hand says that it lives. What a worker that is gone had in hand is asked again by another,
until it was tried ``ATTEMPTS`` times. A question may therefore be asked more than once; it ends once.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sql_synthesizer.errors import (
    AuditUnavailable,
    JobTimeout,
    OwnerRefused,
    SqlSynthesizerError,
    StoreUnavailable,
    UnexpectedError,
    WorkerLost,
)
from sql_synthesizer.jobs.bodies import result_body
from sql_synthesizer.jobs.queue import JobQueue
from sql_synthesizer.model import Answer, Caller, Question
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.model.masking import mask_secrets
from sql_synthesizer.store.jobs import FAILED, Claim
from sql_synthesizer.telemetry import Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.traceparent import parse_traceparent

ATTEMPTS = 4
"""Times that a question is tried when the service cannot answer it, or ends while it does."""
BACKOFF = 1.0
"""Seconds until the second try; twice as long before each further one."""
POLL = 0.2
"""Seconds between two looks into an empty queue."""
BEAT = 0.5
"""Seconds between two signs of life, and until a cancelled question is stopped."""
LEASE = 10.0
"""Seconds without a sign of life after which a worker is gone."""
LOOK_EVERY = 4
"""Signs of life between two looks after what was left undone."""
PRUNE_EVERY = 600.0
RETRY = 1.0
"""Seconds until the store is tried again."""

log = logging.getLogger(__name__)


class JobWorker:
    """Asks the questions of ``queue``, ``threads`` at once, each with ``deadline`` seconds.

    ``authorize`` says who an owner is now, or raises OwnerRefused. Each of ``beside`` runs in a thread of its own until
    the event that it is given is set.
    """

    def __init__(
        self,
        queue: JobQueue,
        ask: Callable[[Question], Answer],
        authorize: Callable[[str], Caller],
        telemetry: Telemetry,
        *,
        threads: int,
        deadline: float,
        beside: Sequence[Callable[[threading.Event], None]] = (),
    ) -> None:
        self.beside = [*beside]
        self.id = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._queue = queue
        self._ask = ask
        self._authorize = authorize
        self._telemetry = telemetry
        self._deadline = deadline
        self._free = threading.BoundedSemaphore(threads)
        self._pool = ThreadPoolExecutor(threads, "job")
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._hand: dict[tuple[str, int], Cancellation] = {}
        self._beats: dict[str, tuple[float, float]] = {}
        """Worker -> its last beat, and when that was first seen, on this process's own clock."""
        self._pruned = float("-inf")

    def stop(self) -> None:
        """Lets ``run`` end once what is in hand has; may be called from a signal handler."""
        self._stop.set()
        self._woken.set()

    def wake(self) -> None:
        """Has it look for questions now."""
        self._woken.set()

    def run(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Works until ``stop``, or until it is not ``wanted`` any more, and then to the end of what is in hand."""
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="beat", daemon=True)
        others = [threading.Thread(target=run, args=(self._stop,), name="beside") for run in self.beside]
        for thread in (watch, *others):
            thread.start()
        try:
            while wanted() and not self._stop.is_set():
                if self._free.acquire(timeout=POLL) and not self._take_question():
                    self._free.release()
                    self._woken.wait(POLL)
                    self._woken.clear()
        finally:
            self.stop()
            self._pool.shutdown(wait=True)
            for thread in others:
                thread.join()
            ended.set()
            watch.join()

    def _take_question(self) -> bool:
        """Hands the next question to a thread; False when there is none."""
        if self._stop.is_set():
            return False
        cancellation = Cancellation()
        try:
            with self._lock:
                claim = self._queue.store.claim_question(self.id)
                if claim is None:
                    return False
                self._hand[claim.job.id, claim.position] = cancellation
        except (StoreUnavailable, AuditUnavailable) as error:
            log.warning("no job can be taken: %s", error.reason)
            self._stop.wait(RETRY)
            return False
        self._pool.submit(self._work, claim, cancellation)
        return True

    # --- one question -------------------------------------------------------------------------

    def _work(self, claim: Claim, cancellation: Cancellation) -> None:
        try:
            self._conclude(claim, *self._answer(claim, cancellation))
        except Exception:
            log.exception("a question of job %s could not be ended", claim.job.id)
        finally:
            with self._lock:
                self._hand.pop((claim.job.id, claim.position), None)
            self._free.release()

    def _answer(self, claim: Claim, cancellation: Cancellation) -> tuple[Answer | None, SqlSynthesizerError | None]:
        """The answer, or why there is none, once the records of it are durable."""
        job = claim.job
        operation = self._telemetry.operation(vocabulary.JOB_QUESTION, parent=parse_traceparent(job.traceparent))
        details = operation.details
        details.job_id, details.position, details.attempt = job.id, claim.position, claim.attempt
        details.wait_seconds = max(0.0, time.time() - max(job.submitted_at, job.ready_at))
        answer, failure = None, None
        try:
            with operation:
                operation.trace.actor = job.owner
                try:
                    answer = self._ask_as_owner(claim, cancellation, operation.trace)
                finally:
                    self._telemetry.settle()
        except SqlSynthesizerError as error:
            failure = error
        except Exception as error:
            log.exception("unexpected error")
            failure = UnexpectedError(details={"error": type(error).__name__})
        return (answer, None) if failure is None else (None, failure)

    def _ask_as_owner(self, claim: Claim, cancellation: Cancellation, trace: Trace) -> Answer:
        job = claim.job
        caller = self._authorize(job.owner)
        trace.role = caller.role.value
        deadline = time.monotonic() + self._deadline
        cancellation.check()
        return self._ask(Question(claim.question, job.database, caller, job.max_rows, deadline, cancellation))

    def _conclude(self, claim: Claim, answer: Answer | None, failure: SqlSynthesizerError | None) -> None:
        """Keeps how a question ended, or has it asked again; tries until the store has taken that."""
        while True:
            try:
                self._try_concluding(claim, answer, failure)
            except (StoreUnavailable, AuditUnavailable) as error:
                log.warning("the end of a question cannot be kept: %s", error.reason)
                if self._stop.wait(RETRY):
                    return  # another worker asks it again
            else:
                return

    def _try_concluding(self, claim: Claim, answer: Answer | None, failure: SqlSynthesizerError | None) -> None:
        store, trying = self._queue.store, failure is not None and is_passing(failure)
        if isinstance(failure, OwnerRefused):
            store.end_job(claim.job.id, FAILED, failure.reason)
        if failure is not None and trying and claim.attempt < ATTEMPTS:
            if store.return_question(claim, BACKOFF * 2 ** (claim.attempt - 1)):
                self._telemetry.emit(vocabulary.JOB_RETRIED, reason=failure.reason)
            return
        outcome = "ok" if failure is None else failure.reason
        body = result_body(answer, failure, claim.job)
        if store.end_question(claim, outcome, mask_secrets(claim.question), body, given_up=trying) and trying:
            self._telemetry.emit(vocabulary.JOB_GIVEN_UP, reason=outcome)

    # --- who lives ----------------------------------------------------------------------------

    def _watch(self, ended: threading.Event) -> None:
        """Says that this worker lives, stops what was cancelled, and looks after what others left."""
        beats = itertools.count()
        while not ended.wait(BEAT):
            try:
                self._stop_questions(self._queue.store.beat(self.id))
                if next(beats) % LOOK_EVERY == 0:
                    self._reap_own()
                    self._reap_workers()
                    self._end_overdue()
            except (StoreUnavailable, AuditUnavailable) as error:
                log.warning("jobs cannot be looked after: %s", error.reason)
            except Exception:
                log.exception("jobs cannot be looked after")
        try:
            self._queue.store.forget_worker(self.id)
        except StoreUnavailable:
            log.info("the worker is not taken off the list; others find out")

    def _stop_questions(self, ended: set[tuple[str, int]]) -> None:
        with self._lock:
            stopped = [self._hand[key] for key in ended if key in self._hand]
        for cancellation in stopped:
            cancellation.cancel()

    def _reap_own(self) -> None:
        """Lets be asked again what this worker has in hand in the store alone: its end could not be kept."""
        with self._lock:
            held = self._queue.store.claims(self.id)
            dropped = [claim for claim in held if (claim.job.id, claim.position) not in self._hand]
        for claim in dropped:
            self._try_concluding(claim, None, WorkerLost())

    def _reap_workers(self) -> None:
        """Lets what workers that are gone had in hand be asked again.

        A worker is gone when its beat has not changed for ``LEASE`` seconds of this process: no clock is compared with
        another, and none that jumps ends anything.
        """
        now, beats = time.monotonic(), self._queue.store.workers()
        seen = self._beats
        self._beats = {
            worker: seen[worker] if worker in seen and seen[worker][0] == beat else (beat, now)
            for worker, beat in beats.items()
            if worker != self.id
        }
        for worker in [worker for worker, (_, since) in self._beats.items() if now - since > LEASE]:
            for claim in self._queue.store.claims(worker):
                self._try_concluding(claim, None, WorkerLost())
            self._queue.store.forget_worker(worker)

    def _end_overdue(self) -> None:
        store, limits = self._queue.store, self._queue.limits
        for job_id in store.overdue_jobs(limits.seconds):
            store.end_job(job_id, FAILED, JobTimeout.reason)
        if time.monotonic() - self._pruned > PRUNE_EVERY:
            self._pruned = time.monotonic()
            store.prune(limits.days)


def is_passing(failure: SqlSynthesizerError) -> bool:
    """Whether another try may succeed: what HTTP says with 503 is over after a while."""
    return failure.status == 503
