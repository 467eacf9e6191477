"""Questions that are asked in the background: the queue that callers see, and the worker that asks."""

from sql_synthesizer.jobs.queue import JobLimits, JobQueue, JobView
from sql_synthesizer.jobs.webhook import Webhooks
from sql_synthesizer.jobs.worker import JobWorker

__all__ = ["JobLimits", "JobQueue", "JobView", "JobWorker", "Webhooks"]
