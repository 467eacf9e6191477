"""The table of schedules: which questions are asked when, and that each due time makes one job.

The next due time and the job of this one are changed in one transaction, beside which no other changes a job: whatever
is killed, and however many look, a due time is taken once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Engine, column, delete, func, or_, select, table, update

from sql_synthesizer.errors import TooManySchedules
from sql_synthesizer.store._engine import begin_transaction, storable_text
from sql_synthesizer.store.jobs import Job, JobStore, change_jobs

CLOCK_STEP = 60.0
"""Seconds by which a clock may seem to have gone back before due times are computed again."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Questions that ``owner`` has asked again and again. Times are Unix times.

    ``cron`` is in the time of ``zone``; ``due_at`` is the next time, as it was computed at ``set_at``. ``missed`` says
    what becomes of times that nobody was there for; ``reason`` is why the last one made no job.
    """

    id: str
    owner: str
    name: str
    cron: str
    zone: str
    missed: str
    questions: str
    """As JSON."""
    database: str
    max_rows: int
    webhook: str
    with_results: int
    paused: int
    created_at: float
    set_at: float
    due_at: float
    reason: str = ""
    last_at: float | None = None
    last_job: str = ""

    @property
    def texts(self) -> list[str]:
        """The questions."""
        found: list[str] = json.loads(self.questions)
        return found


Record = Callable[[Schedule, str, Schedule | None], None]
"""Puts a change of a schedule, and what it was before, on record; what it raises leaves the schedule as it was."""

_SCHEDULES = table("schedules", *(column(field.name) for field in fields(Schedule)))


class ScheduleStore:
    """Schedules, beside the jobs that they make. Every method raises StoreUnavailable, and what ``record`` raises."""

    def __init__(self, engine: Engine, jobs: JobStore, record: Record) -> None:
        self._engine = engine
        self._jobs = jobs
        self._record = record

    def add(self, schedule: Schedule, limit: int) -> None:
        """Keeps a new one. Raises TooManySchedules when its owner has ``limit`` of them."""
        owned = select(func.count()).select_from(_SCHEDULES).where(_SCHEDULES.c.owner == schedule.owner)
        with change_jobs(self._engine) as connection:
            if connection.execute(owned).scalar_one() >= limit:
                raise TooManySchedules(f"You have {limit} schedules, and may have no more.")
            connection.execute(_SCHEDULES.insert().values(_row(schedule)))
            self._record(schedule, "created", None)

    def get(self, schedule_id: str) -> Schedule | None:
        """The schedule of this id, whoever owns it."""
        with begin_transaction(self._engine) as connection:
            row = connection.execute(select(_SCHEDULES).where(_SCHEDULES.c.id == schedule_id)).one_or_none()
        return None if row is None else Schedule(*row)

    def list(self, owner: str | None, limit: int) -> list[Schedule]:
        """The schedules of an owner, or of all, oldest first."""
        query = select(_SCHEDULES).order_by(_SCHEDULES.c.created_at, _SCHEDULES.c.id).limit(limit)
        with begin_transaction(self._engine) as connection:
            rows = connection.execute(query if owner is None else query.where(_SCHEDULES.c.owner == owner))
            return [Schedule(*row) for row in rows]

    def change(self, schedule_id: str, edit: Callable[[Schedule | None], Schedule]) -> Schedule:
        """Puts what ``edit`` makes of the one with this id in its place, beside which nothing else changes it.

        Raises what ``edit`` raises.
        """
        known = _SCHEDULES.c.id == schedule_id
        with change_jobs(self._engine) as connection:
            row = connection.execute(select(_SCHEDULES).where(known)).one_or_none()
            before = None if row is None else Schedule(*row)
            schedule = edit(before)
            connection.execute(update(_SCHEDULES).where(known).values(_row(schedule)))
            self._record(schedule, "changed", before)
            return schedule

    def delete(self, schedule: Schedule) -> bool:
        """Takes it away; False when there is none."""
        with change_jobs(self._engine) as connection:
            if connection.execute(delete(_SCHEDULES).where(_SCHEDULES.c.id == schedule.id)).rowcount == 0:
                return False
            self._record(schedule, "deleted", None)
            return True

    # --- what is due --------------------------------------------------------------------------

    def due(self, now: float, limit: int) -> Sequence[Schedule]:
        """Those whose time has come, the latest last, and those whose due time a clock has computed that was ahead."""
        come = or_(_SCHEDULES.c.due_at <= now, _SCHEDULES.c.set_at > now + CLOCK_STEP)
        query = select(_SCHEDULES).where(come, _SCHEDULES.c.paused == 0).order_by(_SCHEDULES.c.due_at, _SCHEDULES.c.id)
        with begin_transaction(self._engine) as connection:
            return [Schedule(*row) for row in connection.execute(query.limit(limit))]

    def run(self, schedule: Schedule, job: Job, following: float, *, limit: int, share: int) -> bool:
        """Makes the job of its due time, and lets it wait for the ``following``; False when another has done so.

        Raises QueueFull, as ``JobStore.add_job``.
        """
        with change_jobs(self._engine) as connection:
            last = {"last_at": job.submitted_at, "last_job": job.id, "reason": ""}
            if connection.execute(_advance(schedule, following, **last)).rowcount == 0:
                return False
            self._jobs.insert_job(connection, job, schedule.texts, limit=limit, share=share)
            self._record(schedule, "run", None)
            return True

    def skip(self, schedule: Schedule, following: float, change: str, reason: str, *, pause: bool = False) -> bool:
        """Lets its due time pass without a job; False as in ``run``. An empty ``change`` is not put on record."""
        with change_jobs(self._engine) as connection:
            if connection.execute(_advance(schedule, following, reason=reason, paused=int(pause))).rowcount == 0:
                return False
            if change:
                self._record(replace(schedule, paused=int(pause)), change, None)
            return True


def _advance(schedule: Schedule, following: float, **values: object) -> Any:
    """Only whoever comes first finds the row as it was read."""
    unchanged = (_SCHEDULES.c.id == schedule.id) & (_SCHEDULES.c.set_at == schedule.set_at)
    return update(_SCHEDULES).where(unchanged).values(due_at=following, set_at=time.time(), **values)


def _row(schedule: Schedule) -> dict[str, object]:
    values = {field.name: getattr(schedule, field.name) for field in fields(Schedule)}
    return {name: storable_text(value) if isinstance(value, str) else value for name, value in values.items()}
