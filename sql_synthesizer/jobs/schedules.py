"""Questions that are asked again and again: when, by a cron expression in a time zone, and with whose rights."""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
import time
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from urllib.parse import urlsplit

from cronsim import CronSim, CronSimError

from sql_synthesizer.errors import (
    AuditUnavailable,
    InvalidRequest,
    NotFound,
    OwnerRefused,
    QueueFull,
    SqlSynthesizerError,
    StoreUnavailable,
    UnexpectedError,
)
from sql_synthesizer.jobs.queue import JobQueue, make_job
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.store import Store
from sql_synthesizer.store.schedules import Schedule
from sql_synthesizer.telemetry import Telemetry, vocabulary

CRON = re.compile(r"[0-9A-Za-z*/,#-]+( +[0-9A-Za-z*/,#-]+){4}")
CRON_CHARS = 100
ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
"""Names of the IANA database; ``localtime`` is another zone on each machine, and ``right/`` counts leap seconds."""
PASSES = 1000
"""Due times that are looked at; those that the clocks repeat come in the past, at most one a minute."""
LATE = 60.0
"""Seconds after which a due time was missed."""
LOOK_EVERY = 1.0
AT_ONCE = 100
"""Schedules that are looked at in a round."""
LISTED = 1000
PLANNED = {
    "name": "name",
    "cron": "cron",
    "zone": "time_zone",
    "missed": "missed",
    "questions": "questions",
    "database": "database",
    "max_rows": "max_rows",
    "webhook": "webhook",
    "with_results": "webhook_results",
    "paused": "paused",
}
"""What callers set, and what it is called outside."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a caller wants asked, and when; ``missed`` is ``run`` or ``skip``."""

    name: str
    cron: str
    zone: str
    missed: str
    questions: Sequence[str]
    database: str
    max_rows: int
    webhook: str
    with_results: bool
    paused: bool


class Schedules:
    """The schedules of a service. Every method raises StoreUnavailable; those that change something, AuditUnavailable.

    A caller has ``limit`` of them at most.
    """

    def __init__(self, store: Store, queue: JobQueue, telemetry: Telemetry, limit: int) -> None:
        self.store = store.schedules(queue.store, self._record_change)
        self._queue = queue
        self._telemetry = telemetry
        self._limit = limit

    def create(self, caller: Caller, plan: Plan) -> Schedule:
        """Begins a schedule. Raises InvalidRequest, TooManySchedules, WebhookRefused."""
        schedule = self._build(plan, secrets.token_hex(8), caller.identity, time.time())
        self.store.add(schedule, self._limit)
        return schedule

    def change(self, caller: Caller, schedule_id: str, plan: Plan) -> Schedule:
        """Puts a plan in the place of an earlier one. Raises NotFound, and as ``create``."""
        self.show(caller, schedule_id)
        planned = self._build(plan, schedule_id, "", 0.0)

        def edit(found: Schedule | None) -> Schedule:
            known = _own(caller, found)
            kept = {name: getattr(known, name) for name in ("owner", "created_at", "last_at", "last_job")}
            return replace(planned, **kept)

        return self.store.change(schedule_id, edit)

    def pause(self, caller: Caller, schedule_id: str, *, paused: bool) -> Schedule:
        """Lets a schedule make no jobs, or go on from its next time. Raises NotFound."""

        def edit(found: Schedule | None) -> Schedule:
            known, now = _own(caller, found), time.time()
            due = known.due_at if paused else next_time(known.cron, known.zone, now)
            return replace(known, paused=int(paused), reason="", set_at=now, due_at=due)

        return self.store.change(schedule_id, edit)

    def show(self, caller: Caller, schedule_id: str) -> Schedule:
        """One schedule. Raises NotFound, also when it is another caller's."""
        return _own(caller, self.store.get(schedule_id))

    def list(self, caller: Caller, *, everybody: bool = False) -> list[Schedule]:
        """A caller's schedules, oldest first; those of ``everybody`` for operators."""
        owner = None if everybody and caller.role is Role.OPERATOR else caller.identity
        return self.store.list(owner, LISTED)

    def delete(self, caller: Caller, schedule_id: str) -> None:
        """Ends a schedule; jobs that it has made go on. Raises NotFound."""
        if not self.store.delete(self.show(caller, schedule_id)):
            raise _unknown()

    def _build(self, plan: Plan, schedule_id: str, owner: str, created_at: float) -> Schedule:
        if plan.webhook:
            self._queue.webhooks.check(plan.webhook)
        if not plan.name.isprintable():
            raise _invalid("The name of a schedule has printable characters only.", "Leave out breaks and escapes.")
        now = time.time()
        return Schedule(
            id=schedule_id,
            owner=owner,
            name=plan.name,
            cron=plan.cron,
            zone=plan.zone,
            missed=plan.missed,
            questions=json.dumps(list(plan.questions)),
            database=plan.database,
            max_rows=plan.max_rows,
            webhook=plan.webhook,
            with_results=int(plan.with_results),
            paused=int(plan.paused),
            created_at=created_at,
            set_at=now,
            due_at=next_time(plan.cron, plan.zone, now),
        )

    def _record_change(self, schedule: Schedule, change: str, before: Schedule | None) -> None:
        changed = [name for name in PLANNED if before and getattr(before, name) != getattr(schedule, name)]
        self._telemetry.emit(
            vocabulary.SECURITY_EVENTS["schedule_change"],
            change=change,
            schedule_id=schedule.id,
            owner=schedule.owner,
            database=schedule.database,
            questions=len(schedule.texts),
            fields=[PLANNED[name] for name in changed],
            cron=schedule.cron,
            time_zone=schedule.zone,
            paused=bool(schedule.paused),
            webhook=urlsplit(schedule.webhook).hostname or "",
        )
        self._telemetry.settle()


class Scheduler:
    """Makes the jobs of due times, with the rights that ``authorize`` says an owner has then."""

    def __init__(
        self, schedules: Schedules, queue: JobQueue, authorize: Callable[[str], Caller], telemetry: Telemetry
    ) -> None:
        self._store = schedules.store
        self._queue = queue
        self._authorize = authorize
        self._telemetry = telemetry

    def run(self, ended: threading.Event) -> None:
        """Looks for due times until ``ended``."""
        while not ended.wait(LOOK_EVERY):
            try:
                self.run_due()
            except (StoreUnavailable, AuditUnavailable) as error:
                log.warning("schedules cannot be looked after: %s", error.reason)
            except Exception:
                log.exception("schedules cannot be looked after")

    def run_due(self) -> None:
        """Makes a job of each due time that has come."""
        for schedule in self._store.due(time.time(), AT_ONCE):
            try:
                self._run_one(schedule, time.time())
            except (StoreUnavailable, AuditUnavailable):
                raise
            except Exception as error:
                log.exception("schedule %s makes no job", schedule.id)
                self._pass_over(schedule, error)

    def _pass_over(self, schedule: Schedule, error: Exception) -> None:
        """Leaves a due time out whose job cannot be made, and pauses what has no next one, so that others go on."""
        reason = error.reason if isinstance(error, SqlSynthesizerError) else UnexpectedError.reason
        try:
            following = next_time(schedule.cron, schedule.zone, time.time())
        except Exception:  # noqa: BLE001 - was logged
            self._store.skip(schedule, schedule.due_at, "refused", reason, pause=True)
        else:
            self._store.skip(schedule, following, "skipped", reason)

    def _run_one(self, schedule: Schedule, now: float) -> None:
        following = next_time(schedule.cron, schedule.zone, now)
        if schedule.due_at > now:  # a clock that was ahead has computed it
            self._store.skip(schedule, following, "", schedule.reason)
            return
        with self._telemetry.operation(vocabulary.JOB_SUBMIT) as operation:
            operation.trace.actor = schedule.owner
            try:
                operation.trace.role = self._authorize(schedule.owner).role.value
                if schedule.missed == "skip" and now - schedule.due_at > LATE:
                    self._store.skip(schedule, following, "skipped", "missed")
                    return
                job = make_job(
                    operation,
                    owner=schedule.owner,
                    questions=schedule.texts,
                    database=schedule.database,
                    max_rows=schedule.max_rows,
                    token=None,
                    webhook=schedule.webhook,
                    with_results=bool(schedule.with_results),
                )
                operation.details.job_id, operation.details.questions = job.id, job.total
                limits = self._queue.limits
                if self._store.run(schedule, job, following, limit=limits.queue, share=limits.share):
                    self._queue.ring()
            except OwnerRefused as error:
                operation.fail(error)
                self._store.skip(schedule, following, "refused", error.reason, pause=True)
            except QueueFull as error:
                operation.fail(error)
                self._store.skip(schedule, following, "skipped", error.reason)


def next_time(cron: str, zone: str, now: float) -> float:
    """The next due time after ``now``, as Unix time, in the way of Debian's cron where the clocks change.

    What would run within the hour that is left out runs right after it, and what would run twice runs once, unless it
    runs every hour or every few minutes anyway. Raises InvalidRequest.
    """
    start = datetime.fromtimestamp(now, _find_zone(zone))
    try:
        if len(cron) > CRON_CHARS or not CRON.fullmatch(cron):
            raise CronSimError("five fields")
        times = (due.timestamp() for due in islice(CronSim(cron, start), PASSES))
        return next(due for due in times if due > now)
    except StopIteration:
        raise _invalid("The cron expression names no day that ever comes.", "For example: 0 7 * * MON-FRI.") from None
    except (CronSimError, ValueError, AssertionError, TypeError) as error:
        told = str(error)[:80] or type(error).__name__
        raise _invalid(
            f"The cron expression cannot be used: {told}.",
            "It has the fields minute, hour, day of month, month and day of week, for example: 0 7 * * MON-FRI.",
        ) from None


def _find_zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        if ZONE.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        pass  # also a directory, or a file that is no zone
    raise _invalid(f"There is no time zone {name!r:.80}.", "Name one as Europe/Berlin or UTC.")


def _own(caller: Caller, schedule: Schedule | None) -> Schedule:
    if schedule is None or (schedule.owner != caller.identity and caller.role is not Role.OPERATOR):
        raise _unknown()
    return schedule


def _invalid(message: str, hint: str) -> SqlSynthesizerError:
    return InvalidRequest(message, hint=hint)


def _unknown() -> NotFound:
    return NotFound("None of your schedules has this id.", hint="GET /api/schedules lists your schedules.")
