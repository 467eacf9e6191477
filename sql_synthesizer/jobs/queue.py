"""What callers do with jobs: submit, look, cancel, read results. Only its owner and operators see a job."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sql_synthesizer.errors import JobEnded, NotFound, StoreUnavailable
from sql_synthesizer.jobs.webhook import Webhooks
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.store import Store
from sql_synthesizer.store.jobs import CANCELLED, OPEN, QUEUED, Job, JobLevels, JobQuestion
from sql_synthesizer.telemetry import Operation, Telemetry, vocabulary
from sql_synthesizer.telemetry.traceparent import format_traceparent, parse_traceparent

if TYPE_CHECKING:
    from sql_synthesizer.jobs.bell import RedisBell

MOST_QUESTIONS = 1000
"""Of a job."""
LOOK_EVERY = 2.0
"""Seconds that a level is believed: each process that exports it asks the store for all of them together."""
SERVICE = "service"
"""Who ends what nobody ended."""

Levels = list[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What jobs may take: ``queue`` and ``share`` are questions that wait, of all and of one owner.

    ``seconds`` is how long a job may run, ``days`` how long it is kept after its end.
    """

    queue: int
    share: int
    seconds: float
    days: float


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as its owner sees it; ``ahead`` counts the questions that come before its next one, while it waits."""

    job: Job
    ahead: int | None


class JobQueue:
    """The jobs of a service. Every method raises StoreUnavailable; those that change something, AuditUnavailable."""

    def __init__(self, store: Store, telemetry: Telemetry, limits: JobLimits, webhooks: Webhooks) -> None:
        self.bell: RedisBell | None = None
        """What tells workers of a new job, before they would look."""
        self.store = store.jobs(self._record_change)
        self.deliveries = store.deliveries(self._record_change)
        self.limits = limits
        self.webhooks = webhooks
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._seen: tuple[float, JobLevels | None] = (float("-inf"), None)
        telemetry.read(vocabulary.JOB_WAITING, lambda: self._level(lambda levels: levels.waiting))
        telemetry.read(vocabulary.JOB_RUNNING, lambda: self._level(lambda levels: levels.running))
        telemetry.read(vocabulary.JOB_OLDEST, lambda: self._level(_oldest_age))
        telemetry.read(vocabulary.JOB_BEAT, lambda: self._level(lambda levels: levels.beat))

    def submit(
        self,
        caller: Caller,
        questions: Sequence[str],
        *,
        database: str,
        max_rows: int,
        token: str | None = None,
        webhook: str = "",
        with_results: bool = False,
    ) -> JobView:
        """Takes questions in; with a ``token`` that was used before, it returns the job of then.

        Raises QueueFull, IdempotencyConflict, WebhookRefused.
        """
        if webhook:
            self.webhooks.check(webhook)
        with self._telemetry.operation(vocabulary.JOB_SUBMIT) as operation:
            job = make_job(
                operation,
                owner=caller.identity,
                questions=questions,
                database=database,
                max_rows=max_rows,
                token=token,
                webhook=webhook,
                with_results=with_results,
            )
            job = self.store.add_job(job, questions, limit=self.limits.queue, share=self.limits.share)
            operation.details.job_id, operation.details.questions = job.id, job.total
        self.ring()
        return self._view(job)

    def ring(self) -> None:
        """Tells the workers that there is something to do, where there is a bell."""
        if self.bell is not None:
            self.bell.ring()

    def show(self, caller: Caller, job_id: str) -> JobView:
        """One job. Raises NotFound, also when it is another caller's."""
        return self._view(self._find_own(caller, job_id))

    def list_jobs(self, caller: Caller, limit: int, *, everybody: bool = False) -> list[JobView]:
        """A caller's jobs, newest first; those of ``everybody`` for operators."""
        owner = None if everybody and caller.role is Role.OPERATOR else caller.identity
        return [self._view(job) for job in self.store.list_jobs(owner, limit)]

    def results(self, caller: Caller, job_id: str, offset: int, limit: int) -> tuple[Job, list[JobQuestion]]:
        """The questions from position ``offset`` on, with how they ended; who reads them is on record.

        Raises NotFound.
        """
        job = self._find_own(caller, job_id)
        with self._telemetry.operation(vocabulary.JOB_READ) as operation:
            found = self.store.questions(job.id, offset, limit)
            details = operation.details
            details.job_id, details.questions, details.database = job.id, len(found), job.database
        return job, found

    def cancel(self, caller: Caller, job_id: str) -> JobView:
        """Takes a job back; the statements that run for it are cancelled. Raises NotFound, JobEnded."""
        job = self._find_own(caller, job_id)
        ended = self.store.end_job(job.id, CANCELLED, "cancelled") or self._find_own(caller, job_id)
        if ended.state != CANCELLED:
            raise JobEnded
        return self._view(ended)

    def _find_own(self, caller: Caller, job_id: str) -> Job:
        job = self.store.get_job(job_id)
        if job is None or (job.owner != caller.identity and caller.role is not Role.OPERATOR):
            raise NotFound("None of your jobs has this id.", hint="GET /api/jobs lists your jobs.")
        return job

    def _view(self, job: Job) -> JobView:
        return JobView(job, self.store.count_ahead(job) if job.state == QUEUED else 0 if job.state in OPEN else None)

    def _record_change(self, job: Job, change: str) -> None:
        """Puts a change that is about to be made on the durable record, in the job's trace where it is in none."""
        above, parent = self._telemetry.current(), parse_traceparent(job.traceparent)
        told: dict[str, Any] = {"webhook": urlsplit(job.webhook).hostname} if job.webhook else {}
        own = nullcontext() if above else self._telemetry.operation(vocabulary.COMMAND, parent=parent)
        with own as operation:
            if operation is not None:
                operation.trace.actor = SERVICE
            self._telemetry.emit(
                vocabulary.SECURITY_EVENTS["job_change"],
                change=change,
                job_id=job.id,
                owner=job.owner,
                database=job.database,
                questions=job.total,
                ended=job.ended,
                reason=job.reason or "ok",
                **told,
            )
            self._telemetry.settle()

    # --- levels -------------------------------------------------------------------------------

    def _level(self, value: Callable[[JobLevels], float | None]) -> Levels:
        levels = self._look()
        found = None if levels is None else value(levels)
        return [] if found is None else [({}, found)]

    def _look(self) -> JobLevels | None:
        """The levels, not older than ``LOOK_EVERY``; None while the store does not answer, which has its own alert."""
        now = time.monotonic()
        with self._lock:
            if now - self._seen[0] >= LOOK_EVERY:
                try:
                    self._seen = now, self.store.levels()
                except StoreUnavailable:
                    self._seen = now, None
            return self._seen[1]


def make_job(
    operation: Operation,
    *,
    owner: str,
    questions: Sequence[str],
    database: str,
    max_rows: int,
    token: str | None,
    webhook: str,
    with_results: bool,
) -> Job:
    """A job of these questions, to be put into the store, whose work is under ``operation``."""
    told: list[object] = [{"webhook": webhook, "with_results": with_results}] if webhook else []
    asked = json.dumps([database, max_rows, *questions, *told]).encode("utf-8", "replace")
    job_id = secrets.token_hex(8)
    return Job(
        id=job_id,
        owner=owner,
        token=token or job_id,
        digest=hashlib.sha256(asked).hexdigest(),
        database=database,
        max_rows=max_rows,
        traceparent=format_traceparent(operation),
        total=len(questions),
        submitted_at=time.time(),
        webhook=webhook,
        with_results=int(with_results),
    )


def _oldest_age(levels: JobLevels) -> float:
    return 0.0 if levels.oldest is None else max(0.0, time.time() - levels.oldest)
