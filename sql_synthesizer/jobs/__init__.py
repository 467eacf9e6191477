"""Questions that are asked in the background: the queue that callers see, schedules, and the worker that asks."""

from sql_synthesizer.jobs.delivery import Courier
from sql_synthesizer.jobs.queue import JobLimits, JobQueue, JobView
from sql_synthesizer.jobs.schedules import Scheduler, Schedules
from sql_synthesizer.jobs.webhook import Webhooks
from sql_synthesizer.jobs.worker import JobWorker

__all__ = ["Courier", "JobLimits", "JobQueue", "JobView", "JobWorker", "Scheduler", "Schedules", "Webhooks"]
