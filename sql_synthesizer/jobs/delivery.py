"""Tells the addresses of jobs that they have ended: again until one takes it, ``ATTEMPTS`` times at most.

What has to be told is in the store from the moment that the job has ended, so that nothing is lost with a process. It
is told at least once; the message's id is the same each time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sql_synthesizer.errors import (
    AuditUnavailable,
    OwnerRefused,
    SqlSynthesizerError,
    StoreUnavailable,
    WebhookGone,
    WebhookRefused,
)
from sql_synthesizer.jobs.bodies import event_body
from sql_synthesizer.jobs.queue import JobQueue
from sql_synthesizer.jobs.webhook import SECONDS, Message
from sql_synthesizer.model import Caller
from sql_synthesizer.store.deliveries import DELIVERED, GIVEN_UP
from sql_synthesizer.store.jobs import Job, JobQuestion
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.traceparent import format_traceparent, parse_traceparent

ATTEMPTS = 8
"""Times that an address is told at most."""
BACKOFF = 5.0
"""Seconds until the second try; three times as long before each further one, an hour and a half in all."""
FACTOR = 3
LEASE = 3 * SECONDS
"""Seconds that whoever has a delivery in hand has it alone."""
POLL = 0.5
"""Seconds between two looks for what has to be told."""
RETRY = 1.0
"""Seconds until the store is tried again."""
THREADS = 4
"""Calls at once, one for each caller: whoever names an address that hangs holds up nobody else."""

FINAL = (WebhookRefused, WebhookGone, OwnerRefused)
"""Why an address is not told again."""

log = logging.getLogger(__name__)


class Courier:
    """Tells addresses, in threads of its own; ``authorize`` says who an owner is now whose results are sent."""

    def __init__(self, queue: JobQueue, authorize: Callable[[str], Caller], telemetry: Telemetry) -> None:
        self._queue = queue
        self._authorize = authorize
        self._telemetry = telemetry
        self._free = threading.BoundedSemaphore(THREADS)
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        """Owners whose address is told just now."""

    def run(self, ended: threading.Event) -> None:
        """Works until ``ended``, and then to the end of what is in hand."""
        with ThreadPoolExecutor(THREADS, "webhook") as pool:
            while not ended.is_set():
                self._free.acquire()
                job = self._take()
                if job is None:
                    self._free.release()
                    ended.wait(POLL)
                else:
                    pool.submit(self._work, job)

    def _take(self) -> Job | None:
        try:
            with self._lock:
                job = self._queue.deliveries.claim(LEASE, self._busy)
                if job is not None:
                    self._busy.add(job.owner)
                return job
        except StoreUnavailable as error:
            log.warning("no webhook can be sent: %s", error.reason)
            return None

    def _work(self, job: Job) -> None:
        try:
            self._conclude(job, self._tell(job))
        except (StoreUnavailable, AuditUnavailable) as error:
            log.warning("the end of a webhook cannot be kept, so it is sent again: %s", error.reason)
        except Exception:
            log.exception("the webhook of job %s could not be ended", job.id)
        finally:
            with self._lock:
                self._busy.discard(job.owner)
            self._free.release()

    def _tell(self, job: Job) -> SqlSynthesizerError | None:
        """Why the address could not be told; None when it could."""
        operation = self._telemetry.operation(vocabulary.JOB_WEBHOOK, parent=parse_traceparent(job.traceparent))
        details = operation.details
        details.job_id, details.attempt = job.id, job.deliveries
        webhooks = self._queue.webhooks
        try:
            with operation:
                operation.trace.actor = job.owner
                details.host = webhooks.check(job.webhook).hostname
                questions = self._read_results(job) if job.with_results else None
                message = Message(f"job_{job.id}", event_body(job, questions), format_traceparent(operation))
                details.status = webhooks.call(job.webhook, message)
        except SqlSynthesizerError as error:
            return error
        return None

    def _read_results(self, job: Job) -> list[JobQuestion]:
        """The results, once it is on record that they leave. Raises OwnerRefused and what ``results`` raises."""
        _, found = self._queue.results(self._authorize(job.owner), job.id, 0, job.total)
        self._telemetry.settle()
        return found

    def _conclude(self, job: Job, failure: SqlSynthesizerError | None) -> None:
        deliveries = self._queue.deliveries
        if failure is None:
            deliveries.end(job, DELIVERED, "")
        elif isinstance(failure, FINAL) or job.deliveries >= ATTEMPTS:
            deliveries.end(job, GIVEN_UP, failure.reason)
        else:
            deliveries.postpone(job, BACKOFF * FACTOR ** (job.deliveries - 1))
